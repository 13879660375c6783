"""Three-way drift: which side moved, what that is worth, who did it, and how it is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from support.admin_api import AdminApi
from support.cli import report_validator
from support.connecting import FakeGateway, Unreadable, connected, make_plan
from support.mail_settings import BASIC, JUNK, NO_LOGIN, STORED, one_realm, realms, shown
from support.results import text_lines

import ztrust_mail
from ztrust_mail import Session
from ztrust_mail.core.errors import ExitStatus, RealmError, ServerUnreachable, UsageError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.dialects.products.keycloak import KEYCLOAK, MASK, with_templates
from ztrust_mail.drift_detection.attribution import MOST_REALMS, Cause, is_same_value
from ztrust_mail.drift_detection.drift import Drift, FailOn, explain_drift
from ztrust_mail.gateways.gateway import Edit, LiveRealm, Reading
from ztrust_mail.gateways.keycloak.admin_events import MAX_NAMES, AdminEvents
from ztrust_mail.journal.records import LastKnown, Step, Write
from ztrust_mail.model.fields import FIELDS, FieldMap, Masked, is_critical
from ztrust_mail.planning.plan import Status
from ztrust_mail.reports.json import FORMAT
from ztrust_mail.reports.report import of_drift
from ztrust_mail.reports.text.drift import drift_body
from ztrust_mail.sandbox import Sandbox
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.resolve import resolve_entry

NOT_COMPARED = "1 password not compared (the server hides it; `plan` compares it with the last apply)."
ENDED = datetime(2026, 11, 20, 14, 3, 59, tzinfo=UTC)
SPEC = one_realm(BASIC)
HOST, PORT, NAME, PASSWORD = "relay.host", "relay.port", "sender.name", "relay.auth.password"
VAULT = {**STORED, "password": "${vault.smtp}"}


class Server(FakeGateway):
    """A server that shows a vault's reference as it is."""

    def read_one(self, realm: str) -> LiveRealm:
        return replace(super().read_one(realm), attributes=KEYCLOAK.mask_secrets(self.stored[realm]))


class Watched(Server):
    """A server that keeps account of edits: what it says by realm, and what it was asked."""

    def __init__(self, realms: Mapping[str, Mapping[str, str]]) -> None:
        super().__init__(realms)
        self.told: Callable[[str], Sequence[Edit] | None] = lambda realm: None
        self.asked: dict[str, datetime | None] = {}

    def edits(self, realm: str, since: datetime | None) -> Sequence[Edit] | None:
        self.asked[realm] = since
        return self.told(realm)


class Unlisted(Server):
    """A server that does not give the list of its realms."""

    def read(self, wanted: Collection[str], *, everything: bool) -> Reading:
        return replace(super().read(wanted, everything=everything), complete=False)


def wanted(entry: Mapping[str, object], realm: str = "acme") -> FieldMap:
    """Return what a spec with this entry wants of a realm."""
    spec = one_realm(entry, realm)
    return resolve_entry(spec, spec.entries[0], realm).fields


def written(
    after: Mapping[str, str] | None, entry: Mapping[str, object] | None = BASIC, *, realm: str = "acme", run: int = 12
) -> Write:
    """Return a verified write; without an entry it emptied the realm."""
    intent = None if entry is None else wanted(entry, realm)
    held = None if after is None else KEYCLOAK.mask_secrets(after)
    return Write(realm, {}, intent, step=Step.VERIFIED, after=held, run=run, ended=ENDED)


def doubtful(before: Mapping[str, str], entry: Mapping[str, object] | None, run: int = 13) -> Write:
    """Return a write that nobody knows whether it arrived."""
    write = written(None, entry, run=run)
    return replace(write, before=KEYCLOAK.mask_secrets(before), step=Step.WRITING, started=ENDED, ended=None)


def judged(
    spec: Spec,
    gateway: Server,
    last: Mapping[str, str] | Write | None = None,
    doubt: Write | None = None,
    *selected: str,
) -> Drift:
    """Judge ``acme`` by its last write, or by the attributes that this left."""
    write = written(last) if isinstance(last, Mapping) else last
    known = {"acme": LastKnown(write, doubt)} if write or doubt else {}
    return explain_drift(make_plan(spec, gateway, realms=selected, everything=True), known, gateway, selected=selected)


def causes(live: Mapping[str, str], last: object = None, doubt: Write | None = None, spec: Spec = SPEC) -> object:
    """Return the causes of what differs in ``acme``."""
    return judged(spec, Server({"acme": live}), last, doubt).causes.get("acme", {})  # type: ignore[arg-type]


def changed(entry: Mapping[str, object], **relay: object) -> dict[str, object]:
    """Return an entry with another relay."""
    return {**entry, "relay": {**entry["relay"], **relay}}  # type: ignore[dict-item]


# Which side moved


def test_a_live_value_equal_to_the_last_applied_one_is_pending() -> None:
    assert causes(STORED, STORED, spec=one_realm(changed(BASIC, port=2525))) == {PORT: Cause.PENDING}


def test_a_live_value_unlike_the_applied_one_is_out_of_band_while_the_spec_is_unchanged() -> None:
    assert causes({**STORED, "host": "evil.example"}, STORED) == {HOST: Cause.OUT_OF_BAND}


def test_a_live_value_unlike_the_applied_one_is_both_when_the_spec_changed_as_well() -> None:
    spec = one_realm(changed(BASIC, host="new.example.com"))
    assert causes({**STORED, "host": "evil.example"}, STORED, spec=spec) == {HOST: Cause.BOTH}


def test_a_difference_in_a_realm_unknown_to_the_journal_is_unattributed_and_never_critical() -> None:
    found = judged(SPEC, Server({"acme": {**STORED, "host": "evil.example", "fromDisplayName": "X"}}))
    assert found.causes == {"acme": {NAME: Cause.UNATTRIBUTED, HOST: Cause.UNATTRIBUTED}}
    assert found.own_findings == ()
    assert not found.is_critical("acme", HOST)


def test_a_live_value_equal_to_the_spec_is_no_difference_whoever_wrote_it() -> None:
    assert causes(STORED, {**STORED, "host": "old.example.com"}) == {}


def test_fields_of_one_realm_are_judged_one_by_one() -> None:
    spec = one_realm({**changed(BASIC, host="new.example.com", port=2525), "sender": {"address": "a@b.example"}})
    live = {**STORED, "host": "evil.example", "fromDisplayName": "Acme", "from": "x@evil.example", "user": "mallory"}
    assert causes(live, STORED, spec=spec) == {
        "sender.address": Cause.BOTH,
        NAME: Cause.PENDING,
        HOST: Cause.BOTH,
        PORT: Cause.PENDING,
        "relay.auth.username": Cause.OUT_OF_BAND,
    }


@pytest.mark.parametrize(
    ("gone", "field"),
    [("fromDisplayName", NAME), ("host", HOST), ("port", PORT), ("password", PASSWORD), ("starttls", "relay.security")],
)
def test_a_removed_field_is_out_of_band(gone: str, field: str) -> None:
    live = {name: text for name, text in STORED.items() if name != gone}
    assert causes(live, STORED) == {field: Cause.OUT_OF_BAND}


def test_an_added_field_is_out_of_band() -> None:
    assert causes({**STORED, "envelopeFrom": "x@evil.example"}, STORED) == {"envelope_from": Cause.OUT_OF_BAND}
    spec = one_realm({**BASIC, "extra": {"x-hint": "bulk"}})
    applied = written({**STORED, "x-hint": "bulk"}, {**BASIC, "extra": {"x-hint": "bulk"}})
    assert causes({**STORED, "x-hint": "other"}, applied, spec=spec) == {"extra.x-hint": Cause.OUT_OF_BAND}
    assert causes(STORED, STORED, spec=spec) == {"extra.x-hint": Cause.PENDING}


def test_a_theme_that_only_a_write_of_unknown_outcome_concerned_was_changed_by_nobody() -> None:
    themed = {**BASIC, "templates": {"theme": "keycloak"}}
    before, spec = {**STORED, "/emailTheme": "base"}, one_realm(themed)
    doubt = doubtful(before, themed)

    def cause(live: Mapping[str, str], last: Mapping[str, str] | Write) -> object:
        server = Server({"acme": live})
        server.dialect = with_templates(KEYCLOAK)
        return judged(spec, server, last, doubt).causes["acme"]

    assert cause(before, STORED) == {"templates.theme": Cause.PENDING}
    assert cause({**before, "/emailTheme": "other"}, STORED) == {"templates.theme": Cause.UNATTRIBUTED}
    applied = written({**STORED, "/emailTheme": "acme"}, {**BASIC, "templates": {"theme": "acme"}})
    assert cause(before, applied) == {"templates.theme": Cause.OUT_OF_BAND}


def test_an_absent_attribute_counts_as_the_servers_default() -> None:
    entry = changed(NO_LOGIN, security="none", port=2525)
    applied = {"from": "no-reply@acme.example", "host": "smtp.example.com", "port": "25", "ssl": "false"}
    live = {"from": "no-reply@acme.example", "host": "smtp.example.com", "starttls": "false"}
    assert causes(live, applied, spec=one_realm(entry)) == {PORT: Cause.PENDING}


def test_a_masked_secret_is_never_a_difference_and_a_removed_or_visible_one_is() -> None:
    assert causes(STORED, STORED) == {}
    assert causes(VAULT, STORED) == {PASSWORD: Cause.OUT_OF_BAND}
    assert causes({k: v for k, v in STORED.items() if k != "password"}, STORED) == {PASSWORD: Cause.OUT_OF_BAND}


def test_a_secret_in_the_servers_vault_is_compared_exactly() -> None:
    kept = changed(BASIC, auth={"username": "apikey", "password": {"keycloak_vault": "smtp"}})
    other = changed(BASIC, auth={"username": "apikey", "password": {"keycloak_vault": "other"}})
    applied = written(VAULT, kept)
    assert causes(VAULT, applied, spec=one_realm(kept)) == {}
    assert causes(VAULT, applied, spec=one_realm(other)) == {PASSWORD: Cause.PENDING}
    assert causes(STORED, applied, spec=one_realm(kept)) == {PASSWORD: Cause.OUT_OF_BAND}


def test_values_of_different_types_are_never_equal() -> None:
    env, vault = SecretRef(SecretKind.ENV, ("A",)), SecretRef(SecretKind.KEYCLOAK_VAULT, ("A",))
    assert is_same_value(Masked(), env)
    assert is_same_value(env, SecretRef(SecretKind.FILE, ("b",)))
    assert not is_same_value(Masked(), vault)
    assert not is_same_value(True, 1)
    assert is_same_value(None, None)


def test_a_realm_emptied_by_somebody_and_one_to_be_emptied() -> None:
    emptied = causes({}, STORED)
    assert set(emptied) >= {HOST, PASSWORD, "sender.address"}  # type: ignore[call-overload]
    assert set(emptied.values()) == {Cause.OUT_OF_BAND}  # type: ignore[attr-defined]
    disabled = one_realm({"disabled": True})
    to_empty = causes(STORED, STORED, spec=disabled)
    assert set(to_empty.values()) == {Cause.PENDING}  # type: ignore[attr-defined]


def test_anything_in_a_realm_that_was_emptied_is_out_of_band_even_what_means_nothing() -> None:
    disabled, emptied = one_realm({"disabled": True}), written({}, None)
    live = {"host": "h", "port": "25", "ssl": "false", "replyTo": ""}
    assert causes(live, emptied, spec=disabled) == {
        "reply_to.address": Cause.OUT_OF_BAND,
        HOST: Cause.OUT_OF_BAND,
        PORT: Cause.OUT_OF_BAND,
        "relay.security": Cause.OUT_OF_BAND,
    }
    applied = written({"host": "g", "port": "25", "replyTo": ""}, NO_LOGIN)
    assert causes({"host": "h", "port": "25", "replyTo": ""}, applied, spec=disabled) == {
        "reply_to.address": Cause.PENDING,
        HOST: Cause.BOTH,
        PORT: Cause.PENDING,
    }


def test_the_intent_of_a_write_counts_as_applied_when_it_was_never_read_back() -> None:
    assert causes({**STORED, "host": "evil.example"}, written(None)) == {HOST: Cause.OUT_OF_BAND}
    assert causes({"host": "evil.example"}, written(None, None), spec=one_realm({"disabled": True})) == {
        HOST: Cause.OUT_OF_BAND
    }


@pytest.mark.parametrize("junk", JUNK)
def test_any_live_attributes_are_pending_if_applied_so_and_external_otherwise(junk: str) -> None:
    found = judged(SPEC, Server({"acme": JUNK[junk]}), JUNK[junk])
    assert set(found.causes.get("acme", {}).values()) <= {Cause.PENDING}
    found = judged(SPEC, Server({"acme": JUNK[junk]}), STORED)
    assert set(found.causes.get("acme", {}).values()) <= {Cause.OUT_OF_BAND}
    assert "relay-Passw0rd" not in str(found.own_findings)


# A write in doubt


def test_the_intent_of_a_write_of_unknown_outcome_is_not_an_external_change() -> None:
    new = changed(BASIC, host="new.example.com")
    doubt = doubtful(STORED, new)
    newer = one_realm(changed(BASIC, host="newer.example.com"))
    assert causes({**STORED, "host": "new.example.com"}, STORED, doubt, newer) == {HOST: Cause.PENDING}
    assert causes(STORED, STORED, doubt, newer) == {HOST: Cause.PENDING}
    assert causes({**STORED, "host": "new.example.com"}, None, doubt, newer) == {HOST: Cause.PENDING}


def test_neither_applied_values_nor_the_intent_of_a_write_of_unknown_outcome_are_external_changes() -> None:
    doubt = doubtful(STORED, changed(BASIC, host="new.example.com"))
    live = {**STORED, "host": "evil.example"}
    assert causes(live, STORED, doubt) == {HOST: Cause.OUT_OF_BAND}
    assert causes(live, STORED, doubt, one_realm(changed(BASIC, host="new.example.com"))) == {HOST: Cause.OUT_OF_BAND}
    assert causes(live, STORED, doubt, one_realm(changed(BASIC, host="newer.example.com"))) == {HOST: Cause.BOTH}


def test_before_a_first_write_of_unknown_outcome_old_values_are_pending_and_others_unattributed() -> None:
    doubt = doubtful({"host": "old.example.com", "fromDisplayName": "Old"}, BASIC)
    live = {**STORED, "host": "old.example.com", "fromDisplayName": "Other"}
    assert causes(live, None, doubt) == {NAME: Cause.UNATTRIBUTED, HOST: Cause.PENDING}


def test_a_write_of_unknown_outcome_that_empties_a_realm_is_not_an_external_change() -> None:
    assert set(causes({}, STORED, doubtful(STORED, None)).values()) == {Cause.PENDING}  # type: ignore[attr-defined]


def test_a_write_of_unknown_outcome_is_reported_for_drifted_realms_only() -> None:
    doubt = doubtful(STORED, BASIC)
    found = judged(SPEC, Server({"acme": {**STORED, "port": "25"}}), None, doubt)
    (told,) = found.own_findings
    assert (told.severity, told.rule, told.realm, told.hint) == (
        Severity.WARNING,
        "in-doubt",
        "acme",
        "run: ztrust-mail apply SPEC... --resume",
    )
    assert told.message.startswith("run 13 of 2026-11-20 14:03 UTC began to write this realm")
    assert judged(SPEC, Server({"acme": STORED}), None, doubt).own_findings == ()


# Which changes are critical


def test_changes_of_relay_login_security_and_sender_are_critical() -> None:
    grave = {name for name in [*FIELDS, "relay.auth", "extra.x"] if is_critical(name)}
    login = {name for name in FIELDS if name.startswith("relay.auth.")}
    assert grave == {"sender.address", HOST, PORT, "relay.security", "relay.auth", *login}


@pytest.mark.parametrize(
    ("live", "last", "status"),
    [
        ({"fromDisplayName": "X"}, STORED, ExitStatus.OK),
        ({"host": "evil.example"}, STORED, ExitStatus.DIFFERS),
        ({"host": "evil.example"}, None, ExitStatus.DIFFERS),
        ({"host": "old.example"}, {**STORED, "host": "old.example"}, ExitStatus.OK),
    ],
    ids=["a name by others", "a host by others", "a host, without a journal", "a host, changed in the spec"],
)
def test_only_what_may_be_critical_counts_when_drift_fails_on_critical(
    live: Mapping[str, str], last: Mapping[str, str] | None, status: ExitStatus
) -> None:
    found = judged(SPEC, Server({"acme": {**STORED, **live}}), last)
    assert found.exit_status is ExitStatus.DIFFERS
    limited = found.failing_on(FailOn.CRITICAL)
    assert (limited.exit_status, limited.below_limit) == (status, ("acme",) if status is ExitStatus.OK else ())
    if status is ExitStatus.OK:
        limited.raise_for_status()


def test_a_vanished_realm_is_a_warning_when_drift_fails_on_critical() -> None:
    gone = Finding(Severity.ERROR, "vanished", "gone", realm="gone")
    found = replace(judged(SPEC, Server({"acme": STORED})), own_findings=(gone,), vanished=("gone",))
    assert (found.exit_status, found.findings[-1].severity) == (ExitStatus.DIFFERS, Severity.ERROR)
    limited = found.failing_on(FailOn.CRITICAL)
    assert (limited.exit_status, limited.findings[-1].severity) == (ExitStatus.OK, Severity.WARNING)
    assert limited.below_limit == ("gone",)


def test_an_out_of_band_finding_has_both_values_and_the_run_that_applied_the_old_one() -> None:
    found = judged(SPEC, Server({"acme": {**STORED, "host": "evil.example", "fromDisplayName": "X"}}), STORED)
    host, name = found.own_findings[1], found.own_findings[0]
    assert host == Finding(
        Severity.CRITICAL,
        "out-of-band",
        "`relay.host` changed outside ztrust-mail since run 12 of 2026-11-20 14:03 UTC: "
        "`smtp.example.com` → `evil.example`",
        realm="acme",
        field=HOST,
    )
    assert (name.severity, name.field) == (Severity.WARNING, NAME)
    assert found.findings[0] == host
    assert (found.is_critical("acme", HOST), found.is_critical("acme", NAME)) == (True, False)


def test_the_finding_names_the_specs_new_value_when_the_spec_changed_as_well() -> None:
    spec = one_realm(changed(BASIC, host="new.example.com"))
    (told, _) = judged(spec, Server({"acme": {**STORED, "host": "evil.example"}}), STORED).own_findings
    assert told.severity is Severity.CRITICAL
    assert told.message.endswith("→ `evil.example`; the spec changed as well, to `new.example.com`")


def test_pending_changes_are_no_findings() -> None:
    assert judged(one_realm(changed(BASIC, port=2525)), Server({"acme": STORED}), STORED).own_findings == ()


def test_values_in_findings_are_displayed_and_escaped() -> None:
    live = {**VAULT, "host": "evil\x1b[2J", "debug": "true"}
    del live["user"]
    found = judged(SPEC, Server({"acme": live}), STORED)
    told = {one.field: one.message for one in found.own_findings}
    assert told["relay.auth.username"].endswith(": `apikey` → not set")
    assert told[PASSWORD].endswith(": a masked secret → `keycloak_vault:smtp`")
    assert told[HOST].endswith(" → `evil\\x1b[2J`")
    assert told["relay.debug"].endswith(": `false` → `true`")


def test_a_time_without_a_zone_is_in_utc_and_a_missing_one_is_left_out() -> None:
    gateway = Watched({"acme": {**STORED, "host": "evil.example"}})
    naive = replace(written(STORED), ended=None, started=ENDED.replace(tzinfo=None))
    assert "since run 12 of 2026-11-20 14:03 UTC: " in judged(SPEC, gateway, naive).own_findings[0].message
    assert gateway.asked == {"acme": ENDED}
    elsewhere = replace(naive, started=ENDED.astimezone(timezone(timedelta(hours=5))))
    assert "14:03 UTC" in judged(SPEC, gateway, elsewhere).own_findings[0].message
    timeless = replace(naive, started=None)
    assert "since run 12: " in judged(SPEC, gateway, timeless).own_findings[0].message
    assert gateway.asked == {"acme": None}


# Who did it


def edit(user: str, minutes: int, live: Mapping[str, str] | None = None) -> Edit:
    """Return an edit so many minutes after the last write."""
    fields = None if live is None else KEYCLOAK.decode(shown({**live, "password": Secret("x")}))
    return Edit(ENDED + timedelta(minutes=minutes), user, "console-id", "10.0.0.9", fields)


EVIL = {**STORED, "host": "evil.example"}


def test_the_edit_that_set_the_value_is_named_with_account_client_address_and_time() -> None:
    gateway = Watched({"acme": EVIL})
    gateway.told = lambda realm: [edit("mallory", 57, EVIL)]
    (told,) = judged(SPEC, gateway, STORED).own_findings
    assert told.message.endswith(
        "→ `evil.example`, by `mallory` with client `console-id` from `10.0.0.9` on 2026-11-20 15:00 UTC"
    )
    assert gateway.asked == {"acme": ENDED}


def test_each_field_is_attributed_to_the_edit_that_set_its_live_value() -> None:
    later = {**EVIL, "port": "25"}
    gateway = Watched({"acme": later})
    gateway.told = lambda realm: [edit("bob", 30, later), edit("mallory", 20, EVIL), edit("alice", 10, STORED)]
    told = {one.field: one.message for one in judged(SPEC, gateway, STORED).own_findings}
    assert ", by `mallory`" in told[HOST]
    assert ", by `bob`" in told[PORT]


@pytest.mark.parametrize("fields", [None, STORED], ids=["without details", "another value"])
def test_edits_without_the_value_are_a_note_of_their_own(fields: Mapping[str, str] | None) -> None:
    gateway = Watched({"acme": EVIL})
    gateway.told = lambda realm: [edit(name, 9 - n, fields) for n, name in enumerate("abcde")]
    changed_since, beside = judged(SPEC, gateway, STORED).own_findings
    assert changed_since.message.endswith("→ `evil.example`")
    assert (beside.severity, beside.rule, beside.realm) == (Severity.NOTE, "edited-by", "acme")
    assert beside.message.startswith("edited since then by `a` with client")
    assert beside.message.endswith("; and 2 more")
    assert "`d`" not in beside.message


def test_an_edit_without_account_client_and_address_is_by_somebody() -> None:
    gateway = Watched({"acme": EVIL})
    gateway.told = lambda realm: [Edit(ENDED, "", "", "")]
    assert (
        judged(SPEC, gateway, STORED)
        .own_findings[1]
        .message.endswith("edited since then by somebody on 2026-11-20 14:03 UTC")
    )


def test_edits_are_read_only_for_externally_changed_realms_critical_ones_first() -> None:
    live = {"b": {**STORED, "fromDisplayName": "X"}, "c": EVIL, "d": EVIL, "e": {**STORED, "fromDisplayName": "X"}}
    gateway = Watched(live)
    gateway.connections = 1
    known = {name: LastKnown(written(EVIL if name == "d" else STORED)) for name in "bcd"}
    explain_drift(make_plan(realms(dict.fromkeys(live, BASIC)), gateway), known, gateway)
    assert list(gateway.asked) == ["c", "b"]


def fleet(count: int) -> tuple[Watched, Spec, dict[str, LastKnown]]:
    """Return so many realms that somebody changed."""
    names = [f"tenant-{n:02}" for n in range(count)]
    known = {name: LastKnown(written(STORED, realm=name)) for name in names}
    return Watched(dict.fromkeys(names, EVIL)), realms({"tenant-*": BASIC}), known


def test_edits_are_read_for_a_bounded_number_of_realms() -> None:
    gateway, spec, known = fleet(MOST_REALMS + 7)
    gateway.told = lambda realm: [edit("mallory", 1, EVIL)]
    found = explain_drift(make_plan(spec, gateway), known, gateway)
    assert len(gateway.asked) == MOST_REALMS
    assert [one.message for one in found.own_findings if one.severity is Severity.NOTE] == [
        "did not look up who edited 7 more realms"
    ]


def test_realms_without_known_edits_share_one_note() -> None:
    gateway, spec, known = fleet(3)
    gateway.told = lambda realm: {"tenant-00": [edit("mallory", 1, EVIL)], "tenant-01": []}.get(realm)
    notes = [
        f for f in explain_drift(make_plan(spec, gateway), known, gateway).own_findings if f.severity is Severity.NOTE
    ]
    assert [(note.rule, note.realm) for note in notes] == [("no-admin-events", None)]
    assert notes[0].message.startswith("unknown who edited 2 realms")
    assert "view-events" in notes[0].hint


def test_drift_is_reported_when_reading_edits_fails_and_the_server_is_asked_only_once() -> None:
    gateway, spec, known = fleet(3)
    gateway.connections = 1

    def fail(realm: str) -> Sequence[Edit]:
        raise ServerUnreachable("it broke the connection off")

    gateway.told = fail
    found = explain_drift(make_plan(spec, gateway), known, gateway)
    assert list(gateway.asked) == ["tenant-00"]
    assert sum(one.severity is Severity.CRITICAL for one in found.own_findings) == 3


def test_a_realm_whose_edits_cannot_be_read_does_not_affect_others() -> None:
    gateway, spec, known = fleet(2)
    gateway.connections = 1

    def fail(realm: str) -> Sequence[Edit]:
        if realm == "tenant-00":
            raise RealmError("not this one")
        return [edit("mallory", 1, EVIL)]

    gateway.told = fail
    found = explain_drift(make_plan(spec, gateway), known, gateway)
    assert ["by `mallory`" in one.message for one in found.own_findings] == [False, True, False]


def test_a_gateway_that_knows_nothing_of_edits_says_so() -> None:
    assert Server({}).edits("acme", None) is None


# Reading admin events


WHO = {"realmId": "m", "userId": "u-1", "clientId": "c-1", "ipAddress": "10.0.0.9"}
EVENT = {"time": 1_795_265_172_639, "realmId": "r", "authDetails": WHO, "operationType": "UPDATE"}
SENT = json.dumps({"smtpServer": {"host": "h", "port": None, "password": MASK}})


def read_events(*events: object, users: Mapping[str, object] | None = None) -> tuple[list[str], Sequence[Edit] | None]:
    """Return the paths asked for and the edits that the events tell of."""
    asked: list[str] = []

    def get(path: str) -> object:
        asked.append(path)
        return list(events) if "admin-events" in path else (users or {}).get(path)

    return asked, AdminEvents(get, KEYCLOAK).edits("admin/realms/acme", None)  # type: ignore[arg-type]


def test_an_account_is_looked_up_once_in_its_own_realm() -> None:
    own = {**EVENT, "authDetails": {**WHO, "realmId": "r"}}
    users = {"admin/realms/master/users/u-1": {"username": "root"}, "admin/realms/acme/users/u-1": {"username": "ann"}}
    asked, found = read_events(EVENT, own, EVENT, own, users=users)
    assert found is not None
    assert [one.user for one in found] == ["root", "ann", "root", "ann"]
    assert asked[1:] == list(users)


@pytest.mark.parametrize("user", [None, [], {}, {"username": 5}, {"username": ""}])
def test_an_account_that_cannot_be_seen_goes_by_its_id(user: object) -> None:
    _, found = read_events(EVENT, users={"admin/realms/master/users/u-1": user})
    assert found == [Edit(datetime(2026, 11, 21, 12, 46, 12, 639000, UTC), "u-1", "c-1", "10.0.0.9")]


@pytest.mark.parametrize(("user", "path"), [("a/b?c#\ud800", "users/a%2Fb%3Fc%23%3F"), ("..", ""), (".", ""), ("", "")])
def test_an_unusual_account_id_cannot_change_the_path_of_a_request(user: str, path: str) -> None:
    asked, found = read_events({**EVENT, "authDetails": {**WHO, "userId": user}})
    assert found is not None
    assert found[0].user == user
    assert asked[1:] == ([f"admin/realms/master/{path}"] if path else [])


def test_the_number_of_looked_up_accounts_is_bounded() -> None:
    events = [{**EVENT, "authDetails": {**WHO, "userId": f"u-{n}"}} for n in range(MAX_NAMES + 5)]
    asked, found = read_events(*events)
    assert len(asked) == MAX_NAMES + 1
    assert found is not None
    assert found[-1].user == f"u-{MAX_NAMES + 4}"


@pytest.mark.parametrize(
    "event",
    [
        "no object",
        {**EVENT, "time": "soon"},
        {**EVENT, "time": True},
        {**EVENT, "time": -1},
        {**EVENT, "time": 10**30},
        {**EVENT, "resourcePath": "events/config"},
        {**EVENT, "representation": '{"displayName": "x"}'},
        {**EVENT, "representation": '{"smtpServer": null}'},
    ],
)
def test_events_that_do_not_concern_e_mail_are_ignored(event: object) -> None:
    assert read_events(event)[1] == []


@pytest.mark.parametrize("representation", [None, 5, "", SENT[:-5], "[]", "[" * 100_000])
def test_incomplete_details_count_as_none(representation: object) -> None:
    _, found = read_events({**EVENT, "representation": representation, "authDetails": None})
    assert found is not None
    assert [(one.user, one.fields) for one in found] == [("", None)]


def test_details_hold_no_secret_and_no_empty_value() -> None:
    _, found = read_events({**EVENT, "representation": SENT.replace(MASK, "in clear")})
    assert found is not None
    assert found[0].fields == {HOST: "h", PASSWORD: Masked()}
    assert "in clear" not in repr(found)


@pytest.mark.parametrize("listed", [None, {"error": "x"}, "x"])
def test_an_answer_that_is_not_a_list_has_no_edits(listed: object) -> None:
    assert AdminEvents(lambda path: listed, KEYCLOAK).edits("admin/realms/acme", None) is None  # type: ignore[arg-type,return-value]


def test_edits_are_requested_from_a_day_earlier_because_servers_have_time_zones() -> None:
    asked: list[str] = []

    def get(path: str) -> object:
        asked.append(path)
        return [{**EVENT, "time": int(ENDED.timestamp() * 1000) + shift} for shift in (-1, 0, 1)]

    since = ENDED.astimezone(timezone(timedelta(hours=14)))
    found = AdminEvents(get, KEYCLOAK).edits("admin/realms/acme", since)  # type: ignore[arg-type]
    assert asked[0].endswith("operationTypes=UPDATE&resourceTypes=REALM&max=100&dateFrom=2026-11-19")
    assert found is not None
    assert [one.at for one in found] == [ENDED + timedelta(milliseconds=1)]


# Realms that are not to be seen any more


def gone(gateway: Server, spec: Spec, *selected: str, remembered: Sequence[str] = ("a-1", "a-2", "b")) -> Drift:
    """Return the drift where these realms were written before."""
    known = {name: LastKnown(written(STORED, realm=name)) for name in remembered}
    return explain_drift(make_plan(spec, gateway, realms=selected, everything=True), known, gateway, selected=selected)


def test_a_realm_written_before_that_a_glob_covers_and_the_list_lacks_has_vanished() -> None:
    found = gone(Server({"a-2": STORED, "c": {}}), realms({"a-*": BASIC}))
    assert (found.vanished, found.exit_status, found.plan.exit_status) == (("a-1",), ExitStatus.DIFFERS, ExitStatus.OK)
    (told,) = found.own_findings
    assert (told.severity, told.rule, told.realm) == (Severity.ERROR, "vanished", "a-1")
    assert told.message.endswith("run 12 of 2026-11-20 14:03 UTC wrote it")


def test_a_realm_with_a_write_of_unknown_outcome_can_vanish_too() -> None:
    gateway, spec = Server({"a-2": STORED}), realms({"a-*": BASIC})
    found = explain_drift(make_plan(spec, gateway), {"a-1": LastKnown(doubt=doubtful({}, BASIC))}, gateway)
    assert found.vanished == ("a-1",)


def test_realms_that_no_glob_covers_or_nobody_asked_for_have_not_vanished() -> None:
    gateway = Server({"a-2": STORED, "z": {}})
    assert gone(gateway, realms({"a-*": BASIC}), "a-2", remembered=["a-1"]).vanished == ()
    assert gone(gateway, realms({"a-*": BASIC}), "a-?", remembered=["a-1"]).vanished == ("a-1",)
    assert gone(gateway, realms({"*": BASIC}), remembered=["master", "a-2", "z"]).vanished == ()


def test_a_glob_that_only_a_vanished_realm_matches_gets_no_warning() -> None:
    findings = gone(Server({"a-2": STORED}), realms({"a-*": BASIC}), "a-2", "a-1", "a-9").own_findings
    assert [f.message for f in findings if f.rule == "no-match"] == ["no realm of the spec matches --realm `a-9`"]


def test_a_vanished_realm_may_be_asked_for_by_its_name_alone() -> None:
    found = gone(Server({"a-2": STORED}), realms({"a-*": BASIC}), "a-1")
    assert (found.vanished, found.exit_status, found.plan.realms) == (("a-1",), ExitStatus.DIFFERS, ())
    assert told(found)[-1] == "Written before, now missing: 1 realm (a-1)"
    with pytest.raises(UsageError, match="no realm of the spec matches --realm `a-9`"):
        gone(Server({"a-2": STORED}), realms({"a-*": BASIC}), "a-9")


def test_a_realm_with_an_entry_of_its_own_is_missing_and_not_vanished() -> None:
    found = gone(Server({"a-2": STORED}), realms({"a-1": BASIC, "a-*": BASIC}))
    assert found.vanished == ()
    assert {r.realm: r.status for r in found.plan.realms} == {"a-1": Status.MISSING, "a-2": Status.IN_SYNC}


def test_no_realm_counts_as_vanished_if_the_list_is_incomplete() -> None:
    found = gone(Unlisted({"a-2": STORED}), realms({"a-*": BASIC}))
    assert (found.vanished, found.own_findings) == ((), ())


# What the server did not keep


def not_kept(after: Mapping[str, str], entry: Mapping[str, object] = BASIC, run: int = 13) -> LastKnown:
    """Return a memory of what was applied before, and of a write of which the server made something else."""
    write = replace(
        written(after, entry, run=run), step=Step.FAILED, error="the server did not keep `relay.port` as written"
    )
    return LastKnown(written({**STORED, "port": "25"}), unkept=write)


def test_a_value_that_the_server_stored_instead_of_a_write_is_not_out_of_band() -> None:
    live = {**STORED, "port": "465"}
    spec, gateway = one_realm(BASIC), Watched({"acme": live})
    found = explain_drift(make_plan(spec, gateway), {"acme": not_kept(live)}, gateway)
    assert (found.causes, gateway.asked) == ({"acme": {PORT: Cause.NOT_KEPT}}, {})
    (said,) = found.own_findings
    assert (said.severity, said.rule, said.field) == (Severity.WARNING, "not-kept", PORT)
    assert said.message == "`relay.port` is `465`: the server did not keep what run 13 of 2026-11-20 14:03 UTC wrote"
    assert told(found)[1:3] == [
        "  written, but not kept by the server",
        "    relay.port (Port)  is 465, the spec says 587",
    ]
    assert reporting(found)["realms"][0]["changes"][0]["cause"] == "not_kept"  # type: ignore[index]


def test_after_a_write_that_was_not_kept_other_values_are_out_of_band_and_a_changed_spec_is_pending() -> None:
    live = {**STORED, "port": "465"}
    gateway = Server({"acme": {**live, "host": "evil.example"}})
    found = explain_drift(make_plan(SPEC, gateway), {"acme": not_kept(live)}, gateway)
    assert found.causes == {"acme": {HOST: Cause.OUT_OF_BAND, PORT: Cause.NOT_KEPT}}
    moved = one_realm(changed(BASIC, port=2525))
    gateway = Server({"acme": live})
    assert explain_drift(make_plan(moved, gateway), {"acme": not_kept(live)}, gateway).causes == {
        "acme": {PORT: Cause.PENDING}
    }


# How it is reported


def told(found: Drift) -> list[str]:
    """Return the text without the server and the account."""
    return text_lines(of_drift(found, found.exit_status))[2:]


def reporting(found: Drift) -> dict[str, object]:
    """Return the report as JSON, which is valid by its schema."""
    data = json.loads(FORMAT.document(of_drift(found, found.exit_status)))
    report_validator().validate(data)
    return data  # type: ignore[no-any-return]


def two_drifted() -> Drift:
    """Return a drift with every cause in it."""
    gateway = Server({"a": STORED, "b": {**STORED, "fromDisplayName": "X", "host": "evil.example"}, "c": EVIL})
    spec = realms(
        {"a": changed(BASIC, port=2525), "b": {**BASIC, "sender": {"address": "no-reply@acme.example"}}, "c": BASIC}
    )
    return explain_drift(make_plan(spec, gateway), {n: LastKnown(written(STORED, realm=n)) for n in "ab"}, gateway)


def test_the_drift_text_begins_with_critical_realms_and_counts_the_causes() -> None:
    assert [one for one in told(two_drifted()) if "relay-moves" not in one] == [
        "b  critical",
        "  changed outside ztrust-mail",
        "    relay.host (Host)  smtp.example.com → evil.example",
        "  changed outside ztrust-mail, and in the spec",
        "    sender.name (From display name)  is X, the spec says (not set)",
        "  last applied by run 12 of 2026-11-20 14:03 UTC",
        "",
        "a  drifted",
        "  changed in the spec, and not applied yet",
        "    relay.port (Port)  is 587, the spec says 2525",
        "",
        "c  drifted",
        "  for an unknown reason: the journal has no entry",
        "    relay.host (Host)  is evil.example, the spec says smtp.example.com",
        "",
        "realm b: warning: `sender.name` changed outside ztrust-mail since run 12 of 2026-11-20 14:03 UTC: "
        "`Acme` → `X`; the spec changed as well, to not set [out-of-band]",
        "ztrust-mail: note: unknown who edited 1 realm: no admin events, or this account may not see them; switch on "
        "admin events with their details there, and give the account the role view-events [no-admin-events]",
        "",
        "Drift: 3 realms drifted (4 fields: 1 out of band, 1 both, 1 pending, 1 unattributed; 1 critical).",
        "Next: find out who changed it, and which mail and passwords went there; rotate these passwords. A run with "
        "another journal looks the same.",
    ]


def drifted_alike(edits: Mapping[str, Sequence[Edit]], **minutes: int) -> list[str]:
    """Return what the text says of the origin of one drift in several realms, written so many minutes after run 12."""
    gateway = Watched(dict.fromkeys(minutes, EVIL))
    gateway.told = edits.get
    at = {realm: ENDED + timedelta(minutes=later) for realm, later in minutes.items()}
    known = {realm: LastKnown(replace(written(STORED, realm=realm), ended=at[realm])) for realm in minutes}
    found = explain_drift(make_plan(realms(dict.fromkeys(minutes, BASIC)), gateway), known, gateway)
    return [one for one in told(found) if one.startswith(("  last", "  edited"))]


def test_a_run_that_wrote_for_minutes_is_one_run_in_the_drift_text() -> None:
    assert drifted_alike({}, a=1, b=0, c=2) == ["  last applied by run 12 of 2026-11-20 14:05 UTC"]


def test_somebody_who_edited_many_realms_one_after_the_other_is_named_once_with_the_period() -> None:
    edits = {realm: [edit("mallory", 10 + n, EVIL)] for n, realm in enumerate("abc")}
    who = "  edited since then by `mallory` with client `console-id` from `10.0.0.9`"
    assert drifted_alike(edits, a=0, b=0, c=0)[1:] == [f"{who} on 2026-11-20 14:13 to 14:15 UTC"]
    edits["c"] = [*edits["c"], *edits["c"]]
    assert drifted_alike(edits, a=0, b=0, c=0)[1:] == [f"{who} on 2026-11-20 14:13 to 14:15 UTC"]
    edits["b"] = [edit("bob", 30)]
    assert drifted_alike(edits, b=0)[1:] == [f"{who.replace('mallory', 'bob')} on 2026-11-20 14:33 UTC"]


def test_only_critical_changes_are_bold_and_red() -> None:
    styled = [
        (span.text, span.style) for one in drift_body(of_drift(two_drifted(), ExitStatus.DIFFERS)) for span in one
    ]
    bold = {text for text, style in styled if style == "bold red"}
    assert bold == {"critical"}
    assert ("  changed outside ztrust-mail, and in the spec", "yellow") in styled


def test_no_drift_is_one_line() -> None:
    assert told(judged(SPEC, Server({"acme": STORED}), STORED)) == [f"No drift: 1 realm in sync; {NOT_COMPARED}"]


def test_realms_missing_vanished_and_uncovered_are_named() -> None:
    spec = realms({"gone": NO_LOGIN, "a-*": BASIC})
    found = gone(Server({"a-2": EVIL, "x\x1b": {}}), spec)
    assert [one for one in told(found) if "missing" in one or "covered" in one] == [
        "gone  missing",
        "Drift: 1 realm drifted (1 field out of band; 1 critical), 1 missing.",
        "Written before, now missing: 1 realm (a-1)",
        "Not covered by the spec: 1 realm (x\\x1b)",
    ]
    assert found.exit_status is ExitStatus.PARTIAL
    many = gone(Server({"a-2": STORED, **{f"x{n:02}": {} for n in range(12)}}), spec, remembered=())
    ten = ", ".join(f"x{n:02}" for n in range(10))
    assert told(many)[-1] == f"Not covered by the spec: 12 realms ({ten} and 2 more; a report in JSON names all)"
    alone = gone(Server({"a-2": STORED}), realms({"a-*": BASIC}))
    assert told(alone)[-2:] == [
        f"1 realm in sync; {NOT_COMPARED}",
        "Written before, now missing: 1 realm (a-1)",
    ]


def test_masked_passwords_of_realms_without_drift_are_counted() -> None:
    gateway = Server({"a": EVIL, "b": STORED})
    found = explain_drift(make_plan(realms({"a": BASIC, "b": BASIC}), gateway), {}, gateway)
    assert told(found)[-2:] == [
        "Drift: 1 realm drifted (1 field unattributed), 1 in sync.",
        NOT_COMPARED,
    ]


def test_the_json_report_has_the_cause_of_each_change_and_findings_at_their_realms() -> None:
    data = reporting(two_drifted())
    by_realm = {one["realm"]: one for one in data["realms"]}  # type: ignore[attr-defined]
    seen = {name: {c["field"]: c["cause"] for c in one["changes"]} for name, one in by_realm.items()}
    assert seen == {
        "a": {PORT: "pending"},
        "b": {NAME: "both", HOST: "out_of_band"},
        "c": {HOST: "unattributed"},
    }
    severities = {f["field"]: f["severity"] for f in by_realm["b"]["findings"]}
    assert severities == {NAME: "warning", HOST: "critical"}
    assert "no-admin-events" in [f["rule"] for f in data["findings"]]  # type: ignore[attr-defined]
    assert (data["status"], data["vanished"]) == ("differs", [])


def test_the_report_names_vanished_realms() -> None:
    data = reporting(gone(Server({"a-2": STORED}), realms({"a-*": BASIC})))
    assert (data["exit_status"], data["vanished"], data["realms"][0]["changes"]) == (1, ["a-1"], [])  # type: ignore[index]
    assert [(f["rule"], f["realm"]) for f in data["findings"]] == [("vanished", "a-1")]  # type: ignore[attr-defined]


# With a server and a journal


@pytest.fixture
def connection(ztrust_sandbox: Sandbox, tmp_path: Path) -> Iterator[Session]:
    """A connection with a journal of its own."""
    journal = Secret(f"sqlite:///{tmp_path / 'journal.sqlite3'}")
    with replace(connected(ztrust_sandbox), journal_url=journal) as opened:
        yield opened


def test_drift_after_an_apply_names_who_changed_the_realm(
    ztrust_sandbox: Sandbox, connection: Session, admin: AdminApi
) -> None:
    ztrust_mail.apply(ztrust_mail.plan(SPEC, connection), connection)
    admin.ok("PUT", "/admin/realms/acme", {"adminEventsEnabled": True, "adminEventsDetailsEnabled": True})
    admin.create_user("acme", "mallory", ["manage-realm"])
    evil = {**ztrust_sandbox.smtp("acme"), "host": "evil.example", "password": MASK}
    token = admin.user_token("acme", "mallory")
    assert admin.call("PUT", "/admin/realms/acme", {"smtpServer": evil}, token).status_code == 204
    found = ztrust_mail.drift(SPEC, connection)
    assert found.causes == {"acme": {HOST: Cause.OUT_OF_BAND}}
    (told_of,) = found.own_findings
    assert told_of.severity is Severity.CRITICAL
    assert "changed outside ztrust-mail since run 1 of" in told_of.message
    assert ": `smtp.example.com` → `evil.example`, by `mallory` with client" in told_of.message


def test_drift_only_reads_the_journal_and_resolves_no_secret(
    ztrust_sandbox: Sandbox, connection: Session, tmp_path: Path
) -> None:
    file = tmp_path / "journal.sqlite3"
    ztrust_sandbox.edit_smtp("acme", EVIL)
    found = ztrust_mail.drift(SPEC, connection)
    assert set(found.causes["acme"].values()) == {Cause.UNATTRIBUTED}
    assert not file.exists()
    ztrust_mail.apply(ztrust_mail.plan(SPEC, connection), connection)
    connection.journal.close()
    ztrust_sandbox.edit_smtp("acme", {**STORED, "port": "25"})
    before, requests = file.read_bytes(), len(ztrust_sandbox.requests)
    with replace(connected(ztrust_sandbox, Unreadable()), journal_url=connection.journal_url) as blind:
        assert ztrust_mail.drift(SPEC, blind).causes == {"acme": {PORT: Cause.OUT_OF_BAND}}
    assert file.read_bytes() == before
    assert {r.method for r in ztrust_sandbox.requests[requests:] if not r.path.endswith("/token")} == {"GET"}
