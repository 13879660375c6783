"""What a format is: it reads settings out of files, and writes them as text."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ztrust_mail.dialects.keycloak import KEYCLOAK
from ztrust_mail.findings import Finding, Location, Severity
from ztrust_mail.sensitive import SecretKind, SecretRef
from ztrust_mail.spec.fields import ABSENT, LOGIN, FieldMap, FieldValue, Raw, field_of
from ztrust_mail.spec.model import is_within
from ztrust_mail.spec.sayable import variables_for
from ztrust_mail.text import escaped, quoted

UNNAMED = SecretRef(SecretKind.ENV, ("",))
"""A secret for which a variable is still to be named."""

CANNOT_HOLD = "cannot-hold"


@dataclass(frozen=True)
class Extract:
    """The settings found in files, by realm. An empty map is a realm without e-mail; secrets are references."""

    realms: Mapping[str, FieldMap]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Written:
    """Settings in a format's own text, and what it cannot hold."""

    text: str = field(repr=False)
    findings: tuple[Finding, ...] = ()


class Format(ABC):
    """One way in which settings are kept in files."""

    name: str
    title: str

    @abstractmethod
    def read(self, path: str) -> Extract:
        """Return the settings in a file, a folder, or ``-`` for standard input.

        What cannot be read is an error among the findings; raises :class:`~ztrust_mail.errors.ZtrustMailError`
        where nothing can be done at all.
        """

    @abstractmethod
    def write(self, realms: Mapping[str, FieldMap]) -> Written:
        """Return the settings as text; what cannot be said is a finding."""

    def check(self, text: str) -> list[Finding]:
        """Return an error where text that :meth:`write` returned must be completed before it can be used."""
        return []


def as_json(data: object) -> str:
    """Return JSON as the server writes it, with escapes for what cannot be seen."""
    return escaped(json.dumps(data, indent=2, ensure_ascii=False), pairs=True) + "\n"


def warning(rule: str, message: str, hint: str, realm: str = "", name: str = "", at: Location | None = None) -> Finding:
    """Return a warning on a realm's field."""
    return Finding(Severity.WARNING, rule, message, hint, at, realm or None, name or None)


def note(rule: str, message: str, hint: str, realm: str = "", at: Location | None = None) -> Finding:
    """Return something worth knowing."""
    return Finding(Severity.NOTE, rule, message, hint, at, realm or None)


def named_secrets(realms: Mapping[str, FieldMap]) -> dict[str, FieldMap]:
    """Return the realms with a variable for every secret that has none yet."""
    secrets = [(r, n, v) for r, fields in realms.items() for n, v in fields.items() if isinstance(v, SecretRef)]
    taken = {v.argument[0] for _, _, v in secrets if v.kind is SecretKind.ENV}
    names = variables_for([(realm, name) for realm, name, value in secrets if value == UNNAMED], taken)

    def put(realm: str, name: str, value: FieldValue) -> FieldValue:
        return SecretRef(SecretKind.ENV, (names[realm, name],)) if (realm, name) in names else value

    return {realm: {n: put(realm, n, v) for n, v in fields.items()} for realm, fields in realms.items()}


def _in_variable_or_vault(name: str, reference: SecretRef) -> bool:
    return reference.kind in (SecretKind.ENV, SecretKind.KEYCLOAK_VAULT)


def with_variables(
    realms: Mapping[str, FieldMap], title: str, keeps: Callable[[str, SecretRef], bool] = _in_variable_or_vault
) -> tuple[dict[str, FieldMap], list[Finding]]:
    """Return the realms with variables for all secrets but those that a format ``keeps``, and what that changes."""
    found = []
    result: dict[str, FieldMap] = {}
    for realm, fields in realms.items():
        result[realm] = dict(fields)
        for name, value in fields.items():
            if isinstance(value, SecretRef) and not keeps(name, value):
                result[realm] = {**result[realm], name: UNNAMED}
                message = f"{title} cannot take `{name}` from a {value.kind.value} reference"
                found.append(warning(CANNOT_HOLD, message, "put the value into the variable named there", realm, name))
    return named_secrets(result), found


def held(
    realm: str, fields: FieldMap, title: str, known: Iterable[str], raw: Iterable[str] = ()
) -> tuple[dict[str, FieldValue], list[Finding]]:
    """Return the fields that a format can hold, and a finding for each other one that means something.

    A login of which a part cannot be held is left out whole. ``raw`` names fields that may hold any text.
    """
    known, raw = set(known), set(raw)
    meant = {n: v for n, v in fields.items() if n in known or KEYCLOAK.meaning(n, None) != v}
    lost = {n for n, v in meant.items() if n not in known or v is ABSENT or (isinstance(v, Raw) and n not in raw)}
    if any(is_within(name, LOGIN) for name in lost):
        lost |= {name for name in meant if is_within(name, LOGIN)}
    return {n: v for n, v in meant.items() if n not in lost}, [_lost(realm, n, meant[n], title) for n in sorted(lost)]


def _lost(realm: str, name: str, value: FieldValue, title: str) -> Finding:
    if value is ABSENT:
        message = f"{title} cannot say that `{name}` must not be there"
    elif field_of(name).secret or not isinstance(value, Raw):
        message = f"{title} cannot hold {quoted(name)}"
    else:
        message = f"{title} cannot hold {quoted(value)} as `{name}`"
    return warning(CANNOT_HOLD, message, "left out: set it by other means", realm, name)
