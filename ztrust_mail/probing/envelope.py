"""The envelope of a mail: senders, a recipient, and a real message."""

import smtplib
from collections.abc import Sequence
from email import policy
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from ztrust_mail.core.text import first_and_more, pluralise, quoted
from ztrust_mail.probing.line import SmtpLine
from ztrust_mail.probing.outcome import NotTested, ProbeStatus, RelayProblem, Reply, SenderOutcome, StageFailed

MAX_SENDERS = 20
"""How many envelope senders of one relay are tried; relays drop clients that ask for many."""

MAX_REFUSED = 3
"""After so many refused senders no more are tried."""

_DONE, _WILL_FORWARD = 250, 251

_LOGIN_NEEDED = (530, 535)
_LOGIN_WORDS = (
    "not logged in",
    "authentication required",
    "authentication is required",
    "client was not authenticated",
)
"""Codes and words by which relays ask for a login."""


def ask_senders(line: SmtpLine, senders: Sequence[str]) -> list[SenderOutcome]:
    """Ask for each envelope sender, and return the outcomes in the given order.

    The first one comes last, and its transaction stays open.
    """
    outcomes: dict[str, SenderOutcome] = {}
    for sender in reversed(senders[:MAX_SENDERS]):
        if sum(one.status is ProbeStatus.FAILED for one in outcomes.values()) >= MAX_REFUSED:
            break
        if outcomes:
            line.ask("RSET")
        reply = _ask_sender(line, sender)
        status = ProbeStatus.OK if reply.code == _DONE else ProbeStatus.FAILED
        outcomes[sender] = SenderOutcome(sender, status, reply)
    return [outcomes.get(one, SenderOutcome(one, ProbeStatus.NOT_TESTED)) for one in senders]


def _ask_sender(line: SmtpLine, sender: str) -> Reply:
    if not sender.isprintable():
        return Reply(0, "not sent: it has control characters")
    if sender.isascii():
        return line.reply_of(*line.mail(sender))
    if line.has_extn("smtputf8"):
        return line.reply_of(*line.mail(sender, ["SMTPUTF8"]))
    return Reply(0, "not sent: it has non-ASCII characters, and the relay does not offer SMTPUTF8")


def judge_senders(found: Sequence[SenderOutcome]) -> str:
    """Return which senders are accepted. Raises :class:`StageFailed` with the reply to the first that is refused."""
    if not found:
        raise NotTested("--from ADDRESS tests it")
    refused = [one for one in found if one.status is ProbeStatus.FAILED]
    tried = [one for one in found if one.status is not ProbeStatus.NOT_TESTED]
    if refused and refused[0].reply:
        reply = refused[0].reply
        others = f", and {pluralise(len(refused) - 1, 'more sender')}" if refused[1:] else ""
        message = f"the relay refuses the envelope sender {quoted(refused[0].address)}{others}: {reply}"
        raise StageFailed(_refusal("relay-sender", message, reply), reply)
    rest = f"; {len(found) - len(tried):,} more not tried" if len(found) > len(tried) else ""
    return f"{first_and_more([one.address for one in tried])} accepted{rest}"


def ask_recipient(line: SmtpLine, recipient: str) -> Reply:
    """Ask for a recipient. Raises :class:`StageFailed`."""
    reply = line.reply_of(*line.rcpt(recipient))
    if reply.code in (_DONE, _WILL_FORWARD):
        return reply
    message = f"the relay refuses the recipient {quoted(recipient)}: {reply}"
    raise StageFailed(_refusal("relay-recipient", message, reply), reply)


def _refusal(rule: str, message: str, reply: Reply) -> RelayProblem:
    """Return the problem with a refused address; some relays refuse the EHLO name or the sender only later."""
    said = reply.text.lower()
    if "helo command rejected" in said:
        hint = "give a name that the relay accepts as --ehlo-name; servers greet with the name of their machine"
        return RelayProblem("relay-ehlo", message, hint)
    if "starttls" in said:
        return RelayProblem("relay-needs-starttls", message, "set relay.security: starttls")
    if 400 <= reply.code < 500:
        hint = "try again in some minutes; a relay that always defers (greylisting) delays a server's mails, too"
        return RelayProblem("relay-defers", message, hint)
    if reply.code in _LOGIN_NEEDED or any(words in said for words in _LOGIN_WORDS):
        return RelayProblem("relay-needs-login", message, "set relay.auth: the relay wants a login")
    hint = "check that the relay may send for this domain, and that the address is verified there"
    return RelayProblem("relay-sender" if "sender address rejected" in said else rule, message, hint)


def send_message(line: SmtpLine, sender: str, recipient: str) -> tuple[str, Reply]:
    """Send a message in the open transaction; return its Message-ID and the reply. Raises :class:`StageFailed`."""
    is_ascii = sender.isascii() and recipient.isascii()
    message = EmailMessage(policy.SMTP if is_ascii else policy.SMTPUTF8)
    message["From"], message["To"] = sender, recipient
    message["Subject"] = "Test mail of ztrust-mail probe"
    message["Date"] = formatdate()
    domain = sender.rpartition("@")[2]
    message["Message-ID"] = make_msgid(domain=domain if domain.isascii() else "probe.invalid")
    message.set_content("This mail was sent by `ztrust-mail probe --send`. It shows that the relay delivers.\n")
    try:
        reply = line.reply_of(*line.data(message.as_bytes()))
    except smtplib.SMTPDataError as e:
        reply = line.reply_of(e.smtp_code, e.smtp_error if isinstance(e.smtp_error, bytes) else e.smtp_error.encode())
    if reply.code != _DONE:
        problem = _refusal("relay-message", f"the relay refuses the message: {reply}", reply)
        raise StageFailed(problem, reply)
    return str(message["Message-ID"]), reply
