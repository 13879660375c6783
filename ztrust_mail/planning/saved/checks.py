"""Whether a saved plan still fits: the server, the specs it was made of, the realms it was made for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from ztrust_mail import settings as config
from ztrust_mail.core.data import of_bytes
from ztrust_mail.core.errors import ConfigError, NoServerChosen, Unsafe
from ztrust_mail.core.files import MAX_BYTES, STDIN, SUFFIXES, bytes_of, files_in, is_inside, is_path, is_spec_in
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import pluralise, quoted, shell_word
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes
from ztrust_mail.journal.records import Run
from ztrust_mail.planning.compare import compare
from ztrust_mail.planning.plan import of_attributes
from ztrust_mail.planning.saved.write import PlannedRealm, SavedPlan
from ztrust_mail.secrets.sources import RUN_SECRETS

STALE = "plan-stale"
"""The rule of a refusal since a realm is no longer as the plan saw it."""

PLAN_SERVER = "plan-server"
"""The rule of a refusal since the server is not the one that the plan was made for."""

SHOWN_REALMS = 5
"""So many realms a refusal names; its findings tell of all."""

_NEW_PLAN = "make a new plan and review it"
_MOVED, _GONE = "not as the plan saw it any more", "gone, or cannot be read"


def check_server(saved: SavedPlan, url: str, issuer: str) -> None:
    """Raise :class:`Unsafe` where this is another server than the plan was made for.

    ``issuer`` is the URL by which the server names the realm that we log in to. That may be another realm than when
    the plan was made, and either may be empty: not known.
    """
    if url != saved.url:
        message = f"the plan was made for the server {quoted(saved.url)}, and this is {quoted(url)}"
        raise Unsafe(message, f"name the server it was made for, or {_NEW_PLAN}", PLAN_SERVER)
    then, now = _server_of(saved.issuer), _server_of(issuer)
    if then and now and then != now:
        message = f"another server answers at {quoted(url)} than when the plan was made:"
        message += f" it calls itself {quoted(now)}, and {quoted(then)} then"
        raise Unsafe(message, _NEW_PLAN, PLAN_SERVER)


def _server_of(issuer: str) -> str:
    return issuer.partition("/realms/")[0].rstrip("/")


def check_specs(saved: SavedPlan) -> tuple[Finding, ...]:
    """Look at the specs that the plan was made of again, as far as they are here, and say which are not.

    Raises :class:`Unsafe` where one has changed, where one was added to or deleted from a folder that is here, and
    where the plan takes a secret from a file that only a spec beside it may name, while none of its specs lies there
    as it was and nobody vouches for the plan by its digest.
    """
    now = {path: _digest_now(path) for path in saved.specs}
    changed = [path for path, digest in now.items() if digest not in ("", saved.specs[path])]
    moved = {"changed": changed, **_in_folders(saved)}
    if any(moved.values()):
        whats = [
            f"{pluralise(len(paths), 'spec file')} {what}: {_some(paths)}" for what, paths in moved.items() if paths
        ]
        raise Unsafe(f"since the plan was made, {'; '.join(whats)}", _NEW_PLAN, "plan-spec-moved")
    if not saved.expected:
        here = [path for path, digest in now.items() if digest and path.lower().endswith(SUFFIXES)]
        _check_folders(saved, {os.path.dirname(os.path.realpath(path)) for path in here})
    return tuple(_not_here([path for path, digest in now.items() if not digest]))


def _digest_now(path: str) -> str:
    """Return the digest of a spec's bytes as they are now, empty where they cannot be had."""
    try:
        return "" if path == STDIN else of_bytes(bytes_of(path, MAX_BYTES))
    except OSError:
        return ""


def _in_folders(saved: SavedPlan) -> Mapping[str, Sequence[str]]:
    """Return which spec files came to the plan's folders and went from them, as far as the folders are here.

    A working folder without any spec need not be the one that the plan was made in.
    """
    known = {path: os.path.realpath(path) for path in saved.specs if is_path(path)}
    reals, added = frozenset(known.values()), dict[str, str]()
    deleted = dict[str, None]()
    for folder in filter(os.path.isdir, saved.folders):
        files, refused = files_in(folder)
        there = {os.path.realpath(path): path for path in (*files, *(path for path, _ in refused))}
        added |= {real: path for real, path in there.items() if real not in reals}
        if there or not os.path.samefile(folder, os.curdir):
            deleted |= {path: None for path, real in known.items() if is_spec_in(path, folder) and real not in there}
    return {"added": list(added.values()), "deleted": list(deleted)}


def _check_folders(saved: SavedPlan, vouched: set[str]) -> None:
    found: dict[str, list[str]] = {}
    for one in saved.realms:
        for value in one.desired.fields.values():
            if isinstance(value, SecretRef) and _is_beside_the_spec(value) and value.base not in vouched:
                found.setdefault(value.base, []).append(one.realm)
    for folder, realms in found.items():
        message = f"the plan takes secrets from files in {quoted(folder)}, where none of its specs lies"
        message += f"; {pluralise(len(realms), 'realm')} would get one: {_some(realms)}"
        hint = "apply it where its specs are, or with --expect-digest and the digest that plan named"
        rule = "plan-secret-folder"
        raise Unsafe(message, hint, rule, _each(realms, rule, f"it would get a secret from {quoted(folder)}"))


def _is_beside_the_spec(ref: SecretRef) -> bool:
    """Tell whether a reference names a file that is within reach only since a spec lies in its folder."""
    if ref.kind is not SecretKind.FILE:
        return False
    real = os.path.realpath(os.path.join(ref.base, ref.argument[0]))
    return is_inside(real, os.path.realpath(ref.base)) and not is_inside(real, os.path.realpath(RUN_SECRETS))


def _not_here(paths: Sequence[str]) -> Iterator[Finding]:
    if paths:
        message = f"{pluralise(len(paths), 'spec file')} cannot be looked at again from here: {_list(paths)}"
        hint = "the plan is applied as it was saved; whether its spec has moved on is not known"
        yield Finding(Severity.NOTE, "plan-spec-absent", message, hint)


def check_run(saved: SavedPlan, run: Run) -> None:
    """Raise :class:`Unsafe` where a run, of which a part is to be taken up, was not of this very plan."""
    if run.plan_digest != saved.digest:
        message = f"run {run.number}, the last one, was not of this plan: what it left is not this plan's to take up"
        raise Unsafe(message, f"take it up as it was begun, see history {run.number}; or {_NEW_PLAN}", "plan-other")


def check_live(saved: SavedPlan, live: Mapping[str, Attributes], dialect: Dialect) -> None:
    """Raise :class:`Unsafe`, with each realm that is not as the plan saw it, or would be changed otherwise.

    ``live`` holds the realms that can be read now. A realm with the same settings can be changed otherwise than the
    plan shows only where the plan's words are not its own, or are those of another version of this program.
    """
    gone = [one.realm for one in saved.realms if one.realm not in live]
    here = [one for one in saved.realms if one.realm in live]
    moved = [one.realm for one in here if of_attributes(dialect.mask_secrets(live[one.realm])) != one.live_digest]
    if gone or moved:
        found = {_MOVED: moved, _GONE: gone}
        whats = "; ".join(f"{what}: {_some(realms)}" for what, realms in found.items() if realms)
        message = f"the plan no longer fits {pluralise(len(moved) + len(gone), 'realm')}: {whats}"
        each = [finding for what, realms in found.items() for finding in _each(realms, STALE, what)]
        raise Unsafe(message, _NEW_PLAN, STALE, each)
    otherwise = [one.realm for one in here if not _shows(one, live[one.realm], saved, dialect)]
    if otherwise:
        what, rule = "what the plan shows is not what it would do", "plan-otherwise"
        message = f"{what} to {pluralise(len(otherwise), 'realm')}: {_some(otherwise)}"
        raise Unsafe(message, _NEW_PLAN, rule, _each(otherwise, rule, what))


def _shows(one: PlannedRealm, live: Attributes, saved: SavedPlan, dialect: Dialect) -> bool:
    return one.shows(compare(dialect, one.desired, live, saved.secrets).changes)


def cannot_see(saved: SavedPlan) -> tuple[Finding, ...]:
    """Return a note where realms are written whose stored secret the server hides."""
    hidden = [one.realm for one in saved.realms if one.hidden]
    if not hidden:
        return ()
    where = f"the server hides it in {pluralise(len(hidden), 'realm')}"
    message = f"a password changed on the server since the plan was made cannot be seen: {where}"
    return (Finding(Severity.NOTE, "plan-cannot-see", message, "the plan is applied as it was reviewed"),)


def _list(names: Iterable[str]) -> str:
    return ", ".join(quoted(name, 255) for name in names)


def _some(realms: Sequence[str]) -> str:
    """Return the first realms and how many more there are; :func:`_each` tells of all."""
    more = len(realms) - SHOWN_REALMS
    return _list(realms[:SHOWN_REALMS]) + (f" and {more:,} more" if more > 0 else "")


def _each(realms: Iterable[str], rule: str, what: str) -> Iterator[Finding]:
    return (Finding(Severity.ERROR, rule, what, _NEW_PLAN, realm=realm) for realm in realms)


def choose_server_of(
    plan: SavedPlan,
    settings: config.Settings,
    server: str | None,
    guard: Sequence[str],
    environ: config.Variables,
) -> config.Server:
    """Return the server chosen by the option, the settings or the environment, if it is the plan's.

    Where these leave several settings entries, the one for the plan's server is chosen, but only of trusted settings. A
    plan whose digest was expected may choose where nothing else does.

    Raises :class:`Unsafe` for another server or none, else as :func:`~ztrust_mail.settings.choose_server` does.
    """
    environ = config.Environment(environ)
    named = _entries_of(plan, settings, environ)
    try:
        chosen = config.choose_server(settings, server, guard, environ)
    except NoServerChosen as e:
        if len(named) != 1 and (named or not plan.expected):
            raise _not_chosen(plan, named, e) from None
        chosen = config.choose_server(settings, named[0] if named else plan.url, guard, environ)
    if chosen.url != plan.url:
        raise _other_server(plan, named, chosen.url)
    return chosen


def _not_chosen(plan: SavedPlan, named: Sequence[str], e: NoServerChosen) -> Unsafe:
    message = f"the plan was made for the server {_shown(plan.url)}, and a plan file chooses no server: {e.message}"
    meant = f"one of {', '.join(quoted(name) for name in named)}" if named else "that server"
    hint = f"if you mean {meant}, name it yourself: {_command(plan, named[0] if named else plan.url)}"
    return Unsafe(message, hint, PLAN_SERVER)


def _other_server(plan: SavedPlan, named: Sequence[str], url: str) -> Unsafe:
    message = f"the plan was made for the server {_shown(plan.url)}, and the server chosen is {_shown(url)}"
    hint = f"make a plan for the chosen server: ztrust-mail plan SPEC... --server {shell_word(url)} --out FILE"
    if named:
        hint += f"; or apply this one to its own server: {_command(plan, named[0])}"
    return Unsafe(message, hint, PLAN_SERVER)


def _entries_of(plan: SavedPlan, settings: config.Settings, environ: config.Variables) -> list[str]:
    """Return the names of the trusted settings' entries for the plan's server."""
    found = []
    for name in settings.servers:
        with suppress(ConfigError):  # a broken entry is reported to whoever chooses it
            if config.choose_server(settings, name, (), environ).url == plan.url:
                found.append(name)
    return found


def _command(plan: SavedPlan, server: str) -> str:
    return f"ztrust-mail apply --plan {shell_word(plan.path)} --server {shell_word(server)}"


def _shown(url: str) -> str:
    return quoted(url, 255)
