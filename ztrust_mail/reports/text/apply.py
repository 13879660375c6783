"""What became of an applied plan, and of the secret that a rotation replaced, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ztrust_mail.core.findings import Finding
from ztrust_mail.core.secret import SecretRef
from ztrust_mail.core.text import first_and_more, pluralise
from ztrust_mail.journal.records import OF_SAVED_PLAN
from ztrust_mail.planning.plan import Status
from ztrust_mail.planning.planners.rotate import NOT_LOOKED, NOT_ROTATED, OLD_SECRET, UNKNOWN_SECRET
from ztrust_mail.reports.style import Line, Span, line
from ztrust_mail.reports.text.findings import finding_line
from ztrust_mail.reports.text.plan import STATUS, status_counts

if TYPE_CHECKING:
    from ztrust_mail.applying.outcome import RealmOutcome, Result

NAMED = 20
"""How many realms of one kind are named; JSON reports name all."""

_LEFTOVERS = {
    NOT_ROTATED: "not written by this rotation",
    OLD_SECRET: "last written with it, and not part of this rotation",
    UNKNOWN_SECRET: "the same login, with a secret that the journal never wrote",
}


def result_lines(done: Result) -> Iterator[Line]:
    """Yield what an apply did, realm by realm."""
    for realm in _to_be_written(done):
        yield line(Span(realm.realm, "bold"), "  ", STATUS[realm.status])
    untouched = any(realm.status is Status.SKIPPED for realm in done.realms)
    if done.interrupted:
        what = "realms marked skipped were not touched." if untouched else "no realm was skipped."
        yield line(Span("Interrupted: ", "bold red"), what)
    elif done.stopped:
        yield line(Span("Stopped: ", "bold red"), f"{done.stopped}; realms marked skipped were not touched.")
    run = f" (run {done.run})." if done.run else "."
    yield line(Span("Done: ", "bold"), status_counts(done.plan, done.realms), run)
    if done.plan.unseen:
        yield line(
            Span("Not read back: ", "yellow"),
            "the server shows no settings, so applied means that it accepted the write.",
        )
    if (done.interrupted or done.stopped) and any(realm.status is not Status.APPLIED for realm in _to_be_written(done)):
        yield line(_next_step(done))


def _to_be_written(done: Result) -> list[RealmOutcome]:
    return [realm for realm in done.realms if realm.plan.status is Status.CHANGED]


def _next_step(done: Result) -> str:
    if done.command == "rotate":
        return "Fix the cause, then run the same rotate again."
    if done.command.startswith("revert "):
        return f"Continue with: ztrust-mail {done.command}"
    again = f"ztrust-mail apply {'--plan FILE' if done.command == OF_SAVED_PLAN else 'SPEC...'} --resume"
    return (
        f"Fix the cause, then continue with: {again} --canary 1"
        if "canary" in done.stopped
        else f"Continue with: {again}"
    )


def leftover_lines(found: Sequence[Finding], reference: SecretRef) -> Iterator[Line]:
    """Yield the realms that may still use the replaced secret, by kind, each kind with what to do about it."""
    if any(one.rule in _LEFTOVERS for one in found):
        yield line(Span("The old value ", "bold"), f"of {reference} may still be used by:")
    else:
        yield line(
            Span("The old value ", "bold"), f"of {reference}: no realm uses it any more, as far as the journal knows."
        )
    for rule, words in _LEFTOVERS.items():
        if fitting := [one for one in found if one.rule == rule]:
            yield line(f"  {pluralise(len(fitting), 'realm')}: {words}; {fitting[0].hint}")
            yield line(f"    {_names(fitting)}")
    for one in found:
        if one.rule == NOT_LOOKED:
            yield finding_line(one)


def _names(found: Sequence[Finding]) -> str:
    return first_and_more([str(one.realm) for one in found], NAMED)
