"""Saved plans: what the file says, which files are refused, and when a plan no longer fits."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cli import Cli
from support.connecting import NO_MEANS, FakeGateway, make_plan
from support.mail_settings import BASIC, ENTRIES, ENVIRON, NO_LOGIN, STORED, entry_of, field_maps, one_realm, realms

from ztrust_mail import explain, load_spec
from ztrust_mail.core.data import load_schema, of_bytes, of_json
from ztrust_mail.core.errors import ExitStatus, SpecError, Unsafe, UsageError
from ztrust_mail.core.findings import Location, Severity
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.dialects.products.keycloak import KEYCLOAK, MASK
from ztrust_mail.dialects.row import Attributes
from ztrust_mail.gateways.gateway import Account, LiveRealm
from ztrust_mail.journal.records import JournalState, LastKnown, Step, Write
from ztrust_mail.model.fields import ABSENT, FIELDS, LOGIN, PASSWORD, Duration, FieldMap, Login, Masked, Raw, Security
from ztrust_mail.model.serialize import to_json
from ztrust_mail.model.values import BadValue
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.planning.plan import Plan, RealmPlan, Status, of_attributes
from ztrust_mail.planning.planners.from_spec import PlanningContext, plan_wanted
from ztrust_mail.planning.saved.checks import cannot_see, check_live, check_server, check_specs
from ztrust_mail.planning.saved.read import MAX_BYTES, from_text, load
from ztrust_mail.planning.saved.validation import parse_settings
from ztrust_mail.planning.saved.write import SavedPlan, digest_of, to_text
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.specfile.entries import Entry, Spec
from ztrust_mail.specfile.resolve import Desired

RANDOM = settings(max_examples=150, deadline=None, derandomize=True)
WHEN = "2026-01-31T12:00:00Z"
ISSUER = "https://id.example/realms/master"
OLD = {**STORED, "host": "old.example.com"}


class OldServer(FakeGateway):
    """A server that shows a token's client secret in clear."""

    def read_one(self, realm: str) -> LiveRealm:
        live = super().read_one(realm)
        clear = {n: v for n, v in self.stored[realm].items() if n == "authTokenClientSecret"}
        return replace(live, attributes={**live.attributes, **clear})


def text_of(plan: Plan, spec: Spec) -> str:
    return to_text(plan, spec, dialect=KEYCLOAK, issuer=ISSUER, created=WHEN)


def made(spec: Spec, gateway: FakeGateway, means: PlanningContext = NO_MEANS) -> str:
    return text_of(make_plan(spec, gateway, means), spec)


def changing(entry: Mapping[str, object] = BASIC, live: Mapping[str, str] = OLD) -> str:
    """Return the saved plan that brings one realm to an entry."""
    return made(one_realm(entry), FakeGateway({"acme": live}))


def saved(entry: Mapping[str, object] = BASIC, live: Mapping[str, str] = OLD) -> SavedPlan:
    return from_text(changing(entry, live))


def resealed(text: str, change: Callable[[dict], object]) -> str:
    """Return the plan altered, with the digest made anew."""
    data = json.loads(text)
    change(data)
    data["digest"] = of_json({key: value for key, value in data.items() if key != "digest"})
    return json.dumps(data)


def with_settings(**fields: object) -> str:
    return resealed(changing(), lambda data: data["realms"][0]["settings"].update(fields))


def refusal(text: str | bytes, *arguments: str) -> str:
    with pytest.raises(UsageError) as caught:
        from_text(text, *arguments)
    assert caught.value.exit_status is ExitStatus.USAGE
    assert caught.value.rule in ("bad-plan", "bad-digest")
    assert caught.value.hint
    return caught.value.message


def masked(plan: Plan) -> dict[str, Attributes]:
    return {realm.realm: realm.live.attributes for realm in plan.realms if realm.live}


# What stands in the file


def test_a_saved_plan_is_valid_by_the_schema_and_ascii_whatever_it_contains() -> None:
    names = [*ENTRIES, "ü\u202e\x1b[2J"]
    gateway = FakeGateway({name: {**OLD, "fromDisplayName": "a\x1b[2J\ud800"} for name in names})
    text = made(realms({**ENTRIES, "*": NO_LOGIN}), gateway)
    validator = jsonschema.Draft202012Validator(load_schema("plan"))
    assert list(validator.iter_errors(json.loads(text))) == []
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    assert [one.realm for one in from_text(text).realms] == names


def test_the_schema_of_plans_is_valid_and_can_be_printed(cli: Cli) -> None:
    schema = json.loads(cli("schema", "plan").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema == load_schema("plan")


def test_a_saved_plan_names_its_server_account_and_specs() -> None:
    spec = one_realm(BASIC)
    plan = from_text(made(spec, FakeGateway({"acme": OLD})), name="file.json")
    assert (plan.url, plan.issuer, plan.created) == ("https://fake.example", ISSUER, WHEN)
    assert plan.account == Account("admin", "master", None, ISSUER)
    assert plan.secrets is SecretMode.AUTO
    assert plan.specs == spec.digests
    assert plan.tool_version
    assert not plan.expected
    assert plan.realms[0].desired.entry == Entry("acme", Location("file.json"))


def test_a_saved_plan_lists_each_change_for_the_reviewer() -> None:
    (realm,) = json.loads(changing())["realms"]
    assert realm["changes"] == [
        {
            "field": "relay.host",
            "attributes": ["host"],
            "before": "old.example.com",
            "after": "smtp.example.com",
            "action": "change",
        }
    ]
    assert realm["hidden"] == [PASSWORD]


def test_a_disabled_realm_is_saved_as_such() -> None:
    plan = saved({"disabled": True})
    assert plan.realms[0].desired.disabled
    assert plan.realms[0].desired.fields == {}
    assert plan.realms[0].masked == (PASSWORD,)


def test_a_saved_plan_counts_realms_in_sync_without_listing_them() -> None:
    live = LiveRealm("x", STORED, 0.0)
    wanted = explain(one_realm(BASIC), "acme")
    many = tuple(RealmPlan(f"realm-{n}", Status.IN_SYNC, wanted, live) for n in range(10_000))
    text = text_of(Plan("https://x", Account("a", "r", ""), many), one_realm(BASIC))
    assert len(text) < 1_000
    assert from_text(text).in_sync == 10_000


def test_realms_that_could_not_be_planned_are_reported_again_with_the_reason() -> None:
    spec = realms({"acme": BASIC, "gone": BASIC, "{x": {}, "few-*": {**BASIC, "expect": {"min": 3}}}, {})
    plan = from_text(made(spec, FakeGateway({"acme": OLD, "{x": OLD, "few-1": OLD})))
    assert [one.realm for one in plan.realms] == ["acme"]
    assert {one.realm: one.status for one in plan.left_out} == {
        "gone": Status.MISSING,
        "{x": Status.FAILED,
        "few-1": Status.SKIPPED,
    }
    told = {finding.realm: finding.message for finding in (one.finding for one in plan.left_out)}
    assert told["gone"] == "not in the plan: there is no such realm"
    assert told["few-1"] == "not in the plan: its glob matched too few realms"
    assert {one.finding.severity for one in plan.left_out} == {Severity.ERROR}


def test_realms_left_out_of_a_saved_plan_are_reported_as_failed_when_it_is_applied() -> None:
    plan = from_text(made(realms({"acme": BASIC, "gone": BASIC}), FakeGateway({"acme": OLD})))
    (again,) = (one.as_planned for one in plan.left_out)
    assert (again.realm, again.status, again.live) == ("gone", Status.MISSING, None)
    assert again.status.exit_status is ExitStatus.PARTIAL
    assert again.findings == (plan.left_out[0].finding,)


def test_live_realms_without_an_entry_are_named() -> None:
    spec = realms({"a*": NO_LOGIN})
    assert from_text(made(spec, FakeGateway({"acme": OLD, "other": OLD}))).uncovered == ("other",)


def test_a_saved_plan_contains_no_secret_and_no_fingerprint() -> None:
    secrets = ("canary-env", "canary-stored", "canary-client", "canary-fingerprint")
    spec = realms({"basic": BASIC, "token": ENTRIES["token"], "off": {"disabled": True}})
    live = {**STORED, "password": "canary-stored", "authTokenClientSecret": "canary-client", "authType": "token"}
    gateway = OldServer(dict.fromkeys(("basic", "token", "off"), live))
    write = Write("basic", {}, {}, {PASSWORD: "canary-fingerprint"}, Step.VERIFIED, run=1)
    memory = JournalState({"basic": LastKnown(write)}, lambda secret: "canary-fingerprint of another")
    store = SecretStore(Reach(environ=dict.fromkeys(ENVIRON, "canary-env")))
    plan = make_plan(spec, gateway, PlanningContext(SecretMode.WRITE, memory=lambda: memory, secrets=store))
    assert len(plan.changed) == 3
    text = text_of(plan, spec)
    assert [secret for secret in secrets if secret in text] == []
    assert "SMTP_PASSWORD" in text
    assert {one.live_digest for one in from_text(text).realms} == {
        of_attributes({**live, "password": MASK, "authTokenClientSecret": MASK})
    }


references = st.sampled_from(
    [
        SecretRef(SecretKind.FILE, ("secrets/acme.txt",), "/specs/prod"),
        SecretRef(SecretKind.COMMAND, ("pass", "show", "", "smtp\n")),
        SecretRef(SecretKind.KEYRING, ("smtp", "no-reply")),
    ]
)
any_fields = field_maps | st.builds(
    lambda fields, ref: {n: ref if isinstance(v, SecretRef) else v for n, v in fields.items()}, field_maps, references
)


@RANDOM
@given(wanted=st.lists(any_fields, max_size=3), names=st.lists(st.text(max_size=20), unique=True))
def test_desired_settings_are_read_from_the_file_as_they_were_saved(wanted: list[FieldMap], names: list[str]) -> None:
    usable = [name for name in names if name not in ("", ".", "..") and name.isprintable()]
    planned = tuple(
        RealmPlan(name, Status.CHANGED, Desired(name, Entry("*", Location("x")), fields), LiveRealm(name, OLD, 0.0))
        for name, fields in zip(usable, wanted, strict=False)
    )
    plan = Plan("https://x", Account("a", "r", ""), planned, SecretMode.KEEP)
    back = from_text(text_of(plan, one_realm(NO_LOGIN)))
    assert back.secrets is SecretMode.KEEP
    assert [one.realm for one in back.realms] == [one.realm for one in planned]
    for one, then in zip(back.realms, planned, strict=True):
        assert typed(one.desired.fields) == typed(then.wanted.fields)
        assert one.desired.entry.name == "*"


def typed(fields: FieldMap) -> list[object]:
    return [(name, type(value), value) for name, value in fields.items()]


# Which files are refused


def test_a_file_is_read_and_named_in_messages(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(changing(), encoding="utf-8")
    assert load(file).digest == digest_of(changing())
    with pytest.raises(UsageError, match=r"plan\.jsn` does not exist"):
        load(str(tmp_path / "plan.jsn"))


def test_a_plan_that_is_not_a_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path, tmp_path / "pipe", "/dev/zero", "a\0b"):
        with pytest.raises(UsageError, match="cannot be read: it is not a regular file"):
            load(name)


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.touch()
    os.truncate(file, MAX_BYTES + 1)
    with pytest.raises(UsageError, match="is larger than 64 MB"):
        load(file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\xff\xfe{", "is not UTF-8 text"),
        ("", "is not JSON from line 1, column 1 on"),
        ("version: 1\n", "is not JSON from line 1, column 1 on"),
        ('{"schema": 1\n]', "is not JSON from line 2, column 1 on"),
        ('{"schema": 1, "schema": 2}', "has the key `schema` twice"),
        ('{"a": NaN}', "numbers that no plan has"),
        ('{"a": 1.5}', "numbers that no plan has"),
        ('{"a": ' + "9" * 10_000 + "}", "numbers that no plan has"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "is not a saved plan"),
        ("{}", "is not a saved plan"),
        ('{"schema": "urn:ztrust-mail:schema:report:1"}', "is not a saved plan"),
        ('{"schema": "urn:ztrust-mail:schema:plan:2"}', "was saved by another version of this program"),
        ('{"schema": "urn:ztrust-mail:schema:plan:1"}', "the top level lacks `tool_version`, `created`, `server`"),
    ],
)
def test_a_text_that_is_no_plan_is_refused(text: str | bytes, words: str) -> None:
    assert words in refusal(text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(more=1), "the top level has unknown keys: `more`"),
        (lambda d: d.update(secrets="all"), "`secrets` has an invalid value"),
        (lambda d: d.update(in_sync=-1), "`in_sync` has an invalid value"),
        (lambda d: d["spec"][0].update(digest="0" * 63), "`spec[0].digest` has an invalid value"),
        (lambda d: d.update(created="today"), "`created` has an invalid value"),
        (lambda d: d["server"].pop("url"), "`server` lacks `url`"),
        (lambda d: d["account"].update(name=None), "`account.name` has an invalid value"),
        (lambda d: d["realms"].append(1), "`realms[1]` has an invalid value"),
        (lambda d: d["realms"][0].pop("entry"), "`realms[0]` lacks `entry`"),
        (lambda d: d["realms"][0].update(realm=""), "`realms[0].realm` has an invalid value"),
        (lambda d: d["realms"][0].update(disabled=True), "`realms[0].settings` has an invalid value"),
        (lambda d: d["realms"][0]["settings"].update({"relay.port": None}), "relay.port` has an invalid value"),
        (lambda d: d["realms"][0]["settings"].update({"x": {}}), "`realms[0].settings.x` has an invalid value"),
        (lambda d: d["realms"][0]["settings"].update({"x": {"base": ""}}), "settings.x` has an invalid value"),
        (lambda d: d["realms"][0]["settings"].update({"x": {"secret": "env"}}), "x` lacks `argument`, `base`"),
        (lambda d: d["realms"][0]["settings"].update({"x": {"masked": True}}), "x` has unknown keys: `masked`"),
        (lambda d: d["realms"][0]["settings"].update({"x": {"login": "none", "security": "tls"}}), "x` has an invalid"),
        (lambda d: d["realms"][0]["changes"][0].update(action="x"), "changes[0].action` has an invalid value"),
        (lambda d: d["realms"].extend(d["realms"]), "the realm `acme` is listed twice"),
        (lambda d: d["spec"].extend(d["spec"]), "the spec `<dict>` is listed twice"),
        (lambda d: d["realms"][0].update(realm=".."), "`..` is not a valid realm name"),
        (lambda d: d["realms"][0].update(realm="\ud800"), "is not a valid realm name"),
        (
            lambda d: d["left_out"].append({"realm": "acme", "status": "failed", "rule": "", "why": "", "hint": ""}),
            "the realm `acme` is listed twice",
        ),
    ],
)
def test_a_plan_that_is_invalid_by_the_schema_is_refused(change: Callable[[dict], object], words: str) -> None:
    assert words in refusal(resealed(changing(), change))


def test_text_quoted_from_a_plan_cannot_steer_a_terminal() -> None:
    message = refusal(resealed(changing(), lambda data: data.update({"\x1b[2J\u202e": 1})))
    assert message.isprintable()
    assert "\\x1b[2J\\u202e" in message


def test_a_plan_laid_out_otherwise_is_the_same_plan() -> None:
    text = changing()
    compact = json.dumps(json.loads(text), sort_keys=True).encode("utf-8-sig")
    assert from_text(compact) == from_text(text)


def test_an_altered_plan_is_refused_as_unsafe() -> None:
    text = changing().replace("smtp.example.com", "smtp.evil.example")
    with pytest.raises(Unsafe, match="was altered after it was saved") as caught:
        from_text(text)
    assert caught.value.rule == "plan-altered"
    assert caught.value.exit_status is ExitStatus.UNSAFE


@RANDOM
@given(data=st.data())
def test_no_character_of_a_plan_can_be_altered_unnoticed(data: st.DataObject) -> None:
    text = changing()
    at = data.draw(st.integers(0, len(text) - 1))
    altered = text[:at] + data.draw(st.sampled_from('x0"{,1 ')) + text[at + 1 :]
    try:
        assert from_text(altered) == from_text(text)
    except (UsageError, Unsafe):
        return
    assert json.loads(altered) == json.loads(text)


def test_the_digest_expected_may_be_given_in_part_and_in_capitals() -> None:
    text = changing()
    digest = digest_of(text)
    for expected in (digest, digest[:12], f" {digest[:20].upper()}\n"):
        assert from_text(text, expected).expected


def test_another_plan_than_expected_is_refused_as_unsafe() -> None:
    text, other = changing(), digest_of(changing(NO_LOGIN))
    with pytest.raises(Unsafe) as caught:
        from_text(text, other[:16])
    assert caught.value.rule == "plan-other"
    assert digest_of(text) in caught.value.message
    assert other[:16] in caught.value.message


@pytest.mark.parametrize("expected", ["", "abc", "x" * 64, "0" * 11, "0" * 65])
def test_an_invalid_digest_is_refused(expected: str) -> None:
    assert "is not the digest of a plan" in refusal(changing(), expected)


# Whether a spec could have said it


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"relay.bogus": "x"}, "`relay.bogus` is not a field"),
        ({"relay.port": "587"}, "`relay.port` is not a port"),
        ({"relay.port": True}, "`relay.port` is not a port"),
        ({"relay.port": 70000}, "`relay.port` is not a port: `70000`"),
        ({"relay.security": "tls"}, "`relay.security` is not a security mode"),
        ({"relay.auth": "none"}, "`relay.auth` is not a login mode"),
        ({"relay.auth": {"login": "none"}}, "`relay.auth` is `none`, which does not match the other login fields"),
        ({"relay.auth": {"login": "token"}}, "`relay.auth` is `token`, which does not match"),
        ({"relay.utf8": "true"}, "`relay.utf8` is not true or false"),
        ({"relay.timeouts.read": 5}, "`relay.timeouts.read` is not a duration"),
        ({"relay.host": "https://x/"}, "`relay.host` is not a host name"),
        ({"relay.host": "0:0::1"}, "`relay.host` is not in canonical form, `::1`"),
        ({"relay.host": {"absent": True}}, "`relay.host` is not a host name or IP address"),
        ({"sender.address": "a@acme.example\r\nBcc: x@y.example"}, "`sender.address` contains the control character"),
        ({"sender.address": "grüße@acme.example"}, "which needs relay.utf8"),
        ({"sender.name": "x\ud800"}, "`sender.name` contains an unpaired surrogate"),
        ({"sender.name": "x" * 256}, "`sender.name` has 256 characters"),
        ({"relay.auth.password": "in clear"}, "`relay.auth.password` is not a secret reference"),
        ({"extra.password": "in clear"}, "`extra.password` is not an extra attribute: it is the field `relay.auth"),
        ({"extra.x": 1}, "`extra.x` is not text"),
        ({"extra.x\n": "1"}, "`extra.x\\x0a` contains the control character"),
        ({"extra.": "1"}, "`extra.` is not a valid attribute name"),
        ({"extra.\ud800": "1"}, "is not a valid attribute name"),
        ({f"extra.{'x' * 256}": "1"}, "is not a valid attribute name"),
        ({"extra": "1"}, "`extra` is not text"),
    ],
)
def test_settings_that_no_spec_can_express_are_refused(fields: dict[str, object], words: str) -> None:
    message = refusal(with_settings(**fields))
    assert words in message
    assert "the realm `acme`" in message
    assert "in clear" not in message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sender.address", "`sender.address` is missing"),
        ("relay.host", "`relay.host` is missing"),
        ("relay.port", "`relay.port` is missing"),
        ("relay.security", "`relay.security` is missing"),
        ("relay.auth", "`relay.auth` is missing"),
        ("relay.auth.username", "`relay.auth` is `basic`, which does not match the other login fields"),
        (PASSWORD, "`relay.auth` is `basic`, which does not match the other login fields"),
        ("reply_to.address", "`reply_to.name` is set without `reply_to.address`"),
    ],
)
def test_settings_that_are_not_whole_are_refused(name: str, words: str) -> None:
    assert words in refusal(resealed(changing(), lambda data: data["realms"][0]["settings"].pop(name)))


def test_an_odd_but_valid_attribute_name_is_accepted() -> None:
    odd = {"extra. ": "1", "extra": {"absent": True}, "extra.x": {"absent": True}}
    fields = from_text(with_settings(**odd)).realms[0].desired.fields
    assert [fields[name] for name in odd] == ["1", ABSENT, ABSENT]


def test_values_that_only_a_server_can_have_are_refused() -> None:
    for value in (Raw("x"), Masked()):
        with pytest.raises(BadValue, match=r"`relay\.port` is not a port"):
            parse_settings(to_json({"relay.port": value}))
    with pytest.raises(BadValue, match=r"`relay\.port` has no valid value"):
        parse_settings({"relay.port": {"no": "value"}})


@pytest.mark.parametrize(
    ("kind", "argument", "base", "words"),
    [
        ("env", ["ZTRUST MAIL"], "", "does not name a variable"),
        ("env", ["A", "B"], "", "is not a valid env reference"),
        ("env", [""], "", "is not a valid env reference"),
        ("env", ["A"], "/", "has a folder, which only file references have"),
        ("keyring", ["smtp"], "", "is not a valid keyring reference"),
        ("keyring", ["smtp", ""], "", "is not a valid keyring reference"),
        ("keyring", ["smtp", "a\nb"], "", "contains a control character"),
        ("keyring", ["smtp", "\ud800"], "", "contains an unpaired surrogate"),
        ("keycloak_vault", ["a}b"], "", "is not a valid vault key"),
        ("file", ["x"], "", "has a folder that is not a normalised absolute path"),
        ("file", ["x"], "specs", "has a folder that is not a normalised absolute path"),
        ("file", ["x"], "/specs/..", "has a folder that is not a normalised absolute path"),
        ("file", ["x"], "/specs\0", "has a folder that is not a normalised absolute path"),
        ("file", ["x\0"], "/specs", "contains a control character"),
    ],
)
def test_references_that_no_spec_can_express_are_refused(kind: str, argument: list[str], base: str, words: str) -> None:
    reference = {"secret": kind, "argument": argument, "base": base}
    assert words in refusal(with_settings(**{PASSWORD: reference}))


_ODD_VALUES = st.sampled_from(
    ["", " ", "x", "tls", "a@b.example", "ä@b.example", "a\nb", "::1", "0::1", "https://x/y", 0, 1, 587, 70000, True]
    + [False, ABSENT, Duration(0), Duration(10), Duration(9**9), *Security, *Login]
    + [SecretRef(SecretKind.ENV, (name,)) for name in ("A", "a b", "")]
    + [SecretRef(SecretKind.KEYCLOAK_VAULT, (name,)) for name in ("a", "a b", "")]
)
_ODD_NAMES = st.sampled_from(
    [*load_schema("spec")["properties"], "relay.bogus", "extra.x", "extra. ", "extra.port", "extra.smtp\n", "relay"]
) | st.sampled_from([*FIELDS, LOGIN])


@settings(max_examples=500, deadline=None, derandomize=True)
@given(fields=field_maps, odd=st.dictionaries(_ODD_NAMES, _ODD_VALUES | st.none(), max_size=2))
def test_settings_of_a_plan_are_accepted_exactly_if_a_spec_can_produce_them(fields: FieldMap, odd: dict) -> None:
    changed = {name: value for name, value in {**fields, **odd}.items() if value is not None}
    assert is_taken(changed) is a_spec_comes_to(changed)


def is_taken(fields: FieldMap) -> bool:
    try:
        return typed(parse_settings(to_json(fields))) == typed(fields)
    except BadValue:
        return False


def a_spec_comes_to(fields: FieldMap) -> bool:
    try:
        wanted = explain(one_realm(entry_of(fields)), "acme")
    except (SpecError, UsageError, TypeError, AttributeError):  # a spec cannot be written, or is for other servers
        return False
    return sorted(map(repr, typed(wanted.fields))) == sorted(map(repr, typed(fields))) and not wanted.findings


# Whether it still fits


def test_a_plan_for_another_server_is_refused() -> None:
    plan = saved()
    check_server(plan, plan.url, ISSUER)
    with pytest.raises(Unsafe, match=r"for the server `https://fake\.example`, but this is `https://other`") as caught:
        check_server(plan, "https://other", ISSUER)
    assert caught.value.rule == "plan-server"


def test_another_server_under_the_same_url_is_refused_by_its_issuer() -> None:
    plan = saved()
    with pytest.raises(Unsafe, match=r"is `https://clone\.example` now and was `https://id\.example` then") as caught:
        check_server(plan, plan.url, "https://clone.example/realms/master")
    assert caught.value.rule == "plan-server"


@pytest.mark.parametrize("issuer", ["", "https://id.example/realms/operators", "https://id.example/"])
def test_an_account_of_another_realm_or_without_an_issuer_may_apply(issuer: str) -> None:
    plan = saved()
    check_server(plan, plan.url, issuer)
    unknown = replace(plan, account=replace(plan.account, issuer=""))
    check_server(unknown, plan.url, ISSUER)
    with pytest.raises(Unsafe):
        check_server(unknown, "https://other", issuer)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a folder of specs in it."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for name in ("a", "b"):
        entry = {"version": 1, "realms": {name: with_file(f"{name}.txt")}}
        (tmp_path / "specs" / f"{name}.json").write_text(json.dumps(entry), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def with_file(path: str) -> dict[str, object]:
    auth = {"username": "u", "password": {"file": path}}
    return {"sender": {"address": "a@acme.example"}, "relay": {"host": "smtp.example.com", "auth": auth}}


def of_files(*paths: str, expect: bool = False) -> SavedPlan:
    spec = load_spec(list(paths))
    text = made(spec, FakeGateway({"a": {}, "b": {}, "acme": {}}))
    return from_text(text, digest_of(text) if expect else None)


def test_unchanged_specs_are_accepted(folder: Path) -> None:
    plan = of_files("specs")
    assert list(plan.specs) == ["specs/a.json", "specs/b.json"]
    assert check_specs(plan) == ()


def test_a_changed_spec_is_refused_and_named(folder: Path) -> None:
    plan = of_files("specs", expect=True)
    (folder / "specs" / "b.json").write_text("{}", encoding="utf-8")
    with pytest.raises(
        Unsafe, match=r"^stale plan: since it was made, 1 spec file changed: `specs/b\.json`$"
    ) as caught:
        check_specs(plan)
    assert caught.value.rule == "plan-spec-moved"


def test_a_spec_added_to_a_folder_or_deleted_from_it_is_refused_and_named(folder: Path) -> None:
    plan, alone = of_files("specs", expect=True), of_files("specs/a.json", "specs/b.json", expect=True)
    for name in ("c.yaml", ".d.yaml", "notes.txt", "old.toml", "below/e.JSON"):
        (folder / "specs" / name).parent.mkdir(exist_ok=True)
        (folder / "specs" / name).write_text("", encoding="utf-8")
    (folder / "specs" / "a.json").unlink()
    with pytest.raises(Unsafe) as caught:
        check_specs(plan)
    added, deleted = (
        "2 spec files added: `specs/below/e.JSON` and `specs/c.yaml`",
        "1 spec file deleted: `specs/a.json`",
    )
    assert caught.value.message == f"stale plan: since it was made, {added}; {deleted}"
    assert caught.value.rule == "plan-spec-moved"
    assert len(check_specs(alone)) == 1  # made of those files, whatever else lies there


def test_a_folder_that_cannot_be_read_as_a_spec_any_more_is_refused(folder: Path) -> None:
    plan = of_files("specs", expect=True)
    (folder / "specs" / "out.yaml").symlink_to(folder / "elsewhere")
    with pytest.raises(Unsafe, match=r"1 spec file added: `specs/out\.yaml`$"):
        check_specs(plan)


def test_a_folder_given_in_two_ways_is_the_same_folder(folder: Path) -> None:
    plan = of_files("specs/b.json", "specs", "./specs", str(folder / "specs"), expect=True)
    assert check_specs(plan) == ()
    (folder / "specs" / "b.json").unlink()
    with pytest.raises(Unsafe, match=r"made, 1 spec file deleted: `specs/b\.json`$"):
        check_specs(plan)


def test_a_working_folder_without_any_spec_may_be_another_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("specs")
    plan = of_files(".", expect=True)
    monkeypatch.chdir(folder / "elsewhere")
    assert [finding.rule for finding in check_specs(plan)] == ["plan-spec-absent"]
    (folder / "elsewhere" / "a.json").write_bytes((folder / "specs" / "a.json").read_bytes())
    with pytest.raises(Unsafe, match=r"made, 1 spec file deleted: `\./b\.json`$"):
        check_specs(plan)


def test_spec_files_that_are_not_here_are_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = of_files("specs", expect=True)
    monkeypatch.chdir(folder / "elsewhere")
    (finding,) = check_specs(plan)
    assert (finding.severity, finding.rule) == (Severity.NOTE, "plan-spec-absent")
    assert "cannot check 2 spec files of the plan from here: `specs/a.json` and `specs/b.json`" in finding.message


def test_standard_input_is_not_looked_for_as_a_file(folder: Path) -> None:
    (folder / "-").write_text("x", encoding="utf-8")
    plan = replace(saved(), specs={"-": "0" * 64, ".": "0" * 64})
    (finding,) = check_specs(plan)
    assert ": `-` and `.`" in finding.message


@pytest.mark.parametrize("path", ["a\0b.yaml", "a\ud800.yaml"])
def test_a_spec_whose_name_cannot_be_a_path_counts_as_missing(folder: Path, path: str) -> None:
    plan = replace(saved(), specs={path: "0" * 64}, folders=("specs/\0", ".", path))
    with pytest.raises(Unsafe, match=r"made, 2 spec files added: `\./specs/a\.json` and `\./specs/b\.json`$"):
        check_specs(plan)
    (finding,) = check_specs(replace(plan, folders=(path,)))
    assert finding.rule == "plan-spec-absent"


def test_files_in_a_specs_folder_are_within_reach_if_that_spec_is_still_there(folder: Path) -> None:
    plan = of_files("specs/a.json")
    ref = plan.realms[0].desired.fields[PASSWORD]
    assert ref == SecretRef(SecretKind.FILE, ("a.txt",), str(folder / "specs"))
    assert check_specs(plan) == ()


def test_files_in_a_folder_without_its_spec_need_an_expected_digest(folder: Path) -> None:
    plan = of_files("specs/a.json", "specs/b.json", expect=False)
    (folder / "specs" / "a.json").unlink()
    assert len(check_specs(plan)) == 1  # the other still lies there
    (folder / "specs" / "b.json").unlink()
    with pytest.raises(Unsafe, match=r"none of its spec files is there; 2 realms would get one: `a` and `b`") as caught:
        check_specs(plan)
    assert caught.value.rule == "plan-secret-folder"
    assert "--expect-digest" in caught.value.hint
    assert len(check_specs(replace(plan, expected=True))) == 1


@pytest.mark.parametrize(
    ("path", "base", "within_reach"),
    [
        ("/run/secrets/smtp", "/specs", True),
        ("/run/secrets/smtp", "/", True),
        ("/etc/hostname", "/specs", True),  # as for a spec: out of reach, unless settings permit the folder
        ("/etc/hostname", "/", False),
        ("etc/hostname", "/", False),
        ("smtp", "/specs", False),
        ("../specs/smtp", "/specs", False),
    ],
)
def test_a_plan_altered_with_its_digest_reaches_no_file_by_naming_a_folder(
    folder: Path, path: str, base: str, within_reach: bool
) -> None:
    reference = {"secret": "file", "argument": [path], "base": base}
    plan = from_text(with_settings(**{PASSWORD: reference}))
    if within_reach:
        check_specs(plan)
    else:
        with pytest.raises(Unsafe, match="reads secrets from files in"):
            check_specs(plan)


def test_only_a_file_that_can_be_a_spec_gives_access_to_its_folder(folder: Path) -> None:
    plan = of_files("specs/a.json")
    known = folder / "specs" / "known.txt"
    known.write_text("well known", encoding="utf-8")
    with pytest.raises(Unsafe, match="reads secrets from files in"):
        check_specs(replace(plan, specs={str(known): of_bytes(b"well known")}))


def test_realms_as_the_plan_saw_them_may_be_written() -> None:
    spec = realms(ENTRIES)
    plan = make_plan(spec, FakeGateway(dict.fromkeys(ENTRIES, OLD)))
    check_live(from_text(text_of(plan, spec)), masked(plan), KEYCLOAK)


def test_every_realm_that_is_not_as_the_plan_saw_it_is_named() -> None:
    spec = realms(dict.fromkeys(["a", "b", "c", "d"], BASIC))
    plan = make_plan(spec, FakeGateway(dict.fromkeys("abcd", OLD)))
    live = {**masked(plan), "a": {**OLD, "password": MASK, "x": "1"}, "c": {}}
    del live["d"]
    with pytest.raises(Unsafe) as caught:
        check_live(from_text(text_of(plan, spec)), live, KEYCLOAK)
    assert caught.value.rule == "plan-stale"
    changed, gone = "2 realms (`a` and `c`) changed after the plan was made", "realm `d` cannot be read any more"
    assert caught.value.message == f"stale plan: {changed}; {gone}"
    assert [(f.realm, f.rule) for f in caught.value.findings] == [(name, "plan-stale") for name in "acd"]
    assert "new plan" in caught.value.hint


def test_the_message_names_some_of_many_stale_realms_and_the_findings_all() -> None:
    names = [f"tenant-{number}" for number in range(8)]
    spec = realms(dict.fromkeys(names, BASIC))
    plan = make_plan(spec, FakeGateway(dict.fromkeys(names, OLD)))
    with pytest.raises(Unsafe) as caught:
        check_live(from_text(text_of(plan, spec)), {}, KEYCLOAK)
    shown = ", ".join(f"`{name}`" for name in names[:5])
    assert caught.value.message.endswith(f"({shown} and 3 more) cannot be read any more")
    assert [finding.realm for finding in caught.value.findings] == names


def test_a_client_secret_in_clear_is_masked_before_realms_are_compared() -> None:
    spec, gateway = one_realm(ENTRIES["token"]), OldServer({"acme": {**OLD, "authTokenClientSecret": "one"}})
    plan = from_text(made(spec, gateway))
    gateway.stored["acme"]["authTokenClientSecret"] = "another"
    live = {"acme": gateway.read_one("acme").attributes}
    assert live["acme"]["authTokenClientSecret"] == "another"
    check_live(plan, live, KEYCLOAK)


@pytest.mark.parametrize(
    "change",
    [
        lambda realm: realm["changes"][0].update(after="smtp.other.example"),
        lambda realm: realm["changes"].clear(),
        lambda realm: realm["settings"].update({"relay.host": "smtp.evil.example"}),
        lambda realm: realm["settings"].update({"sender.name": "Not shown"}),
    ],
)
def test_a_plan_that_lists_other_changes_than_it_would_make_is_refused(change: Callable[[dict], object]) -> None:
    spec = one_realm(BASIC)
    plan = make_plan(spec, FakeGateway({"acme": OLD}))
    text = resealed(text_of(plan, spec), lambda data: change(data["realms"][0]))
    with pytest.raises(Unsafe, match=r"other changes than it lists in 1 realm: `acme`") as caught:
        check_live(from_text(text), masked(plan), KEYCLOAK)
    assert caught.value.rule == "plan-otherwise"


def test_a_saved_plan_knows_the_masked_secrets_that_it_replaces_without_the_journal() -> None:
    spec, gateway = one_realm(BASIC), FakeGateway({"acme": STORED})
    write = Write("acme", {}, {}, {PASSWORD: "fingerprint of the old one"}, Step.VERIFIED, run=1)
    memory = JournalState({"acme": LastKnown(write)}, lambda secret: f"fingerprint of {secret.reveal()}")
    plan = make_plan(spec, gateway, PlanningContext(memory=lambda: memory, secrets=SecretStore(Reach(environ=ENVIRON))))
    back = from_text(text_of(plan, spec))
    assert [one.rewritten for one in back.realms] == [{PASSWORD}]
    check_live(back, masked(make_plan(spec, gateway)), KEYCLOAK)
    elsewhere = PlanningContext(memory=lambda: back.within(JournalState()), secrets=SecretStore(Reach(environ=ENVIRON)))
    again = plan_wanted([one.desired for one in back.realms], gateway, elsewhere)
    assert [change.field for realm in again.changed for change in realm.changes] == [PASSWORD]


def test_a_masked_secret_sent_along_with_a_change_is_not_one_that_the_plan_replaces() -> None:
    (realm,) = saved().realms
    assert realm.masked == (PASSWORD,)
    assert realm.rewritten == frozenset()


@pytest.mark.parametrize(("live", "count"), [(OLD, 1), ({"host": "old.example.com"}, 0)])
def test_a_note_says_that_changed_passwords_cannot_be_seen_if_secrets_are_masked(
    live: Mapping[str, str], count: int
) -> None:
    notes = cannot_see(saved(live=live))
    assert len(notes) == count
    assert all(note.severity is Severity.NOTE and "whether passwords changed" in note.message for note in notes)
