"""A realm's own localised texts: the part of the admin API that manages them, and the test mail made from them."""

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
class MailContent:
    """The content of the test mail."""

    subject: str = "[KEYCLOAK] - SMTP test message"
    text: str = "This is a test message"
    html: str = "<p>This is a test message</p>"


def list_locales(call: Call, name: str) -> Answer:
    """GET …/localization: the locales that ever had texts."""
    return Answer(200, sorted(_readable_realm(call, name).texts))


def get_texts(call: Call, name: str, locale: str) -> Answer:
    """GET …/localization/{locale}: the realm's own texts, none for an unknown locale."""
    return Answer(200, _readable_realm(call, name).texts.get(locale, {}))


def get_text(call: Call, name: str, locale: str, key: str) -> Answer:
    """GET …/localization/{locale}/{key}."""
    text = _readable_realm(call, name).texts.get(locale, {}).get(key)
    return _NOT_FOUND if text is None else Answer(200, text, f"{_TEXT};charset=UTF-8")


def add_texts(call: Call, name: str, locale: str) -> Answer:
    """POST …/localization/{locale}: set some texts and leave the others unchanged."""
    realm = call.realm_with_role(name, "manage-realm")
    realm.texts.setdefault(locale, {}).update({key: str(text) for key, text in call.body().items()})
    return Answer(204)


def put_text(call: Call, name: str, locale: str, key: str) -> Answer:
    """PUT …/localization/{locale}/{key}: the body is the text."""
    realm = call.realm_with_role(name, "manage-realm")
    if call.content_type.partition(";")[0].strip().lower() != _TEXT:
        raise Refused(call.server.quirks.errors.wrong_content_type)
    realm.texts.setdefault(locale, {})[key] = call.raw_body.decode(errors="replace")
    return Answer(204)


def delete_text(call: Call, name: str, locale: str, key: str) -> Answer:
    """DELETE …/localization/{locale}/{key}: the locale stays, even without texts."""
    realm = call.realm_with_role(name, "manage-realm")
    return _NOT_FOUND if realm.texts.get(locale, {}).pop(key, None) is None else Answer(204)


def _readable_realm(call: Call, name: str) -> Realm:
    caller = call.caller()
    realm = call.realm(name, caller)
    call.require(bool(caller.roles_in(realm)))
    return realm


def compose_test_mail(realm: Realm, quirks: Quirks) -> MailContent | None:
    """Return the test mail with the realm's texts, those of its default locale if the realm is internationalised.

    None if Java's MessageFormat rejects a text: then nothing is sent.
    """
    international = realm.settings.get("internationalizationEnabled") is True
    own = realm.texts.get(str(realm.settings.get("defaultLocale") or "en") if international else "en", {})
    default, name = MailContent(), realm.name
    if quirks.mail_says_display_name:
        name = str(realm.settings.get("displayName") or name[:1].upper() + name[1:])
    try:
        return MailContent(
            _format_message(own.get("emailTestSubject", default.subject)),
            _format_message(own.get("emailTestBody", default.text), name),
            _format_message(own.get("emailTestBodyHtml", default.html), name),
        )
    except ValueError:
        return None


def _format_message(text: str, *arguments: str) -> str:
    def substitute(found: re.Match[str]) -> str:
        plain, number, lone = found.groups()
        if lone:
            raise ValueError("can't parse argument number")
        if number is not None:
            return arguments[int(number)] if int(number) < len(arguments) else found[0]
        return "'" if plain is None else str(plain)

    return _PARTS.sub(substitute, text)
