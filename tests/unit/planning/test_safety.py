"""Which plans are refused as dangerous, what allows them, and what nothing allows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.connecting import FakeGateway, connected, make_plan
from support.mail_settings import BASIC, ENVIRON, NO_LOGIN, STORED, one_realm, realms

from ztrust_mail.core.errors import ExitStatus, RealmUnreadable, SecretError, Unsafe, UsageError
from ztrust_mail.core.secret import Secret
from ztrust_mail.gateways.gateway import Account, LiveRealm
from ztrust_mail.model.fields import HOST, Security
from ztrust_mail.planning.compare import Action, Change, Difference, SecretMode
from ztrust_mail.planning.plan import Plan, RealmPlan, Status
from ztrust_mail.planning.planners.from_spec import PlanningContext
from ztrust_mail.planning.safety import MASS_PERCENT, Danger, Reason, dangers, parse_allow, refuse
from ztrust_mail.reports.json import FORMAT
from ztrust_mail.reports.report import of_plan
from ztrust_mail.reports.style import plain
from ztrust_mail.reports.text.plan import danger_lines
from ztrust_mail.sandbox import Sandbox
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.secrets.store import SecretStore
from ztrust_mail.settings.policy import Policy
from ztrust_mail.specfile.resolve import resolve_entry

NO_POLICY = Policy()
DISABLED: dict[str, object] = {"disabled": True}
CLEAR: dict[str, object] = {**NO_LOGIN, "relay": {"host": "smtp.example.com", "security": "none"}}
OTHER: dict[str, object] = {**BASIC, "sender": {"address": "no-reply@acme.example", "name": "Other"}}
WANTED = resolve_entry(one_realm(NO_LOGIN), one_realm(NO_LOGIN).entries[0], "first")
FIRST = RealmPlan("first", Status.CHANGED, WANTED, LiveRealm("first", {}, 0))


class NeedingMail(FakeGateway):
    """A server whose realms need mail, as far as a test says so, and may have their passwords in a vault."""

    needed: Mapping[str, tuple[str, ...]] = {}

    def read_one(self, realm: str) -> LiveRealm:
        live = super().read_one(realm)
        in_vault = {n: v for n, v in self.stored[realm].items() if v.startswith("${vault.")}
        return replace(live, attributes={**live.attributes, **in_vault}, needs_mail=self.needed.get(realm, ()))


def planned(
    entries: Mapping[str, Mapping[str, object]],
    live: Mapping[str, Mapping[str, str]],
    *,
    environ: Mapping[str, str] = ENVIRON,
    needed: Mapping[str, tuple[str, ...]] = {},
    policy: Policy = NO_POLICY,
    mode: SecretMode = SecretMode.AUTO,
) -> Plan:
    gateway = NeedingMail(live)
    gateway.needed = needed
    means = PlanningContext(mode, policy, secrets=SecretStore(Reach(environ=environ)))
    return make_plan(realms(entries), gateway, means)


def fleet(total: int, changed: int = 0, emptied: int = 0, *, live: Mapping[str, str] = STORED, **how) -> Plan:
    """Return a plan for many realms, the first of them changed, the next emptied, the rest as they should be."""
    names = [f"realm-{n:04}" for n in range(total)]
    kinds = [OTHER] * changed + [DISABLED] * emptied + [BASIC] * (total - changed - emptied)
    return planned(dict(zip(names, kinds, strict=True)), dict.fromkeys(names, live), **how)


def reasons(plan: Plan) -> list[str]:
    return [danger.reason.value for danger in dangers(plan)]


def refusal(plan: Plan, allowed: frozenset[Reason] = frozenset()) -> Unsafe:
    with pytest.raises(Unsafe) as refused:
        refuse(plan, allowed)
    assert refused.value.exit_status is ExitStatus.UNSAFE
    return refused.value


def test_a_plan_that_changes_nothing_is_safe() -> None:
    made = fleet(12)
    assert not made.changed
    assert dangers(made) == ()
    refuse(made)


# Mass changes


@pytest.mark.parametrize(
    ("total", "changed", "dangerous"),
    [(9, 9, False), (10, 3, False), (10, 4, True), (11, 3, False), (11, 4, True), (40, 12, False), (40, 13, True)],
)
@pytest.mark.parametrize("what", ["changed", "emptied"])
def test_more_than_thirty_percent_of_ten_realms_or_more_is_a_mass_change(
    total: int, changed: int, dangerous: bool, what: str
) -> None:
    found = dangers(fleet(total, **{what: changed}))
    assert [danger.reason for danger in found] == ([Reason.MASS_CHANGE] if dangerous else [])


def test_a_mass_change_says_how_many_of_how_many_and_lists_all() -> None:
    made = fleet(40, changed=37)
    (danger,) = dangers(made)
    assert danger.message == "37 of 40 realms would change (limit 30 %)"
    assert danger.realms == tuple(f"realm-{n:04}" for n in range(37))
    assert str(danger) == "37 of 40 realms would change (limit 30 %): realm-0000, realm-0001 and 35 more"


def test_emptied_realms_are_a_mass_change_of_their_own_besides_the_changed_ones() -> None:
    assert [danger.message for danger in dangers(fleet(10, changed=3, emptied=4))] == [
        "7 of 10 realms would change (limit 30 %)",
        "4 of 10 realms would lose their e-mail settings (limit 30 %)",
    ]
    both, all_emptied = dangers(fleet(10, changed=3, emptied=3)), dangers(fleet(10, emptied=10))
    assert [danger.message for danger in both] == ["6 of 10 realms would change (limit 30 %)"]
    message = "10 of 10 realms would lose their e-mail settings (limit 30 %)"
    assert [danger.message for danger in all_emptied] == [message]


def test_realms_that_could_not_be_read_do_not_count_in_the_share_of_a_mass_change() -> None:
    names = [f"realm-{n}" for n in range(100)]
    made = planned(dict.fromkeys(names, OTHER), dict.fromkeys(names[:10], STORED))
    assert [danger.message for danger in dangers(made)] == ["10 of 10 realms would change (limit 30 %)"]
    made = planned(dict.fromkeys(names, OTHER), dict.fromkeys(names[:9], STORED))
    assert dangers(made) == ()


@given(st.integers(0, 60), st.data())
def test_a_mass_change_is_found_exactly_where_the_share_is_above_the_limit(total: int, data: st.DataObject) -> None:
    changed = data.draw(st.integers(0, total))
    todo = [replace(FIRST, realm=str(n), difference=CHANGED) for n in range(changed)]
    rest = [replace(FIRST, realm=str(n), status=Status.IN_SYNC) for n in range(changed, total)]
    made = Plan("https://id.example", Account("admin", "master", ""), (*todo, *rest))
    assert bool(dangers(made)) == (total >= 10 and changed / total > MASS_PERCENT / 100)


CHANGED = Difference((Change("sender.name", ("fromDisplayName",), None, "x", Action.ADD),))


# Mail that is needed


def test_emptying_a_realm_that_needs_mail_names_the_switch() -> None:
    needed = {"acme": ("verifyEmail",), "globex": ("verifyEmail", "resetPasswordAllowed"), "soylent": ("verifyEmail",)}
    entries = dict.fromkeys(("acme", "globex", "initech", "soylent"), DISABLED)
    made = planned(entries, dict.fromkeys(entries, STORED), needed=needed)
    assert dangers(made) == (
        Danger(
            Reason.NEEDED_MAIL, "2 realms would lose the e-mail settings while verifyEmail is on", ("acme", "soylent")
        ),
        Danger(
            Reason.NEEDED_MAIL,
            "1 realm would lose the e-mail settings while verifyEmail and resetPasswordAllowed are on",
            ("globex",),
        ),
    )


@pytest.mark.parametrize("live", [{}, {"from": "no-reply@acme.example"}, {"host": "", "from": "no-reply@acme.example"}])
def test_a_realm_that_has_no_relay_loses_no_mail(live: dict[str, str]) -> None:
    made = planned({"acme": DISABLED}, {"acme": live}, needed={"acme": ("verifyEmail",)})
    assert bool(made.changed) == bool(live)
    assert dangers(made) == ()


def test_a_realm_that_keeps_its_relay_loses_no_mail() -> None:
    assert reasons(planned({"acme": OTHER}, {"acme": STORED}, needed={"acme": ("verifyEmail",)})) == []


def test_going_back_to_settings_without_a_relay_empties_too() -> None:
    (realm,) = planned({"acme": OTHER}, {"acme": STORED}, needed={"acme": ("verifyEmail",)}).realms
    without = {name: value for name, value in realm.wanted.fields.items() if name != HOST}
    lost = Change(HOST, ("host",), "smtp.example.com", None, Action.REMOVE)
    realm = replace(realm, wanted=replace(realm.wanted, fields=without), difference=Difference((lost,)))
    assert reasons(Plan("https://id.example", Account("admin", "master", ""), (realm,))) == ["needed-mail"]


@pytest.mark.parametrize(
    "switches", [("verifyEmail",), ("resetPasswordAllowed",), ("verifyEmail", "resetPasswordAllowed")]
)
@pytest.mark.parametrize("names", [("acme",), tuple(f"acme-{n}" for n in range(9))])
def test_the_switches_that_need_mail_are_read_from_single_reads_and_lists(
    ztrust_sandbox: Sandbox, names: Sequence[str], switches: Sequence[str]
) -> None:
    for name in names:
        if name != "acme":
            ztrust_sandbox.create_realm(name)
        ztrust_sandbox.edit_smtp(name, STORED)
    with connected(ztrust_sandbox) as connection:
        admin = connection.gateway._connection
        admin.send("PUT", f"admin/realms/{names[-1]}", Secret(json.dumps(dict.fromkeys(switches, True))))
        made = make_plan(realms(dict.fromkeys(names, DISABLED)), connection.gateway)
        read = connection.gateway.read(names, everything=False).realms
    assert {name: read[name].needs_mail for name in names} == {
        **dict.fromkeys(names, ()),
        names[-1]: tuple(switches),
    }
    assert [danger.realms for danger in dangers(made)] == [(names[-1],)]


def test_a_truncated_view_shows_no_switches(ztrust_sandbox: Sandbox) -> None:
    ztrust_sandbox.create_realm("secluded", STORED, verifyEmail=True, resetPasswordAllowed=True)
    ztrust_sandbox.create_user("master", "looker", "pw", ["secluded-realm:query-users"])
    with connected(ztrust_sandbox, username="looker", password="pw") as connection:
        response = connection.gateway._connection.send("GET", "admin/realms/secluded")
        live = connection.gateway.read(["secluded"], everything=False).realms["secluded"]
    assert response.json()["realm"] == "secluded"
    assert not {"verifyEmail", "resetPasswordAllowed", "smtpServer"} & response.json().keys()
    assert isinstance(live, RealmUnreadable)


# Security


@pytest.mark.parametrize(
    ("live", "dangerous"),
    [
        ({**STORED, "starttls": "true", "ssl": "false"}, True),
        ({**STORED, "starttls": "false", "ssl": "true"}, True),
        ({**STORED, "starttls": "true", "ssl": "true"}, True),
        ({**STORED, "starttls": "false", "ssl": "false"}, False),
        ({**STORED, "starttls": "TRUE", "ssl": "no"}, False),
        ({"host": "smtp.example.com", "ssl": "true"}, True),
        ({"from": "other@acme.example", "host": "smtp.example.com"}, False),
        ({"from": "no-reply@acme.example", "starttls": "true"}, False),
        ({"host": "", "starttls": "true"}, False),
        ({}, False),
    ],
)
def test_removing_tls_is_dangerous_and_leaving_it_off_is_not(live: dict[str, str], dangerous: bool) -> None:
    made = planned({"acme": CLEAR}, {"acme": live})
    assert made.changed
    assert reasons(made) == (["weaker-security"] if dangerous else [])


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
def test_one_kind_of_tls_for_another_is_no_danger(security: Security) -> None:
    entry = {**NO_LOGIN, "relay": {"host": "smtp.example.com", "security": security.value}}
    for live in ({"starttls": "true"}, {"ssl": "true"}, {}):
        assert reasons(planned({"acme": entry}, {"acme": {"host": "h.example", **live}})) == []


def test_removing_tls_while_moving_to_another_relay_is_dangerous_too() -> None:
    entry = {**CLEAR, "relay": {"host": "relay.example.net", "security": "none"}}
    (danger,) = dangers(planned({"acme": entry}, {"acme": STORED}))
    assert str(danger) == "1 realm would send in clear text instead of with TLS or STARTTLS: acme"


def test_emptying_a_realm_weakens_no_security() -> None:
    assert reasons(planned({"acme": DISABLED}, {"acme": STORED})) == []


# Secrets


def test_overwriting_a_masked_password_with_one_that_cannot_be_resolved_is_dangerous() -> None:
    (danger,) = dangers(planned({"acme": OTHER}, {"acme": STORED}, environ={}))
    assert danger == Danger(
        Reason.LOST_SECRET,
        "1 realm would lose a stored password that cannot be read back, "
        "and the reference for the new one cannot be resolved",
        ("acme",),
    )


@pytest.mark.parametrize(
    ("entry", "live", "mode", "environ"),
    [
        (OTHER, STORED, SecretMode.AUTO, ENVIRON),
        (OTHER, STORED, SecretMode.KEEP, {}),
        (BASIC, STORED, SecretMode.AUTO, {}),
        (OTHER, {n: v for n, v in STORED.items() if n != "password"}, SecretMode.AUTO, {}),
        (OTHER, {**STORED, "password": "${vault.key}"}, SecretMode.AUTO, {}),
        (NO_LOGIN, STORED, SecretMode.AUTO, {}),
    ],
    ids=["resolved", "kept", "unchanged", "none stored", "in the vault", "login removed"],
)
def test_no_secret_is_lost_otherwise(entry, live, mode, environ) -> None:
    assert reasons(planned({"acme": entry}, {"acme": live}, mode=mode, environ=environ)) == []


# Refusing


def test_a_refusal_gives_all_reasons_and_how_to_allow_them() -> None:
    made = fleet(10, changed=4, emptied=1, environ={}, needed={"realm-0004": ("verifyEmail",)})
    error = refusal(made)
    assert error.message == (
        "Refused: 5 of 10 realms would change (limit 30 %): realm-0000, realm-0001 and 3 more [mass-change]; "
        "1 realm would lose the e-mail settings while verifyEmail is on: realm-0004 [needed-mail]; "
        "4 realms would lose a stored password that cannot be read back, "
        "and the reference for the new one cannot be resolved: "
        "realm-0000, realm-0001 and 2 more [lost-secret]"
    )
    assert error.hint == "review the plan; if intended: --allow mass-change,needed-mail,lost-secret"
    assert error.rule == "unsafe"


def test_each_reason_has_to_be_allowed() -> None:
    made = fleet(10, changed=4, environ={})
    error = refusal(made, frozenset({Reason.MASS_CHANGE}))
    assert "[mass-change]" not in error.message
    assert "[lost-secret]" in error.message
    assert error.hint.endswith("--allow mass-change,lost-secret")
    refusal(made, frozenset(Reason) - {Reason.LOST_SECRET})
    refuse(made, frozenset({Reason.MASS_CHANGE, Reason.LOST_SECRET}))
    refuse(made, frozenset(Reason))


def test_two_dangers_of_one_reason_are_allowed_once() -> None:
    assert refusal(fleet(10, changed=3, emptied=4)).hint.endswith("--allow mass-change")


UNSET = SecretError("the environment variable `SMTP_PASSWORD` is not set")
NO_RELAYS = Policy(relays=(), path="/etc/mail/ztrust-mail.toml")


def test_no_reason_allows_settings_that_the_policy_forbids() -> None:
    made = planned({"acme": OTHER, "globex": OTHER}, {"acme": STORED, "globex": STORED}, policy=NO_RELAYS)
    for allowed in (frozenset[Reason](), frozenset(Reason)):
        error = refusal(made, allowed)
        assert error.message == (
            "Refused: the settings' policy forbids the changes to acme and globex, and --allow does not override it"
        )
        assert (error.hint, error.rule) == ("correct the spec, or have the policy changed", "policy")


def test_a_refusal_names_policy_violations_besides_the_dangers() -> None:
    made = planned({"acme": OTHER}, {"acme": STORED}, policy=NO_RELAYS, environ={})
    made = replace(made, realms=tuple(replace(r, unresolved={"relay.auth.password": UNSET}) for r in made.realms))
    error = refusal(made)
    assert "forbids the changes to acme, and --allow does not override it; 1 realm would lose" in error.message
    assert error.hint.startswith("correct the spec")
    assert error.hint.endswith("--allow lost-secret")
    assert "[lost-secret]" not in refusal(made, frozenset(Reason)).message


def test_a_realm_against_the_policy_to_which_nothing_is_written_fails_alone() -> None:
    made = planned({"acme": BASIC}, {"acme": STORED}, policy=NO_RELAYS)
    assert made.realms[0].forbidden
    assert (made.realms[0].status, made.exit_status) == (Status.IN_SYNC, ExitStatus.PARTIAL)
    refuse(made)


def test_foreign_names_cannot_steer_the_terminal() -> None:
    made = planned({"a*": CLEAR}, {"a\u202ecme": STORED})
    assert "a\\u202ecme" in refusal(made).message


# Allowing


@pytest.mark.parametrize(
    ("texts", "allowed"),
    [
        ([], []),
        (["mass-change"], ["mass-change"]),
        (["mass-change,weaker-security"], ["mass-change", "weaker-security"]),
        (["mass-change", "lost-secret, needed-mail"], ["mass-change", "lost-secret", "needed-mail"]),
        (["mass-change,mass-change"], ["mass-change"]),
        (["all"], list(Reason)),
        (["mass-change,all"], list(Reason)),
    ],
)
def test_reasons_are_allowed_by_name_or_all_at_once(texts: list[str], allowed: list[str]) -> None:
    assert parse_allow(texts) == frozenset(map(Reason, allowed))


@pytest.mark.parametrize(
    ("word", "guess"),
    [("mass-changes", "did you mean `mass-change`? "), ("masschange", "did you mean `mass-change`? "), ("policy", ""),
     ("", ""), ("*", ""), ("ALL", "did you mean `all`? ")],
)  # fmt: skip
def test_an_unknown_reason_is_a_mistake_that_allows_nothing(word: str, guess: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_allow([f"all,{word}"])
    assert refused.value.message == f"unknown reason `{word}` in --allow"
    assert (
        refused.value.hint
        == f"{guess}known reasons: mass-change, needed-mail, weaker-security, lost-secret, window, all"
    )


# Reporting


def test_dangers_are_shown_one_a_line_and_given_whole_as_data() -> None:
    made = fleet(40, changed=37)
    found = dangers(made)
    text = plain(danger_lines(found))
    message = "37 of 40 realms would change (limit 30 %)"
    assert text == f"Refused [mass-change]: {message}: realm-0000 … realm-0036.\n"
    (data,) = FORMAT.plan(of_plan("plan", made, made.exit_status, dangers=found))["dangers"]
    assert data == {
        "reason": "mass-change",
        "message": "37 of 40 realms would change (limit 30 %)",
        "realms": [f"realm-{n:04}" for n in range(37)],
    }
