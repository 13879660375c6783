"""Rotation: which realms are written because of one reference, and what is said of the value that goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from support.cli import Cli
from support.connecting import FakeGateway, connected, sent
from support.mail_settings import realms
from support.results import statuses

from ztrust_mail import api
from ztrust_mail.core.errors import ServerUnreachable, Unsafe, UsageError
from ztrust_mail.journal.records import JournalState
from ztrust_mail.planning.planners.from_spec import PlanningContext
from ztrust_mail.planning.planners.old_secrets import find_old_secret_uses
from ztrust_mail.planning.planners.rotate import Rotation, plan_rotation
from ztrust_mail.reports.style import plain
from ztrust_mail.reports.text.plan import leftover_lines
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.sandbox.relay.sink import MailSink
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.specfile.entries import Spec

USER, OLD, NEW, OTHER = "apikey", "old-Key-1", "new-Key-2", "other-Key-3"
KEY = "env:RELAY_KEY"
USING = ("acme", "globex", "initech", "umbrella")
REALMS = (*USING, "hooli")


@pytest.fixture
def ztrust_sandbox() -> Iterator[Sandbox]:
    """A sandbox of five realms whose relay takes the new key alone."""
    with Sandbox(SandboxOptions(realms=REALMS), MailSink(credentials=(USER, NEW))) as started:
        yield started


def auth(reference: object) -> dict[str, object]:
    return {"username": USER, "password": reference}


def entry(sandbox: Sandbox, variable: str = "RELAY_KEY", **more: object) -> dict[str, object]:
    relay = {"host": "localhost", "port": sandbox.mail.port, "security": "none", "auth": auth({"env": variable})}
    return {"sender": {"address": "no-reply@acme.example"}, "relay": relay, **more}


def text_of(sandbox: Sandbox, names: tuple[str, ...] = REALMS) -> str:
    """Return a spec in which hooli alone has a key of its own."""
    lines = [
        f"  {name}: {'{relay: {auth: {password: {env: OTHER_KEY}}}}' if name == 'hooli' else '{}'}" for name in names
    ]
    return "\n".join(
        [
            "version: 1",
            "defaults:",
            "  sender: {address: no-reply@acme.example}",
            f"  relay: {{host: localhost, port: {sandbox.mail.port}, security: none,",
            "          auth: {username: apikey, password: {env: RELAY_KEY}}}",
            "realms:",
            *lines,
            "",
        ]
    )


@pytest.fixture
def spec(cli: Cli, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> str:
    """A spec that is applied with the old key; the new one stands in the environment since."""
    monkeypatch.setenv("RELAY_KEY", OLD)
    monkeypatch.setenv("OTHER_KEY", OTHER)
    name = cli.write("mail.yaml", text_of(sandbox))
    assert cli("apply", name, "--yes").status == 0
    monkeypatch.setenv("RELAY_KEY", NEW)
    return name


def passwords(sandbox: Sandbox, names: tuple[str, ...] = REALMS) -> dict[str, str | None]:
    return {name: sandbox.smtp(name).get("password") for name in names}


def put(sandbox: Sandbox, since: int) -> list[str]:
    return [request.path.rpartition("/")[2] for request in sent(sandbox, "PUT", since)]


def planned(sandbox: Sandbox, spec: Spec, reference: str = KEY, *, key: str = NEW, **how) -> Rotation:
    with connected(sandbox, {"RELAY_KEY": key, "OTHER_KEY": OTHER}) as connection:
        return api.rotate_plan(spec, connection, reference, **how)


def carried_out(sandbox: Sandbox, spec: Spec, key: str) -> None:
    with connected(sandbox, {"RELAY_KEY": key, "OTHER_KEY": OTHER}) as connection:
        api.apply(api.plan(spec, connection), connection, spec=spec, allow=["all"])


# on the command line


def test_a_rotation_writes_exactly_the_realms_that_use_the_reference_and_none_the_second_time(cli, sandbox, spec):
    before = len(sandbox.requests)
    ran = cli("rotate", KEY, spec, "--yes")
    assert ran.status == 0
    assert passwords(sandbox) == {**dict.fromkeys(USING, NEW), "hooli": OTHER}
    assert sorted(put(sandbox, before)) == sorted(USING)
    assert "hooli" not in ran.out
    assert ran.out.endswith(f"The old value of {KEY}: no realm uses it any more, as far as the journal knows.\n")
    before = len(sandbox.requests)
    again = cli("rotate", KEY, spec, "--yes")
    assert again.status == 0
    assert put(sandbox, before) == []
    assert again.out.splitlines()[-2:] == [
        "4 realms in sync; 4 passwords unchanged since the last apply (the server hides the stored values).",
        f"The old value of {KEY}: no realm uses it any more, as far as the journal knows.",
    ]


def test_a_rotation_writes_one_realm_first_and_has_the_server_test_it(cli, sandbox, spec):
    assert cli("rotate", KEY, spec, "--yes").status == 0
    assert [mail.login for mail in sandbox.mail.received] == [USER]


def test_a_canary_of_0_is_none(cli, sandbox, spec):
    assert cli("rotate", KEY, spec, "--yes", "--canary", "0").status == 0
    assert passwords(sandbox, USING) == dict.fromkeys(USING, NEW)
    assert sandbox.mail.received == ()


def test_a_new_secret_that_the_relay_refuses_is_written_to_the_canary_only(cli, sandbox, spec, monkeypatch):
    monkeypatch.setenv("RELAY_KEY", "mistyped")
    report = cli.json("rotate", KEY, spec, "--yes")
    assert report["exit_status"] == 4
    assert passwords(sandbox, USING) == {**dict.fromkeys(USING, OLD), "acme": "mistyped"}
    assert {r["realm"]: r["status"] for r in report["realms"]} == {
        "acme": "applied",
        "globex": "skipped",
        "initech": "skipped",
        "umbrella": "skipped",
    }
    left = [f["realm"] for f in report["findings"] if f["rule"] == "not-rotated"]
    assert left == ["globex", "initech", "umbrella"]
    monkeypatch.setenv("RELAY_KEY", NEW)
    assert cli("rotate", KEY, spec, "--yes").status == 0
    assert passwords(sandbox, USING) == dict.fromkeys(USING, NEW)


def test_a_failed_test_of_the_only_realm_names_no_unwritten_realms(cli, sandbox, spec, monkeypatch):
    monkeypatch.setenv("RELAY_KEY", "mistyped")
    ran = cli("rotate", KEY, spec, "--yes", "--realm", "acme")
    assert ran.status == 1
    assert "not written by this rotation" not in ran.out


def test_failed_realms_of_a_rotation_are_named_and_written_by_rotating_again(cli, sandbox, spec):
    sandbox.faults.before_write = lambda realm: sandbox.faults.failing_realms.add("globex")
    ran = cli("rotate", KEY, spec, "--yes", "--canary", "umbrella")
    assert ran.status == 4
    assert ran.out.splitlines()[-3:] == [
        f"Fix the cause, then continue with: ztrust-mail rotate {KEY} mail.yaml --canary umbrella",
        f"The old value of {KEY} may still be used by:",
        "  globex: not written by this rotation; fix the cause and rotate again: that writes the remaining realms",
    ]
    sandbox.faults.before_write = None
    sandbox.faults.failing_realms.clear()
    before = len(sandbox.requests)
    assert cli("apply", spec, "--resume", "--yes").status == 2  # it would go without a tested realm
    assert cli("rotate", KEY, spec, "--yes").status == 0
    assert put(sandbox, before) == ["globex"]
    assert passwords(sandbox, USING) == dict.fromkeys(USING, NEW)


def test_a_realm_that_the_rotation_leaves_out_is_named_though_it_is_not_in_the_spec(cli, sandbox, spec):
    smaller = cli.write("smaller.yaml", text_of(sandbox, ("acme", "globex", "initech", "hooli")))
    report = cli.json("rotate", KEY, smaller, "--yes", "--realm", "a*", "--realm", "g*")
    assert report["exit_status"] == 0
    assert passwords(sandbox, USING) == {"acme": NEW, "globex": NEW, "initech": OLD, "umbrella": OLD}
    assert [(f["rule"], f["realm"], f["severity"]) for f in report["findings"]] == [
        ("old-secret", "initech", "warning"),
        ("old-secret", "umbrella", "warning"),
        ("canary", "acme", "note"),
    ]
    assert report["findings"][-1]["message"] == "canary: the test mail to admin@sandbox.example was sent in clear text"
    again = cli("rotate", KEY, smaller, "--yes", "--realm", "a*")
    assert "  2 realms (initech and umbrella): last written with it, and not part of this rotation; " in again.out


def test_a_realm_without_a_secret_or_a_removed_realm_is_not_listed_as_using_the_old_value(cli, sandbox, spec):
    smaller = cli.write("smaller.yaml", text_of(sandbox, ("acme", "hooli")))
    sandbox.edit_smtp("globex", {})
    sandbox.remove_realm("initech")
    ran = cli("rotate", KEY, smaller, "--yes")
    assert ran.out.splitlines()[-1].startswith("  umbrella: last written with it")


def test_a_realm_that_is_gone_from_the_server_is_missing_but_keeps_no_old_value(cli, sandbox, spec):
    sandbox.remove_realm("initech")
    ran = cli("rotate", KEY, spec, "--yes")
    assert ran.status == 4
    assert ran.out.endswith("no realm uses it any more, as far as the journal knows.\n")


def test_realms_with_the_same_login_that_the_journal_never_wrote_are_named_and_no_others(cli, sandbox, spec):
    held = sandbox.smtp("acme")
    sandbox.create_realm("by-hand", {**held, "host": "LOCALHOST"})
    sandbox.create_realm("other-user", {**held, "user": "someone"})
    sandbox.create_realm("other-relay", {**held, "host": "elsewhere.example"})
    sandbox.create_realm("no-secret", {n: v for n, v in held.items() if n != "password"})
    sandbox.create_realm("no-mail")
    ran = cli("rotate", KEY, spec, "--yes")
    assert ran.status == 0
    assert ran.out.splitlines()[-1] == (
        "  by-hand: the same login, with a secret that the journal never wrote; check whether it is the old one"
    )


def test_no_secret_is_shown_at_any_time(cli, sandbox, spec):
    sandbox.faults.failing_realms.add("globex")
    cli("rotate", KEY, spec, "--yes", "--format", "json")
    cli("rotate", KEY, spec, "--yes")
    assert not any(secret in text for secret in (OLD, NEW, OTHER) for text in cli.seen)


def test_a_declined_rotation_writes_nothing_and_lists_no_realms_with_the_old_value(cli, sandbox, spec):
    before = len(sandbox.requests)
    ran = cli("rotate", KEY, spec, typed="n\n")
    assert ran.status == 1
    assert put(sandbox, before) == []
    assert ran.out.endswith("Declined: nothing was written.\n")
    assert "old value" not in ran.out + ran.err


def test_a_reference_without_a_value_is_refused_before_anything_is_written(cli, sandbox, spec, monkeypatch):
    monkeypatch.delenv("RELAY_KEY")
    before = len(sandbox.requests)
    ran = cli("rotate", KEY, spec, "--yes")
    assert ran.status == 2
    assert put(sandbox, before) == []
    assert "there is no value to write: " in ran.err
    assert "RELAY_KEY" in ran.err


def test_a_reference_that_the_policy_forbids_is_refused_and_not_even_run(cli, sandbox, spec):
    touch = cli.write("policy.toml", "[allow]\ncommand = true\n[policy.secrets]\nenv = ['']\n")
    forbidden = text_of(sandbox).replace("{env: RELAY_KEY}", "{command: [touch, ran]}")
    before = len(sandbox.requests)
    ran = cli("rotate", "command:touch", cli.write("other.yaml", forbidden), "--yes", "--config", touch)
    assert ran.status == 5
    assert "[policy]" in ran.out
    assert put(sandbox, before) == []
    for name in USING:
        sandbox.remove_realm(name)
    assert cli("rotate", "command:touch", "other.yaml", "--yes", "--config", touch).status == 4
    assert not (cli.folder / "ran").exists()


def test_a_reference_that_no_realm_uses_is_refused_with_the_nearest_one(cli, sandbox, spec):
    before = len(sandbox.requests)
    ran = cli("rotate", "env:RELAYKEY", spec, "--yes")
    assert ran.status == 2
    assert put(sandbox, before) == []
    assert "no selected realm uses `env:RELAYKEY`; did you mean `env:RELAY_KEY`?" in ran.err


def test_a_reference_unlike_any_is_refused_with_those_that_are_used(cli, sandbox, spec):
    ran = cli("rotate", "file:/run/secrets/x", spec, "--yes")
    assert ran.status == 2
    assert "references in use: env:OTHER_KEY and env:RELAY_KEY" in ran.err


def test_a_reference_into_the_servers_vault_is_refused_before_any_request(cli, sandbox, spec):
    before = len(sandbox.requests)
    ran = cli("rotate", "keycloak_vault:smtp", spec, "--yes")
    assert ran.status == 2
    assert "its value is in the server's vault" in ran.err
    assert len(sandbox.requests) == before


def test_realms_that_cannot_be_listed_after_the_rotation_are_a_warning(cli, sandbox, spec):
    sandbox.faults.list_forbidden = True
    ran = cli("rotate", KEY, spec, "--yes")
    assert ran.status == 0
    assert passwords(sandbox, USING) == dict.fromkeys(USING, NEW)
    assert "the server lists no realms to this account; other realms may still use the old value" in ran.out


# what is planned


def test_a_secret_that_the_journal_never_wrote_is_written(ztrust_sandbox):
    spec = realms({"acme": entry(ztrust_sandbox)})
    carried_out(ztrust_sandbox, spec, NEW)
    fresh = realms({"acme": entry(ztrust_sandbox), "globex": entry(ztrust_sandbox)})
    ztrust_sandbox.edit_smtp("globex", ztrust_sandbox.smtp("acme"))
    assert statuses(planned(ztrust_sandbox, fresh)) == {"acme": "in_sync", "globex": "changed"}


def test_a_realm_that_has_the_value_is_not_written_and_other_differences_are_reported(ztrust_sandbox):
    carried_out(ztrust_sandbox, realms({"acme": entry(ztrust_sandbox)}), NEW)
    ztrust_sandbox.edit_smtp("acme", {**ztrust_sandbox.smtp("acme"), "fromDisplayName": "Somebody"})
    rotation = planned(ztrust_sandbox, realms({"acme": entry(ztrust_sandbox)}))
    assert statuses(rotation) == {"acme": "in_sync"}
    assert rotation.changed == ()
    notes = [f.message for f in rotation.realms[0].findings if f.rule == "differs-otherwise"]
    assert notes == ["not written, since it has the secret already; these fields differ from the spec: `sender.name`"]


def test_a_realm_that_needs_the_value_is_written_with_all_that_differs(ztrust_sandbox):
    spec = realms({"acme": entry(ztrust_sandbox), "globex": entry(ztrust_sandbox)})
    carried_out(ztrust_sandbox, spec, OLD)
    ztrust_sandbox.edit_smtp("acme", {**ztrust_sandbox.smtp("acme"), "fromDisplayName": "Somebody"})
    rotation = planned(ztrust_sandbox, spec)
    assert [[change.field for change in realm.changes] for realm in rotation.changed] == [
        ["sender.name", "relay.auth.password"],
        ["relay.auth.password"],
    ]


def test_a_missing_secret_is_written_too(ztrust_sandbox):
    assert statuses(planned(ztrust_sandbox, realms({"acme": entry(ztrust_sandbox)}))) == {"acme": "changed"}


def test_placeholders_count_as_filled_in(ztrust_sandbox):
    spec = realms(dict.fromkeys(USING, entry(ztrust_sandbox, "KEY_{realm}")))
    with connected(ztrust_sandbox, {"KEY_GLOBEX": NEW}) as connection:
        assert statuses(api.rotate_plan(spec, connection, "env:KEY_GLOBEX")) == {"globex": "changed"}


def test_other_references_are_not_resolved(ztrust_sandbox):
    spec = realms({"acme": entry(ztrust_sandbox), "hooli": entry(ztrust_sandbox, "OTHER_KEY")})
    looked_up: list[str] = []

    class Watched(dict[str, str]):
        def get(self, name, default=None):
            looked_up.append(name)
            return super().get(name, default)

        def __getitem__(self, name):
            looked_up.append(name)
            return super().__getitem__(name)

    with connected(ztrust_sandbox, Watched(RELAY_KEY=NEW, OTHER_KEY=OTHER)) as connection:
        api.rotate_plan(spec, connection, KEY)
    assert set(looked_up) == {"RELAY_KEY"}


def test_different_references_that_read_the_same_are_refused_with_their_realms(ztrust_sandbox):
    login = {"acme": auth({"command": ["pass", "a"]}), "globex": auth({"command": ["pass", "b"]})}
    spec = realms(
        {name: entry(ztrust_sandbox, relay={"host": "h.example", "auth": one}) for name, one in login.items()}
    )
    with pytest.raises(UsageError, match="2 different references") as e:
        planned(ztrust_sandbox, spec, "command:pass")
    assert e.value.hint.endswith("--realm: acme; globex")


def test_a_spec_without_resolvable_secrets_has_nothing_to_rotate(ztrust_sandbox):
    relay = {"host": "h.example", "auth": auth({"keycloak_vault": "smtp"})}
    with pytest.raises(UsageError, match="no selected realm uses") as e:
        planned(ztrust_sandbox, realms({"acme": entry(ztrust_sandbox, relay=relay)}))
    assert e.value.hint == "references in use: none"


def test_a_realm_whose_settings_are_wrong_fails_where_it_may_use_the_reference(ztrust_sandbox):
    sender = {"address": "no-reply@{key}.example"}
    wrong, right = {"sender": sender, "vars": {"key": "a b"}}, {"sender": sender, "vars": {"key": "a"}}
    spec = realms(
        {
            "acme": {**entry(ztrust_sandbox), **right},
            "globex": {**entry(ztrust_sandbox), **wrong},
            "initech": {**entry(ztrust_sandbox, "{realm}_KEY"), **wrong},
            "hooli": {**entry(ztrust_sandbox, "OTHER_KEY"), **wrong},
            "umbrella": {"disabled": True},
        }
    )
    assert statuses(planned(ztrust_sandbox, spec)) == {"acme": "changed", "globex": "failed", "initech": "failed"}


def many(sandbox: Sandbox, **more: object) -> Spec:
    names = [f"tenant-{n:02}" for n in range(12)]
    for name in names:
        if name not in {request.path.rpartition("/")[2] for request in sandbox.requests}:
            sandbox.create_realm(name)
    return realms(dict.fromkeys(names, entry(sandbox, **more)))


def test_a_rotation_of_many_realms_is_no_mass_change_but_what_goes_along_may_be_one(ztrust_sandbox):
    carried_out(ztrust_sandbox, many(ztrust_sandbox), OLD)
    assert len(planned(ztrust_sandbox, many(ztrust_sandbox)).changed) == 12
    mixed = many(ztrust_sandbox, envelope_from="bounces@acme.example")
    with pytest.raises(Unsafe, match="Refused: besides the secret, 12 of 12 realms would change"):
        planned(ztrust_sandbox, mixed)
    with pytest.raises(Unsafe):
        planned(ztrust_sandbox, mixed, allow=["weaker-security"])
    assert len(planned(ztrust_sandbox, mixed, allow=["mass-change"]).changed) == 12


def test_a_rotation_of_many_realms_needs_no_permission(cli, sandbox, monkeypatch):
    for n in range(12):
        sandbox.create_realm(f"tenant-{n:02}")
    monkeypatch.setenv("RELAY_KEY", OLD)
    spec = cli.write("mail.yaml", text_of(sandbox, ("tenant-*",)).replace("tenant-*", "'tenant-*'"))
    assert cli("apply", spec, "--yes", "--allow", "mass-change").status == 0
    monkeypatch.setenv("RELAY_KEY", NEW)
    ran = cli("rotate", KEY, spec, "--yes")
    assert ran.status == 0
    assert "Done: 12 realms applied" in ran.out
    assert {sandbox.smtp(f"tenant-{n:02}")["password"] for n in range(12)} == {NEW}


# what is left of the old value

FAKE: Mapping[str, object] = {
    "sender": {"address": "no-reply@acme.example"},
    "relay": {"host": "smtp.example.com", "auth": auth({"env": "RELAY_KEY"})},
}


def test_a_server_that_is_unreachable_after_the_rotation_is_a_warning():
    gateway = FakeGateway({"acme": {}})
    secrets = SecretStore(Reach(environ={"RELAY_KEY": NEW}))
    rotation = plan_rotation(realms({"acme": FAKE}), gateway, PlanningContext(secrets=secrets), KEY)

    def gone() -> None:
        raise ServerUnreachable("nobody answers", "look at the network")

    gateway.before_read = gone
    found = find_old_secret_uses(rotation, gateway, JournalState, secrets)
    assert [(f.rule, f.message) for f in found] == [
        ("not-looked", "cannot search for realms with the old value: nobody answers")
    ]
    assert "nobody answers; look at the network" in plain(leftover_lines(found, rotation.references))


def test_a_long_list_of_realms_is_cut_in_text(ztrust_sandbox):
    names = [f"realm-{n:02}" for n in range(23)]
    gateway = FakeGateway({name: {} for name in names})
    secrets = SecretStore(Reach(environ={"RELAY_KEY": NEW}))
    rotation = plan_rotation(realms(dict.fromkeys(names, FAKE)), gateway, PlanningContext(secrets=secrets), KEY)
    found = find_old_secret_uses(rotation, gateway, JournalState, secrets)
    assert [f.realm for f in found] == names
    said = plain(leftover_lines(found, rotation.references))
    assert "  23 realms (realm-00 … realm-22): not written by this rotation; " in said
