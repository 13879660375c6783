"""Parses and checks the values of fields by their kind."""

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from ztrust_mail.core.secret import SecretRef
from ztrust_mail.core.text import parse_duration, quoted
from ztrust_mail.model.addresses import address_problem, lookalike_problem
from ztrust_mail.model.fields import Duration, FieldValue, Kind, Security

MAX_LENGTH = 255  # the column of a Keycloak attribute; the server refuses longer text
MAX_DURATION_MS = 3_600_000
MAX_MESSAGE = 20_000  # our limit; Keycloak accepts a million
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_AT = re.compile("[@\ufe6b\uff20]|%(?:25)*40")
_LOGIN_IN_URL = re.compile(r"://[^/?#\s]*(?:[@\ufe6b\uff20]|%40)")
_SECRETIVE = re.compile(
    r"(?i)pass(?:word|wd|phrase)|secret|token(?!_type)|credential|assertion|signature|authorization|bearer|jwt"
    r"|(?:api|access|account|shared|private|function|subscription).?key|\A(?:pass|pw|pwd|sig|key|code|auth)\Z"
)
_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:[_-][A-Za-z0-9]{1,8}){0,4}")
_MESSAGE_KEY = re.compile(r"[A-Za-z0-9_.-]{0,254}[A-Za-z0-9_-]")
_ARGUMENT = re.compile(r"\{\d{1,4}(?:, *(?:number|date|time|choice) *(?:,[^{}]*)?)?\}")
_NESTED = 5  # a choice may hold arguments, even one with a choice of its own


def is_locale(text: str) -> bool:
    """Tell whether a text names a locale: ``en``, ``pt-BR``, ``zh_Hans``."""
    return _LOCALE.fullmatch(text) is not None


def is_message_key(text: str) -> bool:
    """Tell whether a text is the key of a message; dots alone would be another path in a URL."""
    return _MESSAGE_KEY.fullmatch(text) is not None


class BadValue(ValueError):
    """An invalid value of a field: ``args`` holds the problem and what to do about it."""

    rule = "bad-value"

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem, hint)
        self.problem = problem
        self.hint = hint


def parse(kind: Kind, value: object, *, utf8: bool = False) -> FieldValue:
    """Return the typed value. ``utf8`` allows a non-ASCII local part in an address.

    The schema has checked the JSON type of the value. Raises :class:`BadValue` for any other problem.
    """
    if kind is Kind.ADDRESS:
        return _address(_text(value), utf8=utf8)
    if kind is Kind.ADDRESSES:
        return _addresses(str(value), utf8=utf8)
    return _PARSERS[kind](value)


def _text(value: object) -> str:
    text = str(value)
    if found := _STEERING.search(text):
        raise BadValue(
            f"contains the control character U+{ord(found.group()):04X}",
            "remove it: line breaks and control characters can forge mail headers",
        )
    if len(text) > MAX_LENGTH:
        raise BadValue(f"has {len(text)} characters, over the limit of {MAX_LENGTH}", "shorten it")
    if not text.strip():
        raise BadValue("is empty", "leave the key out")
    return text


def _address(text: str, *, utf8: bool) -> str:
    if "<" in text or ">" in text:
        raise BadValue(f"is not a plain address: {quoted(text)}", "write the display name under the key name")
    _refuse_lookalike(text.rpartition("@")[2], text)
    if problem := address_problem(text, utf8=utf8):
        raise BadValue(f"is not an address Keycloak accepts: {quoted(text)} {problem}", "write name@domain")
    return text


def _refuse_lookalike(name: str, text: str) -> None:
    if problem := lookalike_problem(name):
        raise BadValue(f"{problem}: {quoted(text)}", "retype the name in plain letters, or write its xn-- form")


def _addresses(text: str, *, utf8: bool) -> str:
    """Return the canonical form of the list: each address once, separated by a comma and a space."""
    return ", ".join(dict.fromkeys(_address(_text(one.strip()), utf8=utf8) for one in text.split(",")))


def _theme(value: object) -> str:
    text = _text(value)
    if "/" in text or "\\" in text or text in (".", ".."):  # it is a folder's name on the server
        raise BadValue(f"is not the name of a theme: {quoted(text)}", "write the name alone, without a path")
    return text


def _subject(value: object) -> str:
    return _with_arguments(_text(value))


def _message(value: object) -> str:
    text = str(value)
    if found := _STEERING.search(text.replace("\n", "")):
        problem = f"contains the control character U+{ord(found.group()):04X}"
        raise BadValue(problem, "remove it; line breaks are allowed")
    if len(text) > MAX_MESSAGE:
        raise BadValue(f"has {len(text):,} characters, over the limit of {MAX_MESSAGE:,}", "put the text into a theme")
    if not text.strip():
        raise BadValue("is empty", "leave the key out")
    return _with_arguments(text)


def _with_arguments(text: str) -> str:
    """Return the text if Java's MessageFormat accepts it; else the server would send no mail at all."""
    rest = re.sub(r"'[^']*(?:'|\Z)", "", text.replace("''", ""))
    for _ in range(_NESTED):
        rest = _ARGUMENT.sub("", rest)
    if "{" not in rest:
        return text
    raise BadValue("has a brace that does not begin an argument such as {0}", "write '{' for a plain brace")


def _host(value: object) -> str:
    text = _text(value)
    if may_hold_login(Kind.HOST, text):  # the message does not show it: it may contain a password
        why = "it contains an @" if _AT.search(text) else "it contains a parameter"
        raise BadValue(f"is not a host name: {why}", "write the name alone; the login belongs under relay.auth")
    if "%" in text:  # the zone of an IPv6 address may be any text, also one that looks like an allowed name
        raise BadValue(f"contains a %: {quoted(text)}", "write the name or the address alone, without a zone")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    if "://" in text or "/" in text:
        raise BadValue(f"is not a host name: {quoted(text)}", "write the name alone, without scheme and path")
    if re.fullmatch(r"[^:]+:\d+", text):
        raise BadValue(f"contains a port: {quoted(text)}", "write the port under relay.port")
    _refuse_lookalike(text, text)
    if not text.isascii():
        raise BadValue(f"has non-ASCII letters: {quoted(text)}", "write the name in its xn-- form")
    labels = text.removesuffix(".").split(".")
    # a last label of digits alone is a mistyped IP address, not a name
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise BadValue(f"is not a host name: {quoted(text)}", "write a name such as smtp.example.com")
    return text


def _url(value: object) -> str:
    text = _text(value)
    try:
        parts = urlsplit(text)
        sound = parts.scheme == "https" and parts.hostname and parts.username is None and parts.port != 0
        host = unquote(parts.netloc)  # not the hostname: in lower case some letters become others
    except ValueError:
        sound, host = False, ""
    if not sound or " " in text or _AT.search(host):
        raise BadValue("is not an https URL without a login", "write https://host/path")
    if _has_secret_parameter(text):
        raise BadValue("has a parameter that looks like a secret", "remove it; write the secret under client_secret")
    if problem := lookalike_problem(host):
        raise BadValue(f"{problem}: the host {quoted(host)}", "retype it in plain letters, or write its xn-- form")
    return text


def may_hold_login(kind: Kind, text: str) -> bool:
    """Tell whether a host, a URL or a text with a URL may contain a password, so that it must not be shown.

    A password may be before an ``@``, in any encoding, or in a URL's parameters.
    """
    if kind is Kind.HOST:
        return bool(_AT.search(text)) or _has_secret_parameter(text)
    if kind is Kind.URL:
        place = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#\\]*)[/?#]", text)
        authority = place[1] if place else text
        # A password that holds / # or ? ends the authority too early: https://user:pass/word@host.
        is_login = _AT.search(text if ":" in authority else authority)
        return bool(is_login) or _has_secret_parameter(text)
    return bool(_LOGIN_IN_URL.search(text)) or ("://" in text and _has_secret_parameter(text))


def _has_secret_parameter(url: str) -> bool:
    _, *after = re.split("[?#;]", unquote(url), maxsplit=1)
    parts = (part.partition("=") for part in re.split("[&;?#]", after[0])) if after else ()
    return any(value and _SECRETIVE.search(name) for name, _, value in parts)


WRITE_DURATION = "write a whole number and a unit without a space: ms, s or m, such as 10s"


def _duration(value: object) -> Duration:
    milliseconds = parse_duration(str(value))
    if milliseconds is None:
        raise BadValue(f"is not a duration with a unit: {quoted(value)}", WRITE_DURATION)
    if not 0 < milliseconds <= MAX_DURATION_MS:
        raise BadValue(f"is not between 1ms and 60m: {quoted(value)}", WRITE_DURATION)
    return Duration(milliseconds)


def _port(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise BadValue(f"is not a port: {quoted(value)}", "write a whole number from 1 to 65535")
    return int(value)


def _boolean(value: object) -> bool:
    return value is True


def _security(value: object) -> Security:
    return Security(str(value))


def _secret(value: object) -> SecretRef:
    if not isinstance(value, SecretRef):
        raise BadValue("is not a secret reference", "write {env: NAME}")
    form = value.kind.form
    if form.name and not re.fullmatch(form.name, value.argument[0]):
        raise BadValue(*form.name_problem)
    for part in value.argument:
        if not form.control_characters and _STEERING.search(part):
            raise BadValue("contains a control character", "remove it")
    return value


_PARSERS: dict[Kind, Callable[[object], FieldValue]] = {
    Kind.TEXT: _text,
    Kind.HOST: _host,
    Kind.PORT: _port,
    Kind.SECURITY: _security,
    Kind.SECRET: _secret,
    Kind.URL: _url,
    Kind.DURATION: _duration,
    Kind.BOOLEAN: _boolean,
    Kind.THEME: _theme,
    Kind.SUBJECT: _subject,
    Kind.MESSAGE: _message,
}
