"""Realms in the admin API, their ``smtpServer`` above all, and Keycloak's rules for e-mail addresses."""

import ipaddress
import re
from collections.abc import Mapping

from ztrust_mail.sandbox.quirks import Json, Quirks, Refused, error, error_message
from ztrust_mail.sandbox.state import Realm

# The characters and lengths of Keycloak's EmailValidationUtil, measured on 26.7.4 (tests/contract/addresses.json).
# All other of Unicode's first 65,536 characters count as letters: see _with_letters.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_QUOTED = r'"(?:[A-Za-z0-9!#$%&\'*.(),<>\[\]:; @+/=?^_`{|}~-]|\\\\|\\")+"'
_LOCAL = re.compile(rf"(?:{_ATOM}|{_QUOTED})(?:\.(?:{_ATOM}|{_QUOTED}))*")
_LABEL = re.compile(_ATOM)
# IP addresses are rare. Their patterns stay text: compiling them would cost every start some milliseconds.
_IPV4 = r"\[[0-9]{1,3}(?:\.[0-9]{1,3}){3}\]"
_IPV6 = r"(?i)\[IPv6:(?P<address>[^\]]+)\]"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_GROUP = r"[0-9a-f]{1,4}"
_MIXED = rf"(?i)(?:::(?:ffff:(?:0{{1,4}}:)?)?|(?:{_GROUP}:){{1,4}}:){_OCTET}(?:\.{_OCTET}){{3}}"
_SCOPED = r"(?i)fe80:(?::[0-9a-f]{0,4}){0,4}%[0-9a-z]+"
_DOTS = re.compile("[.\u3002\uff0e\uff61]")  # what IDNA takes for a dot
_LONGEST_LOCAL = 64
_LONGEST_DOMAIN = 255
_LONGEST = 255  # a stored attribute's length


def address_problem(address: str, *, utf8: bool) -> str | None:
    """Return in a few words why Keycloak 26 refuses the address as a sender, or None if it accepts it.

    ``utf8`` is the realm's ``allowutf8``; without it only the domain may contain non-ASCII letters.
    """
    local, at, domain = address.rpartition("@")
    if not at:
        return "has no @"
    if not local or not domain:
        return "has nothing before the @" if not local else "has nothing after the @"
    if len(address) > _LONGEST:
        return f"is longer than {_LONGEST} characters"
    return _local_problem(local, utf8) or _domain_problem(domain)


def ascii_domain(address: str) -> str:
    """Return the address with its domain in ASCII (punycode). Raises ValueError if there is none."""
    local, at, domain = address.rpartition("@")
    return local + at + _to_ascii(domain) if at else address


def _local_problem(local: str, utf8: bool) -> str | None:
    if len(local) > _LONGEST_LOCAL:
        return f"has more than {_LONGEST_LOCAL} characters before the @"
    if not _LOCAL.fullmatch(_with_letters(local)):
        return "has a character or a dot before the @ that may not be there"
    if not utf8 and not local.isascii():
        return "has other than ASCII characters before the @, which needs relay.utf8"
    return None


def _domain_problem(domain: str) -> str | None:
    if domain.startswith("["):
        return None if _is_ip_literal(domain) else "has an IP address in brackets that is none"
    if "_" in domain:
        return "has an underscore in the domain"
    if not all(_LABEL.fullmatch(_with_letters(label)) and label.strip("-") == label for label in domain.split(".")):
        return "has a character, a hyphen or a dot in the domain that may not be there"
    try:
        ascii_form = _to_ascii(domain)
    except ValueError:
        return "has a domain part that is too long or not a name"
    return f"has a domain longer than {_LONGEST_DOMAIN} characters" if len(ascii_form) > _LONGEST_DOMAIN else None


def _with_letters(text: str) -> str:
    return text if text.isascii() else "".join("a" if "\x80" <= c <= "\uffff" else c for c in text)


def _is_ip_literal(domain: str) -> bool:
    if re.fullmatch(_IPV4, domain):
        return True
    if not (match := re.fullmatch(_IPV6, domain)):
        return False
    address = match["address"]
    if "%" in address or "." in address:
        return bool(re.fullmatch(_SCOPED, address) or re.fullmatch(_MIXED, address))
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return True


def _to_ascii(domain: str) -> str:
    """Return the domain by IDNA 2003, which is what Java's ``IDN.toASCII`` does. Raises ValueError."""
    # To Java a foreign dot at the end, or alone, is the root of all names, and is accepted.
    if _DOTS.fullmatch(domain):
        return "."
    *labels, last = _DOTS.split(domain)
    return ".".join([*map(_label_to_ascii, labels), _label_to_ascii(last) if last or not labels else ""])


def _label_to_ascii(label: str) -> str:
    import stringprep  # rarely needed
    from encodings import idna

    if any(stringprep.in_table_a1(character) for character in label):
        raise ValueError("a character that IDNA 2003 does not know")
    return idna.ToASCII(label).decode("ascii")


SMTP_SERVER = "smtpServer"
MASK = "*" * 10
LONGEST = 255  # of the database columns, for names and values alike
_LOGIN = ("user", "password", "authType")
_TOKEN = ("authTokenUrl", "authTokenScope", "authTokenClientId", "authTokenClientSecret")
_HINT = (
    "If the address contains UTF-8 characters in the local part please ensure the SMTP server supports the "
    "SMTPUTF8 extension and enable 'Allow UTF-8' in the email realm configuration."
)


def as_text(value: object, quirks: Quirks) -> dict[str, str]:
    """Return a map of text as the server reads it from JSON: scalars as text, without null.

    Raises Refused for nested values and for anything but an object. Numbers must be given as their source text.
    """
    if not isinstance(value, Mapping) or any(isinstance(v, dict | list) for v in value.values()):
        raise Refused(quirks.errors.wrong_json_type)
    texts = {True: "true", False: "false"}
    return {k: texts[v] if isinstance(v, bool) else str(v) for k, v in value.items() if v is not None}


def settings_after_write(
    new: Mapping[str, str], old: Mapping[str, str], quirks: Quirks, *, creating: bool = False
) -> dict[str, str]:
    """Return the settings after ``new`` is written over ``old``. Raises Refused for what the server refuses."""
    if quirks.checks_addresses and new:
        _check_addresses(new, creating)
    settings = _restore_masked_secrets(new, old, quirks)
    if quirks.normalises:
        settings = _normalise(settings)
    if any(_length(text) > LONGEST for item in settings.items() for text in item):
        raise Refused(quirks.errors.too_long)
    return settings


def mask_secrets(settings: Mapping[str, str], quirks: Quirks) -> dict[str, str]:
    """Return the settings as they are shown: with masked secrets, and vault references as they are."""
    return {k: MASK if k in quirks.masked and not _in_vault(v) else v for k, v in settings.items()}


def settings_for_test(payload: Mapping[str, str], old: Mapping[str, str], quirks: Quirks) -> dict[str, str]:
    """Return the settings that a test call uses: a mask stands for the stored secret if the rest is as stored."""
    settings = dict(payload)
    defaults = {"authType": "basic"}
    if all(settings.get(n, defaults.get(n)) == old.get(n, defaults.get(n)) for n in quirks.mask_matches):
        for name in quirks.masked:
            if settings.get(name) == MASK and name in old:
                settings[name] = old[name]
    return settings


def _length(text: str) -> int:
    """Return the length as Java and its H2 database count it: an emoji has two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _in_vault(value: str) -> bool:
    return value.startswith("${vault.") and value.endswith("}")


def _restore_masked_secrets(new: Mapping[str, str], old: Mapping[str, str], quirks: Quirks) -> dict[str, str]:
    settings = dict(new)
    changed = any(new.get(name) != old.get(name) for name in quirks.drops_credential)
    stores_mask = quirks.mask_needs_auth_type and "authType" not in new
    for name in quirks.masked:
        if settings.get(name) != MASK or stores_mask:
            continue
        if name in old and not changed:
            settings[name] = old[name]
        else:
            del settings[name]
    return settings


def _normalise(settings: Mapping[str, str]) -> dict[str, str]:
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


BRIEF = ("id", "realm", "displayName", "displayNameHtml", "enabled")

# Some of Keycloak's hundred top-level settings, with the values of a new realm.
_OFF = """
    enabled registrationAllowed registrationEmailAsUsername rememberMe verifyEmail duplicateEmailsAllowed
    resetPasswordAllowed editUsernameAllowed bruteForceProtected permanentLockout eventsEnabled adminEventsEnabled
    adminEventsDetailsEnabled internationalizationEnabled userManagedAccessAllowed
"""
_DEFAULTS: Json = {
    "notBefore": 0,
    "defaultSignatureAlgorithm": "RS256",
    "accessTokenLifespan": 300,
    "ssoSessionIdleTimeout": 1800,
    "ssoSessionMaxLifespan": 36000,
    "sslRequired": "external",
    "loginWithEmailAllowed": True,
    "requiredCredentials": ["password"],
    "eventsListeners": ["jboss-logging"],
    "attributes": {},
    **dict.fromkeys(_OFF.split(), False),
}
_OPTIONAL = ("displayName", "displayNameHtml", "emailTheme", "loginTheme", "defaultLocale", "supportedLocales")
KNOWN = frozenset({"id", "realm", SMTP_SERVER, *_DEFAULTS, *_OPTIONAL})


def full(realm: Realm, quirks: Quirks) -> Json:
    """Return the whole realm; ``smtpServer`` is always present, ``{}`` if nothing is set."""
    smtp = mask_secrets(realm.smtp, quirks)
    return {"id": realm.id, "realm": realm.name, **_DEFAULTS, **realm.settings, SMTP_SERVER: smtp}


def has_wrong_type(name: str, value: object) -> bool:
    """Return whether the value of a boolean setting has another JSON type."""
    return isinstance(_DEFAULTS.get(name), bool) and value is not None and not isinstance(value, bool)
