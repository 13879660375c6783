"""The web page that shows the received mails, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ztrust_mail.sandbox.relay.sink import ReceivedMail

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
