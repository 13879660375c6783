"""What a plan finds out, and what it does not mistake for something else."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.connecting import FakeGateway, Unreadable, connected, make_plan, sent
from support.mail_settings import BASIC, ENTRIES, JUNK, NO_LOGIN, STORED, one_realm, realms
from support.results import rules, statuses

from ztrust_mail import SecretMode, drift, plan
from ztrust_mail.core.errors import ExitStatus, RealmError, ServerRefused, ServerUnreachable, UsageError
from ztrust_mail.gateways.gateway import Account
from ztrust_mail.planning.plan import RealmPlan, Status, finding_of
from ztrust_mail.planning.planners.from_spec import find_named, select_realms
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.specfile.resolve import Desired

MANY = tuple(f"tenant-{n:02}" for n in range(12))


@pytest.fixture
def fleet():
    with Sandbox(SandboxOptions(realms=("acme", *MANY))) as sandbox:
        yield sandbox


PATTERNS = st.sampled_from(("a", "b", "ab", "x", "*", "a*", "?"))


@settings(deadline=None)
@given(st.sets(PATTERNS, min_size=1), st.lists(PATTERNS, max_size=3))
def test_the_realms_that_are_named_before_the_server_is_read_are_all_that_are_selected(entries, globs):
    spec = realms(dict.fromkeys(sorted(entries), NO_LOGIN))
    named = find_named(spec, globs)
    try:
        selected = select_realms(spec, FakeGateway({"a": {}, "b": {}, "ab": {}}), globs)
    except UsageError:
        return
    assert named is None or {one.realm for one in selected.wanted} <= {*named}


@pytest.mark.parametrize(
    ("entries", "globs", "named"),
    [
        (["a", "b"], [], ("a", "b")),
        (["a", "*"], [], None),
        (["a", "*"], ["b"], ("b",)),
        (["a", "*"], ["b", "a*"], None),
        (["a", "b"], ["a*"], ("a", "b")),
    ],
)
def test_the_list_of_the_server_decides_only_where_a_glob_does(entries, globs, named):
    assert find_named(realms(dict.fromkeys(entries, NO_LOGIN)), globs) == named


def plan_without_secrets(spec, connection, realms=()):
    return plan(spec, connection, realms=realms, resolve=False)


def planned(sandbox, spec, *globs, look=plan_without_secrets, environ=None, **account):
    with connected(sandbox, environ or Unreadable(), **account) as connection:
        return look(spec, connection, realms=globs)


def drift_plan(spec, connection, realms=()):
    return drift(spec, connection, realms=realms).plan


@pytest.mark.parametrize("look", [plan_without_secrets, drift_plan])
def test_a_plan_writes_nothing_and_needs_no_secret(ztrust_sandbox, look):
    made = planned(ztrust_sandbox, one_realm(BASIC), look=look)
    assert statuses(made) == {"acme": "changed"}
    assert {(r.method, r.path) for r in ztrust_sandbox.requests} <= {
        ("POST", "/realms/master/protocol/openid-connect/token"),
        ("GET", "/admin/realms"),
        ("GET", "/admin/realms/acme"),
    }
    assert all(r.body is None for r in ztrust_sandbox.requests)


def test_a_plan_names_the_server_and_the_account(ztrust_sandbox):
    made = planned(ztrust_sandbox, one_realm(BASIC))
    assert (made.url, made.account) == (ztrust_sandbox.url, Account("admin", "master", "admin@sandbox.example"))


def test_results_are_in_the_specs_order_and_a_globs_realms_sorted_by_name(fleet):
    spec = realms({"tenant-05": NO_LOGIN, "tenant-*": NO_LOGIN, "acme": NO_LOGIN, "nosuch": NO_LOGIN})
    made = planned(fleet, spec)
    rest = [name for name in MANY if name != "tenant-05"]
    assert [realm.realm for realm in made.realms] == ["tenant-05", *rest, "acme", "nosuch"]
    assert [(g.entry.name, g.count) for g in made.globs] == [("tenant-*", 11)]


@pytest.mark.parametrize("name", [name for name in JUNK if name not in ("nothing", "unknown keys")])
def test_junk_on_the_server_is_shown_as_a_change(ztrust_sandbox, name):
    ztrust_sandbox.edit_smtp("acme", JUNK[name])
    made = planned(ztrust_sandbox, one_realm(NO_LOGIN))
    assert statuses(made) == {"acme": "changed"}
    assert made.exit_status is ExitStatus.DIFFERS
    assert made.realms[0].changes


@pytest.mark.parametrize("kind", ENTRIES)
def test_a_missing_realm_never_counts_as_empty(ztrust_sandbox, kind):
    made = planned(ztrust_sandbox, one_realm(ENTRIES[kind], "nosuch"))
    assert statuses(made) == {"nosuch": "missing"}
    assert (made.realms[0].changes, made.realms[0].live) == ((), None)
    assert rules(made)[0] == "no-realm"
    assert made.exit_status is ExitStatus.PARTIAL


@pytest.mark.parametrize("others", [{}, {"x-*": NO_LOGIN}], ids=["single reads", "a list"])
def test_a_missing_realm_with_a_similar_live_name_gets_a_suggestion(ztrust_sandbox, others):
    made = planned(ztrust_sandbox, realms({"acmee": NO_LOGIN, "globexx": NO_LOGIN, "globex": NO_LOGIN, **others}))
    hints = {realm.realm: [f.hint for f in realm.findings] for realm in made.realms}
    assert hints["acmee"] == ["did you mean `acme`? Else check the spelling, or create the realm first"]
    assert hints["globexx"] == ["check the spelling, or create the realm first"]  # globex has an entry of its own


@pytest.mark.parametrize("glob", ["glbex", "glbex*"])
def test_a_misspelt_realm_option_gets_a_suggestion(ztrust_sandbox, glob):
    with pytest.raises(UsageError) as refusal:
        planned(ztrust_sandbox, realms({"acme": NO_LOGIN, "globex": NO_LOGIN}), glob)
    assert refusal.value.hint == "did you mean `globex`?"


@pytest.mark.parametrize("entry", [BASIC, {"disabled": True}])
def test_a_truncated_realm_is_unreadable_and_never_counts_as_empty(ztrust_sandbox, entry):
    ztrust_sandbox.edit_smtp("acme", STORED)
    ztrust_sandbox.create_user("master", "clerk", "pw", roles=("acme-realm:query-users", "globex-realm:view-realm"))
    spec = realms({"acme": entry, "globex": {"disabled": True}})
    for look in (plan, drift_plan):
        made = planned(ztrust_sandbox, spec, look=look, username="clerk", password="pw")
        assert statuses(made) == {"acme": "unreadable", "globex": "in_sync"}
        assert rules(made) == ["may-not-see"]
        assert made.realms[0].changes == ()


def test_a_glob_covers_unreadable_realms(ztrust_sandbox):
    ztrust_sandbox.create_user("master", "clerk", "pw", roles=("acme-realm:query-users", "globex-realm:view-realm"))
    made = planned(ztrust_sandbox, one_realm({"disabled": True}, "*"), username="clerk", password="pw")
    assert statuses(made) == {"acme": "unreadable", "globex": "in_sync"}


def test_an_account_without_any_right_gets_403_for_each_realm(ztrust_sandbox):
    ztrust_sandbox.create_user("master", "nobody", "pw")
    made = planned(ztrust_sandbox, realms({"acme": BASIC, "globex": BASIC}), username="nobody", password="pw")
    assert statuses(made) == {"acme": "unreadable", "globex": "unreadable"}
    assert rules(made) == ["no-rights", "no-rights"]
    assert made.exit_status is ExitStatus.PARTIAL


def test_one_realm_that_fails_stops_no_other(ztrust_sandbox):
    ztrust_sandbox.faults.failing_realms.add("acme")
    made = planned(ztrust_sandbox, realms({"acme": BASIC, "globex": BASIC}))
    assert statuses(made) == {"acme": "failed", "globex": "changed"}
    assert made.exit_status is ExitStatus.PARTIAL


def test_a_value_wrong_only_in_one_realm_fails_that_realm_alone(ztrust_sandbox):
    spec = realms({"acme": {}, "globex": {}}, {**NO_LOGIN, "sender": {"address": "{realm}@x.example"}})
    bad = realms(
        {"acme": {"vars": {"who": "a@b"}}, "globex": {}},
        {
            **NO_LOGIN,
            "sender": {"address": "{who}@x.example"},
            "vars": {"who": "ok"},
        },
    )
    assert statuses(planned(ztrust_sandbox, spec)) == {"acme": "changed", "globex": "changed"}
    made = planned(ztrust_sandbox, bad)
    assert statuses(made) == {"acme": "failed", "globex": "changed"}
    assert rules(made) == ["bad-value"]
    assert made.realms[0].changes == ()


def test_a_realm_that_two_globs_fit_equally_fails_alone(ztrust_sandbox):
    made = planned(ztrust_sandbox, realms({"acm*": NO_LOGIN, "*cme": NO_LOGIN, "globe?": NO_LOGIN}))
    assert statuses(made) == {"acme": "failed", "globex": "changed"}
    assert rules(made)[-1] == "glob-tie"


def test_a_glob_with_too_few_matches_is_skipped_and_others_are_planned(fleet):
    spec = realms({"tenant-*": {**NO_LOGIN, "expect": {"min": 13}}, "acme": NO_LOGIN})
    made = planned(fleet, spec)
    assert statuses(made) == {**dict.fromkeys(MANY, "skipped"), "acme": "changed"}
    assert rules(made) == ["too-few-realms"]
    assert [realm.realm for realm in made.changed] == ["acme"]
    assert made.exit_status is ExitStatus.PARTIAL
    enough = planned(fleet, realms({"tenant-*": {**NO_LOGIN, "expect": {"min": 12}}}))
    assert set(statuses(enough).values()) == {"changed"}


@pytest.mark.parametrize(("pattern", "covered"), [("*", False), ("m*", False), ("maste?", False), ("master", True)])
def test_master_is_matched_by_its_exact_name_alone(ztrust_sandbox, pattern, covered):
    made = planned(ztrust_sandbox, one_realm(NO_LOGIN, pattern), look=drift_plan)
    assert ("master" in statuses(made)) is covered
    assert ("master" in made.uncovered) is not covered


def test_drift_names_the_realms_without_an_entry(fleet):
    made = planned(fleet, realms({"acme": {"disabled": True}, "tenant-0*": {"disabled": True}}), look=drift_plan)
    assert made.uncovered == ("master", "tenant-10", "tenant-11")
    assert made.exit_status is ExitStatus.OK
    only = planned(fleet, one_realm({"disabled": True}), "tenant-1?", "acme", look=drift_plan)
    assert (only.uncovered, statuses(only)) == (("tenant-10", "tenant-11"), {"acme": "in_sync"})


def test_a_plan_of_exact_names_reads_no_other_realm(fleet):
    made = planned(fleet, one_realm(NO_LOGIN))
    assert made.uncovered == ()
    assert [r.path for r in sent(fleet, "GET")] == ["/admin/realms/acme"]


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        (("acme",), ["acme"]),
        (("tenant-0?",), ["tenant-05", *(n for n in MANY if n.startswith("tenant-0") and n != "tenant-05")]),
        (("tenant-05", "acme"), ["tenant-05", "acme"]),
        (("nosuch",), ["nosuch"]),
        (("ACME", "tenant-11"), ["tenant-11"]),
    ],
)
def test_the_option_realm_limits_the_plan(fleet, globs, expected):
    spec = realms({"tenant-05": NO_LOGIN, "tenant-*": NO_LOGIN, "acme": NO_LOGIN, "nosuch": NO_LOGIN})
    assert [realm.realm for realm in planned(fleet, spec, *globs).realms] == expected


@pytest.mark.parametrize("entries", [{"acme": NO_LOGIN}, {"acme": NO_LOGIN, "tenant-*": NO_LOGIN}])
def test_the_option_realm_without_matches_is_an_error_that_names_it(fleet, entries):
    with pytest.raises(UsageError, match="`nosuch` or `x-\\*`"):
        planned(fleet, realms(entries), "nosuch", "x-*")
    assert sent(fleet, "PUT") == []


def test_a_spec_without_realms_plans_to_nothing(ztrust_sandbox):
    made = planned(ztrust_sandbox, realms({}))
    assert (made.realms, made.exit_status, rules(made)) == ((), ExitStatus.OK, ["no-realms"])


def test_a_list_that_breaks_in_the_middle_hides_no_realm_that_was_named(fleet):
    fleet.edit_smtp("acme", STORED)
    fleet.faults.list_breaks_after = 3
    made = planned(fleet, realms({name: {"disabled": True} for name in ("acme", *MANY)}))
    assert statuses(made) == {"acme": "changed", **dict.fromkeys(MANY, "in_sync")}


def test_a_list_that_breaks_in_the_middle_is_an_error_for_globs_and_never_a_short_list(fleet):
    fleet.faults.list_breaks_after = 3
    made = planned(fleet, realms({"tenant-*": NO_LOGIN, "acme": NO_LOGIN}))
    assert statuses(made)["acme"] == "changed"
    assert made.exit_status is ExitStatus.PARTIAL
    assert "no-realm-list" in rules(made)


def test_a_forbidden_list_is_an_error_for_globs_and_named_realms_go_on(ztrust_sandbox):
    ztrust_sandbox.faults.list_forbidden = True
    made = planned(ztrust_sandbox, realms({"glob*": NO_LOGIN, "acme": NO_LOGIN}))
    assert statuses(made) == {"acme": "changed"}
    assert rules(made) == ["no-match", "no-realm-list"]
    assert "globs match nothing" in made.own_findings[-1].message
    assert made.exit_status is ExitStatus.PARTIAL


def test_a_forbidden_list_is_only_a_warning_for_drift_without_globs(ztrust_sandbox):
    ztrust_sandbox.faults.list_forbidden = True
    made = planned(ztrust_sandbox, one_realm({"disabled": True}), look=drift_plan)
    assert (statuses(made), made.uncovered) == ({"acme": "in_sync"}, ())
    assert made.exit_status is ExitStatus.OK
    assert "are not reported" in made.own_findings[0].message


def test_an_unreachable_server_or_a_refused_login_is_an_error_of_the_whole_plan(ztrust_sandbox):
    with pytest.raises(ServerRefused, match="refuses the login of `admin`"):
        planned(ztrust_sandbox, one_realm(BASIC), password="wrong")
    ztrust_sandbox.faults.unavailable = True
    with pytest.raises(ServerUnreachable):
        planned(ztrust_sandbox, one_realm(BASIC))


def test_doubtful_settings_give_a_warning_and_do_not_change_the_status(ztrust_sandbox):
    entry = {**BASIC, "relay": {**BASIC["relay"], "security": "none"}}
    made = planned(ztrust_sandbox, one_realm(entry))
    assert rules(made) == ["clear-text-login"]
    assert made.exit_status is ExitStatus.DIFFERS


@pytest.mark.parametrize(("mode", "status"), [("auto", "in_sync"), ("keep", "in_sync"), ("write", "changed")])
def test_a_masked_secret_is_no_change_unless_it_is_written(ztrust_sandbox, mode, status):
    ztrust_sandbox.edit_smtp("acme", STORED)
    with connected(ztrust_sandbox, Unreadable()) as connection:
        made = plan(one_realm(BASIC), connection, secrets=SecretMode(mode), resolve=False)
    assert statuses(made) == {"acme": status}
    assert made.realms[0].difference.masked_fields == ("relay.auth.password",)


def test_a_secret_that_is_missing_on_the_server_is_a_change(ztrust_sandbox):
    ztrust_sandbox.edit_smtp("acme", {n: v for n, v in STORED.items() if n != "password"})
    (change,) = planned(ztrust_sandbox, one_realm(BASIC)).realms[0].changes
    assert (change.field, change.before) == ("relay.auth.password", None)


def test_unmanaged_attributes_are_listed(ztrust_sandbox):
    ztrust_sandbox.edit_smtp("acme", JUNK["unknown keys"])
    made = planned(ztrust_sandbox, one_realm(BASIC))
    assert statuses(made) == {"acme": "in_sync"}
    assert made.realms[0].difference.unmanaged == ("", "sender.address", "x-hint", "x-old")


_STATUS = {
    Status.IN_SYNC: ExitStatus.OK,
    Status.APPLIED: ExitStatus.OK,
    Status.CHANGED: ExitStatus.DIFFERS,
    Status.FAILED: ExitStatus.PARTIAL,
    Status.MISSING: ExitStatus.PARTIAL,
    Status.UNREADABLE: ExitStatus.PARTIAL,
    Status.SKIPPED: ExitStatus.PARTIAL,
}


@pytest.mark.parametrize("one", list(Status))
@pytest.mark.parametrize("other", list(Status))
def test_the_worse_of_two_realms_decides_the_exit_status(one, other):
    made = make_plan(realms({"a": {"disabled": True}, "b": {"disabled": True}}), FakeGateway({"a": {}, "b": {}}))
    first, second = made.realms
    both = replace(made, realms=(replace(first, status=one), replace(second, status=other)))
    assert both.exit_status is ExitStatus.worst([_STATUS[one], _STATUS[other]])


def test_a_realm_plan_without_live_state_has_no_changes():
    part = RealmPlan("acme", Status.MISSING, Desired("acme", realms({}).defaults))
    assert part.changes == ()
    found = finding_of(RealmError("it broke", "mend it"), "acme")
    assert (found.rule, found.message, found.hint, found.realm) == ("realm-failed", "it broke", "mend it", "acme")


def test_no_text_of_a_plan_holds_a_secret(ztrust_sandbox):
    ztrust_sandbox.edit_smtp("acme", {**STORED, "authTokenClientSecret": "oauth-Secr3t"})
    made = planned(ztrust_sandbox, one_realm(NO_LOGIN))
    assert not re.search("relay-Passw0rd|oauth-Secr3t", repr(made))


def test_realms_named_by_their_own_entries_need_no_list_and_no_glob(ztrust_sandbox):
    spec = realms({"acme": NO_LOGIN, "no-such-*": {"expect": {"min": 5}, **NO_LOGIN}})
    ztrust_sandbox.faults.list_forbidden = True

    named = planned(ztrust_sandbox, spec, "acme")
    whole = planned(ztrust_sandbox, spec)

    assert (statuses(named), named.findings, named.globs) == ({"acme": "changed"}, (), ())
    assert set(rules(whole)) == {"too-few-realms", "no-realm-list"}
