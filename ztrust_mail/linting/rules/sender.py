"""Rules about the sender: From, its display name, Reply-To and envelope sender."""

import re
from collections.abc import Iterator

from ztrust_mail.core.findings import Severity
from ztrust_mail.core.text import quoted
from ztrust_mail.linting.rule import Problem, RealmView, provider_at, realm_rule
from ztrust_mail.model.fields import ENVELOPE_FROM, HOST, REPLY_TO_ADDRESS, SENDER_ADDRESS, SENDER_NAME
from ztrust_mail.providers.presets import ProviderKind

FREE_MAIL = frozenset(
    (
        *("gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "msn.com", "icloud.com", "me.com"),
        *("mac.com", "yahoo.com", "ymail.com", "yahoo.co.uk", "yahoo.de", "aol.com", "gmx.com", "gmx.de", "gmx.net"),
        *("web.de", "mail.com", "proton.me", "protonmail.com", "zohomail.com", "yandex.com", "yandex.ru", "mail.ru"),
        *("qq.com", "163.com", "free.fr", "orange.fr", "libero.it"),
    )
)
"""Domains whose addresses anybody can register."""

_ADDRESS = re.compile(r"[^\s<>()\"',;:@]+@([^\s<>()\"',;:@]+\.[^\s<>()\"',;:@]+)")


@realm_rule("free-mail-sender", Severity.WARNING)
def free_mail_sender(realm: RealmView) -> Iterator[Problem]:
    """Yield a problem if From is an address of a free mail service and the relay is no mailbox provider."""
    domain = domain_of(realm.sender)
    provider = provider_at(realm.host)
    if domain in FREE_MAIL and not (provider and provider.kind is not ProviderKind.SERVICE):
        message = f"From is an address of {domain}, whose DMARC policy lets receivers refuse mail of other relays"
        yield Problem(message, "use an address of a domain of your own", (SENDER_ADDRESS, HOST))


@realm_rule("name-imitates-address", Severity.WARNING)
def name_imitates_address(realm: RealmView) -> Iterator[Problem]:
    """Yield a problem if the display name holds an address of another domain than From."""
    found = _ADDRESS.search(realm.text(SENDER_NAME))
    if found and found[1].casefold().rstrip(".") != domain_of(realm.sender):
        message = f"the From name holds the address {quoted(found[0])}, and the mail is from {quoted(realm.sender)}"
        hint = "receivers take such mail for a forgery; write a name"
        yield Problem(message, hint, (SENDER_NAME, SENDER_ADDRESS))


@realm_rule("reply-to-is-sender", Severity.NOTE)
def reply_to_is_sender(realm: RealmView) -> Iterator[Problem]:
    """Yield a problem if Reply-To is the From address."""
    reply_to = realm.text(REPLY_TO_ADDRESS)
    if reply_to and reply_to.casefold() == realm.sender.casefold():
        message = "`reply_to.address` is the From address, where replies go anyway"
        yield Problem(message, "remove it", (REPLY_TO_ADDRESS,))


@realm_rule("no-envelope-from", Severity.NOTE, on=False)
def no_envelope_from(realm: RealmView) -> Iterator[Problem]:
    """Yield a problem if no envelope sender is set."""
    if not realm.text(ENVELOPE_FROM):
        message = "no `envelope_from`, so bounces go to the From address"
        yield Problem(message, "set an address that somebody reads", (SENDER_ADDRESS,))


def domain_of(address: str) -> str:
    """Return the domain of an address in lower case; empty for a text without @."""
    return address.rpartition("@")[2].casefold().removesuffix(".") if "@" in address else ""
