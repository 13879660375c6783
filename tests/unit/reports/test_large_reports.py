"""Drift of ten thousand realms, each with values of its own, in every format: bounded in bytes and in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

MEGABYTE = 1_000_000
MOST_BYTES = {
    "text": 20_000,
    "json": 17 * MEGABYTE,
    "markdown": 65_536,
    "html": 10 * MEGABYTE,
    "junit": 13 * MEGABYTE,
    "sarif": 15 * MEGABYTE,
    "github": 20_000,
    "gitlab": 11 * MEGABYTE,
}
"""How large each format may be. What lists every realm has some thousand bytes for each, with four changes."""

MOST_MEMORY = 300 * MEGABYTE
REALMS = 10_000


@pytest.fixture(scope="module")
def measured() -> Mapping[str, int]:
    """The bytes of the report in each format, and the memory of the process that made them."""
    done = subprocess.run([sys.executable, __file__], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_every_format_has_a_limit(measured: Mapping[str, int]) -> None:
    assert measured.keys() == {*MOST_BYTES, "memory", "github lines"}


@pytest.mark.parametrize("name", MOST_BYTES)
def test_a_report_on_ten_thousand_realms_is_of_bounded_size(measured: Mapping[str, int], name: str) -> None:
    assert measured[name] <= MOST_BYTES[name]


def test_reports_on_ten_thousand_realms_take_bounded_memory(measured: Mapping[str, int]) -> None:
    assert measured["memory"] <= MOST_MEMORY


def test_github_gets_no_more_annotations_than_it_shows(measured: Mapping[str, int]) -> None:
    assert measured["github lines"] <= 40


def _measure() -> dict[str, int]:
    from support.report_samples import drift_report, realm_plan

    from ztrust_mail.reports.report import OutputFormat, load_format

    names = [f"customer-{number:05}" for number in range(REALMS)]
    report = drift_report("new.example", names)
    made = report.drift.plan
    varied = [realm_plan(one.realm, f"smtp-{number * 7919 % 10_007}.example", one.status)
              for number, one in enumerate(made.realms)]  # fmt: skip
    report = replace(report, drift=replace(report.drift, plan=replace(made, realms=tuple(varied))))
    found = {}
    for name in OutputFormat:
        document = load_format(name).document(report)
        found[name.value] = len(document.encode())
        if name is OutputFormat.GITHUB:
            found["github lines"] = document.count("\n")
    return {**found, "memory": _peak_of_memory()}


def _peak_of_memory() -> int:
    """Return the most bytes that this program has held; ``getrusage`` counts the process that started it, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    print(json.dumps(_measure()))
