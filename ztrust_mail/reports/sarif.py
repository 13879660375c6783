"""Reports in SARIF 2.1.0, which GitHub's code scanning and many editors show at the lines of a spec."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from ztrust_mail._version import __version__
from ztrust_mail.core.data import JsonLike
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.rules import Rule, registry
from ztrust_mail.reports.overview import OverviewFormat
from ztrust_mail.reports.overview.places import (
    full_message,
    limit_findings,
    make_fingerprints,
    place_in_checkout,
    to_uri,
)
from ztrust_mail.reports.overview.rows import Overview
from ztrust_mail.reports.style import disarm_document, escape_in_json

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "%SRCROOT%"
"""The name that code scanning knows for the root of a checkout."""

Data = Mapping[str, JsonLike]

_LEVELS = {
    Severity.CRITICAL: "error",
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.NOTE: "note",
}
_RANKS = {Severity.CRITICAL: 100.0, Severity.ERROR: 75.0, Severity.WARNING: 50.0, Severity.NOTE: 25.0}
_OURS = re.compile(
    rb'\{"\$schema": "[^"]*", "version": "2\.1\.0", "runs": \[\{"tool": \{"driver": \{"name": "ztrust-mail"'
)


class SarifFormat(OverviewFormat):
    """One run with a result per finding, and the rules of these with their help."""

    def write(self, shown: Overview) -> str:
        """Return an overview as a SARIF log."""
        found, left_out = limit_findings(shown)
        rules = [rule for rule in registry().values() if rule.id in {one.rule for one in found}]
        run: Data = {
            "tool": {"driver": _driver(rules)},
            "columnKind": "unicodeCodePoints",
            "invocations": [_invocation(shown, left_out)],
            "results": _results(found, rules, shown),
            "properties": {"server": shown.server, "verdict": list(shown.verdict), "realms": dict(shown.statuses)},
        }
        log = json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, ensure_ascii=True)
        return disarm_document(log, escape_in_json) + "\n"

    def recognises(self, beginning: bytes) -> bool:
        """Tell whether a file begins as a log of this program."""
        return bool(_OURS.match(beginning))


FORMAT = SarifFormat()


def _driver(rules: Sequence[Rule]) -> Data:
    return {
        "name": "ztrust-mail",
        "version": __version__,
        "rules": [
            {
                "id": rule.id,
                "shortDescription": {"text": rule.title},
                "fullDescription": {"text": rule.help},
                "help": {"text": f"{rule.help} See also: ztrust-mail rule {rule.id}"},
                "defaultConfiguration": {"level": _LEVELS[rule.severity]},
                "properties": {"tags": [rule.group]},
            }
            for rule in rules
        ],
    }


def _invocation(shown: Overview, left_out: str) -> Data:
    more: Data = (
        {"toolExecutionNotifications": [{"level": "warning", "message": {"text": left_out}}]} if left_out else {}
    )
    return {
        "executionSuccessful": shown.exit_status in (ExitStatus.OK, ExitStatus.DIFFERS),
        "exitCode": int(shown.exit_status),
        "exitCodeDescription": shown.exit_status.name.lower(),
        **more,
    }


def _results(found: Sequence[Finding], rules: Sequence[Rule], shown: Overview) -> list[JsonLike]:
    places = {rule.id: number for number, rule in enumerate(rules)}
    return [
        {
            "ruleId": one.rule,
            **({"ruleIndex": places[one.rule]} if one.rule in places else {}),
            "level": _LEVELS[one.severity],
            "rank": _RANKS[one.severity],
            "message": {"text": full_message(one, with_realm=True)},
            "locations": _locations(one, shown),
            "partialFingerprints": {"ztrustMailFinding/v1": fingerprint},
            "properties": {"severity": one.severity.value},
        }
        for one, fingerprint in zip(found, make_fingerprints(found), strict=True)
    ]


def _locations(found: Finding, shown: Overview) -> list[JsonLike]:
    """Return the place in a file, of which code scanning needs one, and the realm and field."""
    location: dict[str, JsonLike] = {}
    if place := place_in_checkout(found, shown):
        region = {"startLine": max(place.line, 1), **({"startColumn": place.column} if place.column else {})}
        uri = to_uri(place.path)
        base = {} if uri.startswith("file:") else {"uriBaseId": ROOT}  # an absolute URI must have none
        artifact = {"uri": uri, **base}
        location["physicalLocation"] = {"artifactLocation": artifact, "region": region}
    if found.realm:
        field = f".{found.field}" if found.field else ""
        location["logicalLocations"] = [
            {"name": found.realm, "fullyQualifiedName": f"realms.{found.realm}{field}", "kind": "object"}
        ]
    elif found.location and found.location.key:
        location["logicalLocations"] = [{"fullyQualifiedName": found.location.key}]
    return [location] if location else []
