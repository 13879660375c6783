"""Answers a shell that completes a command line.

Suggestions come from the command line and from local files only. Files are read within limits, no reference is
resolved, nothing is sent, and a file that cannot be read suggests nothing.
"""

import os
import re
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ztrust_mail.settings import Settings

    Items = list[CompletionItem[str]]

SECONDS = 3.0
MAX_SPEC_BYTES, MAX_FILES, MAX_NAMES = 2_000_000, 500, 5_000
_END = "\1"  # marks the cursor; not typed on any keyboard


class Shell(StrEnum):
    """The supported shells."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"

    @property
    def script(self) -> str:
        """The script that turns completion on."""
        from importlib import resources

        return (resources.files("ztrust_mail") / "data" / f"completion.{self}").read_text("utf-8")


class TooSlow(BaseException):
    """The time for suggestions is over."""


def answer(app: click.Command, instruction: str, environ: Mapping[str, str], seconds: float = SECONDS) -> str:
    """Return the suggestions for the line before the cursor, in the form that the shell's script reads.

    ``instruction`` is ``SHELL_complete``. Returns nothing when anything fails or takes more than ``seconds``.
    """
    from click.shell_completion import ShellComplete

    with suppress(Exception, TooSlow), _time_limit(seconds):
        shell, line = Shell(instruction.removesuffix("_complete")), environ["COMP_LINE"]
        _, *arguments, last = _split(line)
        items = ShellComplete(app, {"obj": arguments}, "", "").get_completions(arguments, last)
        option = re.match(r"--[\w-]+=", last)
        rows = [_row(item, option[0] if option else "") for item in items]
        if shell is Shell.BASH:
            return _for_bash(rows, line, last, environ.get("COMP_WORD", ""))
        if shell is Shell.ZSH:
            return "".join(f"{kind}\n{word or '_'}\n{text or '_'}\n" for kind, word, text in rows)
        return "".join(f"{kind},{word}\t{text}\n" if text else f"{kind},{word}\n" for kind, word, text in rows)
    return ""


def _split(line: str) -> list[str]:
    """Return the words of a line; the last is the one at the cursor, which may be empty."""
    from click.shell_completion import split_arg_string

    *words, last = split_arg_string(line + _END)
    return [*words, last.removesuffix(_END)]


def _row(item: "CompletionItem[str]", option: str) -> tuple[str, str, str]:
    """Return kind, word and help of a suggestion; for files the word is what goes before the path."""
    if item.type in ("spec", "file", "dir"):
        return item.type, f"{option}{item.prefix or ''}", ""
    value = f"{option}{item.value}"
    return "prefix" if value.endswith("=") else "plain", value, " ".join((item.help or "").split())


def _for_bash(rows: Iterable[tuple[str, str, str]], line: str, last: str, replaced: str) -> str:
    """Return the part of each word that bash replaces, quoted; it starts after the last ``=`` or ``:``."""
    import shlex

    try:
        shlex.split(line)
        is_quoted = False
    except ValueError:  # the cursor is inside quotes, or after a backslash
        is_quoted = True
    before = last.removesuffix(_split(replaced)[-1])
    lines = []
    for kind, value, _ in rows:
        word = re.sub(r"([^\w@%+=:,./-])", r"\\\1", rest := value.removeprefix(before))
        if kind in ("plain", "prefix") and not (is_quoted and word != rest):
            lines.append(f"{kind},{word}\n")
        elif kind not in ("plain", "prefix"):
            lines.append(f"{kind},\n")
    return "".join(lines)


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


Callback = Callable[[click.Context, click.Parameter, str], "Items"]
Find = Callable[[click.Context, str], Iterable[str]]


def suggest(find: Find) -> Callback:
    """Return a callback for click that suggests the words found that continue the one at the cursor.

    Words with control characters, which a terminal would obey, are left out.
    """

    def suggestions(context: click.Context, _: click.Parameter, word: str) -> "Items":
        from click.shell_completion import CompletionItem

        fitting = (found for found in find(context, word) if found.startswith(word) and found.isprintable())
        return [CompletionItem(found) for found in islice(dict.fromkeys(fitting), MAX_NAMES)]

    return suggestions


def spec_files(_context: click.Context, _: click.Parameter, word: str) -> "Items":
    """Suggest spec files."""
    return _files(word, kind="spec")


def _files(word: str, kind: str = "file", prefix: str = "") -> "Items":
    from click.shell_completion import CompletionItem

    return [CompletionItem(word, type=kind, prefix=prefix)]


def report_targets(_context: click.Context, _: click.Parameter, word: str) -> "Items":
    """Suggest the formats of ``--report FORMAT=FILE``, and after ``=`` files."""
    from click.shell_completion import CompletionItem

    from ztrust_mail.reports.report import OutputFormat

    name, is_named, path = word.partition("=")
    if is_named:
        return _files(path, prefix=f"{name}=")
    return [CompletionItem(f"{known}=") for known in OutputFormat if known.startswith(word)]


def explain_words(context: click.Context, parameter: click.Parameter, word: str) -> "Items":
    """Suggest realms of the given specs, or spec files if none match; after a realm, fields."""
    from ztrust_mail.model.fields import FIELDS

    given = [str(one) for one in context.params.get("words") or ()]
    if given and given[-1] in _realms_of(given[:-1]):
        return suggest(lambda *_: FIELDS)(context, parameter, word)
    return suggest(lambda *_: _realms_of(given))(context, parameter, word) or spec_files(context, parameter, word)


@suggest
def realm_names(context: click.Context, word: str) -> Iterable[str]:
    """Suggest the realms and globs of the specs on the command line."""
    given = _parse(context, word)
    return _realms_of([str(one) for name in ("specs", "spec") for one in given.get(name) or ()])


@suggest
def server_names(context: click.Context, word: str) -> Iterable[str]:
    """Suggest the servers of the settings."""
    loaded = _load_settings(context, word)
    return {**loaded.servers, **loaded.untrusted.servers} if loaded else ()


@suggest
def server_labels(context: click.Context, word: str) -> Iterable[str]:
    """Suggest the labels of the servers in the settings."""
    from ztrust_mail.settings.inventory import list_servers

    listed = list_servers(loaded) if (loaded := _load_settings(context, word)) else ()
    return sorted({f"{name}={value}" for one in listed for name, value in one.labels.items()})


def _load_settings(context: click.Context, word: str) -> "Settings | None":
    from ztrust_mail import settings
    from ztrust_mail.settings.file import places

    given = str(_parse(context, word).get("config") or "") or None
    paths = places(given)
    if any(path.exists() and not path.is_file() for path in paths):  # a pipe gives its content only once
        return None
    return settings.load(given)


@suggest
def reasons(_context: click.Context, word: str) -> Iterable[str]:
    """Suggest the reasons of ``--allow``, the next one after a comma."""
    from ztrust_mail.planning.safety import ALL, Reason

    named = word.split(",")[:-1]
    return (",".join([*named, reason]) for reason in (*Reason, ALL) if reason not in named)


@suggest
def conversions(_context: click.Context, _word: str) -> Iterable[str]:
    """Suggest the formats of ``convert``."""
    from ztrust_mail.convert import FORMATS

    return FORMATS


@suggest
def rule_ids(_context: click.Context, _word: str) -> Iterable[str]:
    """Suggest the ids of rules."""
    from ztrust_mail.core.rules import registry

    return registry()


@suggest
def pages(_context: click.Context, _word: str) -> Iterable[str]:
    """Suggest the pages of the documentation."""
    from ztrust_mail.cli.pages import page_names

    return page_names()


@suggest
def preset_names(_context: click.Context, _word: str) -> Iterable[str]:
    """Suggest the names of presets."""
    from ztrust_mail.providers import presets

    return presets.preset_names()


def _parse(context: click.Context, word: str) -> Mapping[str, Any]:
    """Return the parameters on the line; those of the context end where the option at the cursor has no value yet."""
    command, *arguments = context.obj
    return context.command.make_context(command, [*arguments, word], resilient_parsing=True).params


def _realms_of(paths: Iterable[str]) -> list[str]:
    """Return the realms and globs of specs, as far as they can be read within the limits."""
    from ztrust_mail.core.files import STDIN, files_in
    from ztrust_mail.specfile.load import read_specs

    files = [file for path in paths for file in (files_in(path, limit=MAX_FILES)[0] if os.path.isdir(path) else [path])]
    names, size = list[str](), 0
    for file in files[:MAX_FILES]:
        with suppress(OSError):  # a missing file
            if file == STDIN:
                continue
            size += os.stat(file).st_size
            if size > MAX_SPEC_BYTES:
                break
            for document in read_specs([file])[0]:
                realms = document.value.get("realms") if isinstance(document.value, dict) else None
                names += realms if isinstance(realms, dict) else ()
    return names
