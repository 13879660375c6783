"""Lists the servers of the settings, and says of each how to log in, without resolving anything."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ztrust_mail.core.errors import ConfigError, UsageError
from ztrust_mail.core.findings import Finding, Location, Severity, error, warning
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import did_you_mean, first_and_more, pluralise, quoted
from ztrust_mail.settings.file import Settings
from ztrust_mail.settings.inputs import PREFIX, PROCESS, Environment, Table, Variables, variable_of
from ztrust_mail.settings.references import SECRETS
from ztrust_mail.settings.servers import Server, choose_server
from ztrust_mail.settings.urls import FILES, quote_server

CLEAR_TEXT = "clear text in the settings"
"""The source of a secret that is neither a reference nor a variable."""


@dataclass(frozen=True)
class ListedServer:
    """One entry of the settings. ``server`` is None where the entry is broken, and ``problem`` says why.

    ``sources`` says for each key of the login where its secret comes from: a reference, a variable, or clear text.
    """

    name: str
    path: str
    labels: Mapping[str, str] = field(default_factory=dict)
    server: Server | None = field(default=None, repr=False)
    sources: Mapping[str, str] = field(default_factory=dict)
    problem: Finding | None = None

    @property
    def title(self) -> str:
        """The name, or what stands for a server that only the environment names."""
        return self.name or f"${PREFIX}URL"

    @property
    def account(self) -> str:
        """The account as settings name it, without asking the server; empty without a login."""
        server = self.server
        if not server or server.gateway == FILES or (not self.sources and not server.username):
            return ""
        if server.has_given_token:
            return "the token's owner"
        return server.username or f"client {server.client_id}"


def list_servers(settings: Settings, environ: Variables = PROCESS) -> tuple[ListedServer, ...]:
    """Return all servers of the settings in their order, those of an untrusted file last.

    Without any entry it is the server in the environment, if there is one.
    """
    environ = Environment(environ)
    entries = [(name, settings.path, entry) for name, entry in settings.servers.items()]
    own, found = settings.servers, settings.untrusted
    entries += [(name, found.path, entry) for name, entry in found.servers.items() if name not in own]
    if not entries and environ.get("url"):
        entries = [("", "", {})]
    return tuple(_list_one(settings, environ, name, path, entry) for name, path, entry in entries)


def report_servers(listed: Sequence[ListedServer]) -> Iterator[Finding]:
    """Yield broken entries as errors, a URL of several servers as a warning, and secrets in clear text as notes."""
    yield from (one.problem for one in listed if one.problem)
    by_url: dict[str, list[ListedServer]] = {}
    for one in listed:
        if one.server:
            by_url.setdefault(one.server.url, []).append(one)
            yield from one.server.findings
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


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """Return labels given as ``stage=prod``. Raises :class:`UsageError` for other texts, and for two of one name."""
    labels: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise UsageError(f"{quoted(text)} is not a label", "write NAME=VALUE, such as stage=prod")
        if labels.setdefault(name, value) != value:
            raise UsageError(f"the label {quoted(name)} is given with two values", "no server has both; give one")
    return labels


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
