"""Judges what a spec wants of a realm by the settings' policy, once placeholders are filled in."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.globs import glob_matches
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.model.addresses import ascii_domain, lookalike_problem
from ztrust_mail.model.fields import (
    ABSENT,
    ENVELOPE_FROM,
    HOST,
    REPLY_TO_ADDRESS,
    SECURITY,
    SENDER_ADDRESS,
    TEMPLATES,
    TOKEN_URL,
    Security,
    extra_field,
    is_within,
)
from ztrust_mail.model.values import MAX_LENGTH
from ztrust_mail.settings.policy import IPV4_PATTERN, Policy
from ztrust_mail.specfile.resolve import Desired

RELAY, SENDER, SECURITY_RULE, SECRET = "policy-relay", "policy-sender", "policy-security", "policy-secret"
TEMPLATES_RULE = "policy-templates"

_STRENGTH = {Security.NONE: 0, Security.STARTTLS: 1, Security.TLS: 2}
_NUMBERS = re.compile(r"[0-9.]+")
_PLAIN_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_SENDERS = (SENDER_ADDRESS, ENVELOPE_FROM)
_WITHIN = {
    SecretKind.ENV: "names that begin with",
    SecretKind.FILE: "files at or under",
    SecretKind.KEYRING: "services that begin with",
    SecretKind.COMMAND: "programs at or under",
    SecretKind.KEYCLOAK_VAULT: "keys that begin with",
}


def violations(policy: Policy, wanted: Desired) -> tuple[Finding, ...]:
    """Return what the policy has against the resolved settings of one realm; a disabled realm violates nothing.

    The host that a token comes from gets the client secret: it is judged by ``token_hosts``, or by ``relays`` where
    these are not stated. What cannot be told for sure is not allowed.
    """
    if wanted.disabled or policy == Policy(path=policy.path):
        return ()
    return tuple(_PolicyCheck(policy, wanted).found())


class _PolicyCheck:
    """One realm under judgement."""

    def __init__(self, policy: Policy, wanted: Desired) -> None:
        self.policy, self.wanted, self.fields = policy, wanted, wanted.fields

    def found(self) -> Iterator[Finding]:
        policy = self.policy
        yield from self._places(RELAY, HOST, policy.relays)
        token_hosts = policy.relays if policy.token_hosts is None else policy.token_hosts
        yield from self._places(RELAY, TOKEN_URL, token_hosts)
        for name in _SENDERS:
            yield from self._places(SENDER, name, policy.sender_domains)
        yield from self._places(SENDER, REPLY_TO_ADDRESS, policy.reply_domains)
        yield from self._security()
        yield from self._secrets()
        yield from self._templates()
        yield from self._smuggled()

    def _places(self, rule: str, name: str, allowed: tuple[str, ...] | None) -> Iterator[Finding]:
        """Judge a field that names a host or a domain, in whatever form."""
        value = self.fields.get(name, ABSENT)
        if allowed is None or value is ABSENT:
            return
        place = _place(name, value) if isinstance(value, str) else ""
        if not place or not any(_fits(pattern, place) for pattern in allowed):
            message = f"`{name}` is {quoted(value)}, which the policy does not allow"
            yield self._finding(rule, name, message, f"allowed: {_list(allowed)}")

    def _security(self) -> Iterator[Finding]:
        least, value = self.policy.minimum_security, self.fields.get(SECURITY, ABSENT)
        if not least or value is ABSENT:
            return
        if not isinstance(value, Security) or _STRENGTH[value] < _STRENGTH[Security(least)]:
            message = f"`{SECURITY}` is {quoted(value)}, which is weaker than the policy demands"
            stronger = "tls" if least == Security.TLS else "starttls or tls"
            yield self._finding(SECURITY_RULE, SECURITY, message, f"write {stronger}")

    def _secrets(self) -> Iterator[Finding]:
        allowed = self.policy.secrets
        if allowed is None:
            return
        for name, value in self.fields.items():
            if isinstance(value, SecretRef) and not any(_begins(value, p) for p in allowed.get(value.kind, ())):
                message = f"`{name}` comes from {quoted(value)}, which the policy does not allow"
                yield self._finding(SECRET, name, message, _alternatives(value.kind, allowed))

    def _templates(self) -> Iterator[Finding]:
        """Judge what mails say: a text may lead to a stranger's page."""
        for name in self.fields if not self.policy.templates else ():
            if is_within(name, TEMPLATES):
                message = f"{quoted(name, MAX_LENGTH)} is set, and the policy allows no templates"
                yield self._finding(TEMPLATES_RULE, name, message, "take it out of the spec")

    def _smuggled(self) -> Iterator[Finding]:
        """Judge extra attributes that are fields in truth: no spec may say them, but not all comes from a spec."""
        for native, field in KEYCLOAK.attribute_names.items():
            if (name := extra_field(native)) in self.fields and self.fields[name] is not ABSENT:
                message = f"`{name}` gets round the policy: it is `{field}`"
                yield self._finding(RELAY, name, message, f"set `{field}`")

    def _finding(self, rule: str, field: str, message: str, hint: str) -> Finding:
        hint = f"{hint}; the policy stands in {self.policy.path or 'the settings'}, not in the spec"
        return Finding(Severity.ERROR, rule, message, hint, self.wanted.origins.get(field), self.wanted.realm, field)


def _place(name: str, value: str) -> str:
    """Return the host or domain that a field's text names, in its plainest form; empty where that is in doubt."""
    if name != TOKEN_URL and lookalike_problem(value.rpartition("@")[2]):
        return ""
    if name == HOST:
        return value.lower().removesuffix(".")
    if name == TOKEN_URL:
        return _url_host(value)
    try:
        return ascii_domain(value).rpartition("@")[2].lower().removesuffix(".")
    except ValueError:
        return ""


def _url_host(url: str) -> str:
    """Return a URL's host, where every parser agrees on it: some take a backslash for the host's end."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removesuffix(".")
    except ValueError:
        return ""
    if not _PLAIN_HOST.fullmatch(host) or parts.username is not None or not parts.netloc.isascii():
        return ""
    return str(ipaddress.ip_address(host)) if ":" in host else host


def _fits(pattern: str, place: str) -> bool:
    """Tell whether a host or domain fits a pattern; one of numbers fits addresses only, not 10.0.0.example.com."""
    if re.fullmatch(IPV4_PATTERN, pattern) and not _NUMBERS.fullmatch(place):
        return False
    return glob_matches(pattern, place)


def _begins(ref: SecretRef, prefix: str) -> bool:
    """Tell whether a reference is within a prefix; the empty one allows all of its kind."""
    first = ref.argument[0]
    if not prefix:
        return True
    if ref.kind is SecretKind.FILE:
        real = os.path.realpath(os.path.join(ref.base, first.replace("\0", "\ufffd")))
        return _is_within(real, prefix)
    if ref.kind is SecretKind.COMMAND:
        return first == prefix or (os.path.isabs(first) and ".." not in first and _is_within(first, prefix))
    return first.startswith(prefix)


def _alternatives(kind: SecretKind, allowed: Mapping[SecretKind, tuple[str, ...]]) -> str:
    """Return in words what the policy allows of a kind of reference, or else which kinds it allows."""
    if prefixes := allowed.get(kind):
        return f"allowed of {kind.value}: {_WITHIN[kind]} {_list(prefixes)}"
    kinds = ", ".join(other.value for other, prefixes in allowed.items() if prefixes)
    return f"allowed kinds of reference: {kinds or 'none'}"


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _list(texts: tuple[str, ...]) -> str:
    return ", ".join(quoted(text) for text in texts) or "none"
