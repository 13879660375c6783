"""Refuses a saved plan that is stale, as its server, spec files or realms changed, and prepares one for a worker."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeGuard

from ztrust_mail import settings as config
from ztrust_mail.core.data import of_bytes
from ztrust_mail.core.errors import ConfigError, NoServerChosen, Unsafe, UsageError
from ztrust_mail.core.files import (
    MAX_BYTES,
    STDIN,
    SUFFIXES,
    files_in,
    is_inside,
    is_path,
    is_spec_in,
    read_regular_file,
)
from ztrust_mail.core.findings import Finding, Severity, warning
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import first_and_more, pluralise, quoted, shell_word
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Attributes
from ztrust_mail.journal.records import Run
from ztrust_mail.model.fields import FieldMap
from ztrust_mail.planning.compare import compare
from ztrust_mail.planning.plan import of_attributes
from ztrust_mail.planning.saved.write import SavedPlan
from ztrust_mail.secrets.sources import RUN_SECRETS
from ztrust_mail.specfile.placeholders import SERVER

STALE = "plan-stale"
"""The rule of a refusal because a realm changed after the plan was made."""

PLAN_SERVER = "plan-server"
"""The rule of a refusal because the server is not the one that the plan was made for."""

SHOWN_REALMS = 5
"""How many realms or files the message of a refusal names; its findings list all realms."""

_MOVED, _GONE = "changed after the plan was made", "cannot be read any more"


def check_server(saved: SavedPlan, url: str, issuer: str) -> None:
    """Raise :class:`Unsafe` if this is not the server that the plan was made for.

    ``issuer`` is the URL that the server gives for the realm we log in to. The login realm may differ from the one at
    the time of the plan, so only the part before ``/realms/`` is compared. An empty issuer is unknown and passes.
    """
    if url != saved.url:
        message = f"the plan was made for the server {quoted(saved.url)}, but this is {quoted(url)}"
        raise Unsafe(message, f"name the plan's server, or {saved.renewal}", PLAN_SERVER)
    then, now = _server_of(saved.issuer), _server_of(issuer)
    if then and now and then != now:
        message = f"the server at {quoted(url)} is not the one that the plan was made for:"
        message += f" its issuer is {quoted(now)} now and was {quoted(then)} then"
        raise Unsafe(message, saved.renewal, PLAN_SERVER)


def _server_of(issuer: str) -> str:
    return issuer.partition("/realms/")[0].rstrip("/")


def check_specs(saved: SavedPlan) -> tuple[Finding, ...]:
    """Compare the plan's spec files with those on this machine; return a note about files that are not here.

    Raises :class:`Unsafe` if a file changed, or if a file was added to or deleted from one of the plan's folders. Also
    raises it if the plan reads a secret from a file that only a spec in the same folder may name, and none of its
    specs is in that folder, unchanged; a plan whose digest was expected passes this check.
    """
    now = {path: _digest_now(path) for path in saved.specs}
    changed = [path for path, digest in now.items() if digest not in ("", saved.specs[path])]
    moved = {"changed": changed, **_in_folders(saved)}
    if any(moved.values()):
        whats = [
            f"{pluralise(len(paths), 'spec file')} {what}: {_some(paths)}" for what, paths in moved.items() if paths
        ]
        raise Unsafe(f"stale plan: since it was made, {'; '.join(whats)}", saved.renewal, "plan-spec-moved")
    if not saved.expected:
        here = [path for path, digest in now.items() if digest and path.lower().endswith(SUFFIXES)]
        _check_folders(saved, {os.path.dirname(os.path.realpath(path)) for path in here})
    return tuple(_missing_specs([path for path, digest in now.items() if not digest]))


def _digest_now(path: str) -> str:
    """Return the present digest of a spec file, empty if it cannot be read."""
    try:
        return "" if path == STDIN else of_bytes(read_regular_file(path, MAX_BYTES + 1))
    except OSError:
        return ""


def _in_folders(saved: SavedPlan) -> Mapping[str, Sequence[str]]:
    """Return the spec files that were added to and deleted from the plan's folders, as far as these exist here.

    A working folder without any spec file is ignored: it may be another one than the plan was made in.
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
            if isinstance(value, SecretRef) and _needs_spec_folder(value) and value.base not in vouched:
                found.setdefault(value.base, []).append(one.realm)
    for folder, realms in found.items():
        message = f"the plan reads secrets from files in {quoted(folder)}, but none of its spec files is there"
        message += f"; {pluralise(len(realms), 'realm')} would get one: {_some(realms)}"
        hint = "apply it where its spec files are, or with --expect-digest and the digest that `plan --out` printed"
        rule = "plan-secret-folder"
        raise Unsafe(message, hint, rule, _each(saved, realms, rule, f"it would get a secret from {quoted(folder)}"))


def _needs_spec_folder(ref: SecretRef) -> bool:
    """Tell whether a reference names a file that is readable only because a spec is in the same folder."""
    if ref.kind is not SecretKind.FILE:
        return False
    real = os.path.realpath(os.path.join(ref.base, ref.argument[0]))
    return is_inside(real, ref.base) and not is_inside(real, RUN_SECRETS)


def _missing_specs(paths: Sequence[str]) -> Iterator[Finding]:
    if paths:
        message = f"cannot check {pluralise(len(paths), 'spec file')} of the plan from here: {_some(paths)}"
        hint = "the plan is applied as saved, even if its spec changed since"
        yield Finding(Severity.NOTE, "plan-spec-absent", message, hint)


def find_other_variables(saved: SavedPlan, server: config.Server) -> tuple[Finding, ...]:
    """Return a warning if the server's variables differ from those filled into the plan.

    The plan is applied anyway: it has what was reviewed, and its values may come from an option, which takes
    precedence.
    """
    now = {**server.vars, **({SERVER: server.name} if server.name else {})}
    other = [f"{name}={text} (now {now[name]})" for name, text in saved.filled.items() if now.get(name, text) != text]
    if not other:
        return ()
    message = f"the plan was made with other variables than the server has: {first_and_more(other)}"
    hint = f"it is applied as reviewed; for the variables of now, {saved.renewal}"
    return (warning("plan-other-variables", message, hint),)


def check_run(saved: SavedPlan, run: Run) -> None:
    """Raise :class:`Unsafe` if the run that is to be resumed did not apply this plan."""
    if run.plan_digest != saved.digest:
        message = f"cannot resume run {run.number}, the last one, with this plan: it did not apply this plan"
        hint = f"resume it as it was started, see ztrust-mail history {run.number}; or {saved.renewal}"
        raise Unsafe(message, hint, "plan-other")


def check_live(saved: SavedPlan, live: Mapping[str, Attributes], dialect: Dialect) -> None:
    """Raise :class:`Unsafe` for realms that changed after the plan was made, or whose listed changes are wrong.

    ``live`` holds the realms that can be read now. If a realm is unchanged and its listed changes still differ from
    the real ones, the plan file was edited or comes from another version of this program.
    """
    gone = [one.realm for one in saved.realms if one.realm not in live]
    here = [one for one in saved.realms if one.realm in live]
    moved = [one.realm for one in here if of_attributes(dialect.mask_secrets(live[one.realm])) != one.live_digest]
    if gone or moved:
        found = {_MOVED: moved, _GONE: gone}
        whats = "; ".join(f"{_count(realms)} {what}" for what, realms in found.items() if realms)
        each = [finding for what, realms in found.items() for finding in _each(saved, realms, STALE, what)]
        raise Unsafe(f"stale plan: {whats}", saved.renewal, STALE, each)
    made = {one.realm: compare(dialect, one.desired, live[one.realm], saved.secrets).changes for one in here}
    otherwise = [one.realm for one in here if not one.shows(made[one.realm])]
    if otherwise:
        what, rule = "the plan would make other changes than it lists", "plan-otherwise"
        message = f"{what} in {pluralise(len(otherwise), 'realm')}: {_some(otherwise)}"
        raise Unsafe(message, saved.renewal, rule, _each(saved, otherwise, rule, what))


def cannot_see(saved: SavedPlan) -> tuple[Finding, ...]:
    """Return a note if the plan writes realms whose stored secret the server masks."""
    masked = [one.realm for one in saved.realms if one.masked]
    if not masked:
        return ()
    where = f"the server masks them in {pluralise(len(masked), 'realm')}"
    message = f"cannot see whether passwords changed on the server since the plan was made: {where}"
    return (Finding(Severity.NOTE, "plan-cannot-see", message, "the plan is applied as reviewed"),)


def _some(names: Sequence[str]) -> str:
    """Return the first names and the number of the others. The findings of :func:`_each` list all realms."""
    return first_and_more([quoted(name, 255) for name in names], SHOWN_REALMS)


def _count(realms: Sequence[str]) -> str:
    return f"realm {_some(realms)}" if len(realms) == 1 else f"{pluralise(len(realms), 'realm')} ({_some(realms)})"


def _each(saved: SavedPlan, realms: Iterable[str], rule: str, what: str) -> Iterator[Finding]:
    return (Finding(Severity.ERROR, rule, what, saved.renewal, realm=realm) for realm in realms)


def choose_server_of(
    plan: SavedPlan,
    settings: config.Settings,
    server: str | None,
    guard: Sequence[str],
    environ: config.Variables,
) -> config.Server:
    """Return the server chosen by the option, the settings or the environment, if it is the plan's.

    If these leave several settings entries, the one for the plan's server is chosen, but only from trusted settings. If
    nothing else names a server, a plan whose digest was expected may choose it.

    Raises :class:`Unsafe` if another server or none is chosen, and what :func:`~ztrust_mail.settings.choose_server`
    raises.
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
    message = (
        f"the plan was made for the server {_quote_url(plan.url)}, but a plan file cannot choose a server: {e.message}"
    )
    meant = f"one of {', '.join(quoted(name) for name in named)}" if named else "that server"
    hint = f"if you mean {meant}, name it yourself: {_command(plan, named[0] if named else plan.url)}"
    return Unsafe(message, hint, PLAN_SERVER)


def _other_server(plan: SavedPlan, named: Sequence[str], url: str) -> Unsafe:
    message = f"the plan was made for the server {_quote_url(plan.url)}, but the chosen server is {_quote_url(url)}"
    hint = f"make a plan for the chosen server: ztrust-mail plan SPEC... --server {shell_word(url)} --out FILE"
    if named:
        hint += f"; or apply this one to its own server: {_command(plan, named[0])}"
    return Unsafe(message, hint, PLAN_SERVER)


def _entries_of(plan: SavedPlan, settings: config.Settings, environ: config.Variables) -> list[str]:
    """Return the names of the trusted settings' entries for the plan's server."""
    found = []
    for name in settings.servers:
        with suppress(ConfigError):  # an invalid entry is reported when it is chosen
            if config.choose_server(settings, name, (), environ).url == plan.url:
                found.append(name)
    return found


def _command(plan: SavedPlan, server: str) -> str:
    return f"ztrust-mail apply --plan {shell_word(plan.path)} --server {shell_word(server)}"


def _quote_url(url: str) -> str:
    return quoted(url, 255)


def move(saved: SavedPlan) -> SavedPlan:
    """Return the plan as a worker applies it: without spec files, and with secrets in files only within its own reach.

    A plan may name any folder as that of its specs. A worker that compared these would say which files it has, and one
    that read secrets there would send them to the server.
    """
    realms = (
        replace(one, desired=replace(one.desired, fields=_move_files(one.desired.fields))) for one in saved.realms
    )
    return replace(saved, specs={}, folders=(), realms=tuple(realms))


def check_before_move(saved: SavedPlan) -> None:
    """Check a plan on the machine that submits it.

    Raises :class:`UsageError` for a secret in a relative file, which no worker could find, and :class:`Unsafe` if the
    plan is stale because its spec files have changed.
    """
    for one in saved.realms:
        for ref in one.desired.fields.values():
            if _is_file(ref) and not ref.argument[0].startswith("/"):
                name = quoted(ref.argument[0])
                message = f"the plan takes a secret of realm {quoted(one.realm)} from {name}, a relative path"
                hint = f"write the path on the worker, such as file: {RUN_SECRETS}/NAME, and make the plan again"
                raise UsageError(f"{message} that workers cannot use", hint, "request-file")
    check_specs(replace(move(saved), specs=saved.specs, folders=saved.folders))


def _move_files(fields: FieldMap) -> FieldMap:
    """Return fields whose references to files start from the folder where workers have secrets."""
    return {name: replace(value, base=RUN_SECRETS) if _is_file(value) else value for name, value in fields.items()}


def _is_file(value: object) -> TypeGuard[SecretRef]:
    return isinstance(value, SecretRef) and value.kind is SecretKind.FILE
