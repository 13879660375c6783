"""Every error has one exit status, and of several the gravest wins."""

from __future__ import annotations

import itertools

import pytest

from ztrust_mail.core import errors
from ztrust_mail.core.errors import ExitStatus, SpecError, ZtrustMailError
from ztrust_mail.core.findings import Finding, Location, Severity, error, has_errors

PRECEDENCE = [130, 70, 2, 5, 3, 4, 1, 0]


def test_exit_statuses_have_their_documented_numbers():
    named = {status.name: status.value for status in ExitStatus}
    wanted = {"OK": 0, "DIFFERS": 1, "USAGE": 2, "UNREACHABLE": 3, "PARTIAL": 4, "BUG": 70, "INTERRUPTED": 130}
    assert wanted.items() <= named.items()
    assert set(named.values()) <= set(PRECEDENCE)


def test_the_graver_of_two_statuses_wins_in_any_order():
    for one, other in itertools.product(ExitStatus, repeat=2):
        gravest = min(one, other, key=lambda s: PRECEDENCE.index(s.value))
        assert ExitStatus.worst([one, other]) is gravest


def test_no_status_at_all_is_ok():
    assert ExitStatus.worst(iter(())) is ExitStatus.OK


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.UsageError, 2),
        (errors.ConfigError, 2),
        (errors.ServerError, 3),
        (errors.ServerUnreachable, 3),
        (errors.ServerRefused, 3),
        (errors.RealmError, 4),
        (errors.RealmMissing, 4),
        (errors.RealmUnreadable, 4),
        (errors.SecretError, 4),
        (errors.MailTestFailed, 1),
    ],
)
def test_each_kind_of_error_leads_to_its_exit_status(kind, status):
    raised = kind("what is wrong", "what to do", "a-rule")
    assert isinstance(raised, ZtrustMailError)
    assert raised.exit_status == status
    assert (str(raised), raised.message, raised.hint, raised.rule) == (
        "what is wrong",
        "what is wrong",
        "what to do",
        "a-rule",
    )


@pytest.mark.parametrize(
    ("count", "words"),
    [(1, "1 problem: mail.yaml:3:5: problem 0"), (2, "2 problems: mail.yaml:3:5: problem 0"), (0, "0 problems")],
)
def test_the_error_of_an_invalid_spec_has_every_finding_and_shows_the_first(count, words):
    place = Location("mail.yaml", 3, 5)
    raised = SpecError(error("a-rule", f"problem {n}", location=place) for n in range(count))
    assert raised.exit_status is ExitStatus.USAGE
    assert str(raised) == f"the spec has {words}"
    assert [f.message for f in raised.findings] == [f"problem {n}" for n in range(count)]


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        (Location("a.yaml", 3, 7), "a.yaml:3:7"),
        (Location("<dict>"), "<dict>"),
        (Location("C:/a b.yaml", 1, 1), "C:/a b.yaml:1:1"),
    ],
)
def test_a_place_reads_as_path_line_and_column(place, shown):
    assert str(place) == shown


def test_places_sort_by_file_line_and_column():
    places = [Location("b", 1, 1), Location("a", 10, 1), Location("a", 9, 2), Location("a", 9, 1), Location("a")]
    assert [str(p) for p in sorted(places)] == ["a", "a:9:1", "a:9:2", "a:10:1", "b:1:1"]


def test_only_findings_of_severity_error_count_as_errors():
    warning, note = (Finding(s, "a-rule", "m") for s in (Severity.WARNING, Severity.NOTE))
    assert not has_errors([warning, note])
    assert not has_errors([])
    assert has_errors([warning, error("a-rule", "m", "h", Location("a"))])
