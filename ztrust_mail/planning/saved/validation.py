"""Validates the settings in a plan file: they must be such as a spec can have."""

import os
from collections.abc import Mapping

from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import SURROGATE, quoted
from ztrust_mail.dialects.codecs import SecretText
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.model.fields import (
    ABSENT,
    EXTRA,
    FIELDS,
    LOGIN,
    LOGIN_FIELDS,
    PORT,
    REPLY_TO_ADDRESS,
    REPLY_TO_NAME,
    SECURITY,
    TOKEN_SCOPE,
    UTF8,
    Duration,
    FieldMap,
    FieldValue,
    Kind,
    Login,
    Security,
    extra_field,
    field_of,
    is_removable,
    is_within,
    message_of,
)
from ztrust_mail.model.serialize import FieldJson, from_json
from ztrust_mail.model.values import MAX_LENGTH, BadValue, is_locale, is_message_key, parse

_TYPES: Mapping[Kind, type] = {
    Kind.ADDRESS: str,
    Kind.TEXT: str,
    Kind.HOST: str,
    Kind.PORT: int,
    Kind.SECURITY: Security,
    Kind.LOGIN: Login,
    Kind.SECRET: SecretRef,
    Kind.URL: str,
    Kind.DURATION: Duration,
    Kind.BOOLEAN: bool,
    Kind.ADDRESSES: str,
    Kind.THEME: str,
    Kind.SUBJECT: str,
    Kind.MESSAGE: str,
}
_ALWAYS = (*(row.name for row in FIELDS.values() if row.mandatory), PORT, SECURITY, LOGIN)


def parse_settings(data: Mapping[str, FieldJson]) -> FieldMap:
    """Return the fields of a realm that is not disabled.

    Raises :class:`BadValue` for settings that no spec can have: unknown fields, values of the wrong type or against
    their field's rules, incomplete settings, and ``extra`` attributes that are fields.
    """
    fields: dict[str, FieldValue] = {}
    for name in data:
        try:
            fields[name] = next(iter(from_json({name: data[name]}).values()))
        except ValueError:
            raise BadValue(f"{quoted(name)} has no valid value") from None
    for name, value in fields.items():
        _check(name, value, utf8=fields.get(UTF8) is True)
    _check_together(fields)
    return fields


def _check(name: str, value: FieldValue, *, utf8: bool) -> None:
    try:
        kind = _kind(name)
        if value is ABSENT and is_removable(name):
            return
        if type(value) is not _TYPES[kind] or name == EXTRA:
            raise BadValue(f"is not {kind.value}")
        if isinstance(value, str) and SURROGATE.search(value):
            raise BadValue("contains an unpaired surrogate")
        if isinstance(value, SecretRef):
            _check_reference(value)
        plain = value if kind is Kind.LOGIN else parse(kind, _as_written(value), utf8=utf8)
        if plain != value:
            raise BadValue(f"is not in canonical form, {quoted(plain)}")
    except BadValue as bad:
        raise BadValue(f"{quoted(name)} {bad.problem}", bad.hint) from None


def _as_written(value: FieldValue) -> object:
    return f"{value.milliseconds}ms" if isinstance(value, Duration) else value


def _kind(name: str) -> Kind:
    """Return the kind of a field. Raises :class:`BadValue` if there is no such field."""
    if name == LOGIN:
        return Kind.LOGIN
    if row := FIELDS.get(name):
        return row.kind
    if message := message_of(name):
        if not is_locale(message[0]) or not is_message_key(message[1]):
            raise BadValue("is not the name of a localised text")
        return field_of(name).kind
    if not is_within(name, EXTRA):
        raise BadValue("is not a field")
    attribute = name.removeprefix(extra_field(""))
    if known := KEYCLOAK.attribute_names.get(attribute):
        raise BadValue(f"is not an extra attribute: it is the field {quoted(known)}")
    if not 1 <= len(attribute) <= MAX_LENGTH or SURROGATE.search(attribute):
        raise BadValue("is not a valid attribute name")
    if attribute.strip():
        parse(Kind.TEXT, attribute)  # a name of spaces only is odd, but valid
    return Kind.TEXT


def _check_reference(ref: SecretRef) -> None:
    wanted = ref.kind.form.parts or len(ref.argument)
    if not ref.argument or len(ref.argument) != wanted or not all(ref.argument[:wanted][:2]):
        raise BadValue(f"is not a valid {ref.kind} reference")
    if any(SURROGATE.search(part) for part in ref.argument):
        raise BadValue("contains an unpaired surrogate")
    if ref.kind is SecretKind.KEYCLOAK_VAULT and SecretText().decode(SecretText().encode(ref)) != ref:
        raise BadValue("is not a valid vault key")
    if ref.kind is SecretKind.FILE:
        if not os.path.isabs(ref.base) or os.path.normpath(ref.base) != ref.base or "\0" in ref.base:
            raise BadValue("has a folder that is not a normalised absolute path")
    elif ref.base:
        raise BadValue("has a folder, which only file references have")


def _check_together(fields: FieldMap) -> None:
    for name in _ALWAYS:
        if name not in fields:
            raise BadValue(f"{quoted(name)} is missing")
    login = fields[LOGIN]
    assert isinstance(login, Login)  # as its type was checked
    optional = {TOKEN_SCOPE} if login is Login.TOKEN else set()
    if {name for name in fields if is_within(name, LOGIN)} - {LOGIN} - optional != set(LOGIN_FIELDS[login]):
        raise BadValue(f"{quoted(LOGIN)} is {quoted(fields[LOGIN])}, which does not match the other login fields")
    if REPLY_TO_NAME in fields and REPLY_TO_ADDRESS not in fields:
        raise BadValue("`reply_to.name` is set without `reply_to.address`")
