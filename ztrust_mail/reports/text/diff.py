"""What two runs left, as lines of text."""

from collections.abc import Iterator

from ztrust_mail.core.text import pluralise, to_minute
from ztrust_mail.journal.records import Run
from ztrust_mail.planning.compare import Action, SecretState
from ztrust_mail.planning.run_diff import RealmDiff
from ztrust_mail.reports.grouping import Said, Statement, group_realms
from ztrust_mail.reports.report import DiffReport
from ztrust_mail.reports.style import Line, Span, line
from ztrust_mail.reports.text.findings import finding_lines
from ztrust_mail.reports.text.lines import block_lines
from ztrust_mail.reports.text.plan import change_statement, describe_block, make_remark, statement_lines

_SECRETS = {
    SecretState.UNCHANGED: "the same secret",
    SecretState.UNKNOWN: "unknown whether it is the same secret: the journal has no fingerprint of one of them",
}


def diff_body(report: DiffReport, *, details: bool = False) -> Iterator[Line]:
    """Yield the server, the two runs, how realms differ, those that differ alike once, and the findings."""
    found = report.diff
    yield line(report.title or found.url)
    yield line(f"From run {_describe_run(found.first)}")
    yield line(f"to run {_describe_run(found.second)}")
    yield line()
    for block in group_realms([_describe_realm(realm) for realm in found.realms if _is_shown(realm)], details=details):
        yield from block_lines([block], describe_block, statement_lines)
        yield line()
    notes = list(finding_lines(found.findings, fold=not details))
    yield from [*notes, line()] if notes else []


def diff_verdict(report: DiffReport) -> Iterator[Line]:
    """Yield how many realms differ."""
    realms = report.diff.realms
    different = [realm for realm in realms if realm.is_different]
    same = len(realms) - len(different)
    secrets = sum(SecretState.UNKNOWN in realm.secrets.values() for realm in realms)
    unknown = f" Unknown whether passwords are the same: {pluralise(secrets, 'realm')}." if secrets else ""
    others = f"{same:,} the same" if different else f"{pluralise(same, 'realm')} the same"
    counts = f"{pluralise(len(different), 'realm')} different, {others}" if different else others
    yield line(Span("Diff: ", "bold"), f"{counts}.{unknown}")


def _describe_run(run: Run) -> str:
    return f"{run.number}: {run.command}, {to_minute(run.started)}, by {run.who}"


def _is_shown(realm: RealmDiff) -> bool:
    return realm.is_different or SecretState.UNKNOWN in realm.secrets.values()


def _describe_realm(realm: RealmDiff) -> Said:
    statements = [change_statement(change) for change in realm.changes]
    for name, state in realm.secrets.items():
        if state is SecretState.CHANGED:
            statements.append(Statement(Action.CHANGE.value, name, ("another secret",)))
        else:
            statements.append(make_remark(f"{name}: {_SECRETS[state]}"))
    return realm.realm, "", statements
