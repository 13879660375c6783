"""Resolves a spec to each realm's desired settings: globs, inheritance, placeholders, defaults."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ztrust_mail.core.findings import MAX_PROBLEMS, Finding, Location, error, warning
from ztrust_mail.core.secret import Placeholders, SecretRef
from ztrust_mail.core.text import MASTER, glob_matches, pluralise, quoted
from ztrust_mail.model.fields import (
    ABSENT,
    DEFAULT_PORTS,
    DEFAULT_SECURITY,
    EXPIRES,
    FIELDS,
    HOST,
    LOGIN,
    PASSWORD,
    PORT,
    REPLY_TO_ADDRESS,
    REPLY_TO_NAME,
    SECURITY,
    TOKEN,
    USERNAME,
    UTF8,
    FieldMap,
    FieldValue,
    Login,
    Security,
    field_of,
    in_token,
    is_removable,
    is_within,
)
from ztrust_mail.model.values import BadValue, parse
from ztrust_mail.specfile import placeholders
from ztrust_mail.specfile.entries import Entry, Setting, Spec, Variable

_SHOWN = 3  # of the globs that tie


@dataclass(frozen=True)
class Desired:
    """One realm's desired settings.

    ``fields`` is empty if the realm is disabled or ``findings`` holds an error. ``origins`` holds the place of each
    value; a field without a place is this tool's default. ``presets`` names the preset of each value that is from one,
    ``variables`` the placeholders that were filled in; ``overlaid`` are the fields that an overlay set.
    ``expires`` is the date in ISO form on which the secret of the login expires, empty if the spec does not say.
    """

    realm: str
    entry: Entry
    fields: FieldMap = field(default_factory=dict)
    origins: Mapping[str, Location] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    presets: Mapping[str, str] = field(default_factory=dict)
    expires: str = ""
    variables: Mapping[str, Mapping[str, Variable]] = field(default_factory=dict)
    overlaid: frozenset[str] = frozenset()

    @property
    def disabled(self) -> bool:
        """Whether the realm is to have no e-mail settings."""
        return self.entry.disabled

    def describe_origin(self, name: str) -> str:
        """Return where a field's value is defined, its preset, and where its placeholders are; empty by default."""
        if name not in self.origins:
            return ""
        parts = [str(self.origins[name])]
        if name in self.presets:
            parts.append(f"preset {self.presets[name]}")
        if name in self.overlaid:
            parts.append("overlay")
        used = self.variables.get(name, {}).items()
        return ", ".join([*parts, *(f"{{{key}}}: {one.source or one.location}" for key, one in used)])


def desired_from_journal(realm: str, intent: FieldMap | None) -> Desired:
    """Return the fields in the journal as a realm's desired settings; None means no e-mail."""
    entry = Entry(realm, Location("the journal"), disabled=intent is None)
    return Desired(realm, entry, intent or {})


@dataclass(frozen=True)
class GlobMatch:
    """The number of realms without their own entry that a glob matches; a tie counts for each of its globs."""

    entry: Entry
    count: int


@dataclass(frozen=True)
class Matching:
    """The entry of each realm, in the spec's order."""

    entries: Mapping[str, Entry]
    globs: tuple[GlobMatch, ...] = ()
    uncovered: tuple[str, ...] = ()
    ties: Mapping[str, Finding] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def resolve(self, spec: Spec, realm: str) -> Desired:
        """Return the desired settings of a realm with an entry: none but a finding if two globs tie."""
        if tie := self.ties.get(realm):
            return Desired(realm, self.entries[realm], findings=(tie,))
        return resolve_entry(spec, self.entries[realm], realm)


def match(spec: Spec, realms: Iterable[str]) -> Matching:
    """Return the entry of each realm: its own, or the glob with the most literal characters.

    ``realms`` are the realms on the server. A realm that two globs match equally well gets a finding and fails alone;
    ``master`` is never matched by a glob.
    """
    names = sorted(set(realms))
    ranked = _rank(spec.globs)
    exact = {e.name: e for e in spec.entries if not e.is_glob}
    by_entry: dict[str, list[str]] = {e.name: ([] if e.is_glob else [e.name]) for e in spec.entries}
    uncovered, ties, counts = [], {}, Counter[str]()
    for realm in names:
        if realm in exact:
            continue
        best = _best_globs(ranked, realm)
        counts.update(glob.name for glob in best)
        if len(best) > 1:
            ties[realm] = _tie(realm, best)
        if best:
            by_entry[best[0].name].append(realm)
        else:
            uncovered.append(realm)
    entries = {realm: e for e in spec.entries for realm in by_entry[e.name]}
    globs = tuple(GlobMatch(e, counts[e.name]) for e in spec.globs)
    findings = tuple(finding for g in globs for finding in _count_findings(g, names))
    return Matching(entries, globs, tuple(uncovered), ties, findings)


def _rank(globs: Iterable[Entry]) -> list[list[Entry]]:
    """Return the globs by their number of literal characters, the highest first."""
    ranks: dict[int, list[Entry]] = {}
    for entry in globs:
        literals = sum(c not in "*?" for c in entry.name)
        ranks.setdefault(literals, []).append(entry)
    return [ranks[literals] for literals in sorted(ranks, reverse=True)]


def _best_globs(ranked: Iterable[Sequence[Entry]], realm: str) -> list[Entry]:
    if realm == MASTER:
        return []
    fitting = ([entry for entry in rank if glob_matches(entry.name, realm)] for rank in ranked)
    return next(filter(None, fitting), [])


def _tie(realm: str, globs: list[Entry]) -> Finding:
    shown = [quoted(glob.name) for glob in globs[:_SHOWN]]
    more = len(globs) - len(shown)
    names = " and ".join([*shown, *([pluralise(more, "more glob")] if more else [])])
    message = f"{names} match the realm equally well"
    hint = f"give {quoted(realm)} an entry of its own"
    return error("glob-tie", message, hint, globs[1].location, realm)


def _count_findings(glob: GlobMatch, realms: Iterable[str]) -> Iterable[Finding]:
    name, least = quoted(glob.entry.name), glob.entry.expect_min
    if glob.count < least:
        message = f"{name} matches {pluralise(glob.count, 'realm')}, fewer than the {least} expected"
        hint = "check the server and the account's permissions, or lower expect.min; its realms are not changed"
        yield error("too-few-realms", message, hint, glob.entry.location)
    elif not glob.count and any(realm != MASTER and glob_matches(glob.entry.name, realm) for realm in realms):
        message = f"{name} applies to no realm: each realm that it matches has a more specific entry"
        hint = "remove it, unless it is for future realms"
        yield warning("no-match", message, hint, glob.entry.location)
    elif not glob.count:
        hint = "check the pattern and the account's permissions"
        yield warning("no-match", f"{name} matches no realm", hint, glob.entry.location)


def merge(below: Mapping[str, Setting], level: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return the settings of a level on top of the one below it.

    A level that sets the host inherits neither login, port nor security, so that no password is sent to another host
    by accident.
    """
    dropped = {name for name, setting in level.items() if setting.removed}
    if HOST in level:
        dropped |= {LOGIN, PORT, SECURITY}
    if SECURITY in level:
        dropped.add(PORT)
    if PASSWORD in level or any(in_token(name) for name in level):
        dropped |= {PASSWORD, TOKEN, EXPIRES}
    kept = {n: s for n, s in below.items() if not any(is_within(n, group) for group in dropped)}
    return kept | dict(level)


def resolve_entry(spec: Spec, entry: Entry, realm: str) -> Desired:
    """Return the desired settings of a realm that an entry applies to."""
    if entry.disabled:
        return Desired(realm, entry, origins={"disabled": entry.location})
    settings = _drop_unused_username(merge(spec.defaults.settings, entry.settings))
    variables = placeholders.variables_of(spec, entry)
    utf8 = UTF8 in settings and settings[UTF8].value is True
    built_in = placeholders.builtin(realm)
    values = {**built_in, **{n: v.text for n, v in variables.items()}, **built_in}  # in this order in hints
    fields: dict[str, FieldValue] = {}
    findings: list[Finding] = []
    for name, setting in settings.items():
        try:
            if not setting.removed:
                fields[name] = _expand(name, setting.value, values, utf8=utf8)
            elif is_removable(name):
                fields[name] = ABSENT
        except BadValue as bad:
            findings.append(placeholders.explain_bad_value(spec, name, setting, bad, realm))
            if len(findings) > MAX_PROBLEMS:
                break
    if not findings:
        findings = list(_missing_fields(fields, entry, realm))
    if findings:
        return Desired(realm, entry, findings=tuple(findings))
    expires = str(fields.pop(EXPIRES, ""))
    complete = _add_defaults(fields)
    places = {name: settings[name] for name in (*complete, EXPIRES) if name in settings}
    return Desired(
        realm,
        entry,
        complete,
        {name: setting.location for name, setting in places.items()},
        presets={name: setting.preset for name, setting in places.items() if setting.preset},
        expires=expires,
        variables=placeholders.used_variables(places, variables),
        overlaid=frozenset(name for name, setting in places.items() if setting.overlay),
    )


def _drop_unused_username(settings: dict[str, Setting]) -> dict[str, Setting]:
    """Return the settings without a preset's user name if nothing else of a login is set."""
    has_secret = any(name == PASSWORD or in_token(name) for name in settings)
    if has_secret or USERNAME not in settings or not settings[USERNAME].preset:
        return settings
    return {name: setting for name, setting in settings.items() if name != USERNAME}


def _expand(name: str, value: FieldValue, values: Mapping[str, str], *, utf8: bool) -> FieldValue:
    row = field_of(name)
    if isinstance(value, SecretRef):
        return parse(row.kind, _expand_reference(value, values))
    if row.placeholders and isinstance(value, str):
        return parse(row.kind, placeholders.expand(value, values), utf8=utf8)
    return value


_FITS = {
    Placeholders.ENV_NAME: placeholders.as_env_name,
    Placeholders.PATH_SEGMENT: placeholders.as_path_segment,
}


def _expand_reference(ref: SecretRef, values: Mapping[str, str]) -> SecretRef:
    if not (fit := _FITS.get(ref.kind.form.placeholders)):
        return ref
    return replace(ref, argument=(placeholders.expand(ref.argument[0], values, fit, secret=True),))


def _missing_fields(fields: FieldMap, entry: Entry, realm: str) -> Iterable[Finding]:
    def missing(name: str, why: str = "") -> Finding:
        hint = f"set `{name}` in the entry or in the defaults"
        message = f"`{name}` is missing{why}"
        return error("missing-field", message, hint, entry.location, realm, name)

    for row in FIELDS.values():
        if row.mandatory and row.name not in fields:
            yield missing(row.name)
    secret = PASSWORD in fields or any(in_token(name) for name in fields)
    if secret and USERNAME not in fields:
        yield missing(USERNAME, ": the login has a secret and no user name")
    if USERNAME in fields and not secret:
        yield missing(PASSWORD, ": the login has a user name and neither password nor token")
    if REPLY_TO_NAME in fields and REPLY_TO_ADDRESS not in fields:
        yield missing(REPLY_TO_ADDRESS, ": a Reply-To name needs an address")


def _add_defaults(fields: FieldMap) -> FieldMap:
    """Add the defaults: security, its port and the mode of login."""
    security = fields.get(SECURITY, DEFAULT_SECURITY)
    assert isinstance(security, Security)
    token = any(in_token(name) for name in fields)
    login = Login.TOKEN if token else Login.BASIC if PASSWORD in fields else Login.NONE
    complete = {PORT: DEFAULT_PORTS[security], **fields, SECURITY: security, LOGIN: login}
    order = {name: n for n, name in enumerate((*FIELDS, LOGIN))}
    return {name: complete[name] for name in sorted(complete, key=lambda name: order.get(name, len(order)))}
