"""Reports as JUnit XML, which every CI server shows as tests: a case for each realm and each further finding."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Location
from ztrust_mail.reports.overview import OverviewFormat
from ztrust_mail.reports.overview.places import full_message, relative_path
from ztrust_mail.reports.overview.rows import CHANGE_RULES, GRAVE, Overview, RealmRow, name_field, place_finding
from ztrust_mail.reports.style import disarm_document, escape_in_markup

_LONGEST_NAME = 200
_SKIPPED = "skipped"
_OURS = re.compile(rb'<\?xml [^>]*\?>\s*<testsuites name="ztrust-mail ')


class JunitFormat(OverviewFormat):
    """One suite. A case fails for an error or a critical finding; what else there is to say is its output."""

    def write(self, shown: Overview) -> str:
        """Return an overview as XML."""
        cases = [*map(_realm_case, shown.realms), *map(_finding_case, shown.findings)]
        cases.append(_command_case(shown, is_explained=any(one.failures for one in cases)))
        numbers = {
            "tests": str(len(cases)),
            "failures": str(sum(bool(one.failures) for one in cases)),
            "errors": "0",
            "skipped": str(sum(one.is_skipped for one in cases)),
        }
        root = ET.Element("testsuites", {"name": f"ztrust-mail {shown.command}", **numbers})
        suite = ET.SubElement(root, "testsuite", {"name": shown.title or shown.command, **numbers})
        for one in cases:
            suite.append(one.to_element(f"ztrust-mail.{shown.command}"))
        ET.indent(root, " ")
        return (
            '<?xml version="1.0" encoding="utf-8"?>\n'
            + disarm_document(ET.tostring(root, "unicode"), escape_in_markup)
            + "\n"
        )

    def recognises(self, beginning: bytes) -> bool:
        """Tell whether a file begins as a report of this program."""
        return bool(_OURS.match(beginning))


FORMAT = JunitFormat()


@dataclass(frozen=True)
class _Case:
    """A test case. ``failures`` are the findings that it fails for, ``output`` is what else there is to say."""

    name: str
    failures: tuple[Finding, ...] = ()
    output: str = ""
    place: Location | None = None
    is_skipped: bool = False

    def to_element(self, kind: str) -> ET.Element:
        """Return the case as XML; ``kind`` is its class."""
        attributes = {"classname": kind, "name": self.name}
        if self.place:
            attributes["file"] = relative_path(self.place.path)
            attributes |= {"line": str(self.place.line)} if self.place.line else {}
        element = ET.Element("testcase", attributes)
        if self.failures:
            first = self.failures[0]
            child = ET.SubElement(element, "failure", {"type": first.rule, "message": first.message})
            child.text = "\n".join(map(_line, self.failures))
        elif self.is_skipped:
            ET.SubElement(element, "skipped", {"message": self.output.partition("\n")[0]})
        if self.output:
            ET.SubElement(element, "system-out").text = self.output
        return element


def _realm_case(row: RealmRow) -> _Case:
    found = [place_finding(one, row) for one in row.findings]
    grave = tuple(one for one in found if one.severity in GRAVE)
    others = [_line(one) for one in found if one not in grave and one.rule not in CHANGE_RULES]
    lines = [row.status.replace("_", " "), *_changes(row), *filter(None, [row.note]), *others]
    place = next((one.location for one in grave), row.place)
    return _Case(row.realm, grave, "\n".join(lines), place, row.status == _SKIPPED and not grave)


def _changes(row: RealmRow) -> Iterator[str]:
    for one in row.changes:
        cause = f" ({one.cause.replace('_', ' ')})" if one.cause else ""
        yield f"{one.sign} {name_field(one)}: {one.old} → {one.new}{cause}"


def _finding_case(found: Finding) -> _Case:
    where = str(found.location or found.realm or "")
    name = ": ".join(filter(None, [where, f"{found.message} [{found.rule}]"]))
    is_grave = found.severity in GRAVE
    return _Case(name[:_LONGEST_NAME], (found,) if is_grave else (), "" if is_grave else _line(found), found.location)


def _command_case(shown: Overview, *, is_explained: bool) -> _Case:
    """Return the case of the command itself, which fails if the command failed for a reason in no other case."""
    steps = [f"next: {shown.next_step}"] if shown.next_step else []
    output = "\n".join([*shown.verdict, *_table_lines(shown), *steps, *filter(None, [shown.text])])
    failures: Iterable[Finding] = ()
    if not is_explained and shown.exit_status not in (ExitStatus.OK, ExitStatus.DIFFERS):
        failures = [Finding(GRAVE[1], shown.command, f"exit status {int(shown.exit_status)}: {shown.verdict[0]}")]
    return _Case(f"exit status of {shown.command}", tuple(failures), output)


def _table_lines(shown: Overview) -> Iterator[str]:
    for table in shown.tables:
        yield table.heading
        yield from ("  ".join(filter(None, row)) for row in table.rows)


def _line(found: Finding) -> str:
    where = f"{found.location}: " if found.location else ""
    return f"{where}{found.severity.value}: {full_message(found, with_realm=True)} [{found.rule}]"
