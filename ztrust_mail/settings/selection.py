"""Selects servers by name, glob and label, for a run on several of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.globs import glob_matches
from ztrust_mail.core.text import first_and_more, quoted
from ztrust_mail.settings.file import Settings
from ztrust_mail.settings.inputs import PROCESS, Variables
from ztrust_mail.settings.inventory import list_servers, parse_labels, select_servers
from ztrust_mail.settings.servers import choose_server
from ztrust_mail.settings.urls import is_file_url, quote_server

_LISTED = 10


@dataclass(frozen=True)
class ServerSelection:
    """Which servers a person asked for: those that fit one of ``names``, and all of ``labels``.

    A name is that of an entry, a glob over names, or a URL. Without names it is every entry that has the labels.
    """

    names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    every: bool = False

    @property
    def is_several(self) -> bool:
        """Whether the selection may contain several servers, also where it happens to contain one."""
        return len(self.names) > 1 or bool(self.labels) or self.every or any(map(is_glob, self.names))


@dataclass(frozen=True)
class SelectedServer:
    """A server of a selection, by the name or URL that ``--server`` takes; ``url`` is empty for a broken entry."""

    name: str
    url: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def is_glob(name: str) -> bool:
    """Tell whether the name of a server is a glob over names; a URL is none."""
    return not _is_url(name) and any(one in name for one in "*?")


def resolve_selection(
    settings: Settings, selection: ServerSelection, environ: Variables = PROCESS
) -> tuple[SelectedServer, ...]:
    """Return the servers of a selection, each once, in the order of the names and then of the settings.

    Raises :class:`UsageError` where nothing fits or two servers have one URL, :class:`ConfigError` for an unknown name.
    """
    if selection.every and (selection.names or selection.labels):
        hint = "leave out --all-servers, or --server and --label"
        raise UsageError("--all-servers cannot be combined with --server or --label", hint)
    wanted, listed = parse_labels(selection.labels), [one for one in list_servers(settings, environ) if one.name]
    if not listed and (selection.every or selection.labels):
        raise UsageError("the settings have no servers", "see: ztrust-mail docs settings")
    fitting = {
        one.name: SelectedServer(one.name, one.server.url if one.server else "", one.labels)
        for one in select_servers(listed, wanted)
    }
    known = [one.name for one in listed]
    given = selection.names or known
    names = list(dict.fromkeys(name for one in given for name in _find_names(settings, known, one, environ)))
    urls = {} if wanted else {name: _at_url(settings, name, environ) for name in names if _is_url(name)}
    found = [(fitting | urls)[name] for name in names if name in fitting or name in urls]
    if not found:
        where, labels = first_and_more(names, _LISTED), " and ".join(map(quoted, selection.labels))
        raise UsageError(f"no server among {where} has {labels}", "give fewer labels; all of them have to match")
    _refuse_shared_urls(found)
    return tuple(found)


def _is_url(name: str) -> bool:
    return "://" in name or is_file_url(name)


def _at_url(settings: Settings, url: str, environ: Variables) -> SelectedServer:
    server = choose_server(settings, url, (), environ)
    return SelectedServer(url, server.url, server.labels)


def _find_names(settings: Settings, known: Collection[str], given: str, environ: Variables) -> Sequence[str]:
    if given in known or _is_url(given):
        return [given]
    if not is_glob(given):
        choose_server(settings, given, (), environ)  # raises, and knows what to suggest
    matching = [name for name in known if glob_matches(given, name)]
    if not matching:
        hint = f"known servers: {first_and_more([*known], _LISTED)}"
        raise UsageError(f"no server matches {quoted(given)}", hint)
    return matching


def _refuse_shared_urls(found: Sequence[SelectedServer]) -> None:
    """Raise :class:`UsageError` where two servers have one URL: each would wait for the lock of the other."""
    seen: dict[str, str] = {}
    for one in found:
        if one.url in seen:
            message = f"{quoted(seen[one.url])} and {quoted(one.name)} have the same URL {quote_server(one.url)}"
            hint = "leave one of them out: one run at a time can work on a server"
            raise UsageError(f"{message}, so that they are one server", hint)
        if one.url:
            seen[one.url] = one.name
