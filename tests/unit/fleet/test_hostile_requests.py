"""Requests of somebody who can write into the database: they reach what the worker's settings name, and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from support.journals import change, use_cheap_fingerprints
from support.queued import WatchedDrain

from ztrust_mail import api
from ztrust_mail import settings as config
from ztrust_mail.api.spec_types import EntryDict
from ztrust_mail.applying.options import Waves
from ztrust_mail.core.errors import Unsafe, UsageError
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.row import Outgoing
from ztrust_mail.fleet import (
    ApplySavedPlan,
    ApplySpec,
    DrainOptions,
    Engine,
    OnboardRealms,
    RetryPolicy,
    TestStored,
    Work,
    open_engine,
)
from ztrust_mail.fleet.work import write_content
from ztrust_mail.gateways.keycloak.gateway import KeycloakGateway
from ztrust_mail.journal.requests import RequestState, StoredRequest
from ztrust_mail.sandbox import Sandbox, SandboxOptions

LOGIN = {"ZTRUST_MAIL_USERNAME": "admin", "ZTRUST_MAIL_PASSWORD": "admin"}


@dataclass
class Target:
    """A worker's server ``prod`` with its queue, and what somebody does to the rows in the database."""

    sandbox: Sandbox
    engine: Engine
    settings: Path
    journal: Secret
    environ: dict[str, str]

    def server(self, name: str = "prod") -> config.Server:
        """Return a server of the settings."""
        return config.choose_server(config.load(str(self.settings), self.environ), name, (), self.environ)

    def submit(self, work: Work, name: str = "prod", **more: str) -> int:
        """Submit work, and return the number of the request."""
        return self.engine.submit(work, self.server(name), **more).number

    def alter(self, number: int, **columns: str) -> None:
        """Write other texts into the row of a request."""
        texts = ", ".join(f"{name} = {_sql(text)}" for name, text in columns.items())
        change(self.journal, f"UPDATE journal_requests SET {texts} WHERE number = {number}")

    def do(self, number: int) -> StoredRequest:
        """Drain the server of a request, and return the request as it is then."""
        self.engine.drain(self.engine.status(number).server)
        return self.engine.status(number)

    def add_settings(self, text: str) -> None:
        """Add lines to the settings."""
        self.settings.write_text(f"{self.settings.read_text(encoding='utf-8')}\n{text}\n", encoding="utf-8")


@pytest.fixture
def target(tmp_path: Path, journal_url: Secret, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """A server with an empty queue, whose worker has a login in its environment."""
    use_cheap_fingerprints(monkeypatch)
    settings, environ = tmp_path / "settings.toml", dict(LOGIN)
    with Sandbox(SandboxOptions(realms=("acme", "globex", "initech"))) as sandbox:
        entry = f'[servers.prod]\nurl = "{sandbox.url}"'
        settings.write_text(f"{entry}\n[journal]\nurl = {json.dumps(journal_url.reveal())}\n", encoding="utf-8")
        options = DrainOptions(str(settings), environ, retry=RetryPolicy(watch=0.01))
        with open_engine(str(settings), environ, options=options) as engine:
            yield Target(sandbox, engine, settings, journal_url, environ)


def _sql(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def entry_for(address: str = "mail@acme.example") -> EntryDict:
    """Return the settings of a realm without a login."""
    relay = {"host": "127.0.0.1", "port": 25, "security": "none"}
    return cast("EntryDict", {"sender": {"address": address}, "relay": relay})


def onboard(realm: str = "acme", address: str = "mail@acme.example") -> OnboardRealms:
    """Return work that onboards a realm without a test mail."""
    return OnboardRealms({realm: entry_for(address)}, test=False, wait_for_realm=0.0)


# Servers


@pytest.mark.parametrize("has_url_as_name", [False, True])
def test_a_url_that_the_settings_do_not_have_gets_no_login(target: Target, has_url_as_name: bool) -> None:
    with Sandbox(SandboxOptions()) as elsewhere:
        number = target.submit(onboard())
        target.alter(number, server=elsewhere.url, name=elsewhere.url if has_url_as_name else "")
        refused = target.do(number)
        assert not elsewhere.requests
    assert (refused.state, refused.exit_status) == (RequestState.FAILED, 5)
    assert refused.summary == f"this worker's settings have no server `{elsewhere.url}`"


def test_a_name_that_the_settings_of_the_worker_do_not_have_is_reported_as_such(target: Target) -> None:
    number = target.submit(onboard())
    target.alter(number, name="gone")
    refused = target.do(number)
    assert (refused.state, refused.exit_status) == (RequestState.FAILED, 2)
    assert refused.summary == "this worker's settings have no server `gone`"
    assert "add it to the worker's settings, then: ztrust-mail requests N --retry" in refused.report


def test_files_of_the_worker_are_no_server(target: Target, tmp_path: Path) -> None:
    export = tmp_path / "exports" / "acme.json"
    export.parent.mkdir()
    export.write_text('{"realm": "acme", "smtpServer": {}}', encoding="utf-8")
    number = target.submit(onboard())
    target.alter(number, server=export.parent.as_uri(), name="")
    assert target.do(number).exit_status == 5
    assert json.loads(export.read_text(encoding="utf-8"))["smtpServer"] == {}


@pytest.mark.parametrize("variable", ["ZTRUST_MAIL_URL", "ZTRUST_MAIL_SERVER", "ZTRUST_MAIL_PROD_URL"])
def test_a_server_in_the_environment_of_the_worker_may_be_named_by_its_url(target: Target, variable: str) -> None:
    with Sandbox(SandboxOptions()) as other:
        number = target.submit(onboard())
        target.alter(number, server=other.url, name="")
        target.environ[variable] = other.url
        assert target.do(number).state is RequestState.DONE


def test_a_server_of_the_settings_may_be_named_by_its_url(target: Target) -> None:
    number = target.submit(onboard())
    target.alter(number, name="")
    assert target.do(number).state is RequestState.DONE


# Two names of one server


@pytest.fixture
def twins(target: Target) -> Target:
    """A server that the settings name a second time, as ``twin``."""
    target.add_settings(f'[servers.twin]\nurl = "{target.sandbox.url}"')
    return target


def test_each_request_of_a_batch_has_the_variables_of_the_name_it_was_submitted_for(twins: Target) -> None:
    twins.submit(onboard("acme", "{server}@acme.example"), "prod")
    number = twins.submit(onboard("globex", "{server}@acme.example"), "twin")
    assert twins.do(number).state is RequestState.DONE
    assert twins.sandbox.smtp("acme")["from"] == "prod@acme.example"
    assert twins.sandbox.smtp("globex")["from"] == "twin@acme.example"


def test_the_same_work_for_another_name_of_a_server_is_another_request(twins: Target) -> None:
    work = onboard("acme", "{server}@acme.example")
    assert twins.submit(work, "prod") != twins.submit(work, "twin")


# Saved plans, whose paths are those of another machine


@dataclass
class Made:
    """A folder with a spec, a secret next to it, and what a plan of it is."""

    target: Target
    folder: Path

    def save(self, reference: str = "") -> str:
        """Return the text of a plan of a file; with ``reference``, a realm's password comes from that file."""
        entry: Any = entry_for()
        if reference:
            entry["relay"]["auth"] = {"username": "mail", "password": {"file": reference}}
        spec_file = self.folder / "mail.json"
        spec_file.write_text(json.dumps({"version": 1, "realms": {"acme": entry}}), encoding="utf-8")
        spec = api.load_spec(str(spec_file))
        with api.connect("prod", config_path=str(self.target.settings), environ=self.target.environ) as session:
            return api.save_plan(api.plan(spec, session), spec, session)


@pytest.fixture
def made(target: Target, tmp_path: Path) -> Made:
    """A folder on the machine of the worker that has a spec and a secret."""
    folder = tmp_path / "spec"
    folder.mkdir()
    (folder / "password").write_text("geheim", encoding="utf-8")
    return Made(target, folder)


@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_plan_reaches_no_file_by_naming_a_folder_with_a_known_spec(made: Made, is_absolute: bool) -> None:
    work = ApplySavedPlan(made.save(str(made.folder / "password") if is_absolute else "password"))
    number = made.target.submit(onboard())
    made.target.alter(number, kind=work.kind, content=write_content(work))
    failed = made.target.do(number)
    assert (failed.state, failed.exit_status) == (RequestState.FAILED, 4)
    assert ("[secret-out-of-reach]" if is_absolute else "[secret-missing]") in failed.report_text
    assert made.target.sandbox.smtp("acme") == {}


def test_a_plan_reads_files_in_the_folders_that_the_worker_allows(made: Made) -> None:
    made.target.add_settings(f"[allow]\nsecret_folders = [{json.dumps(str(made.folder))}]")
    number = made.target.submit(ApplySavedPlan(made.save(str(made.folder / "password"))))
    assert made.target.do(number).state is RequestState.DONE
    assert made.target.sandbox.smtp("acme")["password"] == "geheim"


def test_a_worker_does_not_look_at_the_paths_of_a_plan(made: Made) -> None:
    """It would say which files it has: those of another machine have nothing to do with its own."""
    number = made.target.submit(ApplySavedPlan(made.save()))
    (made.folder / "mail.json").write_text("{}", encoding="utf-8")
    (made.folder / "more.yaml").write_text("version: 1", encoding="utf-8")
    done = made.target.do(number)
    assert done.state is RequestState.DONE, done.report_text
    assert str(made.folder) not in done.report_text


def test_a_plan_whose_spec_has_changed_is_not_submitted(made: Made) -> None:
    work = ApplySavedPlan(made.save())
    (made.folder / "mail.json").write_text("{}", encoding="utf-8")
    with pytest.raises(Unsafe, match="stale plan: since it was made, 1 spec file changed"):
        made.target.submit(work)


def test_a_plan_with_a_relative_secret_file_is_not_submitted(made: Made) -> None:
    with pytest.raises(UsageError, match="the plan takes a secret of realm `acme` from `password`") as e:
        made.target.submit(ApplySavedPlan(made.save("password")))
    assert e.value.rule == "request-file"


# What a person cannot have meant


@pytest.mark.parametrize("message", ["x" * 501, "two\nlines", "\u202e"])
def test_a_message_that_no_run_may_have_is_refused_at_once(target: Target, message: str) -> None:
    with pytest.raises(UsageError, match="the message has"):
        target.submit(onboard(), message=message)
    assert target.engine.journal.requests.newest() == []


@pytest.mark.parametrize("waves", [{"size": -5}, {"stop_after": -1}])
def test_waves_of_a_negative_size_are_refused_and_not_skipped(target: Target, waves: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="cannot be negative"):
        Waves(**waves)
    spec: Any = {"version": 1, "realms": {"acme": entry_for()}}
    number = target.submit(ApplySpec(spec, waves=Waves()))
    content = json.loads(target.engine.status(number).content)
    target.alter(number, content=json.dumps({**content, "waves": {**content["waves"], **waves}}))
    refused = target.do(number)
    assert (refused.state, refused.exit_status) == (RequestState.FAILED, 2)


def test_a_request_against_the_policy_says_what_it_forbids(target: Target) -> None:
    target.add_settings('[policy]\nrelays = ["smtp.example.com"]')
    spec: Any = {"version": 1, "realms": {"acme": entry_for()}}
    for work in (onboard(), ApplySpec(spec)):
        refused = target.do(target.submit(work))
        assert (refused.state, refused.exit_status) == (RequestState.FAILED, 5)
        assert "`relay.host` is `127.0.0.1`, which the policy does not allow" in refused.report_text


# Ends of a test that is under way


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_test_ends_between_two_realms_and_sends_no_mail_twice(
    target: Target, monkeypatch: pytest.MonkeyPatch, is_stopped: bool
) -> None:
    for realm in ("acme", "globex", "initech"):
        target.do(target.submit(onboard(realm)))
    text = target.settings.read_text(encoding="utf-8")
    target.settings.write_text(text.replace("[servers.prod]", "[servers.prod]\nconnections = 1"), encoding="utf-8")
    number, tested = target.submit(TestStored(["*"])), list[str]()
    drain = WatchedDrain(target.engine.journal, target.sandbox.url, target.engine.options)

    def send(_gateway: KeycloakGateway, realm: str, _attributes: Outgoing) -> None:
        tested.append(realm)
        target.engine.options.stop.set() if is_stopped else target.engine.cancel(number)
        assert drain.cancel.wait(60)

    monkeypatch.setattr(KeycloakGateway, "test", send)
    assert drain.run() == 1
    target.engine.options.stop.clear()
    assert target.engine.drain_all() == 0
    ended = target.engine.status(number)
    assert ended.state is (RequestState.FAILED if is_stopped else RequestState.CANCELLED)
    assert ended.exit_status == 130
    assert len(tested) == 1
    assert f"{tested[0]}  sent" in ended.report_text
