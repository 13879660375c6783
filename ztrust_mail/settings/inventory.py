"""Lists and selects servers in the settings, with the source of each login. Resolves no secrets."""

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ztrust_mail.core.errors import ConfigError, UsageError
from ztrust_mail.core.findings import Finding, Location, Severity, error, warning
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import did_you_mean, first_and_more, glob_matches, pluralise, quoted
from ztrust_mail.settings.file import UNTRUSTED_RULE, Settings
from ztrust_mail.settings.fleet import ServerSelection, is_glob, is_url, parse_labels
from ztrust_mail.settings.inputs import PREFIX, PROCESS, Environment, Table, Variables, variable_of
from ztrust_mail.settings.server_entry import SECRETS
from ztrust_mail.settings.servers import Server, choose_server
from ztrust_mail.settings.urls import FILES, quote_server

_LISTED = 10
CLEAR_TEXT = "clear text in the settings"
"""The source of a secret that is neither a reference nor a variable."""


@dataclass(frozen=True)
class ListedServer:
    """An entry of the settings. ``server`` is None if the entry is broken, and ``problem`` says why.

    ``sources`` has the source of each secret of the login: a reference, a variable, or clear text.
    """

    name: str
    path: str
    labels: Mapping[str, str] = field(default_factory=dict)
    server: Server | None = field(default=None, repr=False)
    sources: Mapping[str, str] = field(default_factory=dict)
    problem: Finding | None = None

    @property
    def title(self) -> str:
        """The name, or a placeholder for a server that only the environment defines."""
        return self.name or f"${PREFIX}URL"

    @property
    def account(self) -> str:
        """The account according to the settings, without asking the server; empty without a login."""
        server = self.server
        if not server or server.gateway == FILES or (not self.sources and not server.username):
            return ""
        if server.has_given_token:
            return "the token's owner"
        return server.username or f"client {server.client_id}"


@dataclass(frozen=True)
class SelectedServer:
    """A selected server, by a name or URL that ``--server`` accepts; ``url`` is empty for a broken entry."""

    name: str
    url: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def list_servers(settings: Settings, environ: Variables = PROCESS) -> tuple[ListedServer, ...]:
    """Return all servers in the order of the settings, those of an untrusted file last.

    Without any entry, return the server of the environment, if there is one.
    """
    environ = Environment(environ)
    entries = [(name, settings.path, entry) for name, entry in settings.servers.items()]
    own, found = settings.servers, settings.untrusted
    entries += [(name, found.path, entry) for name, entry in found.servers.items() if name not in own]
    if not entries and environ.get("url"):
        entries = [("", "", {})]
    return tuple(_list_one(settings, environ, name, path, entry) for name, path, entry in entries)


def report_servers(listed: Sequence[ListedServer]) -> Iterator[Finding]:
    """Yield broken entries as errors, shared URLs as warnings, and secrets in clear text as notes."""
    yield from (one.problem for one in listed if one.problem)
    yield from dict.fromkeys(found for one in listed if one.server for found in one.server.findings)
    by_url: dict[str, list[ListedServer]] = {}
    for one in listed:
        if one.server:
            by_url.setdefault(one.server.url, []).append(one)
    for url, several in by_url.items():
        if len(several) > 1:
            names = " and ".join(quoted(one.title) for one in several)
            message = f"{names} have the same URL {quote_server(url)}: locks and the journal take them for one server"
            yield warning("shared-url", message, "keep one of the entries", Location(several[1].path))
    clear = [(one, key) for one in listed for key, source in one.sources.items() if source == CLEAR_TEXT]
    if clear:
        first, key = clear[0]
        where = first_and_more([f"{one.name} ({key})" for one, key in clear])
        message = f"{pluralise(len(clear), 'secret')} in clear text in the settings: {where}"
        hint = f'write references, such as {key} = {{keyring = ["ztrust-mail", "{first.name}"]}} after: keyring set '
        yield Finding(Severity.NOTE, "secret-in-settings", message, hint + shlex.join(["ztrust-mail", first.name]))


def select_servers(listed: Sequence[ListedServer], wanted: Mapping[str, str]) -> tuple[ListedServer, ...]:
    """Return the servers that have all of these labels. Raises :class:`UsageError` for a label that no server has."""
    for name, value in wanted.items():
        values = {one.labels[name] for one in listed if name in one.labels}
        if value not in values:
            word, known = (value, values) if values else (name, {label for one in listed for label in one.labels})
            hint = did_you_mean(word, known) or f"known here: {', '.join(sorted(known)) or 'none'}"
            raise UsageError(f"no server has the label {quoted(f'{name}={value}')}", hint)
    return tuple(one for one in listed if wanted.items() <= one.labels.items())


def resolve_selection(
    settings: Settings, selection: ServerSelection, environ: Variables = PROCESS
) -> tuple[SelectedServer, ...]:
    """Return the selected servers, each once, in the order of the names and then of the settings.

    A server defined only in an untrusted file must be named exactly, see :func:`report_left_out`. Raises
    :class:`UsageError` if nothing matches or two servers share a URL, :class:`ConfigError` for an unknown name.
    """
    if selection.every and (selection.names or selection.labels):
        hint = "leave out --all-servers, or --server and --label"
        raise UsageError("--all-servers cannot be combined with --server or --label", hint)
    listed, left_out = _list_named(settings, selection, environ)
    if not (settings.servers or settings.untrusted.servers) and (selection.every or selection.labels):
        raise UsageError("the settings have no servers", "see: ztrust-mail docs settings")
    try:
        found = _find_servers(settings, selection, listed, environ)
    except UsageError:
        if left_out:
            raise UsageError(*_describe_left_out(settings, left_out)) from None
        raise
    _refuse_shared_urls(found)
    return tuple(found)


def report_left_out(
    settings: Settings, selection: ServerSelection, environ: Variables = PROCESS
) -> tuple[Finding, ...]:
    """Return a warning if a glob, a label or ``every`` matches servers that only an untrusted file defines.

    They are left out, or the author of that file could add servers to a run.
    """
    _, left_out = _list_named(settings, selection, environ)
    if not left_out:
        return ()
    message, hint = _describe_left_out(settings, left_out)
    return (warning(UNTRUSTED_RULE, message, hint, Location(settings.untrusted.path)),)


def _list_named(
    settings: Settings, selection: ServerSelection, environ: Variables
) -> tuple[list[ListedServer], list[str]]:
    """Return the servers that may be selected, and the names of others that match but are untrusted."""
    listed = [one for one in list_servers(settings, environ) if one.name]
    selectable = [one for one in listed if one.name in settings.servers or one.name in selection.names]
    wanted = parse_labels(selection.labels)
    left_out = [
        one.name
        for one in listed
        if one not in selectable
        and wanted.items() <= one.labels.items()
        and (not selection.names or any(is_glob(name) and glob_matches(name, one.name) for name in selection.names))
    ]
    return selectable, left_out


def _describe_left_out(settings: Settings, names: Sequence[str]) -> tuple[str, str]:
    path = settings.untrusted.path
    message = (
        f"left out {pluralise(len(names), 'server')} ({first_and_more(names, _LISTED)}), which only {path} names: the"
        " file in the working folder is not trusted"
    )
    return message, f"name each by --server, or trust the file with --config {path}"


def _find_servers(
    settings: Settings, selection: ServerSelection, listed: Sequence[ListedServer], environ: Variables
) -> list[SelectedServer]:
    wanted = parse_labels(selection.labels)
    fitting = {
        one.name: SelectedServer(one.name, one.server.url if one.server else "", one.labels)
        for one in select_servers(listed, wanted)
    }
    known = [one.name for one in listed]
    given = selection.names or known
    names = list(dict.fromkeys(name for one in given for name in _find_names(settings, known, one, environ)))
    urls = {} if wanted else {name: _at_url(settings, name, environ) for name in names if is_url(name)}
    found = [(fitting | urls)[name] for name in names if name in fitting or name in urls]
    if not found:
        where, labels = first_and_more(names, _LISTED), " and ".join(map(quoted, selection.labels))
        raise UsageError(f"no server among {where} has {labels}", "give fewer labels; all of them have to match")
    return found


def _at_url(settings: Settings, url: str, environ: Variables) -> SelectedServer:
    server = choose_server(settings, url, (), environ)
    return SelectedServer(url, server.url, server.labels)


def _find_names(settings: Settings, known: Collection[str], given: str, environ: Variables) -> Sequence[str]:
    if given in known or is_url(given):
        return [given]
    if not is_glob(given):
        choose_server(settings, given, (), environ)  # raises, and knows what to suggest
    matching = [name for name in known if glob_matches(given, name)]
    if not matching:
        hint = f"known servers: {first_and_more([*known], _LISTED)}"
        raise UsageError(f"no server matches {quoted(given)}", hint)
    return matching


def _refuse_shared_urls(found: Sequence[SelectedServer]) -> None:
    """Raise :class:`UsageError` if two servers share a URL: each would wait for the lock of the other."""
    seen: dict[str, str] = {}
    for one in found:
        if one.url in seen:
            message = f"{quoted(seen[one.url])} and {quoted(one.name)} have the same URL {quote_server(one.url)}"
            hint = "leave one of them out: one run at a time can work on a server"
            raise UsageError(f"{message}, so that they are one server", hint)
        if one.url:
            seen[one.url] = one.name


def _list_one(settings: Settings, environ: Environment, name: str, path: str, entry: Table) -> ListedServer:
    labels = entry.get("labels")
    texts = {k: v for k, v in labels.items() if isinstance(v, str)} if isinstance(labels, dict) else {}
    try:
        server = choose_server(settings, name or environ.get("url"), environ=environ)
        sources = dict(_find_sources(server, environ, entry))
        return ListedServer(name, path, server.labels, server, sources)  # those in force: no untrusted ones
    except ConfigError as e:
        message, hint, rule = e.message, e.hint, e.rule
    where = Location(path)
    if name and quoted(name) not in message and f"servers.{name}" not in message:
        message = f"server {quoted(name)}: {message}"
    problem = error(rule or "broken-server", message.removeprefix(f"{path}: "), hint, where)
    return ListedServer(name, path, texts, problem=problem)


def _find_sources(server: Server, environ: Environment, entry: Table) -> Iterator[tuple[str, str]]:
    """Yield each secret that a login sends, with its source."""
    own = environ.keys_of_server(server.name)
    for key in ["token"] if server.has_given_token else SECRETS:
        if key in server.login.refs:
            yield key, str(server.login.refs[key])
        elif getattr(server, key) is None:
            continue
        elif key in own and not server.isolated:
            yield key, f"variable {variable_of(server.name, key)}"
        elif isinstance(entry.get(key), Secret):
            yield key, CLEAR_TEXT
        else:
            yield key, f"variable {PREFIX}{key.upper()}"
