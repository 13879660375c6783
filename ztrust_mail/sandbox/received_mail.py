"""A mail as the sandbox's relay got it."""

from __future__ import annotations

from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

from aiosmtpd.smtp import Envelope, LoginPassword, Session


@dataclass(frozen=True)
class ReceivedMail:
    """One mail as it came in; ``login`` is the account the client logged in with, if it did."""

    envelope_from: str
    recipients: tuple[str, ...]
    subject: str
    sender: str
    reply_to: str
    text: str
    tls: bool
    login: str | None


def received(session: Session, envelope: Envelope, *, tls: bool) -> ReceivedMail:
    """Return a mail that a client has handed over; ``tls`` says whether the connection was encrypted."""
    content = envelope.content
    message = BytesParser(policy=policy.default).parsebytes(content if isinstance(content, bytes) else b"")
    account = session.auth_data
    return ReceivedMail(
        envelope_from=(envelope.mail_from or "").removeprefix("<>"),  # the null sender of bounces
        recipients=tuple(envelope.rcpt_tos),
        subject=str(message.get("Subject", "")),
        sender=str(message.get("From", "")),
        reply_to=str(message.get("Reply-To", "")),
        text=_text(message),
        tls=tls,
        login=account.login.decode("utf-8", "replace") if isinstance(account, LoginPassword) else None,
    )


def _text(message: EmailMessage) -> str:
    """Return the readable body, plain text before HTML; a body that cannot be decoded is shown as it came."""
    body = message.get_body(preferencelist=("plain", "html"))
    if body is None:
        return ""
    try:
        return str(body.get_content()).strip()
    except (LookupError, ValueError):
        return str(body.get_payload()).strip()
