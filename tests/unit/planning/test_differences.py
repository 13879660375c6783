"""Comparing what two runs left, from the journal alone."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from support.connecting import connected
from support.journals import begun, write
from support.mail_settings import BASIC, ENVIRON, NO_LOGIN, realms

from ztrust_mail import SecretMode, api
from ztrust_mail.core.errors import ExitStatus, UsageError
from ztrust_mail.journal.records import NewRun, Step
from ztrust_mail.planning.compare import SecretState
from ztrust_mail.planning.differences import RealmDiff, RunDiff
from ztrust_mail.sandbox import Sandbox

PASSWORD = "relay.auth.password"
OTHER = {**ENVIRON, "SMTP_PASSWORD": "another-Passw0rd"}


def named(name: str, **more: object) -> dict[str, object]:
    return {**BASIC, "sender": {"address": "no-reply@acme.example", "name": name}, **more}


def apply(
    sandbox: Sandbox,
    entries: Mapping[str, Mapping[str, object]],
    environ: Mapping[str, str] = ENVIRON,
    secrets: SecretMode = SecretMode.AUTO,
) -> None:
    with connected(sandbox, environ) as session:
        api.apply(api.plan(realms(entries), session, secrets=secrets), session, allow=["all"])


def diff(sandbox: Sandbox, first: int, second: int, *globs: str) -> RunDiff:
    with connected(sandbox) as session:
        return api.diff(session, first, second, realms=globs)


def changes(realm: RealmDiff) -> dict[str, tuple[object, object]]:
    return {change.field: (change.before, change.after) for change in realm.changes}


def test_two_runs_are_compared_field_by_field_and_nothing_is_sent(ztrust_sandbox: Sandbox) -> None:
    apply(ztrust_sandbox, {"acme": named("One", extra={"x-old": "1"}), "globex": BASIC})
    apply(ztrust_sandbox, {"acme": named("Two", extra={"x-old": False, "x-new": "2"}, reply_to=False)})
    before = len(ztrust_sandbox.requests)
    found = diff(ztrust_sandbox, 1, 2)
    assert len(ztrust_sandbox.requests) == before
    acme, globex = found.realms
    assert changes(acme) == {
        "sender.name": ("One", "Two"),
        "reply_to.address": ("help@acme.example", None),
        "reply_to.name": ("Help", None),
        "extra.x-new": (None, "2"),
        "extra.x-old": ("1", None),
    }
    assert (globex.changes, globex.is_different) == ((), False)
    assert found.exit_status is ExitStatus.DIFFERS


def test_the_order_of_the_runs_gives_the_direction(ztrust_sandbox: Sandbox) -> None:
    apply(ztrust_sandbox, {"acme": named("One")})
    apply(ztrust_sandbox, {"acme": named("Two")})
    assert changes(diff(ztrust_sandbox, 2, 1).realms[0]) == {"sender.name": ("Two", "One")}
    assert diff(ztrust_sandbox, 2, 2).exit_status is ExitStatus.OK


def test_runs_between_the_two_count(ztrust_sandbox: Sandbox) -> None:
    apply(ztrust_sandbox, {"acme": named("One")})
    apply(ztrust_sandbox, {"globex": named("Two"), "acme": named("Two")})
    apply(ztrust_sandbox, {"acme": named("One")})
    found = {realm.realm: realm for realm in diff(ztrust_sandbox, 1, 3).realms}
    assert not found["acme"].is_different
    assert changes(found["globex"])["sender.name"] == (None, "Two")  # run 2 found a realm without settings
    assert [realm.realm for realm in diff(ztrust_sandbox, 1, 3, "a*").realms] == ["acme"]


def test_a_realm_without_email_differs_from_one_with_it(ztrust_sandbox: Sandbox) -> None:
    apply(ztrust_sandbox, {"acme": NO_LOGIN})
    apply(ztrust_sandbox, {"acme": {"disabled": True}})
    assert changes(diff(ztrust_sandbox, 1, 2).realms[0])["relay.host"] == ("smtp.example.com", None)


def test_a_secret_is_compared_by_its_fingerprint(ztrust_sandbox: Sandbox) -> None:
    apply(ztrust_sandbox, {"acme": named("One")})
    apply(ztrust_sandbox, {"acme": named("Two")})
    apply(ztrust_sandbox, {"acme": named("Two")}, OTHER)
    assert diff(ztrust_sandbox, 1, 2).realms[0].secrets == {PASSWORD: SecretState.UNCHANGED}
    different = diff(ztrust_sandbox, 2, 3)
    assert (different.realms[0].changes, different.realms[0].secrets) == ((), {PASSWORD: SecretState.CHANGED})
    assert different.exit_status is ExitStatus.DIFFERS


def test_a_secret_that_the_journal_never_wrote_is_unknown_and_counts_as_no_difference(ztrust_sandbox: Sandbox) -> None:
    apply(ztrust_sandbox, {"globex": BASIC})
    apply(ztrust_sandbox, {"acme": named("One")})
    apply(ztrust_sandbox, {"acme": named("Two")})
    ztrust_sandbox.edit_smtp("globex", {**ztrust_sandbox.smtp("globex"), "password": "by-hand"})
    with connected(ztrust_sandbox) as session:
        session.journal.forget(ztrust_sandbox.url, "globex")
    apply(ztrust_sandbox, {"globex": named("Three")}, secrets=SecretMode.KEEP)
    found = {realm.realm: realm for realm in diff(ztrust_sandbox, 3, 4).realms}
    assert found["globex"].secrets == {PASSWORD: SecretState.UNKNOWN}
    assert set(changes(found["globex"])) == {"sender.name"}


def test_a_write_of_unknown_outcome_is_compared_as_it_was_meant(ztrust_sandbox: Sandbox) -> None:
    apply(ztrust_sandbox, {"acme": named("One")})
    with connected(ztrust_sandbox) as session:
        begun(session.journal, "acme", step=Step.WRITING, server=ztrust_sandbox.url)
    [acme] = diff(ztrust_sandbox, 1, 2).realms
    assert "the outcome of the write of run 2 is unknown" in acme.findings[0].message
    assert acme.secrets == {PASSWORD: SecretState.UNKNOWN}
    assert set(changes(acme)) >= {"sender.address", "reply_to.address"}


def test_a_write_that_was_never_sent_leaves_what_it_found(ztrust_sandbox: Sandbox) -> None:
    with connected(ztrust_sandbox) as session:
        begun(session.journal, "acme", step=Step.SKIPPED, server=ztrust_sandbox.url)
        session.journal.begin(NewRun(ztrust_sandbox.url, "apply", "eve"), [write("acme")])
    assert not diff(ztrust_sandbox, 1, 2).realms[0].is_different


def test_unknown_runs_and_runs_of_other_servers_are_refused(ztrust_sandbox: Sandbox) -> None:
    with pytest.raises(UsageError, match="there is no journal yet"):
        diff(ztrust_sandbox, 1, 2)
    apply(ztrust_sandbox, {"acme": BASIC})
    with pytest.raises(UsageError, match="there is no run 7") as caught:
        diff(ztrust_sandbox, 1, 7)
    assert caught.value.hint == "the newest on this server is run 1; list the runs with: ztrust-mail history"
    with connected(ztrust_sandbox) as session:
        session.journal.begin(NewRun("https://other.example", "apply", "eve"), [])
        session.journal.begin(NewRun("https://other.example", "apply", "eve"), [])
    with pytest.raises(UsageError, match="runs on different servers cannot be compared"):
        diff(ztrust_sandbox, 1, 2)
    with pytest.raises(UsageError, match=r"run 2 wrote to `https://other\.example`"):
        diff(ztrust_sandbox, 2, 3)
