"""Reverting: the way back to the state before a run, and what stands in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest
from support.connecting import FakeGateway, connected, make_plan, sent
from support.mail_settings import BASIC, ENVIRON, JUNK, NO_LOGIN, STORED, TOKEN, realms
from support.results import statuses

from ztrust_mail import SecretMode, api
from ztrust_mail.applying.apply import apply_plan
from ztrust_mail.applying.options import ApplyContext, ApplyOptions
from ztrust_mail.applying.outcome import Result
from ztrust_mail.core.errors import ExitStatus, Unsafe, UsageError
from ztrust_mail.core.findings import Severity
from ztrust_mail.core.secret import SecretKind
from ztrust_mail.dialects.codecs import Codec, Texts
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.journal.journal import Journal, open_journal
from ztrust_mail.journal.records import JournalState, NewRun, Outcome, Step, Update
from ztrust_mail.model.fields import FieldValue, Raw
from ztrust_mail.planning.plan import Plan
from ztrust_mail.planning.planners.from_spec import PlanningContext
from ztrust_mail.planning.planners.revert import plan_revert, run_to_revert
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.settings.policy import Policy

SMTP_USER = {"username": "apikey", "password": {"env": "SMTP_PASSWORD"}}
NEW = {"SMTP_PASSWORD": "another-Passw0rd"}


def named(name: str, **more: object) -> dict[str, object]:
    """Return ``BASIC`` with another sender's name."""
    return {**BASIC, "sender": {"address": "no-reply@acme.example", "name": name}, **more}


def moved(host: str, **auth: object) -> dict[str, object]:
    """Return ``BASIC`` at another relay."""
    return {**BASIC, "relay": {"host": host, "auth": {**SMTP_USER, **auth}}}


@dataclass(frozen=True)
class Fleet:
    """A sandbox with a journal, and the verbs of this tool."""

    sandbox: Sandbox

    def apply(self, entries: Mapping[str, Mapping[str, object]], environ=ENVIRON, mode=SecretMode.AUTO) -> Result:
        with connected(self.sandbox, environ) as connection:
            made = api.plan(realms(entries), connection, secrets=mode)
            return api.apply(made, connection, allow=["all"])

    def plan(
        self,
        run: int | None = None,
        globs: Sequence[str] = (),
        *,
        environ: Mapping[str, str] = ENVIRON,
        insist: bool = False,
        mode: SecretMode = SecretMode.AUTO,
        policy: Policy | None = None,
        carried_out: bool = False,
    ) -> Plan | Result:
        connection = replace(connected(self.sandbox, environ), policy=policy or Policy())
        with connection, connection.lock():
            chosen = api.run_to_revert(connection, run, realms=globs)
            made = api.revert_plan(chosen, connection, realms=globs, secrets=mode, insist=insist)
            if not carried_out:
                return made
            return api.apply(made, connection, allow=["all"], command=f"revert {chosen.number}")

    def revert(self, run: int | None = None, globs: Sequence[str] = (), **how) -> Result:
        result = self.plan(run, globs, carried_out=True, **how)
        assert isinstance(result, Result)
        return result

    def set(self, realm: str, **changed: str) -> None:
        """Change attributes behind this tool's back."""
        self.sandbox.edit_smtp(realm, {**self.sandbox.smtp(realm), **changed})


@pytest.fixture
def fleet(ztrust_sandbox: Sandbox) -> Fleet:
    return Fleet(ztrust_sandbox)


def told(made: Plan | Result, severity: Severity | None = None) -> str:
    found = [f for realm in made.realms for f in realm.findings if severity in (None, f.severity)]
    return "\n".join(f"{f.message}; {f.hint} [{f.rule}]" for f in found)


def test_a_revert_restores_fields_and_preserves_unmanaged_attributes(fleet):
    fleet.set("acme", **STORED, **{"x-ours": "1", "envelopeFrom": "bounces@acme.example"})
    before = fleet.sandbox.smtp("acme")
    relay = {"host": "smtp.example.com", "port": 2525, "timeouts": {"connect": "10s"}, "auth": SMTP_USER}
    fleet.apply({"acme": {**named("Other"), "relay": relay, "reply_to": False}})
    assert fleet.sandbox.smtp("acme") != before
    result = fleet.revert()
    assert statuses(result) == {"acme": "applied"}
    assert fleet.sandbox.smtp("acme") == before


def test_a_revert_restores_changed_and_removed_extra_attributes_and_removes_added_ones(fleet):
    fleet.set("acme", **STORED, **{"x-old": "1", "x-hint": "bulk"})
    before = fleet.sandbox.smtp("acme")
    fleet.apply({"acme": {**BASIC, "extra": {"x-new": "2", "x-hint": "single", "x-old": False}}})
    assert fleet.sandbox.smtp("acme")["x-new"] == "2"
    fleet.revert()
    assert fleet.sandbox.smtp("acme") == before


def test_a_realm_that_had_no_settings_has_none_again(fleet):
    fleet.apply({"acme": named("One", extra={"x-new": "2"})})
    result = fleet.revert()
    assert statuses(result) == {"acme": "applied"}
    assert fleet.sandbox.smtp("acme") == {}


def test_a_revert_over_a_changed_login_warns_that_its_password_is_lost(fleet):
    fleet.apply({"acme": named("One")})
    fleet.apply({"acme": named("Two")})
    fleet.set("acme", host="else.example.com", user="somebody", password="somebody-elses")
    made = fleet.plan(2, ["acme"], insist=True)
    assert made.realms[0].losses == {"relay.auth.password": ""}
    assert "`relay.host` and `relay.auth.username` changed on the server since" in told(made, Severity.NOTE)


def test_a_secret_left_in_place_after_its_login_changed_does_not_count_as_the_last_written(fleet):
    fleet.apply({"acme": moved("one.example.com")})
    fleet.set("acme", host="two.example.com", password="somebody-elses")
    kept = {**moved("two.example.com"), "sender": {"address": "no-reply@acme.example", "name": "New"}}
    assert statuses(fleet.apply({"acme": kept}, mode=SecretMode.KEEP)) == {"acme": "applied"}
    with connected(fleet.sandbox, ENVIRON) as connection:
        assert api.plan(realms({"acme": kept}), connection).realms[0].secrets == {"relay.auth.password": "unknown"}


def test_a_revert_restores_settings_and_password_of_a_disabled_realm(fleet):
    fleet.apply({"acme": BASIC})
    before = fleet.sandbox.smtp("acme")
    fleet.apply({"acme": {"disabled": True}})
    assert fleet.sandbox.smtp("acme") == {}
    fleet.revert()
    assert fleet.sandbox.smtp("acme") == before
    assert before["password"] == ENVIRON["SMTP_PASSWORD"]


def test_a_reverted_run_is_reverted_in_its_turn(fleet):
    fleet.apply({"acme": named("One")})
    fleet.apply({"acme": named("Two")})
    fleet.revert()
    assert fleet.sandbox.smtp("acme")["fromDisplayName"] == "One"
    assert statuses(fleet.revert()) == {"acme": "applied"}
    assert fleet.sandbox.smtp("acme")["fromDisplayName"] == "Two"


def test_runs_are_reverted_one_after_the_other(fleet):
    for name in ("One", "Two", "Three"):
        fleet.apply({"acme": named(name)})
    fleet.revert(3)
    assert statuses(fleet.revert(2)) == {"acme": "applied"}
    assert fleet.sandbox.smtp("acme")["fromDisplayName"] == "One"


def test_a_second_revert_of_the_same_run_writes_nothing(fleet):
    fleet.apply({"acme": named("One"), "globex": named("One")})
    fleet.apply({"acme": named("Two"), "globex": named("Two")})
    fleet.revert(2, ["acme"])
    before = len(fleet.sandbox.requests)
    result = fleet.revert(2)
    assert statuses(result) == {"acme": "in_sync", "globex": "applied"}
    assert "already as it was before run 2" in told(result)
    assert len(sent(fleet.sandbox, "PUT", before)) == 1


def test_only_the_selected_realms_are_reverted(fleet):
    fleet.apply({"acme": named("One"), "globex": named("One")})
    assert statuses(fleet.revert(1, ["glo*"])) == {"globex": "applied"}
    assert fleet.sandbox.smtp("acme")["fromDisplayName"] == "One"


def test_a_realm_written_by_a_later_run_is_reverted_only_if_run_and_realm_are_named(fleet):
    fleet.apply({"acme": named("One"), "globex": named("One")})
    fleet.apply({"acme": named("Two"), "globex": named("Two")})
    fleet.apply({"acme": named("Three")})
    result = fleet.revert(2)
    assert statuses(result) == {"acme": "skipped", "globex": "applied"}
    assert result.exit_status is ExitStatus.PARTIAL
    assert "not reverted: run 3 wrote this realm after run 2" in told(result, Severity.ERROR)
    assert "to revert it anyway: ztrust-mail revert 2 --realm acme" in told(result)
    assert statuses(fleet.plan(2, ["ac*"], insist=True)) == {"acme": "skipped"}
    insisted = fleet.revert(2, ["acme"], insist=True)
    assert statuses(insisted) == {"acme": "applied"}
    assert "run 3 wrote this realm after run 2; this revert undoes that too" in told(insisted, Severity.WARNING)
    assert fleet.sandbox.smtp("acme")["fromDisplayName"] == "One"


def test_a_realm_changed_by_somebody_is_reverted_only_if_run_and_realm_are_named(fleet):
    fleet.apply({"acme": named("One")})
    fleet.apply({"acme": named("Two")})
    fleet.set("acme", replyTo="x@acme.example", **{"x-theirs": "1"})
    theirs = fleet.sandbox.smtp("acme")
    result = fleet.revert()
    assert statuses(result) == {"acme": "skipped"}
    assert "not reverted: somebody changed this realm after run 2" in told(result)
    assert fleet.sandbox.smtp("acme") == theirs
    assert statuses(fleet.revert(2, ["acme"], insist=True)) == {"acme": "applied"}
    now = fleet.sandbox.smtp("acme")
    assert (now["fromDisplayName"], now["replyTo"], "x-theirs" in now) == ("One", "help@acme.example", False)


def test_a_realm_that_was_restored_by_hand_is_not_written(fleet):
    fleet.apply({"acme": NO_LOGIN})
    before = fleet.sandbox.smtp("acme")
    fleet.apply({"acme": {**NO_LOGIN, "envelope_from": "bounces@acme.example"}})
    fleet.sandbox.edit_smtp("acme", before)
    made = fleet.plan()
    assert statuses(made) == {"acme": "in_sync"}
    assert "already as it was before run 2" in told(made, Severity.NOTE)


def test_a_realm_deleted_meanwhile_fails_alone(fleet):
    fleet.apply({"acme": named("One"), "globex": named("One")})
    fleet.sandbox.remove_realm("acme")
    result = fleet.revert()
    assert statuses(result) == {"acme": "missing", "globex": "applied"}
    assert result.exit_status is ExitStatus.PARTIAL


@pytest.mark.parametrize("kind", ["a port that is no number", "a port out of range", "timeouts", "unknown keys"])
@pytest.mark.parametrize("version", ["16.1.1", "26.7.4"])
def test_raw_text_is_restored_exactly(version, kind):
    with Sandbox(SandboxOptions(version=version)) as sandbox:
        fleet = Fleet(sandbox)
        sandbox.edit_smtp("acme", JUNK[kind])
        fleet.apply({"acme": {**named("Two"), "extra": {"x-old": False, "x-hint": "mine"}}})
        assert sandbox.smtp("acme") != JUNK[kind]
        assert statuses(fleet.revert()) == {"acme": "applied"}
        assert sandbox.smtp("acme") == JUNK[kind]


class Deaf(Codec):
    """Reads everything as odd text, and writes something else."""

    def encode(self, value: FieldValue) -> Texts:
        return ("false",)

    def decode(self, texts: Texts) -> FieldValue | None:
        return Raw(texts[0] or "")


class Mute(Deaf):
    """Writes nothing."""

    def encode(self, value: FieldValue) -> Texts:
        raise TypeError


class Own(FakeGateway):
    """A server in memory with runs of its own."""

    def journal(self) -> Journal:
        opened = open_journal(None, writable=True)
        assert opened is not None
        return opened

    def run(self, entries: Mapping[str, Mapping[str, object]]) -> Result:
        with self.journal() as journal:
            secrets = SecretStore(Reach(environ=ENVIRON))
            means = PlanningContext(
                memory=lambda: JournalState(journal.last_known(self.url), journal.fingerprint), secrets=secrets
            )
            made = make_plan(realms(entries), self, means)
            context = ApplyContext(self, secrets, journal, "a test", means.memory())
            return apply_plan(made, context, ApplyOptions())

    def back(self, number: int, globs: Sequence[str] = (), *, insist: bool = False) -> Plan:
        with self.journal() as journal:
            secrets = SecretStore(Reach(environ=ENVIRON))
            means = PlanningContext(
                memory=lambda: JournalState(journal.last_known(self.url), journal.fingerprint), secrets=secrets
            )
            run = run_to_revert(journal, self.url, number, globs)
            return plan_revert(journal, self, means, run, globs, insist=insist)

    def note(self, *updates: Update) -> None:
        with self.journal() as journal:
            journal.record(1, updates)


@pytest.mark.parametrize("codec", [Deaf(), Mute()])
def test_raw_text_that_the_dialect_cannot_write_back_fails_its_realm_before_any_write(codec):
    gateway = Own({"acme": {"from": "a@acme.example", "host": "smtp.example.com", "debug": "yes"}})
    gateway.run({"acme": NO_LOGIN})
    rows = tuple(replace(row, codec=codec) if row.field == "relay.debug" else row for row in KEYCLOAK.rows)
    gateway.dialect = replace(KEYCLOAK, rows=rows)
    made = gateway.back(1)
    assert statuses(made) == {"acme": "failed"}
    assert "cannot write back the value of `relay.debug` from before run 1" in told(made)


def test_a_rotated_password_is_restored_if_its_reference_gives_the_earlier_value_again(fleet):
    fleet.apply({"acme": BASIC})
    fleet.apply({"acme": BASIC}, NEW)
    assert fleet.sandbox.smtp("acme")["password"] == NEW["SMTP_PASSWORD"]
    made = fleet.plan()
    assert [change.field for realm in made.realms for change in realm.changes] == ["relay.auth.password"]
    assert statuses(fleet.revert()) == {"acme": "applied"}
    assert fleet.sandbox.smtp("acme")["password"] == ENVIRON["SMTP_PASSWORD"]
    assert "cannot restore `relay.auth.password`" in told(fleet.plan())
    assert statuses(fleet.revert(environ=NEW)) == {"acme": "applied"}
    assert fleet.sandbox.smtp("acme")["password"] == NEW["SMTP_PASSWORD"]


def test_a_password_from_another_reference_is_found_by_its_fingerprint(fleet):
    both = {**ENVIRON, "NEW_PASSWORD": "another-Passw0rd"}
    fleet.apply({"acme": BASIC})
    fleet.apply({"acme": moved("smtp.example.net", password={"env": "NEW_PASSWORD"})}, both)
    result = fleet.revert(environ=both)
    assert statuses(result) == {"acme": "applied"}
    assert fleet.sandbox.smtp("acme") == STORED
    assert result.realms[0].plan.wanted.fields["relay.auth.password"].argument == ("SMTP_PASSWORD",)


def test_a_tokens_client_secret_is_restored_too(fleet):
    entry = {**NO_LOGIN, "relay": {"host": "smtp.example.com", "auth": {"username": "u", "token": TOKEN}}}
    fleet.apply({"acme": entry})
    before = fleet.sandbox.smtp("acme")
    fleet.apply({"acme": BASIC})
    fleet.revert()
    assert fleet.sandbox.smtp("acme") == before


def test_a_realm_fails_if_only_its_password_changed_and_no_reference_gives_the_earlier_one(fleet):
    fleet.apply({"acme": BASIC, "globex": NO_LOGIN})
    fleet.apply({"acme": BASIC, "globex": {"disabled": True}}, NEW)
    result = fleet.revert(environ=NEW)
    assert statuses(result) == {"acme": "failed", "globex": "applied"}
    message = "cannot restore `relay.auth.password` from before run 2: `env:SMTP_PASSWORD` gives another value"
    assert message in told(result)
    assert "put the earlier value back into `env:SMTP_PASSWORD`, then revert again [earlier-secret]" in told(result)
    assert fleet.sandbox.smtp("acme")["password"] == NEW["SMTP_PASSWORD"]


def test_other_changes_are_reverted_and_the_present_password_stays_if_the_earlier_one_is_lost(fleet):
    fleet.apply({"acme": named("One")})
    fleet.apply({"acme": named("Two")}, NEW)
    made = fleet.plan(environ=NEW)
    assert "keeps its present value and does not get the one from before run 2" in told(made, Severity.WARNING)
    assert [change.field for change in made.realms[0].changes] == ["sender.name"]
    assert statuses(fleet.revert(environ=NEW)) == {"acme": "applied"}
    now = fleet.sandbox.smtp("acme")
    assert (now["fromDisplayName"], now["password"]) == ("One", NEW["SMTP_PASSWORD"])


@pytest.mark.parametrize("environ", [NEW, {}])
def test_the_present_password_never_goes_to_another_host(fleet, environ):
    fleet.apply({"acme": BASIC})
    fleet.apply({"acme": moved("smtp.example.net")}, NEW)
    before = len(fleet.sandbox.requests)
    result = fleet.revert(environ=environ)
    assert statuses(result) == {"acme": "failed"}
    assert sent(fleet.sandbox, "PUT", before) == []


def test_a_password_that_the_journal_never_knew_cannot_go_back_to_its_host(fleet):
    fleet.sandbox.edit_smtp("acme", STORED)
    fleet.apply({"acme": moved("smtp.example.net")})
    result = fleet.revert()
    assert statuses(result) == {"acme": "failed"}
    assert (
        "the journal has no record of it; write an entry with a reference for it in a spec, and apply the spec"
        in told(result)
    )


def test_a_password_after_a_change_by_hand_counts_as_unknown(fleet):
    fleet.apply({"acme": named("One")})
    fleet.set("acme", host="smtp.example.org", password="by-hand")
    fleet.apply({"acme": named("Two")})
    result = fleet.revert()
    assert statuses(result) == {"acme": "failed"}
    assert "the journal has no record of it" in told(result)


def test_nothing_is_written_where_only_a_password_went_along_that_is_still_the_same(fleet):
    fleet.sandbox.edit_smtp("acme", STORED)
    fleet.apply({"acme": BASIC}, mode=SecretMode.WRITE)
    assert "from before run 1: the journal has no record of it" in told(fleet.plan(1))
    fleet.apply({"acme": BASIC}, mode=SecretMode.WRITE)
    assert statuses(fleet.plan(2)) == {"acme": "in_sync"}


def test_a_password_that_the_run_did_not_send_is_left_in_place_with_secrets_keep(fleet):
    fleet.sandbox.edit_smtp("acme", {**STORED, "password": "by-hand"})
    fleet.apply({"acme": named("Two")}, mode=SecretMode.KEEP)
    result = fleet.revert()
    assert statuses(result) == {"acme": "failed"}
    assert (
        "is still the one from before run 1, but a write has to send its value: the journal has no record of it"
        in told(result)
    )
    assert "or leave the stored one in place with --secrets keep" in told(result)
    assert statuses(fleet.revert(mode=SecretMode.KEEP)) == {"acme": "applied"}
    assert fleet.sandbox.smtp("acme") == {**STORED, "password": "by-hand"}


def test_secrets_keep_warns_if_the_password_from_before_the_run_was_another(fleet):
    fleet.apply({"acme": named("One")})
    fleet.apply({"acme": named("Two")}, NEW)
    result = fleet.revert(mode=SecretMode.KEEP, environ={})
    assert statuses(result) == {"acme": "applied"}
    assert "does not get the one from before run 2: --secrets keep was given" in told(result, Severity.WARNING)
    assert fleet.sandbox.smtp("acme")["password"] == NEW["SMTP_PASSWORD"]


def test_an_unset_variable_is_named(fleet):
    fleet.apply({"acme": named("One")})
    fleet.apply({"acme": named("Two")})
    result = fleet.revert(environ={})
    assert statuses(result) == {"acme": "failed"}
    assert "a write has to send its value: the environment variable `SMTP_PASSWORD` is not set" in told(result)


@pytest.mark.parametrize("first", [BASIC, moved("smtp.example.com", password={"keycloak_vault": "smtp"})])
def test_a_vault_reference_and_a_password_replace_each_other_on_revert(fleet, first):
    vault = moved("smtp.example.com", password={"keycloak_vault": "smtp"})
    entries = (BASIC, vault) if first == BASIC else (vault, BASIC)
    fleet.apply({"acme": entries[0]})
    before = fleet.sandbox.smtp("acme")
    fleet.apply({"acme": entries[1]})
    assert fleet.sandbox.smtp("acme")["password"] != before["password"]
    assert statuses(fleet.revert()) == {"acme": "applied"}
    assert fleet.sandbox.smtp("acme")["password"] == before["password"]


def test_a_vault_reference_stays_if_the_password_before_it_is_lost(fleet):
    relay = {"host": "smtp.example.com", "auth": {"username": "apikey", "password": {"keycloak_vault": "smtp"}}}
    fleet.sandbox.edit_smtp("acme", STORED)
    fleet.apply({"acme": {**BASIC, "relay": relay}})
    fleet.sandbox.edit_smtp("globex", STORED)
    fleet.apply({"globex": {**named("Two"), "relay": relay}})
    assert "from before run 1: the journal has no record of it" in told(fleet.plan(1))
    result = fleet.revert(2)
    assert statuses(result) == {"globex": "applied"}
    assert fleet.sandbox.smtp("globex") == {**STORED, "password": "${vault.smtp}"}


@pytest.mark.parametrize("left", [{"auth": "false"}, {"authType": "token"}])
def test_a_password_of_a_login_that_was_not_in_use_does_not_prevent_the_revert(left):
    with Sandbox(SandboxOptions(version="16.1.1")) as sandbox:
        fleet = Fleet(sandbox)
        before = {**STORED, **left}
        sandbox.edit_smtp("acme", before)
        fleet.apply({"acme": NO_LOGIN})
        result = fleet.revert()
        assert statuses(result) == {"acme": "applied"}
        assert "is not restored: the journal has no record of it" in told(result, Severity.WARNING)
        expected = {n: v for n, v in before.items() if n != "password" and (n, left) != ("authType", {"auth": "false"})}
        assert sandbox.smtp("acme") == expected


def test_a_realm_whose_password_a_later_run_rotated_is_not_reverted(fleet):
    for environ in (ENVIRON, NEW, {"SMTP_PASSWORD": "third-Passw0rd"}):
        fleet.apply({"acme": BASIC}, environ)
    result = fleet.revert(2)
    assert statuses(result) == {"acme": "skipped"}
    assert "run 3 wrote this realm after run 2" in told(result)


class Guarded(dict[str, str]):
    """An environment in which nobody may look for the password."""

    def __contains__(self, name: object) -> bool:
        assert name != "SMTP_PASSWORD"
        return super().__contains__(name)


def test_a_reference_that_the_policy_forbids_is_not_resolved(fleet):
    new = {"MAIL_NEW": "n-Passw0rd"}
    fleet.apply({"acme": named("One")})
    fleet.apply({"acme": moved("smtp.example.net", password={"env": "MAIL_NEW"})}, {**ENVIRON, **new})
    policy = Policy(secrets={SecretKind.ENV: ("MAIL_",)}, path="policy.toml")
    made = fleet.plan(policy=policy, environ=Guarded(new))
    assert statuses(made) == {"acme": "failed"}
    assert "`relay.auth.password` comes from `env:SMTP_PASSWORD`, which the policy does not allow" in told(made)


def test_settings_that_the_policy_forbids_by_now_are_refused_and_no_reference_is_resolved(fleet):
    fleet.apply({"acme": BASIC})
    fleet.apply({"acme": moved("smtp.example.net")})
    made = fleet.plan(policy=Policy(relays=("*.example.net",)), environ=Guarded())
    assert made.realms[0].forbidden
    assert [change.field for change in made.realms[0].changes] == ["relay.host"]
    with pytest.raises(Unsafe, match="policy"):
        api.refuse(made, ["all"])


def doubtful(before: Mapping[str, str], now: Mapping[str, str]) -> Own:
    """Return a server where the write of run 1 was cut off."""
    gateway = Own({"acme": before})
    gateway.run({"acme": {**NO_LOGIN, "envelope_from": "bounces@acme.example"}})
    gateway.note(Update("acme", Step.WRITING))
    gateway.stored["acme"] = dict(now) or gateway.stored["acme"]
    return gateway


PLAIN = {"from": "no-reply@acme.example", "host": "smtp.example.com", "port": "25"}


def test_a_write_of_unknown_outcome_is_reverted_if_it_arrived():
    made = doubtful(PLAIN, {}).back(1)
    assert statuses(made) == {"acme": "changed"}
    assert "envelope_from" in [change.field for change in made.realms[0].changes]


def test_a_write_of_unknown_outcome_that_never_arrived_leaves_nothing_to_revert():
    made = doubtful(PLAIN, PLAIN).back(1)
    assert statuses(made) == {"acme": "in_sync"}
    assert "already as it was before run 1" in told(made)


def test_a_realm_changed_after_a_write_of_unknown_outcome_is_not_reverted():
    made = doubtful(PLAIN, {**PLAIN, "host": "smtp.example.org"}).back(1)
    assert statuses(made) == {"acme": "skipped"}
    assert "somebody changed this realm after run 1" in told(made)


def test_a_login_whose_write_has_an_unknown_outcome_gets_the_earlier_password_again():
    gateway = Own({"acme": {}})
    gateway.run({"acme": BASIC})
    gateway.run({"acme": named("Two")})
    with gateway.journal() as journal:
        journal.record(2, [Update("acme", Step.WRITING)])
    made = gateway.back(2)
    assert statuses(made) == {"acme": "changed"}
    assert made.realms[0].wanted.fields["relay.auth.password"].argument == ("SMTP_PASSWORD",)


def test_a_password_is_unknown_if_the_write_before_the_run_had_an_unknown_outcome():
    gateway = Own({"acme": {}})
    for name in ("One", "Two", "Three"):
        gateway.run({"acme": named(name)})
    with gateway.journal() as journal:
        journal.record(2, [Update("acme", Step.WRITTEN)])
    made = gateway.back(3)
    assert statuses(made) == {"acme": "changed"}
    assert (
        "keeps its present value and does not get the one from before run 3: the journal has no record of it"
        in told(made)
    )


def test_a_realm_where_the_server_stored_something_else_is_reverted_only_if_run_and_realm_are_named():
    gateway = Own({"acme": PLAIN})
    gateway.on_store = lambda attributes: {**attributes, "envelopeFrom": "other@acme.example"}
    assert statuses(gateway.run({"acme": {**NO_LOGIN, "envelope_from": "bounces@acme.example"}})) == {"acme": "failed"}
    made = gateway.back(1)
    assert statuses(made) == {"acme": "skipped"}
    assert "not reverted: the server did not store what run 1 wrote" in told(made)
    assert statuses(gateway.back(1, ["acme"], insist=True)) == {"acme": "changed"}


def test_revert_without_a_number_means_the_newest_run_that_wrote(fleet):
    fleet.apply({"acme": named("One"), "globex": named("One")})
    fleet.apply({"globex": named("Two")})
    fleet.sandbox.faults.failing_realms.add("acme")
    with connected(fleet.sandbox) as connection:
        assert api.run_to_revert(connection).number == 2
        assert api.run_to_revert(connection, realms=["ac*"]).number == 1
        for number, globs, message in (
            (7, (), "there is no run 7"),
            (2, ["acme"], "run 2 wrote nothing to a realm that matches `acme`"),
            (None, ["initech"], "nothing to revert: no run on .* has written to a realm that matches `initech`"),
        ):
            with pytest.raises(UsageError, match=message):
                api.run_to_revert(connection, number, realms=globs)


def test_a_run_that_wrote_nothing_is_not_the_newest_that_wrote(fleet):
    fleet.apply({"acme": named("One")})
    fleet.sandbox.faults.before_write = fleet.sandbox.remove_realm
    assert statuses(fleet.apply({"acme": named("Two")})) == {"acme": "failed"}
    with connected(fleet.sandbox) as connection:
        assert api.run_to_revert(connection).number == 1


def test_before_the_first_run_there_is_nothing_to_revert(ztrust_sandbox):
    with connected(ztrust_sandbox) as connection, pytest.raises(UsageError, match="no run has written yet"):
        api.run_to_revert(connection)


def test_a_run_on_another_server_is_not_reverted_here(ztrust_sandbox):
    with connected(ztrust_sandbox) as connection:
        number = connection.journal.begin(NewRun("https://other.example", "apply", "a test"), [])
        connection.journal.finish(number, Outcome.DONE)
        with pytest.raises(UsageError, match=r"run 1 wrote to `https://other.example`, not to"):
            api.run_to_revert(connection, number)


def test_a_revert_is_noted_in_the_journal_with_the_run_it_undoes(fleet):
    fleet.apply({"acme": named("One")})
    result = fleet.revert()
    with connected(fleet.sandbox) as connection:
        journal = connection.journal
        assert journal.run(result.run).command == "revert 1"
        (write,) = journal.writes(result.run)
        assert (write.step, write.intent, write.after) == (Step.VERIFIED, None, {})


def test_a_second_revert_writes_neither_equal_settings_nor_a_password_unknown_to_the_journal(fleet):
    before = {name: text for name, text in STORED.items() if name != "authType"}
    fleet.sandbox.edit_smtp("acme", before)
    fleet.apply({"acme": named("Two")})
    assert "keeps its present value" in told(fleet.revert(1))
    assert fleet.sandbox.smtp("acme") == STORED
    again = fleet.revert(1)
    assert statuses(again) == {"acme": "in_sync"}
    assert "already as it was before run 1, as far as the server shows" in told(again)


SPEC = """
version: 1
realms:
  acme: {sender: {address: no-reply@acme.example, name: %s}, relay: {host: smtp.example.com}}
  globex: {sender: {address: no-reply@globex.example}, relay: {host: smtp.example.com}}
"""


def written(cli, name: str) -> None:
    assert cli("apply", cli.write("spec.yaml", SPEC % name), "--yes").status == 0


def test_the_command_shows_the_revert_asks_and_applies_it(cli, sandbox):
    written(cli, "One")
    written(cli, "Two")
    declined = cli("revert", typed="n\n")
    assert declined.status == 1
    assert "Back to before run 2: apply, " in declined.out
    assert "sender.name (From display name)  Two → One" in declined.out
    assert sandbox.smtp("acme")["fromDisplayName"] == "Two"
    agreed = cli("revert", typed="y\n")
    assert agreed.status == 0
    assert "(run 3)" in agreed.out
    assert sandbox.smtp("acme")["fromDisplayName"] == "One"


def test_the_command_skips_a_realm_changed_later_and_prints_how_to_revert_it_anyway(cli, sandbox):
    written(cli, "One")
    written(cli, "Two")
    skipped = cli("revert", "1", "--yes", "--format", "json")
    assert skipped.status == 4
    realm, other = skipped.json["realms"]
    assert (realm["status"], realm["findings"][0]["rule"], other["status"]) == ("skipped", "changed-since", "applied")
    assert sandbox.smtp("acme")["fromDisplayName"] == "Two"
    assert cli("revert", "1", "--realm", "acme", "--yes").status == 0
    assert sandbox.smtp("acme") == {}


def test_the_command_sends_nothing_where_nobody_can_be_asked(cli, sandbox):
    written(cli, "One")
    before = len(sandbox.requests)
    asked = cli("revert")
    assert (asked.status, len(sandbox.requests)) == (2, before)
    assert "review `ztrust-mail revert --dry-run`, then pass --yes" in asked.err


def test_the_command_refuses_a_dangerous_revert_until_it_is_allowed(cli, sandbox):
    sandbox.edit_smtp("globex", {"from": "a@globex.example", "host": "smtp.example.com", "port": "25"})
    written(cli, "One")
    refused = cli("revert", "--yes")
    assert refused.status == 5
    assert "weaker-security" in refused.out
    assert cli("revert", "--yes", "--allow", "weaker-security").status == 0
    assert sandbox.smtp("acme") == {}


@pytest.mark.parametrize("number", ["0", "99999999999999999999", "one"])
def test_the_command_takes_only_the_number_of_a_run(cli, sandbox, number):
    assert cli("revert", number, "--yes").status == 2


def undoing(made: Plan | Result) -> list[str]:
    """Return what a plan says about the revert that it undoes."""
    plan = made if isinstance(made, Plan) else made.plan
    return [f"{one.message}; {one.hint}" for one in plan.findings if one.rule == "undoes-revert"]


def test_a_second_revert_says_that_it_undoes_the_first_and_how_to_go_further_back(fleet):
    for name in ("One", "Two", "Three"):
        fleet.apply({"acme": named(name)})
    assert undoing(fleet.revert()) == []
    assert undoing(fleet.plan()) == [
        "run 4 is a revert of run 3: this brings back what run 3 wrote; "
        "to go one step further back instead: ztrust-mail revert 2"
    ]
    fleet.revert(2)
    assert fleet.sandbox.smtp("acme")["fromDisplayName"] == "One"


def test_the_step_further_back_is_a_run_that_wrote_the_same_realms(fleet):
    fleet.apply({"acme": named("One")})
    fleet.apply({"globex": named("Two")})
    fleet.apply({"acme": named("Three")})
    fleet.revert(globs=["a*"])
    assert undoing(fleet.plan(globs=["a*"]))[0].endswith("ztrust-mail revert 1 --realm 'a*'")


def test_a_revert_of_the_first_revert_has_no_step_further_back(fleet):
    fleet.apply({"acme": named("One")})
    fleet.revert()
    assert undoing(fleet.plan())[0].endswith("; no run before run 1 wrote, so there is no step further back")


def test_a_third_revert_goes_back_as_the_first_did(fleet):
    fleet.apply({"acme": named("One")})
    fleet.apply({"acme": named("Two")})
    fleet.revert()
    fleet.revert()
    said = "run 4 is a revert of run 3: this brings back what run 3 wrote; run 3 was a revert, too"
    assert undoing(fleet.revert()) == [said]
    assert fleet.sandbox.smtp("acme")["fromDisplayName"] == "One"


def test_a_run_that_applied_a_saved_revert_counts_as_a_revert(fleet):
    fleet.apply({"acme": named("One")})
    fleet.apply({"acme": named("Two")})
    with connected(fleet.sandbox, ENVIRON) as connection:
        made = api.revert_plan(api.run_to_revert(connection), connection)
        api.apply(made, connection, command="apply --plan (revert 2)")
    assert undoing(fleet.plan())[0].startswith("run 3 is a revert of run 2")
