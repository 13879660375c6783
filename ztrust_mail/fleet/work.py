"""The work that requests ask for: one class per kind, stored in the journal as JSON."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeAlias, cast

from ztrust_mail._version import __version__
from ztrust_mail.api.spec_types import DefaultsDict, EntryDict, SpecDict
from ztrust_mail.api.specs import target_of, texts_of
from ztrust_mail.core.data import JsonLike
from ztrust_mail.core.errors import ConfigError, UsageError
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.fleet.content import (
    SECOND,
    WORDS,
    Content,
    FailOnWord,
    UncoveredWord,
    check_names,
    fields_to_json,
    find_written,
    mapping_of,
    parse_fields,
    texts_in,
    version_of,
)
from ztrust_mail.linting.lint import fit_spec, load_spec
from ztrust_mail.linting.selection import LintOptions, choose_rules
from ztrust_mail.secrets.sources import RUN_SECRETS
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.load import Paths, SpecFiles, read_data

if TYPE_CHECKING:
    from ztrust_mail.applying.options import Waves
    from ztrust_mail.planning.planners.rotate import RelayLogin
    from ztrust_mail.probing.options import ProbeOptions
    from ztrust_mail.settings import Server

FORMAT: Final = 2
"""The newest version of the content of requests that this program understands.

It writes the oldest one that has all fields of the request: an older worker does what it understands, and refuses the
rest as newer than itself, instead of ignoring it.
"""

MAX_CONTENT: Final = 10_000_000
"""The maximum length of a request's content, in characters."""

MAX_WAIT_FOR_REALM: Final = 7 * 86_400
"""The maximum time, in seconds, that a request can wait for a realm that does not exist yet."""

_LISTS: Final = ("realms", "allow", "references", "select", "ignore")
"""The fields of work that are lists of texts."""

SpecSource: TypeAlias = "Paths | SpecDict | SpecFiles"


@dataclass(frozen=True)
class Work(ABC):
    """The work of a request, for one server. Contains names and references, never secrets.

    Work with a higher ``priority`` is processed first.
    """

    kind: ClassVar[str]
    command: ClassVar[str]
    """The equivalent command, under whose name errors are reported."""
    priority: ClassVar[int] = 0

    @abstractmethod
    def check(self, server: Server) -> None:
        """Raise :class:`ZtrustMailError` if this cannot be done on a server, as far as can be checked offline."""

    @abstractmethod
    def to_content(self) -> Content:
        """Return the work as JSON data, after validating its spec. Raises :class:`SpecError`, :class:`UsageError`."""

    @classmethod
    @abstractmethod
    def from_content(cls, content: Content) -> Work:
        """Return the work from the data of :meth:`to_content`. Raises :class:`ValueError` for other data."""


@dataclass(frozen=True)
class WithSpec(Work):
    """Work described by a spec. ``realms`` are globs, ``variables`` are values of placeholders."""

    spec: SpecSource
    realms: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    def check(self, server: Server) -> None:
        fit_to(self.load(), server)

    def to_content(self) -> Content:
        return {"spec": _spec_content(self.spec, self.variables), **fields_to_json(self, but="spec")}

    @classmethod
    def from_content(cls, content: Content) -> WithSpec:
        return cls(**parse_fields(cls, content))

    def load(self) -> Spec:
        """Return the spec. Raises :class:`SpecError`."""
        return _load(self.spec, self.variables)


@dataclass(frozen=True)
class _Writing(WithSpec):
    """Work that writes. ``allow`` names the permitted dangers, ``waves`` splits the writes."""

    allow: Sequence[str] = ()
    waves: Waves | None = None


@dataclass(frozen=True)
class ApplySpec(_Writing):
    """Plan a spec and apply it, within the worker's policy. ``secrets`` is like the option ``--secrets``."""

    kind: ClassVar[str] = "apply"
    command: ClassVar[str] = "apply"
    priority: ClassVar[int] = 20
    secrets: Literal["auto", "write", "keep"] = "auto"


@dataclass(frozen=True)
class RotateSecrets(_Writing):
    """Write the new values of secrets wherever ``references`` are used, such as ``env:SMTP_PASSWORD``.

    With ``relay`` in their place, those of all realms that log in at this host, or as one ``user`` of it.
    """

    kind: ClassVar[str] = "rotate"
    command: ClassVar[str] = "rotate"
    priority: ClassVar[int] = 20
    references: Sequence[str] = ()
    relay: str = field(default="", metadata=SECOND)
    user: str = field(default="", metadata=SECOND)

    @property
    def scope(self) -> Sequence[str] | RelayLogin:
        """What is rotated. Raises :class:`UsageError` where it is not one of the two."""
        from ztrust_mail.planning.planners.rotate import RelayLogin, check_references

        if self.relay and self.references:
            raise UsageError("references and relay exclude each other", "give one of them; realms limits either")
        if self.user and not self.relay:
            raise UsageError("user needs relay", "name the relay where this user logs in")
        if self.relay:
            return RelayLogin(self.relay, self.user)
        check_references(self.references)
        return self.references


@dataclass(frozen=True)
class CheckDrift(WithSpec):
    """Compare a server with a spec, and report who probably changed it.

    ``select`` and ``ignore`` name the lint rules that count; ``fail_on`` is the drift that counts for the exit status,
    and ``uncovered`` says whether realms without an entry count, too. All are as the options of these names.
    """

    kind: ClassVar[str] = "drift"
    command: ClassVar[str] = "drift"
    select: Sequence[str] = field(default=(), metadata=SECOND)
    ignore: Sequence[str] = field(default=(), metadata=SECOND)
    fail_on: FailOnWord = field(default="any", metadata=SECOND)
    uncovered: UncoveredWord = field(default="note", metadata=SECOND)

    @property
    def lint_options(self) -> LintOptions:
        """The lint rules that count."""
        return LintOptions((*self.select,), (*self.ignore,))


@dataclass(frozen=True)
class TestSpec(WithSpec):
    """Have the server send a test mail for each realm, with the settings of a spec.

    The worker probes the relays of failed tests from its machine unless ``probe`` is False, and greets them as
    ``ehlo_name``.
    """

    __test__ = False  # keeps pytest from collecting it
    kind: ClassVar[str] = "test"
    command: ClassVar[str] = "test"
    priority: ClassVar[int] = 10
    probe: bool = field(default=True, metadata=SECOND)
    ehlo_name: str = field(default="", metadata=SECOND)


@dataclass(frozen=True)
class TestStored(Work):
    """Have the server send a test mail for each realm, with the settings that it stores. ``realms`` are globs.

    ``probe`` and ``ehlo_name`` are as in :class:`TestSpec`.
    """

    __test__ = False
    kind: ClassVar[str] = "test-stored"
    command: ClassVar[str] = "test"
    priority: ClassVar[int] = 10
    realms: Sequence[str] = ()
    probe: bool = field(default=True, metadata=SECOND)
    ehlo_name: str = field(default="", metadata=SECOND)

    def check(self, server: Server) -> None:
        """Do nothing: the stored settings are not known offline."""

    def to_content(self) -> Content:
        return fields_to_json(self)

    @classmethod
    def from_content(cls, content: Content) -> TestStored:
        return cls(**parse_fields(cls, content))


@dataclass(frozen=True)
class ApplySavedPlan(Work):
    """Apply a plan that was saved and reviewed. ``plan`` is the text of the file."""

    kind: ClassVar[str] = "apply-plan"
    command: ClassVar[str] = "apply"
    priority: ClassVar[int] = 20
    plan: str
    allow: Sequence[str] = ()
    waves: Waves | None = None

    def check(self, server: Server) -> None:
        from ztrust_mail.planning.saved.checks import check_before_move, check_server
        from ztrust_mail.planning.saved.read import from_text

        saved = from_text(self.plan)
        check_server(saved, server.url, issuer="")
        check_before_move(saved)

    def to_content(self) -> Content:
        from ztrust_mail.planning.saved.read import from_text

        from_text(self.plan)  # raises if it is not a plan, or was altered
        return fields_to_json(self)

    @classmethod
    def from_content(cls, content: Content) -> ApplySavedPlan:
        return cls(**parse_fields(cls, content))


@dataclass(frozen=True)
class OnboardRealms(Work):
    """Apply e-mail settings to realms, replacing their current ones.

    Waits up to ``wait_for_realm`` seconds for realms that do not exist yet. With ``test``, the server sends a test mail
    for each realm that was written. ``defaults`` are settings that all realms start from.
    """

    kind: ClassVar[str] = "onboard"
    command: ClassVar[str] = "apply"
    priority: ClassVar[int] = 30
    entries: Mapping[str, EntryDict]
    defaults: DefaultsDict = field(default_factory=DefaultsDict)
    test: bool = True
    wait_for_realm: float = 300.0
    allow: Sequence[str] = ()

    @property
    def spec(self) -> SpecDict:
        """The realms and the defaults as a spec."""
        return {"version": 1, "defaults": self.defaults, "realms": self.entries}

    def load(self) -> Spec:
        """Return the spec. Raises :class:`SpecError`."""
        files = SpecFiles({"<request>": cast("Mapping[str, object]", self.spec)}, RUN_SECRETS)
        return _load(files, {})

    def check(self, server: Server) -> None:
        fit_to(self.load(), server)

    def to_content(self) -> Content:
        if globs := [name for name in self.entries if "*" in name or "?" in name]:
            hint = "submit an ApplySpec for globs"
            raise UsageError(f"onboarding takes realm names, but {quoted(globs[0])} is a glob", hint)
        if not self.entries:
            raise UsageError("the onboarding names no realm", "give {realm: settings}")
        if not 0 <= self.wait_for_realm <= MAX_WAIT_FOR_REALM:
            hint = f"give 0 to {MAX_WAIT_FOR_REALM:,} seconds"
            raise UsageError(f"wait_for_realm is {self.wait_for_realm} seconds, which is out of range", hint)
        spec = _spec_content(self.spec, {})
        [data] = cast("Mapping[str, Content]", spec).values()
        others: Content = {"test": self.test, "wait_for_realm": self.wait_for_realm, "allow": list(self.allow)}
        return {"entries": data.get("realms", {}), "defaults": data.get("defaults", {}), **others}

    @classmethod
    def from_content(cls, content: Content) -> OnboardRealms:
        check_names(cls, content)
        entries, defaults = mapping_of(content["entries"]), mapping_of(content["defaults"])
        test, wait = content["test"], content["wait_for_realm"]
        if not isinstance(test, bool) or isinstance(wait, bool) or not isinstance(wait, int | float):
            raise ValueError
        if not 0 <= wait <= MAX_WAIT_FOR_REALM:
            raise ValueError
        allow = texts_in(content["allow"])
        return cls(cast("Mapping[str, EntryDict]", entries), cast("DefaultsDict", defaults), test, float(wait), allow)


KINDS: Final[Mapping[str, type[Work]]] = {
    one.kind: one for one in (ApplySpec, ApplySavedPlan, CheckDrift, TestSpec, TestStored, RotateSecrets, OnboardRealms)
}


def fit_to(spec: Spec, server: Server) -> Spec:
    """Return a spec as resolved for a server. Raises :class:`ConfigError` if its guard names other servers."""
    if spec.servers and server.name not in spec.servers:
        wanted = " or ".join(map(quoted, spec.servers))
        message = f"the spec is meant for server {wanted}, not for {quoted(server.name or server.url)}"
        raise ConfigError(message, "submit it for that server")
    return fit_spec(spec, target_of(server))


def write_content(work: Work) -> str:
    """Return the content of a request.

    Raises :class:`SpecError`, :class:`UsageError` for work that no worker could do.
    """
    _require_valid(work)
    version = max(version_of(one) for one in find_written(work))
    text = json.dumps({"format": version, **work.to_content()}, sort_keys=True, separators=(",", ":"))
    if len(text) > MAX_CONTENT:
        message = f"the request has {len(text):,} characters; the limit is {MAX_CONTENT:,}"
        raise UsageError(message, "split the spec, and submit one request for each part")
    if not isinstance(_parse(work.kind, text), Work):
        message = f"a field of {type(work).__name__} has a value that it cannot have"
        raise UsageError(message, "see its fields and their types: help(ztrust_mail.fleet)")
    return text


def _require_valid(work: Work) -> None:
    """Raise :class:`UsageError` for a text in the place of a list, and for what a worker would not understand."""
    from ztrust_mail.planning.safety import parse_allow

    lists = {name: value for name in _LISTS if (value := getattr(work, name, None)) is not None}
    for name, value in lists.items():
        if isinstance(value, str):
            raise UsageError(f"{name} must be a list, not the text {quoted(value)}", f"write {name}=[{value!r}]")
    parse_allow(lists.get("allow", ()))
    if isinstance(work, RotateSecrets):
        work.scope  # noqa: B018 raises for a wrong one
    elif isinstance(work, CheckDrift):
        choose_rules(work.lint_options)
        for name, words in WORDS.items():
            if (word := getattr(work, name)) not in words:
                raise UsageError(f"{name} cannot be {quoted(str(word))}", f"write one of: {', '.join(words)}")
    elif isinstance(work, TestSpec | TestStored):
        probe_options_of(work)


def probe_options_of(work: TestSpec | TestStored) -> ProbeOptions | bool:
    """Return how a test probes relays, False for not at all. Raises :class:`UsageError` for a name that is none."""
    from ztrust_mail.probing.options import ProbeOptions

    return ProbeOptions(ehlo_name=work.ehlo_name) if work.probe else False


def read_content(kind: str, text: str, tool_version: str) -> Work:
    """Return the work in a request. Raises :class:`UsageError` if this program does not understand it."""
    work = _parse(kind, text)
    if isinstance(work, Work):
        return work
    if work is None or (work <= FORMAT and not _is_newer(tool_version)):
        message = "the request cannot be read: its content has an unknown form"
        raise UsageError(message, "submit it again; if that does not help, report it")
    message = f"the request was submitted by ztrust-mail {tool_version}, which is newer than this worker"
    raise UsageError(message, "update the worker, then: ztrust-mail requests N --retry", "newer-request")


def _parse(kind: str, text: str) -> Work | int | None:
    """Return the work in a request, the version of content that this program does not understand, or None."""
    version: object = None
    with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
        content = json.loads(text)
        version = content.pop("format")
        if version in range(1, FORMAT + 1):
            return KINDS[kind].from_content(content)
    return version if isinstance(version, int) and version >= 1 else None


def _is_newer(version: str) -> bool:
    """Tell whether a version is newer than this program, as far as it can be read."""
    theirs, ours = ([int(one) for one in re.findall(r"[0-9]{1,9}", text)[:3]] for text in (version, __version__))
    return theirs > ours


def _load(given: SpecSource, variables: Mapping[str, str]) -> Spec:
    """Return a spec, independent of this machine's settings. Raises :class:`SpecError`.

    Unknown placeholders are accepted, as they may be variables of the server: :func:`fit_to` checks them.
    """

    def find_names() -> frozenset[str]:
        data = given.files if isinstance(given, SpecFiles) else read_data(given)
        return frozenset(re.findall(r"\{([a-z][a-z0-9_]*)\}", json.dumps(data)))

    texts = replace(texts_of(variables, None, {}), of_servers=find_names)
    return load_spec(given, KEYCLOAK.attribute_names, texts)


def _spec_content(given: SpecSource, variables: Mapping[str, str]) -> JsonLike:
    """Return the data of a spec by file. Raises if it is invalid, or has a secret that no worker could find."""
    data = given.files if isinstance(given, SpecFiles) else read_data(cast("Paths", given))
    spec = _load(given, variables)
    for entry in spec.written or (spec.defaults, *spec.entries):
        for setting in entry.settings.values():
            _require_absolute(setting.value, entry.phrase)
    return cast("JsonLike", data)


def _require_absolute(value: object, where: str) -> None:
    if isinstance(value, SecretRef) and value.kind is SecretKind.FILE and not value.argument[0].startswith("/"):
        message = f"{where} takes a secret from {quoted(value.argument[0])}, a relative path that workers cannot use"
        raise UsageError(message, f"write the path on the worker, such as file: {RUN_SECRETS}/NAME", "request-file")
