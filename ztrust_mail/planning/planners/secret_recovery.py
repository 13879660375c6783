"""Finds where secrets that a realm had before can still be had: the journal knows their fingerprints and references."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ztrust_mail.core.errors import SecretError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import Secret, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.row import Attributes
from ztrust_mail.model.fields import LOGIN, PASSWORD, TOKEN_CLIENT_SECRET, FieldMap, FieldValue, Login, Masked
from ztrust_mail.planning.compare import Change, SecretMode
from ztrust_mail.planning.planners.from_spec import PlanningContext
from ztrust_mail.planning.planners.realm_history import RealmHistory
from ztrust_mail.planning.policy_check import violations
from ztrust_mail.planning.secret_state import LOGIN_IDENTITY_FIELDS
from ztrust_mail.specfile.resolve import desired_from_journal

RULE = "earlier-secret"
"""The rule of a finding that says that a secret from before a run cannot be had."""

_USED = {Login.BASIC: PASSWORD, Login.TOKEN: TOKEN_CLIENT_SECRET}


@dataclass(frozen=True)
class RevertTarget:
    """One realm on its way back.

    ``fields`` are those from before the run, ``now`` those that the masked attributes in ``live`` hold. ``changes``
    are all that has to be written, hidden secrets left aside.
    """

    trail: RealmHistory
    fields: FieldMap
    now: FieldMap
    live: Attributes
    changes: tuple[Change, ...]

    @property
    def hidden(self) -> tuple[str, ...]:
        """The fields whose secret from before the run the server hid."""
        return hidden_in(self.fields)

    @property
    def is_back(self) -> bool:
        """Whether the realm is as it was before the run, its secrets included as far as they can be known."""
        return not self.changes and all(self.trail.counts_as_back(name, self.live) for name in self.hidden)

    @property
    def is_written(self) -> bool:
        """Whether more than secrets has to be written."""
        return any(change.field not in self.hidden for change in self.changes)

    @property
    def keeps_login(self) -> bool:
        """Whether the realm logs in at the same host and as the same user as now."""
        return all(self.fields.get(name) == self.now.get(name) for name in LOGIN_IDENTITY_FIELDS)


def hidden_in(fields: FieldMap) -> tuple[str, ...]:
    """Return the fields whose secret the server hides."""
    return tuple(name for name, value in fields.items() if isinstance(value, Masked))


@dataclass(frozen=True)
class SecretChoice:
    """What one secret field is to be: None where it is left out. ``finding`` is an error where nothing helps."""

    value: FieldValue | None
    finding: Finding | None = None


@dataclass(frozen=True)
class _SecretLookup:
    """The reference that gives a secret, or else why none does and what helps."""

    ref: SecretRef | None
    why: str = ""
    hint: str = ""


_UNKNOWN = _SecretLookup(
    None, "the journal does not know it", "write an entry that says where it comes from, and apply it"
)


@dataclass(frozen=True)
class SecretRecovery:
    """Finds references by fingerprint. No reference is resolved that the policy forbids."""

    planning_context: PlanningContext
    fingerprint: Callable[[Secret], str]

    def answer(self, site: RevertTarget, name: str) -> SecretChoice:
        """Say what a hidden secret of a realm can be brought back to.

        The secret from before the run, if a reference still gives it; else the present one, where it goes nowhere
        new and is not all there is to bring back. Each is told by its fingerprint, never taken on trust.
        """
        trail = site.trail
        if self.planning_context.mode is SecretMode.KEEP and (refs := trail.references(name)):
            note = None if trail.is_same_secret(name, site.live) else self._kept(site, name, "secrets are kept", "")
            return SecretChoice(refs[0], note)
        sought = self._seek(site, name, trail.fingerprints_before.get(name))
        if sought.ref:
            return SecretChoice(sought.ref)
        if trail.is_same_secret(name, site.live):
            return SecretChoice(None, self._cannot_be_sent(site, name, sought))
        present = self._present(site, name)
        if present is not None and site.is_written:
            return SecretChoice(present, self._kept(site, name, sought.why, sought.hint))
        if _is_dormant(site, name):
            message = f"`{name}` is left out: {sought.why}; the login that it was part of was off"
            return SecretChoice(None, _finding(Severity.WARNING, site, name, message, sought.hint))
        return SecretChoice(None, self._gone(site, name, sought))

    def _present(self, site: RevertTarget, name: str) -> FieldValue | None:
        """Return what keeps the present secret, None where it would go elsewhere or cannot be had."""
        present = site.now.get(name)
        if not site.keeps_login or present is None:
            return None
        if isinstance(present, Masked):
            return self._seek(site, name, site.trail.fingerprints_now(site.live).get(name)).ref
        return present

    def _seek(self, site: RevertTarget, name: str, fingerprint: str | None) -> _SecretLookup:
        refs = site.trail.references(name, fingerprint) if fingerprint else ()
        failed = []
        for ref in refs:
            tried = self._tried(site, name, ref, fingerprint)
            if tried.ref:
                return tried
            failed.append(tried)
        return failed[0] if failed else _UNKNOWN

    def _tried(self, site: RevertTarget, name: str, ref: SecretRef, fingerprint: str | None) -> _SecretLookup:
        hint = f"put the earlier value back into {quoted(ref)}, then revert again"
        if against := violations(
            self.planning_context.policy, desired_from_journal(site.trail.write.realm, {**site.fields, name: ref})
        ):
            return _SecretLookup(None, against[0].message, against[0].hint)
        value = self.planning_context.secrets.get([ref])[ref] if self.planning_context.secrets else None
        if isinstance(value, SecretError):
            return _SecretLookup(None, value.message, hint)
        if value is None or self.fingerprint(value) != fingerprint:
            return _SecretLookup(None, f"{quoted(ref)} gives another value now", hint)
        return _SecretLookup(ref)

    def _kept(self, site: RevertTarget, name: str, why: str, hint: str) -> Finding:
        message = f"`{name}` stays as it is now, not as it was before run {site.trail.write.run}: {why}"
        return _finding(Severity.WARNING, site, name, message, hint)

    def _gone(self, site: RevertTarget, name: str, sought: _SecretLookup) -> Finding:
        message = f"`{name}` from before run {site.trail.write.run} cannot be brought back: {sought.why}"
        return _finding(Severity.ERROR, site, name, message, sought.hint + _keep_hint(site, name))

    def _cannot_be_sent(self, site: RevertTarget, name: str, sought: _SecretLookup) -> Finding:
        message = (
            f"`{name}` is the one from before run {site.trail.write.run}, but a write has to send it: {sought.why}"
        )
        return _finding(Severity.ERROR, site, name, message, sought.hint + _keep_hint(site, name))


def _keep_hint(site: RevertTarget, name: str) -> str:
    possible = site.keeps_login and isinstance(site.now.get(name), Masked) and site.is_written
    return ", or let the stored one stay with --secrets keep" if possible else ""


def _is_dormant(site: RevertTarget, name: str) -> bool:
    """Tell whether the secret belonged to a kind of login that was not in use."""
    login = site.fields.get(LOGIN, Login.NONE)
    return isinstance(login, Login) and _USED.get(login) != name


def _finding(severity: Severity, site: RevertTarget, name: str, message: str, hint: str) -> Finding:
    return Finding(severity, RULE, message, hint, realm=site.trail.write.realm, field=name)
