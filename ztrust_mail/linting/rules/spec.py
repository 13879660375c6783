"""Rules about a spec as a whole."""

from collections.abc import Iterable, Iterator

from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.core.text import first_and_more, pluralise, quoted
from ztrust_mail.linting.rule import Problem, SpecView, provider_at, spec_rule
from ztrust_mail.model.fields import HOST, LOGIN, LOGIN_SECRETS, PORT, PRESET, SECURITY, USERNAME, Login, is_within
from ztrust_mail.providers.presets import Preset
from ztrust_mail.specfile.entries import Entry, Spec
from ztrust_mail.specfile.resolve import Desired

MAILS_A_DAY = 20
"""How many mails a day a realm may need at least: less is not enough to verify addresses and reset passwords."""


@spec_rule("no-realms", Severity.WARNING)
def no_realms(view: SpecView) -> Iterator[Problem]:
    """Yield a problem if the spec is empty."""
    if not view.spec.entries and not any(entry.name for entry in view.spec.written):
        where = Location(view.spec.paths[0]) if view.spec.paths else None
        yield Problem("the spec contains no realm", "add entries under `realms`", (), where)


@spec_rule("odd-name", Severity.WARNING)
def odd_name(view: SpecView) -> Iterator[Problem]:
    """Yield a problem for each name that is probably a typo."""
    hint = "realm names must match exactly"
    exact: dict[str, Entry] = {}
    for entry in {one.name: one for one in view.spec.written if one.name}.values():
        if entry.name.strip() != entry.name:
            yield Problem(f"{quoted(entry.name)} begins or ends with a space", hint, (), entry.location)
        same = exact.setdefault(entry.name.lower(), entry)
        if same is not entry:
            message = f"{quoted(entry.name)} and {quoted(same.name)} differ only in upper and lower case"
            yield Problem(message, hint, (), entry.location)


@spec_rule("login-not-inherited", Severity.NOTE)
def login_not_inherited(view: SpecView) -> Iterator[Problem]:
    """Yield a problem for entries that set the host and so do not inherit the login, the port or the security."""
    yield from _find_not_inherited(view.spec, view.spec.entries)


def note_not_inherited(spec: Spec, entries: Iterable[Entry]) -> list[Finding]:
    """Return notes on what some entries do not inherit."""
    return [
        Finding(login_not_inherited.severity, login_not_inherited.rule, one.message, one.hint, one.location, None, HOST)
        for one in _find_not_inherited(spec, entries)
    ]


def _find_not_inherited(spec: Spec, entries: Iterable[Entry]) -> Iterator[Problem]:
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
        yield Problem(message, hint, (HOST,), first.settings[HOST].location)


def not_inherited(spec: Spec, entry: Entry) -> tuple[str, ...]:
    """Return the defaults that an entry with its own host does not inherit.

    An entry that sets ``auth``, even to false, is explicit.
    """
    own_login = (name for name, one in entry.settings.items() if is_within(name, LOGIN) and not one.preset)
    if HOST not in entry.settings or any(own_login):
        return ()
    below = spec.defaults.settings.items()
    inherited = {name for name, one in below if not one.removed and not (one.preset and is_within(name, LOGIN))}
    inherited -= {name for name, one in entry.settings.items() if not (one.preset and is_within(name, LOGIN))}
    return tuple(group for group in (LOGIN, PORT, SECURITY) if any(is_within(name, group) for name in inherited))


@spec_rule("credential-limit", Severity.WARNING)
def credential_limit(view: SpecView) -> Iterator[Problem]:
    """Yield a problem for each login that more realms share than the provider's limit bears."""
    sharing: dict[tuple[object, ...], list[Desired]] = {}
    for wanted in {one.entry.name: one for one in view.wanted}.values():
        login = wanted.fields.get(LOGIN)
        if isinstance(login, Login) and login is not Login.NONE:
            secret = wanted.fields.get(LOGIN_SECRETS[login])
            key = (wanted.fields.get(HOST), wanted.fields.get(USERNAME), secret)
            sharing.setdefault(key, []).append(wanted)
    for several in sharing.values():
        count = sum(max(one.entry.expect_min, 1) for one in several)
        provider = provider_at(str(several[0].fields[HOST]).casefold().removesuffix("."))
        limit = _daily_limit(provider) if provider else 0
        if provider and limit and count * MAILS_A_DAY > limit:
            message = f"{pluralise(count, 'realm')} share one login at {provider.title}, which takes "
            message += f"{limit:,} mails a day: {limit // count:,} for each realm"
            where = several[0].origins.get(USERNAME) or several[0].entry.location
            yield Problem(message, "give groups of realms logins of their own, or use a mail service", (), where)


def _daily_limit(provider: Preset) -> int:
    """Return the maximum number of mails a day for a login of any kind of account; 0 if unknown."""
    scopes = ("account", "user")
    daily = [one.count for one in provider.limits if one.per == "day" and one.scope in scopes]
    return max(daily, default=0)
