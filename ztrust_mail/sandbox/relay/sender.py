"""Composes the test mail, and sends it in the way Keycloak's Jakarta Mail does; fetches access tokens for that.

STARTTLS and the login are used if the relay offers them, and silently skipped otherwise. Measured on 16.1.1 and
26.7.4.
"""

import getpass
import json
import re
import smtplib
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import localtime, make_msgid, parseaddr
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from ztrust_mail.sandbox.admin_api.smtp_settings import address_problem, ascii_domain
from ztrust_mail.sandbox.quirks import Quirks
from ztrust_mail.sandbox.state import Realm

_FORMAT = r"(?:, *(?:number|date|time|choice) *(?:,[^{}]*)?)?"
_PARTS = re.compile(rf"''|'([^']*)(?:'|\Z)|\{{(\d+){_FORMAT}\}}|(\{{)")

TIMEOUT = 10.0
"""Seconds for connecting and for each response, of token endpoints and relays."""


@dataclass
class AccessTokens:
    """Fetches access tokens, and keeps those with a scope until they expire: as Keycloak does, measured on 26.7.4."""

    ca_bundle: str | None = None
    _known: dict[tuple[str, ...], tuple[str, float]] = field(default_factory=dict, repr=False)

    def token(self, settings: Mapping[str, str]) -> str:
        """Return a token for the settings."""
        names = ("authTokenUrl", "authTokenClientId", "authTokenClientSecret", "authTokenScope")
        key = tuple(settings.get(name, "") for name in names)
        token, expires = self._known.get(key, ("", 0.0))
        if time.monotonic() < expires:
            return token
        token, seconds = _fetch_token(settings, tls_context(self.ca_bundle))
        if settings.get("authTokenScope"):
            self._known[key] = token, time.monotonic() + seconds
        return token


def tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """Return a context that also trusts the authorities in a file."""
    context = ssl.create_default_context()
    if ca_bundle is not None:
        context.load_verify_locations(ca_bundle)
    return context


def _fetch_token(settings: Mapping[str, str], context: ssl.SSLContext) -> tuple[str, float]:
    """Return a new token, and for how many seconds it is valid."""
    url = settings.get("authTokenUrl") or ""
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("no URL to fetch a token from")
    form = {
        "grant_type": "client_credentials",
        "scope": settings.get("authTokenScope", ""),
        "client_secret": settings.get("authTokenClientSecret", ""),
        "client_id": settings.get("authTokenClientId", ""),
    }
    request = Request(url, urlencode(form).encode(), {"Accept": "application/json"})  # noqa: S310  # checked above
    with urlopen(request, timeout=TIMEOUT, context=context) as answer:  # noqa: S310  # checked above
        fetched = json.load(answer)
    fetched = fetched if isinstance(fetched, dict) else {}
    token, seconds = fetched.get("access_token"), fetched.get("expires_in")
    return token if isinstance(token, str) else "", seconds if isinstance(seconds, int) else 0.0


@dataclass(frozen=True)
class MailContent:
    """The content of the test mail."""

    subject: str = "[KEYCLOAK] - SMTP test message"
    text: str = "This is a test message"
    html: str = "<p>This is a test message</p>"
    message_id: str = field(default_factory=lambda: make_msgid(domain="sandbox.invalid"))


class SendFailed(Exception):
    """The mail was not sent; as on the server, the caller does not learn why."""


def send_test_mail(
    settings: Mapping[str, str], recipient: str, content: MailContent | None, quirks: Quirks, tokens: AccessTokens
) -> None:
    """Send the test mail through the relay of the ``settings``. Raises SendFailed, whatever the reason is.

    ``content`` is None if there is nothing to send.
    """
    if content is None:
        raise SendFailed
    try:
        _send(settings, recipient, content, quirks, tokens)
    except (OSError, smtplib.SMTPException, ValueError) as failure:
        raise SendFailed from failure


def _send(
    settings: Mapping[str, str], recipient: str, content: MailContent, quirks: Quirks, tokens: AccessTokens
) -> None:
    utf8 = settings.get("allowutf8") == "true" or not quirks.checks_addresses
    message, envelope_from = _message(settings, recipient, quirks, utf8)
    message["Date"] = localtime()
    message["Message-ID"] = content.message_id
    message["Subject"] = " ".join(content.subject.splitlines())
    message.set_content(content.text)
    message.add_alternative(content.html, subtype="html")
    context = tls_context(tokens.ca_bundle)
    with _connect(settings, context, quirks) as relay:
        relay.ehlo_or_helo_if_needed()
        if settings.get("starttls") == "true" and settings.get("ssl") != "true" and relay.has_extn("starttls"):
            _check_name(settings, quirks)
            relay.starttls(context=context)
            relay.ehlo_or_helo_if_needed()
        if settings.get("auth") == "true":
            _log_in(relay, settings, quirks, tokens)
        options = ["SMTPUTF8"] if utf8 and not (envelope_from + recipient).isascii() else []
        relay.sendmail(envelope_from, [recipient], message.as_bytes(), mail_options=options)


def _connect(settings: Mapping[str, str], context: ssl.SSLContext, quirks: Quirks) -> smtplib.SMTP:
    host, port = settings.get("host") or "", int(settings.get("port") or 25)
    if not host:
        raise ValueError("no host")
    connect, read = (_seconds(settings, n, quirks) for n in ("connectionTimeout", "timeout"))
    if settings.get("ssl") == "true":
        _check_name(settings, quirks)
        relay: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=connect, context=context)
    else:
        relay = smtplib.SMTP(host, port, timeout=connect)
    assert relay.sock is not None  # it is connected
    relay.sock.settimeout(read)
    return relay


def _check_name(settings: Mapping[str, str], quirks: Quirks) -> None:
    """Raise ValueError for a relay named by its IP address: old servers accept no certificate for it."""
    if not quirks.tls_by_address and settings.get("host", "").replace(".", "").isdecimal():
        raise ValueError("no certificate is accepted for an IP address")


def _seconds(settings: Mapping[str, str], name: str, quirks: Quirks) -> float:
    text = settings.get(name, "")
    return int(text) / 1000 if quirks.own_timeouts and text.isdecimal() and int(text) else TIMEOUT


def _log_in(relay: smtplib.SMTP, settings: Mapping[str, str], quirks: Quirks, tokens: AccessTokens) -> None:
    user = settings.get("user") or getpass.getuser()  # as Java does
    by_token = quirks.token_auth and settings.get("authType") == "token"
    secret = tokens.token(settings) if by_token else settings.get("password") or ""
    if not secret:
        raise ValueError("no password")
    if not relay.has_extn("auth"):
        return
    if by_token:
        relay.auth("XOAUTH2", lambda _=None: f"user={user}\x01auth=Bearer {secret}\x01\x01")
    else:
        relay.login(user, secret)


def _message(settings: Mapping[str, str], to: str, quirks: Quirks, utf8: bool) -> tuple[EmailMessage, str]:
    sender = settings.get("from") or ""
    reply_to = settings.get("replyTo") or ""
    if not sender.strip():
        raise ValueError("no sender")
    plain = sender
    if quirks.checks_addresses:
        refused = any(address_problem(address, utf8=utf8) for address in (sender, reply_to) if address)
    else:
        plain = parseaddr(sender)[1] or sender
        refused = any(" " in address for address in (plain, reply_to))
    if refused:
        raise ValueError("bad sender or reply-to address")
    message = EmailMessage(policy=SMTPUTF8 if utf8 else SMTP)
    message["From"] = _mailbox(plain, settings.get("fromDisplayName"), utf8)
    if reply_to:
        message["Reply-To"] = _mailbox(reply_to, settings.get("replyToDisplayName"), utf8)
    else:
        message["Reply-To"] = message["From"]
    message["To"] = to
    envelope_from = settings.get("envelopeFrom") or plain
    return message, envelope_from if utf8 else ascii_domain(envelope_from)


def _mailbox(address: str, name: str | None, utf8: bool) -> Address | str:
    ready = address if utf8 else ascii_domain(address)
    local, at, domain = ready.rpartition("@")
    if not at:
        return ready
    quoted = local.startswith('"')
    return Address(name or "", addr_spec=ready) if quoted else Address(name or "", local, domain)


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
