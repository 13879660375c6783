"""No spec makes more findings than a person can read, and none of them hides an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.cli import Cli

import ztrust_mail
from ztrust_mail.core.errors import SpecError
from ztrust_mail.core.findings import MAX_PROBLEMS, FileFindings, Finding, Location, Severity, error
from ztrust_mail.specfile.build import MAX_GLOBS

BASE = {"sender": {"address": "a@b.example"}, "relay": {"host": "h.example"}}
MANY = MAX_PROBLEMS + 500
LAST = "too-many-findings"


def spec_of(realms: dict[str, object], defaults: object = BASE) -> str:
    return json.dumps({"version": 1, "defaults": defaults, "realms": realms})


CROWDED = {
    "unknown keys of one entry": spec_of({"r": {f"key{n}": n for n in range(MANY)}}),
    "unknown keys of many entries": spec_of({f"r{n}": {"sendr": 1} for n in range(MANY)}),
    "keys twice": "{" + ", ".join(['"a": 1'] * MANY) + "}",
    "bad values": spec_of({f"r{n}": {"relay": {"host": "a b"}} for n in range(MANY)}),
    "bad placeholders": spec_of({"r": {"extra": {f"x{n}": "{nope}" for n in range(MANY)}}}),
    "missing fields": spec_of({f"r{n}": {} for n in range(MANY)}, {}),
}


@pytest.mark.parametrize("crowd", CROWDED)
def test_a_file_with_too_many_problems_has_the_first_ones_and_the_limit_reported(crowd: str, cli: Cli) -> None:
    cli.write("a.json", CROWDED[crowd])
    ran = cli("validate", "a.json")
    assert ran.status == 2
    *found, count = ran.out.splitlines()
    assert count == "Found more than 1,000 errors in 1 file."
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1].startswith("a.json: error: there are more than 1,000 findings; the rest is not shown; fix these")
    assert all("error: " in line and LAST not in line for line in found[:-1])
    assert ran.err == ""


def test_the_report_of_a_file_with_many_problems_has_the_same_bound(cli: Cli) -> None:
    cli.write("a.json", CROWDED["unknown keys of one entry"])
    report = cli("validate", "a.json", "--format", "json").json
    assert [one["rule"] for one in report["findings"]] == ["unknown-key"] * MAX_PROBLEMS + [LAST]


def test_each_file_has_a_bound_of_its_own(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(CROWDED["unknown keys of one entry"])
    found = ztrust_mail.validate(str(tmp_path))[1]
    assert [(one.rule, one.severity) for one in found].count((LAST, Severity.ERROR)) == 2
    assert len(found) == 2 * (MAX_PROBLEMS + 1)


def test_warnings_beyond_the_bound_leave_a_spec_valid(cli: Cli) -> None:
    cli.write("a.json", spec_of({f"r{n}": {"relay": {"host": "h", "port": 465}} for n in range(MANY)}))
    ran = cli("validate", "a.json")
    assert ran.status == 0
    *warnings, last, valid = ran.out.splitlines()
    assert len(warnings) == MAX_PROBLEMS
    assert "warning: there are more than 1,000 findings" in last
    assert valid == f"Valid: {MANY:,} realms and 0 globs in 1 file."


def test_no_number_of_warnings_hides_an_error(cli: Cli) -> None:
    realms: dict[str, object] = {f"r{n}": {"relay": {"host": "h", "port": 465}} for n in range(MANY)}
    cli.write("a.json", spec_of({**realms, "last": {"envelope_from": "{realm}"}}))
    ran = cli("validate", "a.json")
    assert ran.status == 2
    assert "error: `envelope_from` is not an address" in ran.out
    assert len(ran.out.splitlines()) == MAX_PROBLEMS + 1


def test_the_number_of_stored_findings_is_bounded_and_duplicates_count_once() -> None:
    findings = FileFindings()
    for n in range(MANY):
        findings.add(error("x", str(n % 10), location=Location("a", 1)))
    assert len(findings.in_order()) == 10
    for n in range(MANY):
        findings.add(Finding(Severity.NOTE, "y", str(n)))
    assert not findings.add(Finding(Severity.NOTE, "y", "more"))
    assert findings.add(error("x", "0", location=Location("a", 1)))
    assert len(list(findings)) == 10 + MAX_PROBLEMS + 1
    assert [one.location for one in findings.in_order() if one.rule == LAST] == [None]


def globs(count: int) -> dict[str, object]:
    return {f"a{n}-*": {} for n in range(count)}


def test_the_first_glob_over_the_limit_is_refused(tmp_path: Path) -> None:
    for name, first in (("a.yaml", 0), ("b.yaml", MAX_GLOBS // 2)):
        entries = "".join(f"  a{n}-*: {{}}\n" for n in range(first, first + MAX_GLOBS // 2))
        (tmp_path / name).write_text(f"version: 1\nrealms:\n{entries}" + ("  one-more-*: {}\n" if first else ""))
    (tmp_path / "c.json").write_text('{"defaults": ' + json.dumps(BASE) + "}")
    with pytest.raises(SpecError) as refusal:
        ztrust_mail.load_spec(str(tmp_path))
    (found,) = refusal.value.findings
    assert found.rule == "too-many-globs"
    assert str(found.location).endswith(f"b.yaml:{MAX_GLOBS // 2 + 3}:3")
    assert found.message == "the spec has 501 globs, over the limit of 500, which this one exceeds"
    assert "fewer globs" in found.hint


def test_the_largest_allowed_number_of_globs_is_accepted() -> None:
    spec = ztrust_mail.load_spec({"version": 1, "defaults": BASE, "realms": globs(MAX_GLOBS)})
    assert len(spec.globs) == MAX_GLOBS


def test_a_hint_names_some_of_many_variables() -> None:
    entry = {"vars": {f"v{n}": "x" for n in range(MANY)}, "extra": {"a": "{nope}"}}
    (found,) = ztrust_mail.validate({"version": 1, "defaults": BASE, "realms": {"r": entry}})[1]
    assert found.rule == "bad-placeholder"
    assert len(found.hint) < 500


def test_convert_has_the_same_bound(cli: Cli) -> None:
    realm = {"realm": "a", "smtpServer": {"host": "h", "from": "a@b.example", **{f"prt{n}": "x" for n in range(9)}}}
    many = [{**realm, "realm": f"r{n}"} for n in range(MANY // 8)]
    cli.write("a.json", json.dumps(many))
    ran = cli("convert", "--from", "realm-export", "--to", "oneaccess", "a.json")
    assert ran.status == 0
    assert ran.err.count(LAST) == 2  # of the file, and of what the target cannot hold
    assert len(ran.err.splitlines()) <= 2 * (MAX_PROBLEMS + 1)
