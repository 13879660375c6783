"""Rules about a server: what it lacks, ignores, or needs."""

from collections.abc import Iterator
from datetime import UTC, datetime, time

from ztrust_mail.core.findings import Severity
from ztrust_mail.core.text import did_you_mean, first_and_more, pluralise, quoted
from ztrust_mail.linting.rule import Problem, ServerView, server_rule
from ztrust_mail.model.fields import LOGIN, SECURITY, THEME

DEFAULT_SENDER = "default"
_LISTED = 5


@server_rule("needs-mail", Severity.WARNING)
def needs_mail(server: ServerView) -> Iterator[Problem]:
    """Yield a problem for each realm that needs e-mail, but has none and gets none from the spec."""
    for realm, live in server.realms.items():
        if not (live.needs_mail or live.workflows) or not server.stays_without_mail(realm):
            continue
        verb = "is" if len(live.needs_mail) == 1 else "are"
        reasons = [f"{' and '.join(live.needs_mail)} {verb} on"] if live.needs_mail else []
        if live.workflows:
            send = "workflow sends" if len(live.workflows) == 1 else "workflows send"
            reasons.append(f"its {send} mail: {first_and_more([quoted(one) for one in live.workflows])}")
        effect = ": users cannot verify addresses or reset passwords" if live.needs_mail else ""
        wanted = server.wanted.get(realm)
        where = wanted.entry.location if wanted else None
        message = f"the realm has no e-mail settings, and {', and '.join(reasons)}"
        yield Problem(message, f"give the realm e-mail settings, or turn that off{effect}", (), where, realm)


@server_rule("unknown-email-theme", Severity.WARNING)
def unknown_email_theme(server: ServerView) -> Iterator[Problem]:
    """Yield a problem for each realm whose e-mail theme the server does not have."""
    if server.themes is None:
        return
    for realm, live in server.realms.items():
        wanted = server.wanted.get(realm)
        planned = wanted.fields.get(THEME) if wanted else None
        theme = planned if isinstance(planned, str) else live.theme
        if theme and theme not in server.themes:
            message = f"the server has no e-mail theme {quoted(theme)}, and sends mail in its default theme"
            known = f"it has: {first_and_more(sorted(server.themes), _LISTED)}"
            where = wanted.origins.get(THEME) if wanted else None
            yield Problem(message, did_you_mean(theme, server.themes) or known, (THEME,), where, realm)


@server_rule("both-tls-switches", Severity.WARNING)
def both_tls_switches(server: ServerView) -> Iterator[Problem]:
    """Yield a problem for each live realm with implicit TLS and STARTTLS switched on."""
    for realm, live in server.realms.items():
        if live.both_switches and realm not in server.wanted:
            message = "implicit TLS and STARTTLS are both on; the server uses implicit TLS"
            yield Problem(message, "switch one of them off, or give the realm an entry", (SECURITY,), None, realm)


@server_rule("ignored-attribute", Severity.WARNING)
def ignored_attribute(server: ServerView) -> Iterator[Problem]:
    """Yield a problem for each field that this version of the server stores and ignores."""
    version = ".".join(map(str, server.version))
    for realm, wanted in server.wanted.items():
        for row in server.dialect.unsupported_since(wanted.fields, server.version) if version else ():
            first = " or ".join(".".join(map(str, line)) for line in row.since)
            message = f"version {version} of the server ignores `{row.field}`, which is new in {first}"
            where = wanted.origins.get(row.field) or wanted.origins.get(LOGIN)
            yield Problem(message, "update the server, or leave the field out", (row.field,), where, realm)


@server_rule("email-sender-provider", Severity.WARNING)
def email_sender_provider(server: ServerView) -> Iterator[Problem]:
    """Yield a problem if the server may send its mail by other means than SMTP."""
    others = [one for one in server.senders or () if one != DEFAULT_SENDER]
    if others:
        message = (
            f"the server has the e-mail sender {first_and_more([quoted(one) for one in others])} as well as its own"
        )
        hint = "if it is in use, host, port and login may mean nothing; ask who runs the server"
        yield Problem(message, hint, ())
    elif server.senders == ():
        yield Problem("the server has no e-mail sender: it sends no mail", "turn the sender on again", ())


@server_rule("secret-age", Severity.WARNING)
def secret_age(server: ServerView) -> Iterator[Problem]:
    """Yield a problem for each realm whose secret was not rotated for long."""
    now = datetime.combine(server.today, time(), UTC)
    for realm, since in server.secrets.items():
        days = (now - since).days
        wanted = server.wanted.get(realm)
        if days > server.limits.secret and wanted and not wanted.disabled:
            message = f"the secret of the login was not rotated for {pluralise(days, 'day')}"
            where = wanted.origins.get(LOGIN)
            yield Problem(message, "renew it: ztrust-mail rotate", (LOGIN,), where, realm)
