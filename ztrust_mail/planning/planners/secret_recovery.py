"""Finds a reference that still yields the secret from before a run, using the journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ztrust_mail.core.errors import SecretError
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import Secret, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.row import Attributes, is_template
from ztrust_mail.journal.records import Step, Write
from ztrust_mail.model.fields import LOGIN, LOGIN_SECRETS, FieldMap, FieldValue, Login, Masked, masked_fields
from ztrust_mail.planning.compare import Change, SecretMode, secret_fields
from ztrust_mail.planning.planners.from_spec import PlanningContext
from ztrust_mail.planning.policy_check import violations
from ztrust_mail.planning.secret_state import LOGIN_IDENTITY_FIELDS
from ztrust_mail.specfile.resolve import desired_from_journal


def may_have_written(write: Write) -> bool:
    """Tell whether a write changed its realm, may have changed it, or had another effect than intended."""
    if write.step is Step.FAILED:
        return write.after is not None and write.after != write.before
    return write.step.is_done or write.step.in_doubt


@dataclass(frozen=True)
class RealmHistory:
    """One realm's writes, seen from the run that is to be reverted.

    ``write`` is the run's own write and ``writes`` are all writes to the realm, newest first. Of those that may have
    written, ``previous`` is the last one before the run, ``latest`` the last of all. Live attributes are passed in
    masked, as the journal stores them.
    """

    write: Write
    writes: tuple[Write, ...]
    previous: Write | None
    latest: Write

    @classmethod
    def of(cls, write: Write, writes: Sequence[Write]) -> RealmHistory:
        """Return the history around a write that may have written. ``writes`` are newest first."""
        wrote = [one for one in writes if may_have_written(one)]
        previous = next((one for one in wrote if one.run < write.run), None)
        return cls(write, tuple(writes), previous, wrote[0])

    @property
    def fingerprints_before(self) -> Mapping[str, str]:
        """The fingerprints of the secrets stored before the run, by field; unknown ones are missing."""
        known = self.previous
        return known.fingerprints if known and _has_left(known, self.write.before) else {}

    def fingerprints_now(self, live: Attributes) -> Mapping[str, str]:
        """Return the fingerprints of the secrets stored now, by field; unknown ones are missing."""
        return self.latest.fingerprints if _has_left(self.latest, live) else {}

    def is_as_left(self, live: Attributes, masked: Sequence[str]) -> bool:
        """Tell whether the realm is unchanged since the run, including the secrets in the ``masked`` fields.

        A later run counts as no change if it left the same attributes and wrote the same secrets.
        """
        if not _has_left(self.write, live) or self.write.after != live:
            return False
        if self.latest.run == self.write.run:
            return True
        now = self.fingerprints_now(live)
        return _has_left(self.latest, live) and all(now.get(n) == self.write.fingerprints.get(n) for n in masked)

    def has_secret_from_before(self, name: str, live: Attributes) -> bool:
        """Tell whether the secret stored now is known to be the one from before the run.

        It is if the fingerprints are equal, or if the run sent no value for it (``--secrets keep``) and was the last
        to write.
        """
        now, then = self.fingerprints_now(live), self.fingerprints_before
        if name in then:
            return now.get(name) == then[name]
        unchanged_since = self.latest.run == self.write.run and _has_left(self.write, live)
        not_sent = name not in self.write.fingerprints and name in secret_fields(self.write.intent or {})
        return unchanged_since and not_sent

    def is_secret_reverted(self, name: str, live: Attributes) -> bool:
        """Tell whether the secret needs no revert, given that the attributes are as before the run.

        If the journal has no fingerprint of the secret from before the run, it cannot be restored. Then the realm
        counts as reverted once a later run has restored its attributes, or each further revert would write it again.
        """
        later = self.latest.run != self.write.run and _has_left(self.latest, live)
        return self.has_secret_from_before(name, live) or (later and name not in self.fingerprints_before)

    def references(self, name: str, fingerprint: str = "") -> tuple[SecretRef, ...]:
        """Return each reference that the field was ever written from, those written with this fingerprint first."""
        writes = sorted(self.writes, key=lambda one: one.fingerprints.get(name) != fingerprint)
        found = (secret_fields(one.intent or {}).get(name) for one in writes)
        return tuple(dict.fromkeys(ref for ref in found if ref))


def _has_left(write: Write, attributes: Attributes) -> bool:
    """Tell whether a write is known to have left the realm with these attributes.

    Templates are not compared: not every write reads them, and the stored secret does not depend on them.
    """
    return write.step.is_done and _without_templates(write.after or {}) == _without_templates(attributes)


def _without_templates(attributes: Attributes) -> dict[str, str]:
    return {name: text for name, text in attributes.items() if not is_template(name)}


RULE = "earlier-secret"
"""The rule of a finding about a secret from before a run that cannot be restored."""


@dataclass(frozen=True)
class RevertTarget:
    """A realm to revert.

    ``fields`` are the settings from before the run, ``live_fields`` the current ones, and ``live`` the current masked
    attributes. ``changes`` are what a revert has to write, apart from the values of masked secrets.
    """

    history: RealmHistory
    fields: FieldMap
    live_fields: FieldMap
    live: Attributes
    changes: tuple[Change, ...]

    @property
    def masked(self) -> tuple[str, ...]:
        """The fields whose secret from before the run was masked by the server."""
        return masked_fields(self.fields)

    @property
    def is_reverted(self) -> bool:
        """Whether the realm is as it was before the run, its secrets included as far as the journal knows them."""
        return not self.changes and all(self.history.is_secret_reverted(name, self.live) for name in self.masked)

    @property
    def has_other_changes(self) -> bool:
        """Whether the revert writes more than masked secrets."""
        return any(change.field not in self.masked for change in self.changes)

    @property
    def keeps_login(self) -> bool:
        """Whether the realm logs in at the same host and as the same user before and after the revert."""
        return all(self.fields.get(name) == self.live_fields.get(name) for name in LOGIN_IDENTITY_FIELDS)


@dataclass(frozen=True)
class SecretChoice:
    """What a revert writes to a secret field: ``value``, or nothing if it is None.

    An error in ``finding`` means that the realm cannot be reverted.
    """

    value: FieldValue | None
    finding: Finding | None = None


@dataclass(frozen=True)
class _SecretLookup:
    """The reference that gives a secret. Without one, ``why`` is the reason and ``hint`` the next step."""

    ref: SecretRef | None
    why: str = ""
    hint: str = ""


_NOT_RECORDED = _SecretLookup(
    None, "the journal has no record of it", "write an entry with a reference for it in a spec, and apply the spec"
)


@dataclass(frozen=True)
class SecretRecovery:
    """Finds references by fingerprint. A reference that the policy forbids is not resolved."""

    context: PlanningContext
    fingerprint: Callable[[Secret], str]

    def choose(self, target: RevertTarget, name: str) -> SecretChoice:
        """Choose what to write to a masked secret field.

        In this order: with ``--secrets keep``, the stored secret; a reference that gives the secret from before the
        run; the present secret, if it goes to no new host or user and something else is reverted too; nothing, if
        the login was not in use. Otherwise the realm fails. A reference is chosen only if its value has the expected
        fingerprint.
        """
        history = target.history
        if self.context.mode is SecretMode.KEEP and (refs := history.references(name)):
            same = history.has_secret_from_before(name, target.live)
            note = None if same else _keeps_present(target, name, "--secrets keep was given", "")
            return SecretChoice(refs[0], note)
        lookup = self._find_reference(target, name, history.fingerprints_before.get(name))
        if lookup.ref:
            return SecretChoice(lookup.ref)
        if history.has_secret_from_before(name, target.live):
            return SecretChoice(None, _unchanged_but_unresolvable(target, name, lookup))
        present = self._present_value(target, name)
        if present is not None and target.has_other_changes:
            return SecretChoice(present, _keeps_present(target, name, lookup.why, lookup.hint))
        if not _is_in_use(target, name):
            message = f"`{name}` is not restored: {lookup.why}; the login it belonged to was not in use"
            return SecretChoice(None, _finding(Severity.WARNING, target, name, message, lookup.hint))
        return SecretChoice(None, _unrecoverable(target, name, lookup))

    def _present_value(self, target: RevertTarget, name: str) -> FieldValue | None:
        """Return a value that preserves the current secret.

        None if the login changes, so that the secret would go to another host or user, or if no reference gives it.
        """
        present = target.live_fields.get(name)
        if not target.keeps_login or present is None:
            return None
        if isinstance(present, Masked):
            now = target.history.fingerprints_now(target.live)
            return self._find_reference(target, name, now.get(name)).ref
        return present

    def _find_reference(self, target: RevertTarget, name: str, fingerprint: str | None) -> _SecretLookup:
        """Return the first recorded reference whose value has the fingerprint, else why the first one failed."""
        refs = target.history.references(name, fingerprint) if fingerprint else ()
        failed = []
        for ref in refs:
            lookup = self._try_reference(target, name, ref, fingerprint)
            if lookup.ref:
                return lookup
            failed.append(lookup)
        return failed[0] if failed else _NOT_RECORDED

    def _try_reference(self, target: RevertTarget, name: str, ref: SecretRef, fingerprint: str | None) -> _SecretLookup:
        wanted = desired_from_journal(target.history.write.realm, {**target.fields, name: ref})
        if forbidden := violations(self.context.policy, wanted):
            return _SecretLookup(None, forbidden[0].message, forbidden[0].hint)
        hint = f"put the earlier value back into {quoted(ref)}, then revert again"
        value = self.context.secrets.get([ref])[ref] if self.context.secrets else None
        if isinstance(value, SecretError):
            return _SecretLookup(None, value.message, hint)
        if value is None or self.fingerprint(value) != fingerprint:
            return _SecretLookup(None, f"{quoted(ref)} gives another value now", hint)
        return _SecretLookup(ref)


def _is_in_use(target: RevertTarget, name: str) -> bool:
    """Tell whether the login from before the run used the secret; an unreadable login counts as using it."""
    login = target.fields.get(LOGIN, Login.NONE)
    return not isinstance(login, Login) or LOGIN_SECRETS.get(login) == name


def _keeps_present(target: RevertTarget, name: str, why: str, hint: str) -> Finding:
    run = target.history.write.run
    message = f"`{name}` keeps its present value and does not get the one from before run {run}: {why}"
    return _finding(Severity.WARNING, target, name, message, hint)


def _unrecoverable(target: RevertTarget, name: str, lookup: _SecretLookup) -> Finding:
    message = f"cannot restore `{name}` from before run {target.history.write.run}: {lookup.why}"
    return _finding(Severity.ERROR, target, name, message, lookup.hint + _keep_hint(target, name))


def _unchanged_but_unresolvable(target: RevertTarget, name: str, lookup: _SecretLookup) -> Finding:
    run = target.history.write.run
    message = f"`{name}` is still the one from before run {run}, but a write has to send its value: {lookup.why}"
    return _finding(Severity.ERROR, target, name, message, lookup.hint + _keep_hint(target, name))


def _keep_hint(target: RevertTarget, name: str) -> str:
    is_masked = isinstance(target.live_fields.get(name), Masked)
    possible = target.keeps_login and is_masked and target.has_other_changes
    return ", or leave the stored one in place with --secrets keep" if possible else ""


def _finding(severity: Severity, target: RevertTarget, name: str, message: str, hint: str) -> Finding:
    return Finding(severity, RULE, message, hint, realm=target.history.write.realm, field=name)
