"""A realm file's e-mail theme and localised texts, which stand beside ``smtpServer`` there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ztrust_mail.convert.base import warning
from ztrust_mail.findings import Finding
from ztrust_mail.spec.fields import ABSENT, THEME, FieldMap, message_field, message_of
from ztrust_mail.spec.source import Document, JsonValue, Pointer
from ztrust_mail.text import quoted

EMAIL_THEME, TEXTS = "emailTheme", "localizationTexts"


def with_templates(fields: FieldMap, document: Document, at: Pointer, findings: list[Finding]) -> FieldMap:
    """Return the fields of the realm at a place in a document with its templates.

    A realm without e-mail has none: there is no mail that they could be for.
    """
    realm = document.value
    for part in at:
        assert isinstance(realm, list)
        realm = realm[int(part)]
    assert isinstance(realm, dict)
    found = {}
    for name, where, text in _templates(realm):
        if text not in ("", None) and not isinstance(text, str):
            message = f"{quoted('.'.join(map(str, where)))} is no text"
            findings.append(
                warning("bad-value", message, "left out", str(realm["realm"]), name, document.locate((*at, *where)))
            )
        elif text and fields:
            found[name] = text
    return {**fields, **found}


def _templates(realm: Mapping[str, JsonValue]) -> Iterator[tuple[str, Pointer, JsonValue]]:
    yield THEME, (EMAIL_THEME,), realm.get(EMAIL_THEME)
    locales = realm.get(TEXTS)
    for locale, texts in locales.items() if isinstance(locales, dict) else ():
        for key, text in texts.items() if isinstance(texts, dict) else ():
            yield message_field(locale, key), (TEXTS, locale, key), text


def split(fields: FieldMap) -> tuple[FieldMap, dict[str, object]]:
    """Return the fields without the templates that a realm file can hold, and these as it holds them."""
    theme: dict[str, object] = {}
    locales: dict[str, dict[str, str]] = {}
    rest = {}
    for name, value in fields.items():
        message = message_of(name)
        if value is ABSENT or (name != THEME and not message):
            rest[name] = value
        elif message:
            locales.setdefault(message[0], {})[message[1]] = str(value)
        else:
            theme = {EMAIL_THEME: str(value)}
    return rest, {**theme, **({TEXTS: locales} if locales else {})}
