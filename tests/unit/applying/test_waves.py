"""Portions of a plan: the canary first, then waves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztrust_mail.applying.options import Waves
from ztrust_mail.core.errors import UsageError
from ztrust_mail.model.fields import HOST
from ztrust_mail.planning.plan import RealmPlan, Status
from ztrust_mail.specfile.resolve import desired_from_journal


def todo(*names: str, without: str = "") -> list[RealmPlan]:
    """Return realms to be written; those in ``without`` are to have no e-mail."""
    fields = {name: None if name in without else {HOST: "smtp.example.com"} for name in names}
    return [RealmPlan(name, Status.CHANGED, desired_from_journal(name, wanted)) for name, wanted in fields.items()]


def portions(waves: Waves, *names: str) -> list[tuple[bool, list[str]]]:
    return [(wave.canary, [realm.realm for realm in wave.realms]) for wave in waves.of(todo(*names))]


def test_without_options_all_realms_are_one_wave():
    assert portions(Waves(), "a", "b", "c") == [(False, ["a", "b", "c"])]


def test_a_number_takes_the_first_realms_as_canary():
    assert portions(Waves(canary="2", size=2), *"abcde") == [
        (True, ["a", "b"]),
        (False, ["c", "d"]),
        (False, ["e"]),
    ]


def test_a_glob_takes_all_its_matches_as_canary_wherever_they_are_in_the_spec():
    assert portions(Waves(canary="test-*"), "a", "test-1", "b", "test-2") == [
        (True, ["test-1", "test-2"]),
        (False, ["a", "b"]),
    ]


def test_a_canary_of_all_realms_leaves_no_further_wave():
    assert portions(Waves(canary="9"), "a", "b") == [(True, ["a", "b"])]


@pytest.mark.parametrize("canary", ["0", "none-*", "-1"])
def test_a_canary_that_matches_no_realm_is_refused(canary):
    with pytest.raises(UsageError, match="matches none"):
        Waves(canary=canary).check(todo("a"))


def test_a_number_takes_the_first_realms_that_can_be_tested():
    (canary, rest) = Waves(canary="2").of(todo(*"abcd", without="ac"))
    assert [realm.realm for realm in canary.realms] == ["b", "d"]
    assert [realm.realm for realm in rest.realms] == ["a", "c"]


@pytest.mark.parametrize("canary", ["1", "9", "a", "?"])
def test_a_canary_without_a_realm_to_test_is_refused(canary):
    with pytest.raises(UsageError, match="matches no realm that can be tested"):
        Waves(canary=canary).check(todo("a", "b", without="ab"))


def test_a_canary_with_one_realm_to_test_is_accepted():
    Waves(canary="*").check(todo("a", "b", without="a"))


@pytest.mark.parametrize("digits", [10, 20, 4301])
def test_a_canary_of_more_digits_than_any_number_of_realms_is_refused(digits):
    with pytest.raises(UsageError, match="more than 9 digits") as refusal:
        Waves(canary="9" * digits).check(todo("a"))
    assert "such as 5" in refusal.value.hint


def test_a_realm_whose_name_is_a_long_number_gets_the_advice_for_its_name():
    with pytest.raises(UsageError, match="the name of a realm"):
        Waves(canary="9" * 20).check(todo("9" * 20))


def test_a_canary_of_many_zeros_is_no_canary():
    with pytest.raises(UsageError, match="matches none"):
        Waves(canary="0" * 4301).check(todo("a"))


@pytest.mark.parametrize(("canary", "names"), [("2", ("1", "2", "3")), ("1001", ("1001",))])
def test_a_number_that_is_a_realms_name_is_refused(canary, names):
    with pytest.raises(UsageError, match=f"--canary `{canary}` is ambiguous: it is a number and the name of a realm"):
        Waves(canary=canary).check(todo(*names))


def test_any_canary_is_accepted_if_nothing_is_to_be_written():
    Waves(canary="none-*").check([])


@given(
    names=st.lists(st.text("abc", min_size=1, max_size=3), unique=True),
    size=st.integers(0, 4),
    canary=st.sampled_from(["", "1", "3", "a*", "zz"]),
)
def test_every_realm_is_in_one_wave_and_no_wave_is_larger_than_asked_for(names, size, canary):
    waves = list(Waves(canary, size).of(todo(*names)))
    assert sorted(realm.realm for wave in waves for realm in wave.realms) == sorted(names)
    assert all(len(wave.realms) <= size for wave in waves if size and not wave.canary)
    assert [wave.canary for wave in waves[1:]] == [False] * (len(waves) - 1 if waves else 0)


@pytest.mark.parametrize(("stop_after", "failed", "stops"), [(0, 99, False), (2, 1, False), (2, 2, True), (2, 3, True)])
def test_the_given_number_of_failures_stops_the_rest(stop_after, failed, stops):
    assert Waves(stop_after=stop_after).stops_at(failed) is stops
