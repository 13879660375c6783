"""Checks e-mail addresses by Keycloak's own rules, and domains for look-alike characters."""

import ipaddress
import re
import unicodedata

# The characters and lengths of Keycloak's EmailValidationUtil, measured on 26.7.4 (tests/contract/addresses.json).
# Any other of Unicode's first 65,536 characters counts as a letter: see _with_letters.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_QUOTED = r'"(?:[A-Za-z0-9!#$%&\'*.(),<>\[\]:; @+/=?^_`{|}~-]|\\\\|\\")+"'
_LOCAL = re.compile(rf"(?:{_ATOM}|{_QUOTED})(?:\.(?:{_ATOM}|{_QUOTED}))*")
_LABEL = re.compile(_ATOM)
# Patterns of IP addresses are rarely needed, and compiling them at each start would take some milliseconds.
_IPV4 = r"\[[0-9]{1,3}(?:\.[0-9]{1,3}){3}\]"
_IPV6 = r"(?i)\[IPv6:(?P<address>[^\]]+)\]"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_GROUP = r"[0-9a-f]{1,4}"
_MIXED = rf"(?i)(?:::(?:ffff:(?:0{{1,4}}:)?)?|(?:{_GROUP}:){{1,4}}:){_OCTET}(?:\.{_OCTET}){{3}}"
_SCOPED = r"(?i)fe80:(?::[0-9a-f]{0,4}){0,4}%[0-9a-z]+"
_DOTS = re.compile("[.\u3002\uff0e\uff61]")  # the dots of IDNA
# Unicode's Default_Ignorable_Code_Point, and the one blank that counts as a symbol.
_IGNORABLE = (
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_IN_NAMES = "\u00b7\u0375\u05f3\u05f4\u30fb"  # the punctuation that IDNA 2008 has in names
_LONGEST_LOCAL = 64
_LONGEST_DOMAIN = 255
_LONGEST = 255  # a stored attribute's length


def address_problem(address: str, *, utf8: bool) -> str | None:
    """Return why Keycloak 26 refuses the address as a sender, or None if it accepts it.

    ``utf8`` is the realm's ``allowutf8``; without it, only the domain may contain non-ASCII letters.
    """
    local, at, domain = address.rpartition("@")
    if not at:
        return "has no @"
    if not local or not domain:
        return "has nothing before the @" if not local else "has nothing after the @"
    if len(address) > _LONGEST:
        return f"is longer than {_LONGEST} characters"
    return _local_problem(local, utf8) or _domain_problem(domain)


def lookalike_problem(domain: str) -> str | None:
    """Return what makes a domain or host look like another one, or None.

    Keycloak accepts such names, and IDNA converts them to names that a reviewer does not see. A name is accepted if
    Unicode's NFKC does not change it and it contains no invisible character, mathematical sign or punctuation.
    """
    if domain.isascii():
        return None
    plain = unicodedata.normalize("NFKC", domain)
    odd = next((c for c in domain if _is_lookalike(c)), None)
    if odd is None and plain != domain:  # a letter and its accent apart, or accents in another order
        changed = (c for c, same in zip(domain, plain, strict=False) if c != same)
        odd = next((c for c in domain if unicodedata.combining(c)), next(changed, domain[-1]))
    if odd is None:
        return None
    name = unicodedata.name(odd, "")
    return f"contains U+{ord(odd):04X}{name and f' ({name})'}, which is invisible or looks like another character"


def _is_lookalike(character: str) -> bool:
    if character.isascii() or character in _IN_NAMES:
        return False
    category = unicodedata.category(character)
    return (
        category[0] in "CZP"
        or category in ("Sm", "Sk")
        or re.match(_IGNORABLE, character) is not None
        or unicodedata.normalize("NFKC", character) != character
    )


def ascii_domain(address: str) -> str:
    """Return the address with its domain in ASCII (punycode). Raises ValueError if there is no such form."""
    local, at, domain = address.rpartition("@")
    return local + at + _to_ascii(domain) if at else address


def _local_problem(local: str, utf8: bool) -> str | None:
    if len(local) > _LONGEST_LOCAL:
        return f"has more than {_LONGEST_LOCAL} characters before the @"
    if not _LOCAL.fullmatch(_with_letters(local)):
        return "has a character or a dot before the @ that is not allowed there"
    if not utf8 and not local.isascii():
        return "has non-ASCII characters before the @, which needs relay.utf8: true"
    return None


def _domain_problem(domain: str) -> str | None:
    if domain.startswith("["):
        return None if _is_ip_literal(domain) else "has an invalid IP address in brackets"
    if "_" in domain:
        return "has an underscore in the domain"
    if not all(_LABEL.fullmatch(_with_letters(label)) and label.strip("-") == label for label in domain.split(".")):
        return "has a character, a hyphen or a dot in the domain that is not allowed there"
    try:
        ascii_form = _to_ascii(domain)
    except ValueError:
        return "has a domain part that is too long or invalid"
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
    # Java treats a trailing or lone non-ASCII dot as the root of all names, and accepts it.
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
