"""Looking before undoing on every server: a revert is tried, saved, shown, applied, compared and reverted itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.admin_api import AdminApi
from support.cli import Cli
from support.main_job import environment
from support.server_under_test import ServerUnderTest
from support.smtp import PASSWORD, USER, Relays

REALMS = ("undo-1", "undo-2")
SPEC = """\
version: 1
defaults:
  relay: {{host: localhost, port: {port}, security: none, auth: {{username: {user}, password: {{env: {key}}}}}}}
  sender: {{address: "no-reply@{{realm}}.example.com", name: {name}}}
realms: {{undo-1: {{}}, undo-2: {{}}}}
"""
_READING = re.compile(r"(GET \S+|POST \S+/(token|logout)): ")

_RENAMED = re.compile(r"~ sender\.name .*Two → One")
_FROM_REFERENCE = re.compile(r"~ relay\.auth\.password .*env:KEY_ONE")


@pytest.fixture
def admin(server: ServerUnderTest) -> Iterator[AdminApi]:
    with AdminApi(server.url, server.admin_user, server.admin_password).with_realms(REALMS) as admin:
        yield admin


@pytest.fixture
def two_runs(
    cli: Cli, server: ServerUnderTest, admin: AdminApi, relays: Relays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run 1 stores the login that the relay takes; run 2 another sender and, from another reference, a wrong one."""
    for name, value in environment(server, KEY_ONE=PASSWORD, KEY_TWO="mistyped-1").items():
        monkeypatch.setenv(name, value)
    cli.set(URL=server.url)
    given = {"port": relays.with_login().port, "user": USER}
    cli.write("one.yaml", SPEC.format(**given, key="KEY_ONE", name="One"))
    cli.write("two.yaml", SPEC.format(**given, key="KEY_TWO", name="Two"))
    first = cli("apply", "one.yaml", "--yes", "--allow", "all", "--message", "Begin")
    assert first.status == 0, first
    second = cli("apply", "two.yaml", "--yes", "--allow", "all", "--message", "Rename the sender")
    assert second.status == 0, second


def names(admin: AdminApi) -> set[str]:
    return {admin.smtp(realm)["fromDisplayName"] for realm in REALMS}


def sent_mails(cli: Cli) -> list[str]:
    return [realm["status"] for realm in cli.json("test", *REALMS)["realms"]]


@pytest.mark.usefixtures("two_runs")
def test_a_revert_is_tried_saved_shown_applied_compared_and_reverted(cli: Cli, admin: AdminApi) -> None:
    assert sent_mails(cli) == ["failed"] * 2

    tried = cli("revert", "--dry-run", "--verbose")
    requests = re.findall(r"^\d\d:\d\d:\d\d (.*)", tried.err, re.MULTILINE)
    assert (tried.status, names(admin)) == (1, {"Two"}), tried
    assert requests
    assert [one for one in requests if not _READING.match(one)] == []
    assert _RENAMED.search(tried.out), tried
    assert _FROM_REFERENCE.search(tried.out), tried

    saved = cli("revert", "--out", "plan.json")
    digest = json.loads(Path("plan.json").read_text())["digest"]
    assert (saved.status, names(admin)) == (1, {"Two"}), saved
    shown = cli("show", "plan.json")
    assert shown.status == 0, shown
    assert f"Digest {digest}" in shown.out
    assert _RENAMED.search(shown.out), shown
    assert _FROM_REFERENCE.search(shown.out), shown

    done = cli("apply", "--plan", "plan.json", "--expect-digest", digest, "--yes", "--message", "Undo the rename")
    assert (done.status, names(admin)) == (0, {"One"}), done
    assert sent_mails(cli) == ["sent"] * 2, "the earlier secret was found by its fingerprint"

    assert cli("diff", "1", "3").status == 0
    compared = cli.json("diff", "2", "3")
    assert [[change["field"] for change in one["changes"]] for one in compared["realms"]] == [["sender.name"]] * 2
    assert [one["secrets"] for one in compared["realms"]] == [{"relay.auth.password": "changed"}] * 2

    again = cli("revert", "--yes")
    assert (again.status, names(admin)) == (0, {"Two"}), again
    assert "run 3 is a revert of run 2: this brings back what run 2 wrote" in again.out
    assert sent_mails(cli) == ["failed"] * 2

    runs = cli.json("history")["runs"]
    assert [(run["run"], run["command"], run["message"]) for run in runs] == [
        (4, "revert 3", ""),
        (3, "apply --plan (revert 2)", "Undo the rename"),
        (2, "apply", "Rename the sender"),
        (1, "apply", "Begin"),
    ]
    assert not [text for text in cli.seen if PASSWORD in text or "mistyped-1" in text]


@pytest.mark.usefixtures("two_runs")
def test_a_saved_revert_is_refused_after_an_edit_in_the_console(cli: Cli, admin: AdminApi) -> None:
    assert cli("revert", "--out", "plan.json").status == 1
    admin.put_smtp("undo-1", {**admin.smtp("undo-1"), "fromDisplayName": "Edited"})

    refused = cli.json("apply", "--plan", "plan.json", "--yes")

    assert (refused["exit_status"], names(admin)) == (5, {"Edited", "Two"})
    assert "realm `undo-1` changed after the plan was made" in json.dumps(refused["findings"])
    assert len(cli.json("history")["runs"]) == 2


@pytest.mark.usefixtures("two_runs")
def test_a_revert_leaves_a_realm_alone_whose_earlier_secret_no_reference_gives(
    cli: Cli, admin: AdminApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_ONE", "rotated-Since-1")
    monkeypatch.setenv("KEY_TWO", "rotated-Since-2")

    report = cli.json("revert", "--yes")

    assert (report["exit_status"], names(admin)) == (4, {"Two"})
    assert {one["rule"] for realm in report["realms"] for one in realm["findings"]} == {"earlier-secret"}
