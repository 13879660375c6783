"""A realm's own localised texts: the part of the admin API that keeps them, and what they make of the test mail."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ztrust_mail.sandbox.admin_api.request import Call
from ztrust_mail.sandbox.answers import Answer, Refused, error
from ztrust_mail.sandbox.quirks import Quirks
from ztrust_mail.sandbox.state import Realm

_TEXT = "text/plain"
_NOT_FOUND = error(404, "Localization text not found")
_FORMAT = r"(?:, *(?:number|date|time|choice) *(?:,[^{}]*)?)?"
_PARTS = re.compile(rf"''|'([^']*)(?:'|\Z)|\{{(\d+){_FORMAT}\}}|(\{{)")


@dataclass(frozen=True)
class TestMail:
    """What the test mail says."""

    __test__ = False

    subject: str = "[KEYCLOAK] - SMTP test message"
    text: str = "This is a test message"
    html: str = "<p>This is a test message</p>"


def list_locales(call: Call, name: str) -> Answer:
    """GET …/localization: the locales that texts were ever put into."""
    return Answer(200, sorted(_readable(call, name).texts))


def get_texts(call: Call, name: str, locale: str) -> Answer:
    """GET …/localization/{locale}: the realm's own texts, none for a locale that it does not have."""
    return Answer(200, _readable(call, name).texts.get(locale, {}))


def get_text(call: Call, name: str, locale: str, key: str) -> Answer:
    """GET …/localization/{locale}/{key}."""
    text = _readable(call, name).texts.get(locale, {}).get(key)
    return _NOT_FOUND if text is None else Answer(200, text, f"{_TEXT};charset=UTF-8")


def add_texts(call: Call, name: str, locale: str) -> Answer:
    """POST …/localization/{locale}: put some texts there and leave the others alone."""
    realm = _writable(call, name)
    realm.texts.setdefault(locale, {}).update({key: str(text) for key, text in call.body().items()})
    return Answer(204)


def put_text(call: Call, name: str, locale: str, key: str) -> Answer:
    """PUT …/localization/{locale}/{key}: the body is the text."""
    realm = _writable(call, name)
    if call.content_type.partition(";")[0].strip().lower() != _TEXT:
        raise Refused(call.server.quirks.errors.wrong_content_type)
    realm.texts.setdefault(locale, {})[key] = call.raw_body.decode(errors="replace")
    return Answer(204)


def delete_text(call: Call, name: str, locale: str, key: str) -> Answer:
    """DELETE …/localization/{locale}/{key}: the locale stays, if without texts."""
    realm = _writable(call, name)
    return _NOT_FOUND if realm.texts.get(locale, {}).pop(key, None) is None else Answer(204)


def _readable(call: Call, name: str) -> Realm:
    caller = call.caller()
    realm = call.realm(name, caller)
    call.require(bool(caller.roles_in(realm)))
    return realm


def _writable(call: Call, name: str) -> Realm:
    caller = call.caller()
    realm = call.realm(name, caller)
    call.require(caller.may_manage(realm))
    return realm


def test_mail(realm: Realm, quirks: Quirks) -> TestMail | None:
    """Return what the realm's texts make of the test mail: those of its default locale, if it is international.

    None stands for a text that Java's MessageFormat does not take, for which nothing is sent.
    """
    international = realm.settings.get("internationalizationEnabled") is True
    own = realm.texts.get(str(realm.settings.get("defaultLocale") or "en") if international else "en", {})
    told, name = TestMail(), realm.name
    if quirks.mail_says_display_name:
        name = str(realm.settings.get("displayName") or name[:1].upper() + name[1:])
    try:
        return TestMail(
            _formatted(own.get("emailTestSubject", told.subject)),
            _formatted(own.get("emailTestBody", told.text), name),
            _formatted(own.get("emailTestBodyHtml", told.html), name),
        )
    except ValueError:
        return None


test_mail.__test__ = False  # type: ignore[attr-defined]  # pytest would collect it wherever it is imported


def _formatted(text: str, *arguments: str) -> str:
    def put(found: re.Match[str]) -> str:
        plain, number, lone = found.groups()
        if lone:
            raise ValueError("can't parse argument number")
        if number is not None:
            return arguments[int(number)] if int(number) < len(arguments) else found[0]
        return "'" if plain is None else str(plain)

    return _PARTS.sub(put, text)
