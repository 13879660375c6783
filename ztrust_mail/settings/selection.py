"""Selects servers of the settings by name, glob and label, for a run on several of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ztrust_mail.core.errors import ConfigError, UsageError
from ztrust_mail.core.globs import glob_matches
from ztrust_mail.core.text import did_you_mean, first_and_more, quoted
from ztrust_mail.settings.file import Settings
from ztrust_mail.settings.inputs import PROCESS, Table, Variables
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
    return "://" not in name and not is_file_url(name) and any(one in name for one in "*?")


def select_servers(
    settings: Settings, selection: ServerSelection, environ: Variables = PROCESS
) -> tuple[SelectedServer, ...]:
    """Return the servers of a selection, each once, in the order of the names and then of the settings.

    Raises :class:`UsageError` where nothing fits or two servers have one URL, :class:`ConfigError` for an unknown name.
    """
    entries = {**settings.servers, **{n: e for n, e in settings.untrusted.servers.items() if n not in settings.servers}}
    if selection.every and (selection.names or selection.labels):
        hint = "leave out --all-servers, or --server and --label"
        raise UsageError("--all-servers cannot be combined with --server or --label", hint)
    if not entries and (selection.every or selection.labels):
        raise UsageError("the settings have no servers", "see: ztrust-mail docs settings")
    names = [name for given in selection.names for name in _find_names(settings, entries, given, environ)]
    wanted = [_parse_label(entries, one) for one in selection.labels]
    found = [
        SelectedServer(name, _url_of(settings, name, environ), labels)
        for name in dict.fromkeys(names if selection.names else entries)
        if (labels := labels_of(entries.get(name, {}))).items() >= set(wanted)
    ]
    if not found:
        where = f" among {_list_names(list(dict.fromkeys(names)))}" if selection.names else ""
        hint = "give fewer labels; all of them have to match"
        raise UsageError(f"no server{where} has {' and '.join(map(quoted, selection.labels))}", hint)
    _refuse_shared_urls(found)
    return tuple(found)


def labels_of(entry: Table) -> Mapping[str, str]:
    """Return the labels in an entry, also in one that is broken elsewhere."""
    table = entry.get("labels")
    return {name: str(value) for name, value in table.items()} if isinstance(table, Mapping) else {}


def _find_names(settings: Settings, entries: Mapping[str, Table], given: str, environ: Variables) -> Sequence[str]:
    if given in entries or "://" in given or is_file_url(given):
        return [given]
    if not is_glob(given):
        choose_server(settings, given, (), environ)  # raises, and knows what to suggest
    matching = [name for name in entries if glob_matches(given, name)]
    if not matching:
        raise UsageError(f"no server matches {quoted(given)}", f"known servers: {_list_names([*entries])}")
    return matching


def _parse_label(entries: Mapping[str, Table], given: str) -> tuple[str, str]:
    """Return name and value of ``NAME=VALUE``. Raises :class:`UsageError` for another form, and if no entry has it."""
    name, equals, value = given.partition("=")
    if not equals:
        raise UsageError(
            f"the label {quoted(given)} has no `=`", "write --label NAME=VALUE, such as --label stage=prod"
        )
    known = [labels_of(entry) for entry in entries.values()]
    values = list(dict.fromkeys(labels[name] for labels in known if name in labels))
    if value in values:
        return name, value
    if values:
        hint = did_you_mean(value, values) or f"servers have {_list_names([f'{name}={one}' for one in values])}"
        raise UsageError(f"no server has the label {quoted(given)}", hint)
    names = list(dict.fromkeys(one for labels in known for one in labels))
    hint = did_you_mean(name, names) or f"labels in the settings: {_list_names(names)}"
    raise UsageError(f"no server has a label {quoted(name)}", hint)


def _url_of(settings: Settings, name: str, environ: Variables) -> str:
    try:
        return choose_server(settings, name, (), environ).url
    except ConfigError:  # reported when the server's turn comes, without holding up the others
        return ""


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


def _list_names(names: Sequence[str]) -> str:
    return first_and_more(names, _LISTED)
