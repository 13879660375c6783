"""Checks the desired settings of a realm against the settings' policy, after placeholders are filled in."""

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import glob_matches, quoted
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


def violations(policy: Policy, wanted: Desired) -> tuple[Finding, ...]:
    """Return an error for each setting of a realm that violates the policy. A disabled realm violates nothing.

    The host of the token URL receives the client secret, so it must be in ``token_hosts``, or in ``relays`` if
    ``token_hosts`` is not set. A value that parsers may read differently is not allowed.
    """
    if wanted.disabled or policy == Policy(path=policy.path):
        return ()
    return tuple(_PolicyCheck(policy, wanted).violations())


class _PolicyCheck:
    """Checks one realm."""

    def __init__(self, policy: Policy, wanted: Desired) -> None:
        self.policy, self.wanted, self.fields = policy, wanted, wanted.fields

    def violations(self) -> Iterator[Finding]:
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
        yield from self._disguised_fields()

    def _places(self, rule: str, name: str, allowed: tuple[str, ...] | None) -> Iterator[Finding]:
        """Check a field that names a host or a domain: a host, an address or a URL."""
        value = self.fields.get(name, ABSENT)
        if allowed is None or value is ABSENT:
            return
        place = _place(name, value) if isinstance(value, str) else ""
        if not place or not any(_fits(pattern, place) for pattern in allowed):
            message = f"`{name}` is {quoted(value)}, which the policy does not allow"
            yield self._finding(rule, name, message, f"allowed: {_list(allowed)}")

    def _security(self) -> Iterator[Finding]:
        least, value = self.policy.minimum_security, self.fields.get(SECURITY, ABSENT)
        if value is ABSENT and HOST in self.fields:
            value = Security.NONE  # as the server takes it; only a revert leaves it absent
        if not least or value is ABSENT:
            return
        if not isinstance(value, Security) or _STRENGTH[value] < _STRENGTH[Security(least)]:
            message = f"`{SECURITY}` is {quoted(value)}, which is weaker than the policy requires"
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
        """Check templates: a text may link to a phishing page."""
        for name in self.fields if not self.policy.templates else ():
            if is_within(name, TEMPLATES):
                message = f"{quoted(name, MAX_LENGTH)} is set, but the policy allows no templates"
                yield self._finding(TEMPLATES_RULE, name, message, "remove it from the spec")

    def _disguised_fields(self) -> Iterator[Finding]:
        """Check for extra attributes that are fields. A spec cannot contain them, but a plan file or revert can."""
        for native, field in KEYCLOAK.attribute_names.items():
            if (name := extra_field(native)) in self.fields and self.fields[name] is not ABSENT:
                message = f"`{name}` bypasses the policy: it sets `{field}`"
                yield self._finding(RELAY, name, message, f"set `{field}`")

    def _finding(self, rule: str, field: str, message: str, hint: str) -> Finding:
        hint = f"{hint}; the policy is defined in {self.policy.path or 'the settings'}, not in the spec"
        return Finding(Severity.ERROR, rule, message, hint, self.wanted.origins.get(field), self.wanted.realm, field)


def _place(name: str, value: str) -> str:
    """Return the host or domain in a field's text in its canonical form, empty if it is ambiguous."""
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
    """Return a URL's host, empty if parsers may disagree on it: some end the host at a backslash."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removesuffix(".")
    except ValueError:
        return ""
    if not _PLAIN_HOST.fullmatch(host) or parts.username is not None or not parts.netloc.isascii():
        return ""
    return str(ipaddress.ip_address(host)) if ":" in host else host


def _fits(pattern: str, place: str) -> bool:
    """Tell whether a host or domain matches a pattern. An IPv4 pattern matches addresses, not 10.0.0.example.com."""
    if re.fullmatch(IPV4_PATTERN, pattern) and not _NUMBERS.fullmatch(place):
        return False
    return glob_matches(pattern, place)


def _begins(ref: SecretRef, prefix: str) -> bool:
    """Tell whether a reference begins with a prefix. The empty prefix allows every reference of the kind."""
    first = ref.argument[0]
    if not prefix:
        return True
    if ref.kind is SecretKind.FILE:
        real = os.path.realpath(os.path.join(ref.base, first.replace("\0", "\ufffd")))
        return _is_within(real, prefix)
    if ref.kind.form.is_path:
        return first == prefix or (os.path.isabs(first) and ".." not in first and _is_within(first, prefix))
    return first.startswith(prefix)


def _alternatives(kind: SecretKind, allowed: Mapping[SecretKind, tuple[str, ...]]) -> str:
    """Return the references of a kind that the policy allows or, if it allows none, the allowed kinds."""
    if prefixes := allowed.get(kind):
        return f"allowed of {kind.value}: {kind.form.prefixes} {_list(prefixes)}"
    kinds = ", ".join(other.value for other, prefixes in allowed.items() if prefixes)
    return f"allowed kinds of reference: {kinds or 'none'}"


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _list(texts: tuple[str, ...]) -> str:
    return ", ".join(quoted(text) for text in texts) or "none"
