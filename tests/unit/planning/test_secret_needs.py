"""Changes that make the server drop a stored secret, where the plan has no value to write in its place."""

from __future__ import annotations

import pytest
from support.connecting import FakeGateway
from support.mail_settings import BASIC, STORED, one_realm

import ztrust_mail
from ztrust_mail.core.errors import ServerError
from ztrust_mail.core.findings import Severity
from ztrust_mail.model.fields import PASSWORD
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.planning.plan import RealmPlan
from ztrust_mail.planning.planners.from_spec import PlanningContext, make_plan
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.secrets.store import SecretStore

OTHER_SENDER = {**BASIC, "sender": {"address": "other@acme.example"}}
OTHER_NAME = {**BASIC, "sender": {**BASIC["sender"], "name": "Other"}}


def rules(entry=OTHER_SENDER, version=(26, 8, 0), environ=None, mode=SecretMode.AUTO) -> list[str]:
    return [finding.rule for finding in planned(entry, version, environ, mode).findings]


def planned(entry=OTHER_SENDER, version=(26, 8, 0), environ=None, mode=SecretMode.AUTO) -> RealmPlan:
    gateway = FakeGateway({"acme": STORED})
    gateway.running = version
    means = PlanningContext(mode, secrets=SecretStore(Reach(environ=environ or {})))
    return make_plan(one_realm(entry), gateway, means).realms[0]


@pytest.mark.parametrize("version", [(26, 8, 0), (27,), ()])
def test_a_change_of_from_alone_needs_the_secret_on_new_and_unknown_versions(version) -> None:
    note = planned(version=version).findings[-1]
    assert (note.rule, note.severity, note.field) == ("secret-needed", Severity.NOTE, PASSWORD)
    assert "the change of `sender.address` needs the value of `relay.auth.password`" in note.message
    assert note.location is not None


@pytest.mark.parametrize("version", [(26, 7, 4), (16, 1, 1)])
def test_an_older_server_is_no_reason_for_the_note(version) -> None:
    assert rules(version=version) == ["secret-missing"]


def test_a_secret_that_resolves_needs_no_note() -> None:
    assert rules(environ={"SMTP_PASSWORD": "x"}) == []


def test_a_change_that_drops_nothing_needs_no_note() -> None:
    assert rules(OTHER_NAME) == ["secret-missing"]


def test_a_plan_that_keeps_secrets_says_what_the_apply_would_refuse() -> None:
    assert rules(environ={"SMTP_PASSWORD": "x"}, mode=SecretMode.KEEP) == ["secret-needed"]


def test_the_version_is_asked_for_only_where_it_matters() -> None:
    class Asked(FakeGateway):
        asked = 0

        def version(self):
            self.asked += 1
            raise ServerError("unknown")

    for entry, times in ((OTHER_SENDER, 1), (OTHER_NAME, 0)):
        gateway = Asked({"acme": STORED})
        found = make_plan(one_realm(entry), gateway, PlanningContext(secrets=SecretStore(Reach(environ={}))))
        assert gateway.asked == times
        assert ("secret-needed" in {f.rule for f in found.findings}) is bool(times)


@pytest.mark.parametrize(("version", "found"), [("26.8.0", True), ("26.7.4", False)])
def test_a_server_tells_its_version_and_drops_the_secret_as_the_note_says(version: str, found: bool) -> None:
    with Sandbox(SandboxOptions(version=version)) as sandbox:
        sandbox.edit_smtp("acme", STORED)
        environ = {"ZTRUST_MAIL_USERNAME": "admin", "ZTRUST_MAIL_PASSWORD": "admin"}
        with ztrust_mail.connect(sandbox.url, environ=environ) as session:
            plan = ztrust_mail.plan(one_realm(OTHER_SENDER), session)
    assert ("secret-needed" in [finding.rule for finding in plan.findings]) is found
