"""Saved plans of reverts and rotations: what the file has, and that it is applied as it was reviewed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import jsonschema
import pytest
from support.connecting import connected
from support.mail_settings import BASIC, ENVIRON, STORED, realms
from support.results import statuses

from ztrust_mail import api
from ztrust_mail.applying.outcome import Result
from ztrust_mail.core.data import load_schema, of_json
from ztrust_mail.core.errors import ExitStatus, Unsafe, UsageError
from ztrust_mail.planning.plan import Plan
from ztrust_mail.planning.saved.read import from_text
from ztrust_mail.planning.saved.write import SavedPlan
from ztrust_mail.sandbox import Sandbox

NEW = {**ENVIRON, "SMTP_PASSWORD": "another-Passw0rd"}
RENAMED = {**BASIC, "sender": {"address": "no-reply@acme.example", "name": "Renamed"}}
BARE = {"from": "a@acme.example", "host": "old.example.com"}
"""Settings as somebody may have made them by hand: without port, security and login."""


def apply(sandbox: Sandbox, entry: Mapping[str, object], environ: Mapping[str, str] = ENVIRON) -> Result:
    with connected(sandbox, environ) as session:
        return api.apply(api.plan(realms({"acme": entry}), session), session, allow=["all"])


def save_revert(sandbox: Sandbox, file: Path, environ: Mapping[str, str] = ENVIRON) -> Plan:
    """Save the plan that reverts the newest run, and return it as it was shown."""
    with connected(sandbox, environ) as session:
        made = api.fit_to_file(api.revert_plan(api.run_to_revert(session), session), session)
        file.write_text(api.save_plan(made, None, session))
    return made


def apply_saved(sandbox: Sandbox, saved: SavedPlan, environ: Mapping[str, str] = ENVIRON) -> Result:
    with connected(sandbox, environ) as session:
        return api.apply(api.plan_saved(saved, session), session, plan_digest=saved.digest)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "plan.json"


def resealed(file: Path, **changed: object) -> None:
    """Change keys of a saved plan, and its digest with them."""
    data = {**json.loads(file.read_text()), **changed}
    data["digest"] = of_json({key: value for key, value in data.items() if key != "digest"})
    file.write_text(json.dumps(data))


@pytest.mark.parametrize("before", [{**STORED, "x-ours": "1"}, {}], ids=["settings", "no settings"])
def test_a_saved_revert_restores_what_it_shows(ztrust_sandbox: Sandbox, file: Path, before: dict[str, str]) -> None:
    ztrust_sandbox.edit_smtp("acme", before)
    apply(ztrust_sandbox, RENAMED)
    if before:
        apply(ztrust_sandbox, BASIC)
    shown = save_revert(ztrust_sandbox, file)
    data = json.loads(file.read_text())
    assert list(jsonschema.Draft202012Validator(load_schema("plan")).iter_errors(data)) == []
    assert data["command"] == f"revert {2 if before else 1}"
    assert ENVIRON["SMTP_PASSWORD"] not in file.read_text()
    assert len(ztrust_sandbox.smtp("acme")) > len(before) / 2  # nothing was reverted yet
    saved = api.load_plan(str(file))
    assert [one.as_dict() for one in saved.as_plan.realms[0].changes] == [c.as_dict() for c in shown.realms[0].changes]
    result = apply_saved(ztrust_sandbox, saved)
    assert statuses(result) == {"acme": "applied"}
    assert ztrust_sandbox.smtp("acme").get("fromDisplayName") == ("Renamed" if before else None)
    assert (ztrust_sandbox.smtp("acme") == {}) == (not before)


def test_a_saved_revert_says_what_absent_switches_mean(ztrust_sandbox: Sandbox, file: Path) -> None:
    ztrust_sandbox.edit_smtp("acme", BARE)
    apply(ztrust_sandbox, BASIC)
    save_revert(ztrust_sandbox, file)
    with connected(ztrust_sandbox) as session:
        result = api.apply(api.plan_saved(api.load_plan(str(file)), session), session, allow=["all"])
    assert result.exit_status is ExitStatus.OK
    implied = {"port": "25", "starttls": "false", "ssl": "false", "auth": "false"}
    assert {**ztrust_sandbox.smtp("acme"), **BARE, **implied} == ztrust_sandbox.smtp("acme") | implied
    with connected(ztrust_sandbox) as session:
        assert not api.revert_plan(api.run_to_revert(session, 1), session).changed  # the server sees no difference


def test_a_realm_that_no_spec_can_describe_is_left_out_and_named(ztrust_sandbox: Sandbox, file: Path) -> None:
    ztrust_sandbox.edit_smtp("acme", {"host": "old.example.com"})
    apply(ztrust_sandbox, BASIC)
    shown = save_revert(ztrust_sandbox, file)
    assert statuses(shown) == {"acme": "failed"}
    [problem] = [one for one in shown.realms[0].findings if one.rule == "not-savable"]
    assert "`sender.address` is missing" in problem.message
    assert problem.hint.endswith("ztrust-mail revert 1 --realm acme")
    saved = api.load_plan(str(file))
    assert [one.rule for one in saved.left_out] == ["not-savable"]
    assert apply_saved(ztrust_sandbox, saved).exit_status is ExitStatus.PARTIAL


def test_saving_leaves_out_what_the_file_cannot_hold_by_itself(ztrust_sandbox: Sandbox) -> None:
    ztrust_sandbox.edit_smtp("acme", {"host": "old.example.com"})
    apply(ztrust_sandbox, BASIC)
    with connected(ztrust_sandbox) as session:
        text = api.save_plan(api.revert_plan(api.run_to_revert(session), session), None, session)
    assert [one.realm for one in from_text(text).left_out] == ["acme"]


def test_a_saved_revert_of_a_password_keeps_the_reference_and_sends_its_value(
    ztrust_sandbox: Sandbox, file: Path
) -> None:
    other = {**BASIC, "relay": {**BASIC["relay"], "auth": {"username": "apikey", "password": {"env": "OTHER"}}}}
    environ = {**ENVIRON, "OTHER": "other-Passw0rd"}
    apply(ztrust_sandbox, BASIC, environ)
    apply(ztrust_sandbox, other, environ)
    save_revert(ztrust_sandbox, file, environ)
    text = file.read_text()
    assert not any(secret in text for secret in environ.values())
    assert '"SMTP_PASSWORD"' in text
    assert statuses(apply_saved(ztrust_sandbox, api.load_plan(str(file)), environ)) == {"acme": "applied"}
    assert ztrust_sandbox.smtp("acme")["password"] == environ["SMTP_PASSWORD"]


def test_a_saved_revert_is_refused_once_the_realm_changed(ztrust_sandbox: Sandbox, file: Path) -> None:
    apply(ztrust_sandbox, BASIC)
    save_revert(ztrust_sandbox, file)
    ztrust_sandbox.edit_smtp("acme", {**ztrust_sandbox.smtp("acme"), "host": "else.example.com"})
    with pytest.raises(Unsafe, match="stale plan") as caught:
        apply_saved(ztrust_sandbox, api.load_plan(str(file)))
    assert caught.value.hint == "make a new plan and review it: ztrust-mail revert 1 --out FILE"


def test_a_saved_rotation_writes_the_new_value(ztrust_sandbox: Sandbox, file: Path) -> None:
    spec = realms({"acme": BASIC})
    apply(ztrust_sandbox, BASIC)
    with connected(ztrust_sandbox, NEW) as session:
        file.write_text(api.save_plan(api.rotate_plan(spec, session, "env:SMTP_PASSWORD"), spec, session))
    saved = api.load_plan(str(file))
    assert saved.command == "rotate"
    assert statuses(apply_saved(ztrust_sandbox, saved, NEW)) == {"acme": "applied"}
    assert ztrust_sandbox.smtp("acme")["password"] == NEW["SMTP_PASSWORD"]


def test_a_plan_file_without_a_command_is_for_an_apply(ztrust_sandbox: Sandbox, file: Path) -> None:
    spec = realms({"acme": BASIC})
    with connected(ztrust_sandbox) as session:
        file.write_text(api.save_plan(api.plan(spec, session), spec, session))
    assert "command" not in json.loads(file.read_text())
    assert api.load_plan(str(file)).command == "apply"


@pytest.mark.parametrize("command", ["revert", "revert 0", "rotate; rm -rf /", "apply", 7])
def test_a_plan_file_with_another_command_is_refused(ztrust_sandbox: Sandbox, file: Path, command: object) -> None:
    apply(ztrust_sandbox, BASIC)
    save_revert(ztrust_sandbox, file)
    resealed(file, command=command)
    with pytest.raises(UsageError, match="`command` has an invalid value"):
        api.load_plan(str(file))
