"""Reads the words in a server's entry: labels, by which it is selected, variables for specs, and its queue."""

import re
from collections.abc import Mapping

from ztrust_mail.core.errors import ConfigError
from ztrust_mail.core.text import quoted
from ztrust_mail.settings.inputs import Table

LABEL_NAME = r"^[a-z][a-z0-9_.-]{0,62}$"
LABEL_VALUE = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
VARIABLE_NAME = r"^[a-z][a-z0-9_]{0,63}$"
BUILT_IN = ("realm", "server")
"""Placeholders that every spec has, so that no variable may have their names."""

VARIABLE_VALUE = r"^[^\u0000-\u001F\u007F-\u009F\u2028\u2029\u202A-\u202E\u2066-\u2069]*$"
"""No control, line or direction characters: as in a spec's own variables."""

MAX_LENGTH = 255
NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
"""The name of a queue or of a schedule."""

DEFAULT_QUEUE = "default"


def read_labels(server: str, entry: Table) -> Mapping[str, str]:
    """Return the labels in a server's entry. Raises :class:`ConfigError` for a bad name or value."""
    labels = _read_texts(server, entry, "labels")
    for name, value in labels.items():
        if not re.fullmatch(LABEL_NAME, name):
            _refuse(
                server, f"labels.{name}", "is not a name for a label", "write lower-case letters, digits, _ . and -"
            )
        if not re.fullmatch(LABEL_VALUE, value):
            _refuse(server, f"labels.{name}", "is not the value of a label", "write letters, digits, _ . and -")
    return labels


def read_vars(server: str, entry: Table) -> Mapping[str, str]:
    """Return the variables in a server's entry. Raises :class:`ConfigError` for a bad name or value."""
    variables = _read_texts(server, entry, "vars")
    for name, value in variables.items():
        if not re.fullmatch(VARIABLE_NAME, name) or name in BUILT_IN:
            hint = (
                f"write lower-case letters, digits and _, and no other name than a spec's own {' and '.join(BUILT_IN)}"
            )
            _refuse(server, f"vars.{name}", "is not a name for a variable", hint)
        if not re.fullmatch(VARIABLE_VALUE, value):
            _refuse(server, f"vars.{name}", "contains a control character", "remove it")
    return variables


def read_queue(server: str, entry: Table) -> str:
    """Return the queue in a server's entry. Raises :class:`ConfigError` for a bad name."""
    queue = entry.get("queue", DEFAULT_QUEUE)
    if not isinstance(queue, str) or not re.fullmatch(NAME, queue):
        hint = "write up to 63 lower-case letters, digits, . _ and -, such as eu"
        raise ConfigError(f"{quoted(f'servers.{server}.queue')} is {quoted(queue)}", hint)
    return queue


def _read_texts(server: str, entry: Table, key: str) -> Mapping[str, str]:
    table = entry.get(key, {})
    assert isinstance(table, dict)  # checked with the other types
    for name, value in table.items():
        if not isinstance(value, str) or not 0 < len(value) <= MAX_LENGTH:
            _refuse(server, f"{key}.{name}", f"must be a text of up to {MAX_LENGTH} characters", "write it in quotes")
    return dict(table)


def _refuse(server: str, place: str, problem: str, hint: str) -> None:
    raise ConfigError(f"{quoted(f'servers.{server}.{place}')} {problem}", hint)
