"""What of a realm's settings a spec can say, and the names of variables for secrets that nobody can see."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ztrust_mail.sensitive import SecretKind, SecretRef
from ztrust_mail.spec import placeholders
from ztrust_mail.spec.fields import (
    DEFAULT_PORTS,
    EXTRA,
    FIELDS,
    LOGIN,
    PASSWORD,
    PORT,
    RECIPIENTS,
    SECURITY,
    TOKEN,
    USERNAME,
    FieldMap,
    FieldValue,
    Kind,
    Login,
    Masked,
    Raw,
    Security,
    field_of,
    message_of,
)
from ztrust_mail.spec.model import in_token
from ztrust_mail.spec.source import SURROGATE
from ztrust_mail.spec.values import BadValue, is_locale, is_message_key, parse
from ztrust_mail.spec.write import Leaf, Leaves

_LONGEST_STEM = 200  # of a variable's name; a realm's name may have 255 characters
_NEEDED_BY_LOGIN: Mapping[Login, tuple[str, ...]] = {
    Login.NONE: (),
    Login.BASIC: (USERNAME, PASSWORD),
    Login.TOKEN: (USERNAME, f"{TOKEN}.url", f"{TOKEN}.client_id", f"{TOKEN}.client_secret"),
}


def login_of(fields: FieldMap) -> Login:
    """Return the mode of login; one that does not parse counts as none."""
    login = fields.get(LOGIN)
    return login if isinstance(login, Login) else Login.NONE


def can_be_named(realm: str) -> bool:
    """Tell whether a realm can have an entry of its own."""
    return not any(c in realm for c in "*?/") and realm not in (".", "..") and _is_text(realm)


def _is_text(text: str) -> bool:
    """Tell whether a spec can hold the text: not blank, no control characters, not too long, real Unicode."""
    try:
        parse(Kind.TEXT, text)
        text.encode()
    except ValueError:
        return False
    return True


def unsayable(fields: FieldMap) -> list[str]:
    """Return the fields whose value a spec would refuse."""
    utf8 = fields.get("relay.utf8") is True
    return [name for name, value in fields.items() if isinstance(value, Raw) or not _parses(name, value, utf8)]


def _parses(name: str, value: FieldValue, utf8: bool) -> bool:
    if not isinstance(value, str) or name in (SECURITY, LOGIN):
        return True
    if message := message_of(name):
        named = is_locale(message[0]) and is_message_key(message[1]) and not SURROGATE.search(value)
    else:
        named = _is_text(name.removeprefix(f"{EXTRA}.")) and (name == RECIPIENTS or _is_text(str(_leaf(name, value))))
    if not named:
        return False
    try:
        return parse(field_of(name).kind, value, utf8=utf8) == value
    except BadValue:
        return False


def dormant(fields: FieldMap) -> list[str]:
    """Return the parts of a login that the server does not use in its mode of login."""
    login = login_of(fields)
    unused = {Login.NONE: (USERNAME, PASSWORD), Login.TOKEN: (PASSWORD,)}.get(login, ())
    names = [n for n in fields if n in unused or (in_token(n) and login is not Login.TOKEN)]
    if "reply_to.name" in fields and "reply_to.address" not in fields:
        names.append("reply_to.name")
    return names


def missing(fields: FieldMap) -> list[str]:
    """Return the fields that an entry needs and that are not there."""
    mandatory = [row.name for row in FIELDS.values() if row.mandatory]
    return [name for name in (*mandatory, *_NEEDED_BY_LOGIN[login_of(fields)]) if name not in fields]


def leaves_of(fields: FieldMap, left_out: Collection[str]) -> Leaves:
    """Return the fields as a spec says them; what absence means to the server is said, a spec's own differs."""
    implied: FieldMap = {SECURITY: Security.NONE, PORT: DEFAULT_PORTS[Security.NONE]}
    complete = {n: v for n, v in implied.items() if n not in left_out} | dict(fields)
    order = {name: n for n, name in enumerate(FIELDS)}
    names = sorted((n for n in complete if n != LOGIN), key=lambda n: (order.get(n, len(order)), n))
    return {name: _leaf(name, complete[name]) for name in names}


def _leaf(name: str, value: FieldValue) -> Leaf:
    if isinstance(value, Masked):
        return SecretRef(SecretKind.ENV, ("",))
    if isinstance(value, bool | int | SecretRef):
        return value
    return placeholders.escape(str(value)) if field_of(name).placeholders else str(value)


def variables_for(secrets: Iterable[tuple[str, str]], taken: Collection[str] = ()) -> dict[tuple[str, str], str]:
    """Return a variable's name of its own for each secret, told as realm and field; none of ``taken``."""
    used = set(taken)
    names: dict[tuple[str, str], str] = {}
    for realm, name in secrets:
        stem = f"{secret_stem(name)}{placeholders.as_env_name(realm)}"[:_LONGEST_STEM]
        names[realm, name] = next(n for n in _numbered(stem) if n not in used)
        used.add(names[realm, name])
    return names


def secret_stem(name: str) -> str:
    """Return what a variable for this secret begins with."""
    return "SMTP_PASSWORD_" if name == PASSWORD else "SMTP_CLIENT_SECRET_"


def _numbered(stem: str) -> Iterable[str]:
    yield stem
    for n in range(2, 100_000):
        yield f"{stem}_{n}"
