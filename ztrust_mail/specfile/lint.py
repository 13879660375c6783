"""Warns of settings in a valid spec that do not work or expose a secret."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ztrust_mail.core.findings import FileFindings, Finding, Location, note, warning
from ztrust_mail.core.text import first_and_more, pluralise, quoted
from ztrust_mail.model.fields import DEFAULT_PORTS, HOST, LOGIN, PORT, PRESET, SECURITY, Login, Security, is_within
from ztrust_mail.specfile import placeholders
from ztrust_mail.specfile.entries import Entry, Spec
from ztrust_mail.specfile.resolve import Desired, resolve_entry

SAMPLE_REALM = "x"
"""The name used for the realms of a glob, which are unknown offline."""


def lint(spec: Spec) -> list[Finding]:
    """Return warnings about a spec as a whole; :func:`realm_problems` checks single realms."""
    return [*_check_emptiness(spec), *_check_names(spec), *check_inheritance(spec, spec.entries)]


def check_inheritance(spec: Spec, entries: Iterable[Entry]) -> Iterator[Finding]:
    """Yield notes on the entries that set the host and so do not inherit the login, the port or the security."""
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(not_inherited(spec, entry), []).append(entry)
    for names, several in groups.items():
        if not names:
            continue
        first = min(several, key=lambda entry: entry.settings[HOST].location)
        place = next(setting.location for name, setting in spec.defaults.settings.items() if is_within(name, names[0]))
        sets = PRESET if first.settings[HOST].preset else HOST
        who = f"{quoted(first.name)} sets `{sets}`, so it does"
        if several[1:]:
            shown = first_and_more([entry.name for entry in several])
            who = f"{pluralise(len(several), 'entry', 'entries')} ({shown}) set `{sets}`, so they do"
        what = first_and_more([f"`{name}`" for name in names])
        message = f"{who} not inherit {what} of the defaults ({place})"
        hint = f"repeat {what} with the host; `auth: false` says that there is no login, and ends this note"
        yield note("login-not-inherited", message, hint, first.settings[HOST].location, field=HOST)


def not_inherited(spec: Spec, entry: Entry) -> tuple[str, ...]:
    """Return what the defaults set and an entry with a host of its own does not get from them.

    An entry that sets ``auth``, also to false, says what it wants.
    """
    own_login = (name for name, one in entry.settings.items() if is_within(name, LOGIN) and not one.preset)
    if HOST not in entry.settings or any(own_login):
        return ()
    below = spec.defaults.settings.items()
    inherited = {name for name, one in below if not one.removed and not (one.preset and is_within(name, LOGIN))}
    inherited -= {name for name, one in entry.settings.items() if not (one.preset and is_within(name, LOGIN))}
    return tuple(group for group in (LOGIN, PORT, SECURITY) if any(is_within(name, group) for name in inherited))


def realm_problems(spec: Spec) -> list[Finding]:
    """Return the errors and warnings of each entry after its levels are merged and its placeholders replaced."""
    found: dict[Finding, list[Entry]] = {}
    bound = FileFindings()
    for entry in spec.entries:
        result = resolve_entry(spec, entry, SAMPLE_REALM if entry.is_glob else entry.name)
        for finding in (*_drop_sample_names(spec, entry, result.findings), *warnings(result)):
            placed = finding.location is not None and finding.location.line
            finding = replace(finding, realm=None if placed else entry.name)
            if bound.add(finding):
                found.setdefault(finding, []).append(entry)
    defaults = {setting.location for setting in spec.defaults.settings.values()}
    return [
        replace(finding, realm=finding.realm or (_only_realm(entries) if finding.location in defaults else None))
        for finding, entries in found.items()
    ]


def _only_realm(entries: list[Entry]) -> str | None:
    """Return the realm to name for a problem with a value in the defaults, None if several have it."""
    return entries[0].name if len(entries) == 1 and not entries[0].is_glob else None


def _drop_sample_names(spec: Spec, entry: Entry, findings: tuple[Finding, ...]) -> Iterator[Finding]:
    """Yield the findings, except on a glob's values that contain the realm's name: a sample name proves nothing."""
    by_name: set[Location] = set()
    if entry.is_glob and findings:
        settings = (*spec.defaults.settings.values(), *entry.settings.values())
        by_name = {setting.location for setting in settings if _uses_realm(str(setting.value))}
    return (f for f in findings if not (f.rule == "bad-value" and f.location in by_name))


def _uses_realm(text: str) -> bool:
    return any(name in ("realm", "realm.slug") for name in placeholders.names_in(text))


def warnings(wanted: Desired) -> Iterator[Finding]:
    """Yield warnings about one realm's desired settings."""
    fields = wanted.fields
    security, port, login = fields.get(SECURITY), fields.get(PORT), fields.get(LOGIN)
    if security is Security.NONE and login not in (None, Login.NONE):
        message = "the login is sent to the relay in clear: `relay.security` is none"
        yield _warning(wanted, "clear-text-login", message, "use starttls or tls", SECURITY)
    if security is Security.STARTTLS and port == DEFAULT_PORTS[Security.TLS]:
        message = "port 465 expects implicit TLS; STARTTLS will hang"
        yield _warning(wanted, "port-security", message, "set `relay.security: tls`, or port 587", PORT)
    if security is Security.TLS and port in (25, 587):
        message = f"port {port} expects STARTTLS; implicit TLS uses port 465"
        yield _warning(wanted, "port-security", message, "set `relay.security: starttls`, or port 465", PORT)


def _warning(wanted: Desired, rule: str, message: str, hint: str, field: str) -> Finding:
    where = _first_place(wanted.origins, (field, HOST)) or wanted.entry.location
    return warning(rule, message, hint, where, wanted.realm, field)


def _first_place(origins: Mapping[str, Location], names: Iterable[str]) -> Location | None:
    return next((origins[name] for name in names if name in origins), None)


def _check_emptiness(spec: Spec) -> Iterator[Finding]:
    if not spec.entries:
        where = Location(spec.paths[0]) if spec.paths else None
        hint = "add entries under `realms`"
        yield warning("no-realms", "the spec contains no realm", hint, where)


def _check_names(spec: Spec) -> Iterator[Finding]:
    exact: dict[str, Entry] = {}
    for entry in spec.entries:
        if entry.name.strip() != entry.name:
            message = f"{quoted(entry.name)} begins or ends with a space"
            yield warning("odd-name", message, "realm names must match exactly", entry.location)
        same = exact.setdefault(entry.name.lower(), entry)
        if same is not entry:
            message = f"{quoted(entry.name)} and {quoted(same.name)} differ only in upper and lower case"
            yield warning("odd-name", message, "realm names must match exactly", entry.location)
