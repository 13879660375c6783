"""Rotations of many references: which realms they select, their canaries, and what is said of all old values."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.cli import Cli
from support.connecting import connected, sent
from support.mail_settings import realms
from support.results import statuses

from ztrust_mail import RelayLogin, api
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.text import pluralise
from ztrust_mail.planning.planners.rotate import Rotation
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.sandbox.relay.sink import MailSink
from ztrust_mail.specfile.entries import Spec

USER, OLD, NEW = "apikey", "old-Key-1", "new-Key-2"
TENANTS = tuple(f"tenant-{number:02}" for number in range(40))
GROUPS = {"acme": "A", "globex": "A", "initech": "B", "umbrella": "B", "hooli": "C"}
"""Which of three keys each realm has."""


@pytest.fixture
def ztrust_sandbox() -> Iterator[Sandbox]:
    """A sandbox whose relay takes the new value alone."""
    with Sandbox(SandboxOptions(realms=tuple(GROUPS)), MailSink(credentials=(USER, NEW))) as started:
        yield started


def spec_text(sandbox: Sandbox, groups: dict[str, str]) -> str:
    relay = f"host: localhost, port: {sandbox.mail.port}, security: none"
    rows = [
        f"  {realm}: {{relay: {{{relay}, auth: {{username: apikey, password: {{env: KEY_{key}}}}}}}}}"
        for realm, key in groups.items()
    ]
    return "\n".join(["version: 1", "defaults: {sender: {address: no-reply@acme.example}}", "realms:", *rows, ""])


@pytest.fixture
def spec(cli: Cli, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> str:
    """A spec with three keys, applied with their old values; the new ones are in the environment since."""
    for key in "ABC":
        monkeypatch.setenv(f"KEY_{key}", OLD + key)
    name = cli.write("mail.yaml", spec_text(sandbox, GROUPS))
    assert cli("apply", name, "--yes", "--allow", "mass-change").status == 0
    for key in "ABC":
        monkeypatch.setenv(f"KEY_{key}", NEW)
    return name


def rotated(sandbox: Sandbox, since: int) -> list[str]:
    return [request.path.rpartition("/")[2] for request in sent(sandbox, "PUT", since)]


def planned(sandbox: Sandbox, spec: Spec, what: str | list[str] | RelayLogin, **environ: str) -> Rotation:
    with connected(sandbox, environ or {"KEY_A": NEW, "KEY_B": NEW}) as connection:
        return api.rotate_plan(spec, connection, what)


def entry(password: object, *, host: str = "localhost", user: str = USER) -> dict[str, object]:
    relay = {"host": host, "auth": {"username": user, "password": password}}
    return {"sender": {"address": "no-reply@acme.example"}, "relay": relay}


# what is rotated


@pytest.mark.parametrize("words", [["env:KEY_A", "env:KEY_B"], ["env:KEY_A*", "env:KEY_A", "env:*_B"], ["env:KEY_?"]])
def test_references_and_globs_select_realms_and_each_realm_is_written_once(cli, sandbox, spec, words):
    before = len(sandbox.requests)
    assert cli("rotate", *words, spec, "--yes").status == 0
    expected = {realm for realm, key in GROUPS.items() if key != "C" or "env:KEY_?" in words}
    assert sorted(rotated(sandbox, before)) == sorted(expected)
    assert {realm for realm in GROUPS if sandbox.smtp(realm)["password"] == NEW} == expected


def test_references_and_specs_may_be_given_in_any_order(cli, sandbox, spec):
    assert cli("rotate", spec, "env:KEY_A", "--yes").status == 0
    assert {realm for realm in GROUPS if sandbox.smtp(realm)["password"] == NEW} == {"acme", "globex"}


def test_a_relay_selects_all_realms_that_log_in_there_and_a_user_those_of_one_login():
    with Sandbox(SandboxOptions(realms=("acme", "globex", "initech", "hooli", "umbrella"))) as sandbox:
        spec = realms(
            {
                "acme": entry({"env": "KEY_A"}, host="LOCALHOST"),
                "globex": entry({"env": "KEY_B"}, user="other"),
                "initech": entry({"env": "KEY_A"}, host="elsewhere.example"),
                "hooli": entry({"keycloak_vault": "smtp"}),
                "umbrella": {"sender": {"address": "a@b.example"}, "relay": {"host": "localhost"}},
            }
        )
        both = planned(sandbox, spec, RelayLogin("localhost"))
        assert statuses(both) == {"acme": "changed", "globex": "changed"}
        assert [str(ref) for ref in both.references] == ["env:KEY_A", "env:KEY_B"]
        assert [(one.realm, one.rule) for one in both.own_findings if one.realm == "hooli"] == [("hooli", "in-vault")]
        assert statuses(planned(sandbox, spec, RelayLogin("localhost", "other"))) == {"globex": "changed"}
        with pytest.raises(UsageError, match="no selected realm logs in at `localhost` as `othre`") as e:
            planned(sandbox, spec, RelayLogin("localhost", "othre"))
        assert e.value.hint == "did you mean `other`?"
        with pytest.raises(UsageError, match=r"no selected realm logs in at `relay\.example`") as e:
            planned(sandbox, spec, RelayLogin("relay.example"))
        assert e.value.hint.startswith("logins in use: localhost as apikey, localhost as other")


def test_a_relay_whose_realms_have_their_secrets_in_the_vault_is_refused(ztrust_sandbox):
    spec = realms({"acme": entry({"keycloak_vault": "smtp"})})
    with pytest.raises(UsageError, match="they are in the server's vault"):
        planned(ztrust_sandbox, spec, RelayLogin("localhost"))


def test_a_realm_with_invalid_settings_fails_where_it_may_log_in_at_the_relay(ztrust_sandbox):
    wrong = {"sender": {"address": "no-reply@{key}.example"}, "vars": {"key": "a b"}}
    spec = realms(
        {
            "acme": entry({"env": "KEY_A"}),
            "globex": {**entry({"env": "KEY_A"}), **wrong},
            "initech": {**entry({"env": "KEY_A"}, host="{realm}.example"), **wrong},
            "hooli": {**entry({"env": "KEY_A"}, host="elsewhere.example"), **wrong},
            "umbrella": {**entry({"env": "KEY_A"}, user="someone"), **wrong},
        }
    )
    assert statuses(planned(ztrust_sandbox, spec, RelayLogin("localhost", USER))) == {
        "acme": "changed",
        "globex": "failed",
        "initech": "failed",
    }


def test_a_glob_takes_different_references_that_read_the_same(ztrust_sandbox):
    spec = realms({"acme": entry({"command": ["echo", "a"]}), "globex": entry({"command": ["echo", "b"]})})
    with pytest.raises(UsageError, match="there is no value to write for 2 references"):  # no command is permitted
        planned(ztrust_sandbox, spec, "command:ech?")
    with pytest.raises(UsageError, match="`command:echo` is ambiguous"):
        planned(ztrust_sandbox, spec, ["command:ech?", "command:echo"])


def test_one_reference_without_a_value_refuses_the_whole_rotation(cli, sandbox, spec, monkeypatch):
    monkeypatch.delenv("KEY_A")
    monkeypatch.delenv("KEY_C")
    before = len(sandbox.requests)
    ran = cli("rotate", "env:KEY_*", spec, "--yes")
    assert (ran.status, rotated(sandbox, before)) == (2, [])
    assert "there is no value to write for 2 references: the environment variable `KEY_A` is not set; the" in ran.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mail.yaml"], "no reference to rotate was given; name them as plans show them, such as env:SMTP_PASSWORD"),
        (["KEY_A", "mail.yaml"], "`KEY_A` is neither a reference nor a file; did you mean `env:KEY_A`?"),
        (["evn:KEY_A", "mail.yaml"], "`evn:KEY_A` is neither a reference nor a file; did you mean `env:KEY_A`?"),
        (["vault:KEY_A", "mail.yaml"], "`vault:KEY_A` is neither a reference nor a file; kinds of references: env, "),
        (["env:KEY_A"], "no spec was given; add it after the references"),
        (["env:KEY_A", "env:odd.yaml"], "no spec was given; for a file with that name, write ./env:odd.yaml"),
        (["env:KEY_A", "mail.yaml", "--relay", "localhost"], "references cannot be combined with --relay"),
        (["mail.yaml", "--user", "apikey"], "--user needs --relay"),
        (["mail.yaml", "--relay", "localhost", "--user", ""], "--user is empty"),
        (["mail.yaml", "--relay", ""], "--relay is empty"),
        (["env:KEY_A", "keycloak_vault:x", "mail.yaml"], "its value is in the server's vault"),
        (["env:KEY_A", "env:KEYS_*", "mail.yaml"], "no selected realm uses `env:KEYS_*`; references in use: env:KEY_A"),
        (["env:KEY_A", "env:KEY_D", "mail.yaml"], "no selected realm uses `env:KEY_D`; did you mean `env:KEY_"),
    ],
)
def test_a_selection_that_may_be_a_mistake_is_refused_and_nothing_written(cli, sandbox, spec, words, message):
    cli.write("env:odd.yaml", "version: 1\n")
    before = len(sandbox.requests)
    ran = cli("rotate", *words, "--yes")
    assert (ran.status, rotated(sandbox, before)) == (2, [])
    assert message in ran.err


def test_the_library_refuses_a_rotation_of_no_reference(ztrust_sandbox):
    with pytest.raises(UsageError, match="no reference to rotate was given"):
        planned(ztrust_sandbox, realms({"acme": entry({"env": "KEY_A"})}), [])


def test_a_hint_names_the_spec_without_the_references(cli, sandbox, spec):
    sandbox.edit_smtp("acme", {**sandbox.smtp("acme"), "fromDisplayName": "Somebody"})
    assert cli("apply", spec, "--yes").status == 0
    sandbox.edit_smtp("acme", {**sandbox.smtp("acme"), "fromDisplayName": "Somebody"})
    ran = cli("rotate", "env:KEY_A", spec, "--dry-run")
    assert "to write them: ztrust-mail apply mail.yaml [differs-otherwise]" in ran.out + ran.err


# canaries


def test_each_login_has_a_canary(cli, sandbox, spec):
    report = cli.json("rotate", "env:KEY_*", spec, "--yes")
    tested = [one["realm"] for one in report["findings"] if one["rule"] == "canary"]
    assert (tested, len(sandbox.mail.received)) == (["acme", "initech", "hooli"], 3)


def test_mistyped_values_reach_one_realm_of_each_login(cli, sandbox, spec, monkeypatch):
    monkeypatch.setenv("KEY_B", "mistyped")
    ran = cli("rotate", "env:KEY_*", spec, "--yes")
    assert ran.status == 4
    assert {realm: sandbox.smtp(realm)["password"] for realm in GROUPS} == {
        "acme": NEW,
        "globex": OLD + "A",
        "initech": "mistyped",
        "umbrella": OLD + "B",
        "hooli": NEW,
    }
    assert "realm initech: error: the test mail failed" in ran.out
    assert "Fix the cause, then continue with: ztrust-mail rotate 'env:KEY_*' mail.yaml\n" in ran.out
    monkeypatch.setenv("KEY_B", NEW)
    assert cli("rotate", "env:KEY_*", spec, "--yes").status == 0
    assert {sandbox.smtp(realm)["password"] for realm in GROUPS} == {NEW}


def test_a_canary_that_is_named_gets_one_realm_of_each_other_login(cli, sandbox, spec, monkeypatch):
    monkeypatch.setenv("KEY_B", "mistyped")
    assert cli("rotate", "env:KEY_*", spec, "--yes", "--canary", "globex").status == 4
    assert [realm for realm in GROUPS if sandbox.smtp(realm)["password"] == NEW] == ["globex", "hooli"]
    assert [realm for realm in GROUPS if sandbox.smtp(realm)["password"] == "mistyped"] == ["initech"]


def test_a_saved_rotation_has_a_canary_for_each_login_too(cli, sandbox, spec, monkeypatch):
    assert cli("rotate", "env:KEY_*", spec, "--out", "saved.json").status == 1
    monkeypatch.setenv("KEY_B", "mistyped")
    ran = cli("apply", "--plan", "saved.json", "--yes", "--allow", "all", "--canary", "1")
    assert ran.status == 4
    assert [realm for realm in GROUPS if sandbox.smtp(realm)["password"] == "mistyped"] == ["initech"]


def test_a_failed_test_of_all_realms_says_how_to_continue(cli, sandbox, spec, monkeypatch):
    monkeypatch.setenv("KEY_C", "mistyped")
    ran = cli("rotate", "env:KEY_C", spec, "--yes")
    assert ran.status == 1
    assert "Stopped: the test mail of the canary failed.\n" in ran.out
    assert "Fix the cause, then continue with: ztrust-mail rotate env:KEY_C mail.yaml\n" in ran.out


# dry runs


def test_a_dry_run_needs_no_terminal_writes_nothing_and_exits_with_1_while_something_differs(cli, sandbox, spec):
    before = len(sandbox.requests)
    ran = cli("rotate", "env:KEY_A", "env:KEY_B", spec, "--dry-run")
    assert (ran.status, ran.err) == (1, "")
    assert {request.method for request in sandbox.requests[before:]} <= {"GET", "POST"}
    assert rotated(sandbox, before) == []
    assert ran.out.endswith("Apply it with: ztrust-mail rotate env:KEY_A env:KEY_B mail.yaml\n")
    assert "old value" not in ran.out
    assert [run["command"] for run in cli.json("history")["runs"]] == ["apply"]
    assert cli("rotate", "env:KEY_A", "env:KEY_B", spec, "--yes").status == 0
    assert cli("rotate", "env:KEY_A", "env:KEY_B", spec, "--dry-run").status == 0


def test_a_dry_run_sends_and_resolves_no_more_than_plan(cli, sandbox, spec, monkeypatch):
    monkeypatch.delenv("KEY_C")
    before = len(sandbox.requests)
    assert cli("plan", spec, "--realm", "acme", "--realm", "globex", "--ignore", "live").status == 1
    of_plan = sorted((one.method, one.path) for one in sandbox.requests[before:])
    before = len(sandbox.requests)
    assert cli("rotate", "env:KEY_A", spec, "--dry-run", "--realm", "acme", "--realm", "globex").status == 1
    assert sorted((one.method, one.path) for one in sandbox.requests[before:]) == of_plan


def test_without_a_terminal_a_rotation_names_the_dry_run(cli, sandbox, spec):
    before = len(sandbox.requests)
    ran = cli("rotate", "env:KEY_A", spec)
    assert (ran.status, len(sandbox.requests)) == (2, before)
    assert "review `ztrust-mail rotate env:KEY_A mail.yaml --dry-run`, then pass --yes" in ran.err


# what is said of the old values


def test_the_old_values_of_all_references_are_searched_for_and_listed_once(cli, sandbox, spec):
    smaller = cli.write("smaller.yaml", spec_text(sandbox, {"acme": "A", "initech": "B"}))
    report = cli.json("rotate", "env:KEY_A", "env:KEY_B", smaller, "--yes")
    assert [(one["realm"], one["message"]) for one in report["findings"] if one["rule"] == "old-secret"] == [
        ("globex", "last written with the old value of `env:KEY_A`, and not rotated"),
        ("umbrella", "last written with the old value of `env:KEY_B`, and not rotated"),
    ]
    said = cli("rotate", "env:KEY_A", "env:KEY_B", smaller, "--yes").out.splitlines()
    assert said[-2] == "The old values of 2 references (env:KEY_A and env:KEY_B) may still be used by:"
    assert said[-1].startswith(
        "  2 realms (globex and umbrella): last written with it, and not part of this rotation; "
    )
    done = cli("rotate", "env:KEY_*", spec, "--yes").out.splitlines()
    assert done[-1] == (
        "The old values of 3 references (env:KEY_A, env:KEY_B and env:KEY_C): "
        "no realm uses them any more, as far as the journal knows."
    )


def test_no_other_run_can_write_during_the_search_for_old_values(cli, sandbox, spec, monkeypatch):
    search, held = api.leftovers, []

    def spy(*arguments):
        with connected(sandbox) as other:
            held.append(other.lock_holder())
        return search(*arguments)

    monkeypatch.setattr(api, "leftovers", spy)
    assert cli("rotate", "env:KEY_A", spec, "--yes").status == 0
    assert [holder is not None for holder in held] == [True]


def test_a_rotation_settles_interrupted_writes_once_while_it_has_the_lock(cli, sandbox, spec, monkeypatch):
    settled = []
    monkeypatch.setattr(api, "settle", lambda session: settled.append(session.lock_holder()) or [])
    assert cli("rotate", "env:KEY_A", spec, "--yes").status == 0
    assert settled == [None]  # called once, with the lock held by this session


# many


def test_40_realms_with_40_references_as_pull_writes_them_are_one_command(cli, sandbox, monkeypatch):
    for tenant in TENANTS:
        sandbox.create_realm(tenant)
    monkeypatch.setenv("KEY_A", OLD)
    seed = cli.write("seed.yaml", spec_text(sandbox, dict.fromkeys(TENANTS, "A")))
    assert cli("apply", seed, "--yes", "--allow", "mass-change").status == 0
    assert cli("pull", "--out", "pulled.yaml", "--realm", "tenant-*").status == 0
    for tenant in TENANTS:
        monkeypatch.setenv(f"SMTP_PASSWORD_{tenant.upper().replace('-', '_')}", NEW)
    monkeypatch.setenv("SMTP_PASSWORD_TENANT_07", "mistyped")
    ran = cli("rotate", "env:SMTP_PASSWORD_*", "pulled.yaml", "--yes")
    assert ran.status == 1
    assert [one for one in TENANTS if sandbox.smtp(one)["password"] != NEW] == ["tenant-07"]
    assert f"{pluralise(40, 'realm')} (tenant-00 … tenant-39): the same 1 change" in ran.out
    assert ran.out.count("new value from") == 1
    assert "    login: apikey at localhost, env:SMTP_PASSWORD_{realm}\n" in ran.out
    assert ran.out.splitlines()[-1].startswith("The old values of 40 references (env:SMTP_PASSWORD_TENANT_00, ")
    monkeypatch.setenv("SMTP_PASSWORD_TENANT_07", NEW)
    before = len(sandbox.requests)
    assert cli("rotate", "--relay", "localhost", "pulled.yaml", "--yes").status == 0
    assert rotated(sandbox, before) == ["tenant-07"]
