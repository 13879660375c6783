"""How a realm's ``smtpServer`` is taken in and shown: text only, masks, normalising, checks."""

from __future__ import annotations

from collections.abc import Mapping

from ztrust_mail.sandbox.addresses import address_problem
from ztrust_mail.sandbox.answers import Refused, error, error_message
from ztrust_mail.sandbox.quirks import Quirks

MASK = "*" * 10
LONGEST = 255  # of the database columns, for names and values alike
_LOGIN = ("user", "password", "authType")
_TOKEN = ("authTokenUrl", "authTokenScope", "authTokenClientId", "authTokenClientSecret")
_HINT = (
    "If the address contains UTF-8 characters in the local part please ensure the SMTP server supports the "
    "SMTPUTF8 extension and enable 'Allow UTF-8' in the email realm configuration."
)


def as_text(value: object, quirks: Quirks) -> dict[str, str]:
    """Return a map of text as the server reads it from JSON: scalars as text, null dropped.

    Raises Refused for a nested value and for what is not an object. Numbers must come as their source text.
    """
    if not isinstance(value, Mapping) or any(isinstance(v, dict | list) for v in value.values()):
        raise Refused(quirks.errors.wrong_json_type)
    texts = {True: "true", False: "false"}
    return {k: texts[v] if isinstance(v, bool) else str(v) for k, v in value.items() if v is not None}


def stored(new: Mapping[str, str], old: Mapping[str, str], quirks: Quirks, *, creating: bool = False) -> dict[str, str]:
    """Return what is stored when ``new`` is written over ``old``. Raises Refused for what the server refuses."""
    if quirks.checks_addresses and new:
        _check_addresses(new, creating)
    settings = _with_kept_secrets(new, old, quirks)
    if quirks.normalises:
        settings = _normalised(settings)
    if any(_length(text) > LONGEST for item in settings.items() for text in item):
        raise Refused(quirks.errors.too_long)
    return settings


def shown(settings: Mapping[str, str], quirks: Quirks) -> dict[str, str]:
    """Return the settings as they are read: secrets masked, vault references as they are."""
    return {k: MASK if k in quirks.masked and not _in_vault(v) else v for k, v in settings.items()}


def for_test(payload: Mapping[str, str], old: Mapping[str, str], quirks: Quirks) -> dict[str, str]:
    """Return what a test call uses: a mask stands for the stored secret if all else is as stored."""
    settings = dict(payload)
    defaults = {"authType": "basic"}
    if all(settings.get(n, defaults.get(n)) == old.get(n, defaults.get(n)) for n in quirks.mask_matches):
        for name in quirks.masked:
            if settings.get(name) == MASK and name in old:
                settings[name] = old[name]
    return settings


def _length(text: str) -> int:
    """Return the length as Java and its H2 database count it, where an emoji is two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _in_vault(value: str) -> bool:
    return value.startswith("${vault.") and value.endswith("}")


def _with_kept_secrets(new: Mapping[str, str], old: Mapping[str, str], quirks: Quirks) -> dict[str, str]:
    settings = dict(new)
    changed = any(new.get(name) != old.get(name) for name in quirks.drops_credential)
    keeps_mask = quirks.mask_needs_auth_type and "authType" not in new
    for name in quirks.masked:
        if settings.get(name) != MASK or keeps_mask:
            continue
        if name in old and not changed:
            settings[name] = old[name]
        else:
            del settings[name]
    return settings


def _normalised(settings: Mapping[str, str]) -> dict[str, str]:
    if settings.get("auth", "").lower() != "true":
        dropped: tuple[str, ...] = (*_LOGIN, *_TOKEN)
    elif settings.get("authType", "basic") == "basic":
        dropped = _TOKEN
    elif settings.get("authType") == "token":
        dropped = ("password",)
    else:
        dropped = ()
    return {k: v for k, v in settings.items() if k not in dropped}


def _check_addresses(settings: Mapping[str, str], creating: bool) -> None:
    utf8 = settings.get("allowutf8") == "true"
    sender, reply_to = settings.get("from"), settings.get("replyTo")
    problem = None
    if sender is None or address_problem(sender, utf8=utf8):
        problem = f"Invalid sender address '{sender if sender is not None else 'null'}'. {_HINT}"
    elif reply_to and address_problem(reply_to, utf8=utf8):
        problem = f"Invalid reply-to address '{reply_to}'. {_HINT}"
    if problem:
        raise Refused(error(400, problem) if creating else error_message(400, problem))
