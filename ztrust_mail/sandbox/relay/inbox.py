"""The received mails, and the web page that shows them, newest first."""

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from html import escape
from urllib.parse import parse_qs, urlsplit

from aiosmtpd.smtp import Envelope, LoginPassword, Session
from werkzeug.wrappers import Response

from ztrust_mail.core.text import pluralise, printable

MAILS_PATH = "/sandbox/mails/"
_MOST_SHOWN = 200
_STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --soft: #57606a; --page: #fff; --card: #f6f8fa; --line: #8c959f;
  --link: #0550ae }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --soft: #a5aeb8; --page: #0d1117; --card: #161b22; --line: #6e7681; --link: #79c0ff }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 46rem;
  margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; margin: 0 0 .5rem }
h2 { font-size: 1.1rem; margin: 0 0 .5rem }
header p, dt { color: var(--soft) }
a, summary { color: var(--link) }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin: 1rem 0 }
input, button { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line);
  border-radius: .4rem; padding: .35rem .7rem }
input { flex: 1 1 10rem; min-width: 0 }
article { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; margin: 1rem 0 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0 }
dd { margin: 0 }
pre { font: .95rem/1.5 ui-monospace, monospace; white-space: pre-wrap; margin: .75rem 0 }
iframe { width: 100%; height: 16rem; border: 1px solid var(--line); margin-top: .5rem; color-scheme: light;
  background: #fff }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr } dt { margin-top: .3rem } }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>Mails received: {total} – ztrust-mail sandbox</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>Mails received: {total}</h1>
<p>Keycloak {version} imitated at <code>{url}</code>, relay at <code>{relay}</code>.</p>
<form method="get" action="{path}" role="search">
<label for="search">Search</label>
<input id="search" type="search" name="q" value="{search}">
<button>Search</button>
<a href="">Reload</a>
</form>
</header>
<main>
<p role="status">{shown}</p>
{mails}
</main>
</body>
</html>
"""
# Nothing is loaded from elsewhere and no script runs; frames hold the HTML parts of mails, from MAILS_PATH.
_PAGE_POLICY = (
    "default-src 'none'; img-src data:; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
)
_MAIL_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"


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
    html: str
    message_id: str
    received_at: datetime


def parse_mail(session: Session, envelope: Envelope, *, tls: bool) -> ReceivedMail:
    """Return the mail that a client has sent; ``tls`` tells whether the connection was encrypted."""
    content = envelope.content
    message = BytesParser(policy=policy.default).parsebytes(content if isinstance(content, bytes) else b"")
    account = session.auth_data
    return ReceivedMail(
        envelope_from=(envelope.mail_from or "").removeprefix("<>"),  # the null sender of bounces
        recipients=tuple(envelope.rcpt_tos),
        subject=_header(message, "Subject"),
        sender=_header(message, "From"),
        reply_to=_header(message, "Reply-To"),
        text=_body(message, "plain", "html"),
        tls=tls,
        login=account.login.decode("utf-8", "replace") if isinstance(account, LoginPassword) else None,
        html=_body(message, "html"),
        message_id=_header(message, "Message-ID"),
        received_at=datetime.now(UTC),
    )


def _header(message: EmailMessage, name: str) -> str:
    """Return a header, decoded where Python can decode it."""
    try:
        return str(message.get(name, ""))
    except (LookupError, ValueError, AttributeError, TypeError):  # what the parser raises for broken headers
        return next(str(value) for key, value in message.raw_items() if key.lower() == name.lower())


def _body(message: EmailMessage, *kinds: str) -> str:
    """Return the body of the first kind there is; a body that cannot be decoded is returned as it is."""
    body = message.get_body(preferencelist=kinds)
    if body is None:
        return ""
    try:
        return str(body.get_content()).strip()
    except (LookupError, ValueError):
        return str(body.get_payload()).strip()


@dataclass(frozen=True)
class Inbox:
    """What the page shows: ``mails`` oldest first, and the realm of each test mail by its Message-ID."""

    mails: Sequence[ReceivedMail]
    realms: Mapping[str, str]
    url: str
    relay: str
    version: str

    def respond(self, path: str, query: str) -> Response | None:
        """Return the page, or the HTML part of one mail; None for any other path."""
        if path in ("", "/"):
            return _html(self._page(parse_qs(query).get("q", [""])[0].strip()), _PAGE_POLICY)
        number = path.removeprefix(MAILS_PATH)
        if number == path or number not in {str(known) for known in range(1, len(self.mails) + 1)}:
            return None
        return _html(self.mails[int(number) - 1].html, _MAIL_POLICY)

    def _page(self, search: str) -> str:
        numbered = reversed([*enumerate(self.mails, 1)])
        found = [(number, mail) for number, mail in numbered if search.lower() in self._text(mail).lower()]
        return _PAGE.format(
            style=_STYLE,
            total=len(self.mails),
            version=_show(self.version),
            url=_show(self.url),
            relay=_show(self.relay),
            path=_show(f"{urlsplit(self.url).path}/"),
            search=_show(search),
            shown=_summary(len(found), search),
            mails="\n".join(self._article(number, mail) for number, mail in found[:_MOST_SHOWN]),
        )

    def _rows(self, mail: ReceivedMail) -> Iterable[tuple[str, str]]:
        yield "Received", f"{mail.received_at.astimezone():%Y-%m-%d %H:%M:%S %Z}"
        yield "Realm", self.realms.get(mail.message_id, "")
        yield "From", mail.sender
        yield "Reply-To", mail.reply_to
        yield "Envelope sender", mail.envelope_from
        yield "To", ", ".join(mail.recipients)
        yield "Encrypted", "yes" if mail.tls else "no"
        yield "Login", mail.login or "none"

    def _text(self, mail: ReceivedMail) -> str:
        """Return the text that the search looks at."""
        return "\n".join([mail.subject, mail.text, *(value for _, value in self._rows(mail))])

    def _article(self, number: int, mail: ReceivedMail) -> str:
        rows = "".join(f"<dt>{name}</dt><dd>{_show(value)}</dd>" for name, value in self._rows(mail) if value)
        article = f"<article><h2>{_show(mail.subject) or 'No subject'}</h2><dl>{rows}</dl><pre>{_show(mail.text)}</pre>"
        if mail.html:
            source = _show(urlsplit(self.url).path + MAILS_PATH + str(number))
            article += (
                "<details><summary>HTML part</summary>"
                f'<iframe sandbox loading="lazy" title="HTML part of mail {number}" src="{source}"></iframe></details>'
            )
        return article + "</article>"


def _summary(found: int, search: str) -> str:
    if not found:
        return f"No mail contains “{_show(search)}”." if search else "Nothing yet. Send one: ztrust-mail test REALM"
    text = f"{pluralise(found, 'mail')} with “{_show(search)}”" if search else "Newest first"
    return f"{text}; the newest {_MOST_SHOWN} are shown." if found > _MOST_SHOWN else f"{text}."


def _show(text: str) -> str:
    """Return text for HTML; invisible characters are made visible, line ends stay."""
    return escape("\n".join(printable(line.expandtabs()) for line in text.replace("\r\n", "\n").split("\n")))


def _html(text: str, content_policy: str) -> Response:
    headers = {
        "Content-Security-Policy": content_policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    body = text.encode("utf-8", "replace")
    return Response(body, headers=headers, content_type="text/html; charset=utf-8")
