"""Reports for GitLab's code quality: a JSON list of issues, which a merge request shows at the lines of a spec."""

from __future__ import annotations

import json
import re

from ztrust_mail.core.data import JsonLike
from ztrust_mail.core.findings import Finding, Severity, note
from ztrust_mail.reports.overview import OverviewFormat
from ztrust_mail.reports.overview.places import (
    full_message,
    limit_findings,
    make_fingerprints,
    place_in_checkout,
    relative_path,
)
from ztrust_mail.reports.overview.rows import Overview
from ztrust_mail.reports.style import disarm_document, escape_in_json

NO_FILE = "ztrust-mail"
"""The path for findings without a file, since GitLab requires one."""

_SEVERITIES = {
    Severity.CRITICAL: "blocker",
    Severity.ERROR: "major",
    Severity.WARNING: "minor",
    Severity.NOTE: "info",
}
_OURS = re.compile(rb'\[(?:\]\s*$|\s*\{\s*"engine_name": "ztrust-mail")')


class GitlabFormat(OverviewFormat):
    """An issue per finding."""

    def write(self, shown: Overview) -> str:
        """Return an overview as a code quality report."""
        found, left_out = limit_findings(shown)
        issues = [_issue(*pair, shown) for pair in zip(found, make_fingerprints(found), strict=True)]
        if left_out:
            issues.append(_issue(note("too-many-findings", left_out), "too-many-findings", shown))
        return disarm_document(json.dumps(issues, indent=1, ensure_ascii=True), escape_in_json) + "\n"

    def recognises(self, beginning: bytes) -> bool:
        """Tell whether a file is a list of issues of this program, or an empty one."""
        return bool(_OURS.match(beginning))


FORMAT = GitlabFormat()


def _issue(found: Finding, fingerprint: str, shown: Overview) -> JsonLike:
    place = place_in_checkout(found, shown)
    return {
        "engine_name": "ztrust-mail",
        "type": "issue",
        "categories": ["Bug Risk"],
        "check_name": found.rule,
        "description": full_message(found, with_realm=True),
        "fingerprint": fingerprint,
        "severity": _SEVERITIES[found.severity],
        "location": {
            "path": relative_path(place.path) if place else NO_FILE,
            "lines": {"begin": max(place.line, 1) if place else 1},
        },
    }
