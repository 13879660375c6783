"""The verb ``compare``: what differs between two servers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ztrust_mail.api.session import Session
from ztrust_mail.api.specs import fit_spec
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.text import is_selected, quoted
from ztrust_mail.specfile.entries import Spec

if TYPE_CHECKING:
    from ztrust_mail.core.findings import Finding
    from ztrust_mail.planning.server_diff import ServerDiff, Side


def compare(first: Session, second: Session, *, spec: Spec | None = None, realms: Sequence[str] = ()) -> ServerDiff:
    """Compare the e-mail settings that two servers hold, realm by realm; writes nothing.

    ``realms`` are globs; a ``spec`` limits the comparison to the realms that it has on one of the servers. Masked
    secrets are compared by the fingerprints of the journal, where both sessions have the same one. Themes and texts are
    not compared. Raises :class:`ServerError` where a server cannot be read, :class:`UsageError` for a product that does
    not show settings, and for one server given twice.
    """
    from ztrust_mail.gateways.capabilities import Operation, require
    from ztrust_mail.planning.server_diff import compare_sides

    if first.gateway.url == second.gateway.url:
        message = f"both servers are {quoted(first.gateway.url, 255)}"
        raise UsageError(message, "give two different ones: --server NAME --server NAME")
    for session in (first, second):
        require(session.gateway, Operation.PULL)
    sessions = (first, second)
    with ThreadPoolExecutor(2) as pool:
        chosen = list(pool.map(lambda session: _choose_realms(session, spec, realms), sessions))
        names = None if chosen[0][0] is None else list(dict.fromkeys(name for one, _ in chosen for name in one or ()))
        one, other = pool.map(lambda session: _read(session, names), sessions)
    if not one.realms and not other.realms:
        raise UsageError("no realm to compare", "check the names and the accounts' rights")
    same = first.journal_url == second.journal_url
    found = tuple(dict.fromkeys(finding for _, several in chosen for finding in several))
    return compare_sides(one, other, globs=realms, same_journal=same, found=found)


def _choose_realms(
    session: Session, spec: Spec | None, globs: Sequence[str]
) -> tuple[list[str] | None, tuple[Finding, ...]]:
    """Return the realms of the spec on one server, or those named in full, None for all; and the spec's warnings."""
    from ztrust_mail.specfile.resolve import match

    gateway = session.gateway
    if spec is not None:
        spec = fit_spec(spec, session)
    gateway.login()
    if spec is not None:
        matching = match(spec, gateway.realms() if spec.globs else ())
        return [name for name in matching.entries if is_selected(name, globs)], spec.warnings
    is_exact = bool(globs) and not any("*" in glob or "?" in glob for glob in globs)
    return list(dict.fromkeys(globs)) if is_exact else None, ()


def _read(session: Session, names: Sequence[str] | None) -> Side:
    from ztrust_mail.planning.server_diff import read_side

    side = read_side(session.gateway, session.server.name, session.memory(), names)
    if names is None and not side.is_whole:  # else each realm would seem to be on the other server only
        message = f"{quoted(side.name, 255)} lists no realms to this account"
        raise UsageError(message, "name the realms by --realm or by a spec, or give the account the role view-realm")
    return side
