"""The content of a sheet in every style: its sources, the form's fields of each realm, and the findings."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from ztrust_mail._version import __version__
from ztrust_mail.core.data import of_json
from ztrust_mail.core.files import STDIN
from ztrust_mail.core.findings import Finding
from ztrust_mail.core.text import pluralise, printable, to_minute
from ztrust_mail.dialects.dialect import BodyFormat, Dialect, labels_of
from ztrust_mail.dialects.row import Attributes

HOW = "Type in the values from top to bottom; a field without a value stays empty."
SECRETS = "${NAME} is a secret: type the value of the variable NAME, not its name."
ADVICE = "Before you leave the page"
_DIGEST = 12  # characters that tell files apart, the beginning of what sha256sum prints
_MOST_FILES = 3


@dataclass(frozen=True)
class Source:
    """The sources of a sheet.

    ``digests`` are those of the files of a spec, ``servers`` its servers as in :class:`ReadResult`. ``findings`` are
    about the files; a sheet shows them at the values that they concern.
    """

    path: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    servers: tuple[str, ...] = ()
    written_at: datetime | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Label and text of each fact that is known."""
        written = f"{to_minute(self.written_at)} by ztrust-mail {__version__}" if self.written_at else ""
        facts = (("Source", self._files), ("Server", ", ".join(self.servers)), ("Written", written))
        return tuple((label, printable(text)) for label, text in facts if text)

    @property
    def _files(self) -> str:
        if len(self.digests) > _MOST_FILES:
            digest = of_json(list(self.digests.values()))
            return f"{self.path} ({pluralise(len(self.digests), 'file')}, sha256 {digest[:_DIGEST]})"
        named = (f"{_name(path)} (sha256 {digest[:_DIGEST]})" for path, digest in self.digests.items())
        return ", ".join(named) or _name(self.path)


def _name(path: str) -> str:
    return "standard input" if path == STDIN else path


@dataclass(frozen=True)
class FormField:
    """One field of the form: its label, the value to type, and what there is to know about it."""

    label: str
    value: str
    is_secret: bool = False
    findings: tuple[Finding, ...] = ()

    @property
    def is_missing(self) -> bool:
        """Whether the product requires a value that the source does not have."""
        return not self.value and any(finding.rule == "missing-field" for finding in self.findings)

    @property
    def has_escapes(self) -> bool:
        """Whether the value has invisible characters, which a sheet shows as escapes, so that it cannot be copied."""
        return printable(self.value) != self.value


@dataclass(frozen=True)
class RealmSheet:
    """The form's fields of one realm, and the findings on it that belong to none of them."""

    realm: str
    form_fields: tuple[FormField, ...]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """A sheet for all realms; its own findings belong to none of them."""

    product: str
    page: str
    advice: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    realms: tuple[RealmSheet, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def title(self) -> str:
        """The product, and the menu path of its settings page."""
        return f"{self.product}: {self.page}" if self.page else self.product

    @cached_property
    def instructions(self) -> list[str]:
        """How to work through the sheet."""
        has_secrets = any(field.is_secret for realm in self.realms for field in realm.form_fields)
        return [HOW, SECRETS] if has_secrets else [HOW]


def make_sheet(
    dialect: Dialect, realms: Mapping[str, Attributes], source: Source, findings: Iterable[Finding]
) -> Sheet:
    """Return the sheet of realms, with each finding at the value, the realm or the sheet that it concerns."""
    by_realm: dict[str, list[Finding]] = defaultdict(list)
    general: list[Finding] = []
    for finding in findings:
        (by_realm[finding.realm] if finding.realm is not None and finding.realm in realms else general).append(finding)
    made = tuple(_realm_sheet(dialect, realm, attributes, by_realm[realm]) for realm, attributes in realms.items())
    return Sheet(dialect.title, dialect.page, dialect.advice, source.facts, made, tuple(general))


def _realm_sheet(dialect: Dialect, realm: str, attributes: Attributes, findings: Iterable[Finding]) -> RealmSheet:
    lines = list(_lines(dialect, attributes))
    shown = {native for native, _, _ in lines}
    placed: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        natives = dialect.attributes_of(finding.field) if finding.field else ()
        placed[next((native for native in natives if native in shown), "")].append(finding)
    form_fields = tuple(
        FormField(label, text, bool(text) and dialect.is_secret(native, text), tuple(placed[native]))
        for native, label, text in lines
    )
    return RealmSheet(realm, form_fields, tuple(placed[""]))


def _lines(dialect: Dialect, attributes: Attributes) -> Iterator[tuple[str, str, str]]:
    """Yield attribute, label and value of each field; an empty attribute that is not on the page is left out."""
    labels = labels_of(dialect)
    for native, label in labels.items():
        if native in attributes or label != native or dialect.body_format is BodyFormat.FORM:
            yield native, label, attributes.get(native, "")
    for native, text in attributes.items():
        if native not in labels:
            yield native, native, text


def finding_text(finding: Finding) -> str:
    """Return a finding as a sheet shows it: one printable line."""
    text = f"{finding.message}; {finding.hint}" if finding.hint else finding.message
    return printable(f"{finding.severity.value.capitalize()}: {text}")


def marked_parts(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a message, and whether each is in backquotes."""
    for number, part in enumerate(text.split("`")):
        if part:
            yield part, number % 2 == 1
