"""Broken relays of every kind, each with what an expert would say of a test mail through it."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import NamedTuple

import trustme
from support.postfix import PASSWORD as POSTFIX_PASSWORD
from support.postfix import SENDER, Postfix
from support.postfix import USER as POSTFIX_USER
from support.processes import free_port
from support.relays import OddRelays, Script, Talk, answering, converse
from support.smtp import PASSWORD, USER, Relays
from support.token_endpoint import token_endpoint, unsigned_token

from ztrust_mail.sandbox.relay.faults import RelayFault
from ztrust_mail.sandbox.relay.sink import MailSink

EHLO_NAME = "probe.acme.example"
"""The name by which the probe greets, so that a relay can tell it from the server."""

SECRETS = {
    "SMTP_PASSWORD": PASSWORD,
    "POSTFIX_PASSWORD": POSTFIX_PASSWORD,
    "WRONG_PASSWORD": "wrong-Passw0rd",
    "CLIENT_SECRET": "client-Secr3t",
}
SENT, AT_ONCE, TIMEOUT = "sent", "0 s", "10 s"


class Case(NamedTuple):
    """One broken relay, and what is expected. ``cause`` is the first possible cause where the probe sees none.

    ``stored`` says that the settings are in the server, and the test has no spec. ``only_real`` says that the sandbox
    behaves in another way.
    """

    relay: str
    settings: Mapping[str, object]
    answer: str
    rule: str
    cause: str = ""
    stored: bool = False
    only_real: bool = False
    sender: str = SENDER

    @property
    def entry(self) -> dict[str, object]:
        """The entry of a spec."""
        return {"sender": {"address": self.sender}, "relay": dict(self.settings)}


Auth = Mapping[str, object]


def _auth(password: str, user: str = USER) -> Auth:
    return {"username": user, "password": {"env": password}}


def _at(port: int, security: str = "none", auth: Auth | None = None, **more: object) -> Mapping[str, object]:
    found: dict[str, object] = {"host": "localhost", "port": port, "security": security, **more}
    return {**found, "auth": auth} if auth else found


class BrokenRelays:
    """Starts all broken relays, and stops them when left. ``cases`` has each by the name of its realm."""

    def __init__(self, authority: trustme.CA, postfix: Postfix) -> None:
        self._authority, self._postfix = authority, postfix
        self._stack = ExitStack()

    def __enter__(self) -> BrokenRelays:
        self._odd = self._stack.enter_context(OddRelays())
        self._relays = self._stack.enter_context(Relays(self._authority))
        found = [*self._connections(), *self._greetings(), *self._encryption(), *self._logins(), *self._envelopes()]
        self.cases = {f"case-{number:02}": case for number, case in enumerate([*found, *self._stored()], 1)}
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _raw(self, script: Script, security: str = "none", auth: Auth | None = None) -> Mapping[str, object]:
        return _at(self._odd(script).port, security, auth)

    def _mail(self, sink: MailSink, security: str = "none", auth: Auth | None = None) -> Mapping[str, object]:
        return _at(sink.port, security, auth)

    def _service(self, name: str, security: str = "none", auth: Auth | None = None) -> Mapping[str, object]:
        return _at(self._postfix.ports[name], security, auth)

    def _connections(self) -> Iterator[Case]:
        closed, nowhere = _at(free_port()), {**_at(25), "host": "relay.invalid"}
        yield Case("closed port", closed, AT_ONCE, "relay-unreachable")
        yield Case("no such host", nowhere, AT_ONCE, "relay-name")
        yield Case("accepts, and stays silent", self._raw(Talk.wait_for_the_end), TIMEOUT, "relay-slow")
        yield Case("accepts, and closes", self._raw(lambda talk: talk.close()), AT_ONCE, "relay-closed")
        yield Case("421 as banner", self._raw(answering(banner=b"421 4.7.0 too many\r\n")), AT_ONCE, "relay-refuses")
        yield Case("554 as banner", self._raw(answering(banner=b"554 5.7.1 no\r\n")), AT_ONCE, "relay-refuses")
        ssh = self._raw(answering(banner=b"SSH-2.0-x\r\n"))
        yield Case("an SSH server", ssh, TIMEOUT, "relay-protocol", only_real=True)
        yield Case("an HTTP server", self._raw(answering(banner=b"HTTP/1.1 400 no\r\n\r\n")), AT_ONCE, "relay-protocol")

    def _greetings(self) -> Iterator[Case]:
        yield Case("closes at EHLO", self._raw(_closing_at_ehlo), AT_ONCE, "relay-closed")
        refuses = {"EHLO": b"504 5.5.2 need a name\r\n", "HELO": b"504 5.5.2 need a name\r\n"}
        yield Case("EHLO refused", self._raw(answering(refuses)), AT_ONCE, "relay-ehlo")
        yield Case("EHLO of the server refused", self._raw(_knowing_the_probe), AT_ONCE, "server-only", "ehlo-name")
        postfix = self._service("helo")
        yield Case("Postfix: HELO must be qualified", postfix, AT_ONCE, "server-only", "ehlo-name", only_real=True)
        yield Case("banner after 12 s", self._raw(_late), TIMEOUT, "server-timeout", "timeout")

    def _encryption(self) -> Iterator[Case]:
        certificates = {
            "expired": "relay-certificate-expired",
            "wrong-name": "relay-certificate-name",
            "unknown-issuer": "relay-certificate-issuer",
        }
        for name, rule in certificates.items():
            yield Case(f"Postfix: certificate {name}", self._service(name, "starttls"), AT_ONCE, rule)
        yield Case(
            "Postfix: certificate ends in 5 days",
            self._service("expires-soon", "starttls"),
            SENT,
            "relay-certificate-expires",
        )
        yield Case("`tls` on a STARTTLS port", self._service("starttls", "tls"), AT_ONCE, "relay-speaks-plain")
        yield Case("`starttls` on a TLS port", self._service("tls", "starttls"), TIMEOUT, "relay-speaks-tls")
        yield Case("`none` on a TLS port", self._service("tls"), TIMEOUT, "relay-speaks-tls")
        yield Case("`tls` on a silent port", self._raw(Talk.wait_for_the_end, "tls"), TIMEOUT, "relay-slow")
        offers = b"250-odd\r\n250 STARTTLS\r\n"
        refuses = answering({"EHLO": offers, "STARTTLS": b"454 4.7.0 no TLS\r\n"})
        yield Case("STARTTLS offered, and refused", self._raw(refuses, "starttls"), AT_ONCE, "relay-tls")
        injects = answering({"EHLO": offers, "STARTTLS": b"220 go\r\n250 injected\r\n"})
        yield Case("plain text after STARTTLS", self._raw(injects, "starttls"), AT_ONCE, "relay-injection")
        yield Case("TLS 1.1 only", self._raw(self._old_tls(), "tls"), AT_ONCE, "relay-tls-version")
        yield Case("no STARTTLS offered", self._service("plain", "starttls"), SENT, "starttls-downgrade")
        login = self._mail(self._relays.with_login(), "starttls", _auth("SMTP_PASSWORD"))
        yield Case("no STARTTLS offered, with login", login, SENT, "starttls-downgrade")
        required = self._mail(self._relays.failing(RelayFault.NO_STARTTLS), "starttls", _auth("SMTP_PASSWORD"))
        yield Case("EHLO refused, HELO taken", self._raw(_helo_only, "starttls"), SENT, "starttls-downgrade")
        yield Case("no STARTTLS offered, and required", required, AT_ONCE, "relay-no-starttls")
        yield Case("STARTTLS required, `none` set", self._service("starttls"), AT_ONCE, "relay-needs-starttls")

    def _old_tls(self) -> Script:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("localhost").configure_cert(context)
        with warnings.catch_warnings():  # about exactly these versions
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        return lambda talk: talk.secure(context)

    def _logins(self) -> Iterator[Case]:
        wrong = self._service("starttls", "starttls", _auth("WRONG_PASSWORD", POSTFIX_USER))
        yield Case("Postfix: wrong password", wrong, AT_ONCE, "relay-login-refused")
        yield Case("login needed, none given", self._mail(self._relays.with_login()), AT_ONCE, "relay-needs-login")
        yield Case("Postfix: login needed, none given", self._service("tls", "tls"), AT_ONCE, "relay-recipient")
        skipped = self._mail(self._relays.without_login(), "none", _auth("SMTP_PASSWORD"))
        yield Case("login set, relay offers no AUTH", skipped, SENT, "login-skipped")
        encrypted = self._service("opportunistic", "starttls", _auth("SMTP_PASSWORD"))
        yield Case("Postfix: login set, no AUTH after TLS", encrypted, SENT, "login-skipped")
        auth = _auth("SMTP_PASSWORD")
        later = self._raw(_with_auth(b"454 4.7.0 try later\r\n"), "none", auth)
        yield Case("login refused for now", later, AT_ONCE, "relay-login-refused")
        tokens = self._raw(answering({"EHLO": b"250-odd\r\n250 AUTH XOAUTH2\r\n"}), "none", auth)
        yield Case("relay offers XOAUTH2 only", tokens, AT_ONCE, "relay-login-method", only_real=True)
        yield self._token("token endpoint refuses the client", b"", 401, "relay-token")
        refused = b"535 5.7.3 Authentication unsuccessful\r\n"
        yield self._token("relay refuses the token", refused, 200, "relay-login-refused")

    def _token(self, name: str, reply: bytes, status: int, rule: str) -> Case:
        given = {"access_token": unsigned_token({"aud": "mail"}), "token_type": "Bearer", "expires_in": 300}
        answer = given if status == 200 else {"error": "invalid_client"}
        endpoint = self._stack.enter_context(token_endpoint(self._authority, answer, status))
        token = {"url": endpoint.url, "client_id": "mailer", "scope": "mail", "client_secret": {"env": "CLIENT_SECRET"}}
        relay = self._raw(_with_auth(reply, b"XOAUTH2"), "none", {"username": "u@acme.example", "token": token})
        return Case(name, relay, AT_ONCE, rule, only_real=True)

    def _envelopes(self) -> Iterator[Case]:
        owned = {"MAIL": b"550 5.7.1 Sender address rejected: not owned by user apikey\r\n"}
        yield Case("sender refused", self._raw(answering(owned)), AT_ONCE, "relay-sender")
        login = self._service("starttls", "starttls", _auth("POSTFIX_PASSWORD", POSTFIX_USER))
        other = "other@acme.example"
        yield Case("Postfix: sender of another login", login, AT_ONCE, "relay-sender", sender=other)
        unverified = {"RCPT": b"554 Message rejected: Email address is not verified\r\n"}
        yield Case("recipient refused", self._raw(answering(unverified)), AT_ONCE, "relay-recipient")
        yield Case("Postfix: greylisting", self._service("greylisting"), AT_ONCE, "relay-defers")
        full = {"RCPT": b"452 4.2.2 Mailbox full\r\n"}
        yield Case("mailbox full", self._raw(answering(full)), AT_ONCE, "relay-defers")
        data = self._raw(answering({"DATA": b"554 5.6.0 no\r\n"}))
        yield Case("message refused", data, AT_ONCE, "server-only", "ehlo-name")

    def _stored(self) -> Iterator[Case]:
        wrong = self._mail(self._relays.starttls(login=True), "starttls", _auth("WRONG_PASSWORD"))
        yield Case("stored settings, wrong password", wrong, AT_ONCE, "login-unknown", "secret", stored=True)
        right = self._mail(self._relays.starttls(login=True), "starttls", _auth("SMTP_PASSWORD"))
        yield Case("nothing is wrong", right, SENT, "", stored=True)


def _knowing_the_probe(talk: Talk) -> None:
    """Accept the probe's name only."""
    talk.say(b"220 hi\r\n")
    line = talk.hear()
    while EHLO_NAME.encode() not in line:
        talk.say(b"504 5.5.2 <x>: Helo command rejected: need fully-qualified hostname\r\n")
        line = talk.hear()
    talk.say(b"250 OK\r\n")
    converse(talk, {})


def _closing_at_ehlo(talk: Talk) -> None:
    talk.say(b"220 hi\r\n")
    talk.hear()


def _helo_only(talk: Talk) -> None:
    """Refuse EHLO, take HELO and every mail."""
    talk.say(b"220 old\r\n")
    while (word := talk.hear()[:4].upper()) != b"QUIT":
        talk.say({b"EHLO": b"502 5.5.1 what?\r\n", b"DATA": b"354 go\r\n"}.get(word, b"250 OK\r\n"))
        while word == b"DATA" and talk.hear() != b".":
            pass
        talk.say(b"250 OK\r\n" if word == b"DATA" else b"")


def _late(talk: Talk) -> None:
    talk.pause(12)
    answering()(talk)


def _with_auth(reply: bytes, methods: bytes = b"PLAIN LOGIN") -> Script:
    """Answer every login with a reply; the line of LOGIN and that of a refused token follow."""
    known = {"EHLO": b"250-odd\r\n250 AUTH " + methods + b"\r\n", "AUTH": reply}
    return answering(known)
