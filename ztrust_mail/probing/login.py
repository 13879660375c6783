"""Logging in to a relay: PLAIN and LOGIN with a password, XOAUTH2 with an access token."""

from __future__ import annotations

import base64
import binascii
import json
import threading
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ztrust_mail.core.errors import ServerError
from ztrust_mail.core.findings import Severity
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import printable, quoted
from ztrust_mail.model.fields import Login
from ztrust_mail.probing.connection import Deadline
from ztrust_mail.probing.line import Record, SmtpLine
from ztrust_mail.probing.outcome import NotTested, RelayProblem, Reply, StageFailed, TokenFacts
from ztrust_mail.probing.relay import Relay

if TYPE_CHECKING:
    from ztrust_mail.transport.token import ClientLogin, ClientToken

ACCEPTED, CHALLENGE = 235, 334
_NOT_SUPPORTED = (500, 501, 502, 503, 504, 534)
"""Codes that refuse a mechanism, not the login: then the next one may be tried without locking the account."""

_OTHERS = ("DIGEST-MD5", "NTLM", "CRAM-MD5")
"""Mechanisms for passwords that servers may use and this probe does not."""

_PASSWORDS = ("LOGIN", "PLAIN")
"""The mechanisms that are tried, in the order of Java's mail library: the login is tested as servers make it."""


CLEAR_LINE = "the connection is not encrypted; --allow-clear-login sends the login anyway"


def not_tested(reason: str, severity: Severity = Severity.NOTE) -> RelayProblem:
    """Return the note that a login is not tested, and why."""
    return RelayProblem("relay-login-not-tested", f"login not tested: {reason}", severity=severity)


def _leave_out(reason: str) -> NotTested:
    """Return the exception for a login that cannot be tested, with a note, so that the relay does not count as ok."""
    problem = not_tested(reason)
    return NotTested(problem.message, problem)


def mechanisms_of(line: SmtpLine) -> list[str]:
    """Return the mechanisms that the relay offers in its last EHLO reply."""
    offered: object = line.esmtp_features.get("auth", "")
    return list(dict.fromkeys(str(offered).upper().split()))


def choose(kind: Login, offered: Collection[str]) -> list[str]:
    """Return the mechanisms to try, in order. Raises :class:`StageFailed` or :class:`NotTested` if there is none."""
    if not offered:
        message = "the relay offers no login (AUTH), and the settings have one"
        hint = "use the port for submission (587 or 465), or remove relay.auth if the relay needs no login"
        raise StageFailed(RelayProblem("relay-no-login", message, hint))
    wanted = ("XOAUTH2",) if kind is Login.TOKEN else _PASSWORDS
    if found := [one for one in wanted if one in offered]:
        return found
    shown = ", ".join(sorted(offered))
    if kind is Login.BASIC and any(one in offered for one in _OTHERS):
        raise _leave_out(f"the relay offers only {quoted(shown)}, which this probe does not use")
    message = f"the relay offers {quoted(shown)}, not {' or '.join(wanted)}"
    hint = "set relay.auth.token for a relay that wants OAuth" if kind is Login.BASIC else "set relay.auth.password"
    raise StageFailed(RelayProblem("relay-login-method", message, hint))


def log_in_with_password(
    line: SmtpLine, methods: Collection[str], username: str, password: Secret
) -> tuple[str, Reply]:
    """Log in, and return the mechanism with the relay's last reply. Tries a login once.

    Another mechanism is tried only after a reply that refuses the mechanism itself.
    """
    reply, used = Reply(0, ""), ""
    for used in methods:
        attempt = _plain if used == "PLAIN" else _login
        reply = line.reply_of(*attempt(line, username, password))
        if reply.code not in _NOT_SUPPORTED:
            break
    return used, reply


def _plain(line: SmtpLine, username: str, password: Secret) -> tuple[int, bytes]:
    return line.ask_secretly("AUTH PLAIN", Secret(f"\0{username}\0{password.reveal()}"))


def _login(line: SmtpLine, username: str, password: Secret) -> tuple[int, bytes]:
    code, text = line.docmd("AUTH", "LOGIN")
    for value in (Secret(username), password):  # the challenges are not decoded: relays ask for one after the other
        if code != CHALLENGE:
            break
        code, text = line.ask_secretly("", value)
    return code, text


def log_in_with_token(line: SmtpLine, username: str, token: Secret, record: Record) -> tuple[Reply, str]:
    """Log in by XOAUTH2; return the relay's last reply, and the error in its challenge, as far as it has one."""
    code, text = line.ask_secretly("AUTH XOAUTH2", Secret(f"user={username}\x01auth=Bearer {token.reveal()}\x01\x01"))
    said = ""
    if code == CHALLENGE:
        said = _decode_error(text, record)
        code, text = line.docmd("")
    return line.reply_of(code, text), said


def _decode_error(challenge: bytes, record: Record) -> str:
    """Return the JSON error that a relay sends in base64, as text; empty if it is something else."""
    try:
        decoded = base64.b64decode(challenge.strip(), validate=True)
    except (binascii.Error, ValueError):
        return ""
    try:
        error = json.loads(decoded)
    except (ValueError, RecursionError):
        error = None
    if not isinstance(error, dict):
        return record.show(decoded)
    return record.show(", ".join(f"{key} {value}" for key, value in error.items() if isinstance(value, str | int)))


_MAX_VALUES, _MAX_TEXT = 20, 200


def fetch_token(
    relay: Relay, secret: Secret, deadline: Deadline, redactor: Redactor, ca_bundle: str
) -> tuple[Secret, TokenFacts]:
    """Return an access token and its claims. Raises :class:`StageFailed` or :class:`NotTested`."""
    from ztrust_mail.transport.token import ClientLogin

    if not relay.token_url.lower().startswith("https://"):
        raise _leave_out(f"the token URL {quoted(relay.token_url)} is not https")
    client = ClientLogin(relay.token_url, relay.token_client_id, secret, relay.token_scope)
    try:
        token = _fetch_in_time(client, deadline, redactor, ca_bundle)
    except ServerError as e:
        raise StageFailed(RelayProblem("relay-token", e.message, e.hint)) from None
    except TimeoutError:
        message = f"{quoted(relay.token_url)} gave no token in time"
        raise StageFailed(RelayProblem("relay-token", message, "check the way to it, or raise --deadline")) from None
    return token.value, _facts_of(token)


def _fetch_in_time(login: ClientLogin, deadline: Deadline, redactor: Redactor, ca_bundle: str) -> ClientToken:
    """Return the token; raises TimeoutError at the deadline, though the request may continue in its thread."""
    from ztrust_mail.transport.token import fetch_client_token

    found: Future[ClientToken] = Future()

    def run() -> None:
        try:
            found.set_result(fetch_client_token(login, deadline.left, redactor, ca_bundle))
        except Exception as e:  # the caller raises it
            found.set_exception(e)

    threading.Thread(target=run, daemon=True).start()
    return found.result(deadline.left)


def _facts_of(token: ClientToken) -> TokenFacts:
    claims = token.claims
    expires = claims.get("exp")
    seconds = token.expires_in
    until = datetime.now(UTC) + timedelta(seconds=min(seconds, 10**7)) if seconds is not None else None
    if isinstance(expires, int) and 0 < expires < 10**11:
        until = datetime.fromtimestamp(expires, UTC)
    return TokenFacts(
        _texts(claims, "aud"), _texts(claims, "roles"), _texts(claims, "scp") or _texts(claims, "scope"), until
    )


def _texts(claims: Mapping[str, object], name: str) -> tuple[str, ...]:
    """Return the values of a claim, which is a list, or one text; scopes are divided by blanks."""
    value = claims.get(name)
    values = value if isinstance(value, list) else str(value).split() if isinstance(value, str) else []
    return tuple(printable(str(one))[:_MAX_TEXT] for one in values[:_MAX_VALUES])


def describe_token(facts: TokenFacts) -> str:
    """Return the claims of a token in one line."""
    parts = [f"for {', '.join(facts.audience)}" if facts.audience else "its claims cannot be read"]
    parts += [f"roles {', '.join(facts.roles)}"] if facts.roles else []
    parts += [f"scopes {', '.join(facts.scopes)}"] if facts.scopes else []
    parts += [f"until {facts.expires:%Y-%m-%d %H:%M} UTC"] if facts.expires else []
    return f"token {'; '.join(parts)}"[:300]
