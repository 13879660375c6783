"""The received mails, and the web page that shows them, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from html import escape

from aiosmtpd.smtp import Envelope, LoginPassword, Session

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ztrust-mail sandbox</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }}
article {{ border: 1px solid #8884; border-radius: .5rem; padding: 1rem; margin: 1rem 0; }}
h2 {{ font-size: 1.1rem; margin: 0 0 .5rem; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0; }}
dt {{ opacity: .65; }}
dd {{ margin: 0; overflow-wrap: anywhere; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; margin: .75rem 0 0; }}
</style>
</head>
<body>
<h1>Mails received: {count}</h1>
<p>Keycloak {version} imitated at <code>{url}</code>, relay at <code>{relay}</code>.</p>
{mails}
</body>
</html>
"""


@dataclass(frozen=True)
class ReceivedMail:
    """One received mail. ``login`` is the account that the client logged in with, None without a login."""

    envelope_from: str
    recipients: tuple[str, ...]
    subject: str
    sender: str
    reply_to: str
    text: str
    tls: bool
    login: str | None


def parse_mail(session: Session, envelope: Envelope, *, tls: bool) -> ReceivedMail:
    """Return the mail that a client has sent; ``tls`` tells whether the connection was encrypted."""
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
    """Return the readable body, preferably plain text; a body that cannot be decoded is returned as it is."""
    body = message.get_body(preferencelist=("plain", "html"))
    if body is None:
        return ""
    try:
        return str(body.get_content()).strip()
    except (LookupError, ValueError):
        return str(body.get_payload()).strip()


def render(mails: Sequence[ReceivedMail], *, url: str, relay: str, version: str) -> str:
    """Return the page as HTML; ``mails`` are ordered oldest first."""
    articles = "\n".join(_article(mail) for mail in reversed(mails)) or "<p>Nothing yet.</p>"
    return _PAGE.format(count=len(mails), url=escape(url), relay=escape(relay), version=escape(version), mails=articles)


def _article(mail: ReceivedMail) -> str:
    rows = (
        ("From", mail.sender),
        ("Reply-To", mail.reply_to),
        ("Envelope sender", mail.envelope_from),
        ("To", ", ".join(mail.recipients)),
        ("Encrypted", "yes" if mail.tls else "no"),
        ("Login", mail.login or "none"),
    )
    shown = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows if value)
    return f"<article><h2>{escape(mail.subject)}</h2><dl>{shown}</dl><pre>{escape(mail.text)}</pre></article>"
