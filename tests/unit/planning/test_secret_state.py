"""What the journal tells of secrets that the server hides, what is lost by writing, and which changes need them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest
from support.connecting import FakeGateway, Unreadable, make_plan
from support.mail_settings import BASIC, NO_LOGIN, STORED, one_realm, realms

import ztrust_mail
from ztrust_mail.core.errors import ServerError
from ztrust_mail.core.findings import Severity
from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.journal.records import JournalState, LastKnown, Step, Write
from ztrust_mail.model.fields import PASSWORD
from ztrust_mail.planning.compare import SecretMode, SecretState
from ztrust_mail.planning.plan import RealmPlan, Status
from ztrust_mail.planning.planners.from_spec import PlanningContext
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.settings import Policy

NOW = "the-present-password"
REF = SecretRef(SecretKind.ENV, ("SMTP_PASSWORD",))
OTHER_RELAY = {**BASIC, "relay": {**BASIC["relay"], "host": "earlier.example.com"}}


def fingerprint(secret: Secret) -> str:
    return f"fingerprint of {secret.reveal()}"


def written(value: str, step: Step = Step.VERIFIED, **fields) -> Write:
    return Write("acme", {}, fields or {}, {PASSWORD: f"fingerprint of {value}"}, step, run=7)


def in_sync_server(entry=BASIC) -> FakeGateway:
    """Return a server that holds what the entry says, with some password."""
    gateway = FakeGateway({"acme": {}})
    wanted = make_plan(one_realm(entry), gateway).realms[0].wanted
    held = gateway.dialect.encode(wanted.fields, {ref: Secret("stored") for ref in _refs(wanted.fields)})
    gateway.stored["acme"] = {n: v.reveal() if isinstance(v, Secret) else v for n, v in held.items()}
    return gateway


def _refs(fields: Mapping[str, object]):
    return [value for name, value in fields.items() if name.endswith(("password", "client_secret"))]


def planned(
    known: LastKnown | None,
    *,
    entry=BASIC,
    mode: SecretMode = SecretMode.AUTO,
    environ: Mapping[str, str] | None = None,
    gateway: FakeGateway | None = None,
    policy: Policy | None = None,
) -> RealmPlan:
    environ = {"SMTP_PASSWORD": NOW} if environ is None else environ
    memory = JournalState({"acme": known} if known else {}, fingerprint)
    means = PlanningContext(mode, policy or Policy(), lambda: memory, SecretStore(Reach(environ=environ)))
    return make_plan(one_realm(entry), gateway or in_sync_server(entry), means).realms[0]


def test_a_secret_equal_to_the_last_written_value_is_in_sync():
    realm = planned(LastKnown(written(NOW)))
    assert realm.secrets == {PASSWORD: SecretState.UNCHANGED}
    assert realm.status is Status.IN_SYNC


def test_another_value_than_last_written_is_a_change_of_its_own():
    realm = planned(LastKnown(written("the-old-password")))
    assert realm.secrets == {PASSWORD: SecretState.CHANGED}
    assert [change.field for change in realm.changes] == [PASSWORD]
    assert realm.status is Status.CHANGED


@pytest.mark.parametrize("known", [None, LastKnown(), LastKnown(Write("acme", {}, {}, {}, Step.VERIFIED))])
def test_a_secret_the_journal_never_wrote_is_unknown_and_left_alone(known):
    realm = planned(known)
    assert realm.secrets == {PASSWORD: SecretState.UNKNOWN}
    assert realm.status is Status.IN_SYNC


def test_no_reference_is_resolved_for_an_unknown_secret_of_a_realm_in_sync():
    assert planned(None, environ=Unreadable()).secrets == {PASSWORD: SecretState.UNKNOWN}


def test_a_secret_that_cannot_be_resolved_is_unknown_and_reported_with_the_reason():
    realm = planned(LastKnown(written(NOW)), environ={})
    assert realm.secrets == {PASSWORD: SecretState.UNKNOWN}
    assert realm.status is Status.IN_SYNC
    assert "SMTP_PASSWORD" in realm.unresolved[PASSWORD].message
    assert [(f.severity, f.rule, f.field) for f in realm.findings] == [(Severity.WARNING, "secret-missing", PASSWORD)]


def test_a_secret_that_cannot_be_resolved_is_reported_for_a_changed_realm_too():
    gateway = in_sync_server()
    gateway.stored["acme"]["port"] = "26"
    realm = planned(None, environ={}, gateway=gateway)
    assert (realm.status, [f.rule for f in realm.findings]) == (Status.CHANGED, ["secret-missing"])


@pytest.mark.parametrize("step", [Step.WRITING, Step.WRITTEN])
def test_a_secret_whose_write_has_an_unknown_outcome_is_written_again(step):
    realm = planned(LastKnown(written(NOW), written(NOW, step)))
    assert realm.secrets == {PASSWORD: SecretState.CHANGED}
    assert realm.status is Status.CHANGED


def test_a_write_of_unknown_outcome_without_a_secret_does_not_change_the_state_of_the_secret():
    doubt = Write("acme", {}, {}, {}, Step.WRITING, run=8)
    assert planned(LastKnown(written(NOW), doubt)).secrets == {PASSWORD: SecretState.UNCHANGED}


def test_keep_leaves_a_changed_secret_alone():
    realm = planned(LastKnown(written("the-old-password")), mode=SecretMode.KEEP)
    assert realm.secrets == {PASSWORD: SecretState.CHANGED}
    assert realm.status is Status.IN_SYNC


def test_write_sends_an_unchanged_secret_too():
    assert planned(LastKnown(written(NOW)), mode=SecretMode.WRITE).status is Status.CHANGED


def test_several_fingerprints_are_left_to_the_journal_which_bounds_their_memory():
    """Each fingerprint takes 16 MB: planning has no pool of its own for them."""
    batches: list[list[str]] = []

    def fingerprints(several: Iterable[Secret]) -> list[str]:
        batches.append(sorted(secret.reveal() for secret in several))
        return []

    names = ("ACME", "GLOBEX", "INITECH")
    auth = {name.lower(): {"username": "apikey", "password": {"env": name}} for name in names}
    spec = realms({realm: {**BASIC, "relay": {"host": "smtp.example.com", "auth": auth[realm]}} for realm in auth})
    known = {realm: LastKnown(replace(written(NOW), realm=realm)) for realm in auth}
    memory = JournalState(known, fingerprint, fingerprints=fingerprints)
    store = SecretStore(Reach(environ={name: f"password of {name}" for name in names}))
    server = FakeGateway(dict.fromkeys(auth, in_sync_server().stored["acme"]))
    make_plan(spec, server, PlanningContext(memory=lambda: memory, secrets=store))
    assert batches == [[f"password of {name}" for name in names]]


def test_a_reference_that_the_policy_forbids_is_never_resolved():
    realm = planned(LastKnown(written(NOW)), environ=Unreadable(), policy=Policy(relays=("other.example",)))
    assert [finding.rule for finding in realm.forbidden] == ["policy-relay"]
    assert realm.secrets == {PASSWORD: SecretState.UNKNOWN}


def test_without_a_store_nothing_is_resolved():
    memory = JournalState({"acme": LastKnown(written(NOW))}, fingerprint)
    realm = make_plan(one_realm(BASIC), in_sync_server(), PlanningContext(memory=lambda: memory)).realms[0]
    assert (realm.secrets, realm.unresolved) == ({PASSWORD: SecretState.UNKNOWN}, {})


def test_overwriting_an_unknown_password_is_reported_as_a_loss():
    gateway = in_sync_server()
    gateway.stored["acme"]["port"] = "26"
    assert planned(None, gateway=gateway).losses == {PASSWORD: ""}


def test_a_loss_names_where_the_value_last_came_from():
    intent = make_plan(one_realm(BASIC), FakeGateway({"acme": {}})).realms[0].wanted.fields
    known = LastKnown(Write("acme", {}, intent, {PASSWORD: "fingerprint of old"}, Step.VERIFIED, run=7))
    assert planned(known).losses == {PASSWORD: "env:SMTP_PASSWORD"}


def test_writing_the_value_last_written_loses_nothing():
    gateway = in_sync_server()
    gateway.stored["acme"]["port"] = "26"
    assert planned(LastKnown(written(NOW)), gateway=gateway).losses == {}


@pytest.mark.parametrize("entry", [NO_LOGIN, {"disabled": True}])
def test_removing_a_password_is_reported_as_a_loss(entry):
    assert planned(None, entry=entry, gateway=FakeGateway({"acme": STORED})).losses == {PASSWORD: ""}


def test_a_realm_that_stays_as_it_is_loses_nothing():
    assert planned(None).losses == {}


# After somebody changed where or as whom the realm logs in


def with_last_write(gateway: FakeGateway, value: str = NOW) -> LastKnown:
    """Return what the journal knows where the last write left what the server holds now."""
    after = gateway.dialect.mask_secrets(gateway.stored["acme"])
    return LastKnown(replace(written(value, **{PASSWORD: REF}), after=after))


@pytest.mark.parametrize(("attribute", "field"), [("host", "relay.host"), ("user", "relay.auth.username")])
def test_a_password_is_not_known_to_be_the_last_written_where_its_login_was_changed(attribute: str, field: str):
    gateway = in_sync_server()
    known = with_last_write(gateway)
    assert planned(known, gateway=gateway).secrets == {PASSWORD: SecretState.UNCHANGED}
    gateway.stored["acme"][attribute] = "other.example.com"
    realm = planned(known, gateway=gateway)
    assert realm.secrets == {PASSWORD: SecretState.UNKNOWN}
    assert realm.losses == {PASSWORD: ""}  # also not where it last came from
    (told,) = [finding for finding in realm.findings if finding.rule == "secret-in-doubt"]
    assert f"`{field}` changed on the server since" in told.message


def test_a_password_is_not_known_to_be_the_last_written_where_spec_and_server_both_have_another_login():
    gateway = in_sync_server()
    known = with_last_write(in_sync_server(OTHER_RELAY))
    realm = planned(known, gateway=gateway)
    assert (realm.status, realm.secrets) == (Status.IN_SYNC, {PASSWORD: SecretState.UNKNOWN})


def test_any_other_change_leaves_the_password_the_last_written():
    gateway = in_sync_server()
    known = with_last_write(gateway)
    gateway.stored["acme"] |= {"port": "26", "fromDisplayName": "X"}
    realm = planned(known, gateway=gateway)
    assert (realm.secrets, realm.losses) == ({PASSWORD: SecretState.UNCHANGED}, {})


def test_a_new_value_is_written_even_if_its_login_changed():
    gateway = in_sync_server()
    known = with_last_write(gateway, "the-old-password")
    gateway.stored["acme"]["host"] = "other.example.com"
    assert planned(known, gateway=gateway).secrets == {PASSWORD: SecretState.CHANGED}


OTHER_SENDER = {**BASIC, "sender": {"address": "other@acme.example"}}
OTHER_NAME = {**BASIC, "sender": {**BASIC["sender"], "name": "Other"}}


def rules(entry=OTHER_SENDER, version=(26, 8, 0), environ=None, mode=SecretMode.AUTO) -> list[str]:
    return [finding.rule for finding in plan_change(entry, version, environ, mode).findings]


def plan_change(entry=OTHER_SENDER, version=(26, 8, 0), environ=None, mode=SecretMode.AUTO) -> RealmPlan:
    gateway = FakeGateway({"acme": STORED})
    gateway.running = version
    means = PlanningContext(mode, secrets=SecretStore(Reach(environ=environ or {})))
    return make_plan(one_realm(entry), gateway, means).realms[0]


@pytest.mark.parametrize("version", [(26, 8, 0), (27,), ()])
def test_a_change_of_from_alone_needs_the_secret_on_new_and_unknown_versions(version) -> None:
    note = plan_change(version=version).findings[-1]
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
