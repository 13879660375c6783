"""Records one run in the journal: all intents before the first request, then each step."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ztrust_mail.applying.outcome import RealmOutcome
from ztrust_mail.core.findings import Severity
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.journal.records import JournalState, LastKnown, NewRun, Outcome, Step, Update, Write
from ztrust_mail.planning.compare import SecretMode, secret_fields
from ztrust_mail.planning.plan import Plan, RealmPlan
from ztrust_mail.planning.secret_state import changed_login_fields
from ztrust_mail.secrets.store import ResolvedSecrets

if TYPE_CHECKING:
    from ztrust_mail.journal.journal import Journal


class Recorder:
    """Records one run. Threads may share it."""

    def __init__(self, journal: Journal, dialect: Dialect) -> None:
        self._journal = journal
        self._dialect = dialect
        self._lock = threading.Lock()
        self._waiting: list[Update] = []
        self.number = 0

    def begin(self, run: NewRun, plan: Plan, values: ResolvedSecrets, memory: JournalState) -> None:
        """Record the intent for every realm. Raises :class:`JournalError`; nothing may be written to the server then.

        Realms that could not be planned are recorded as failed, so that a resumed run includes them.
        """
        todo, mode = plan.changed, plan.secrets
        if mode is SecretMode.KEEP:
            fingerprints = {realm.realm: self._last_fingerprints(realm, memory.of(realm.realm)) for realm in todo}
        else:
            fingerprints = self._take_fingerprints(todo, values)
        writes = [
            Write(
                realm.realm,
                self._dialect.mask_secrets(realm.attributes),
                None if realm.wanted.disabled else realm.wanted.fields,
                fingerprints[realm.realm],
            )
            for realm in todo
        ]
        unplanned = [
            Write(realm.realm, {}, realm.wanted.fields, step=Step.FAILED, error=_error(realm))
            for realm in plan.realms
            if realm.is_left_out
        ]
        self.number = self._journal.begin(run, [*writes, *unplanned])

    def _take_fingerprints(self, todo: Sequence[RealmPlan], values: ResolvedSecrets) -> dict[str, Mapping[str, str]]:
        self._journal.fingerprints(value for value in values.values() if isinstance(value, Secret))  # all at once
        return {
            realm.realm: {
                name: self._journal.fingerprint(value)
                for name, ref in secret_fields(realm.wanted.fields).items()
                if isinstance(value := values[ref], Secret)
            }
            for realm in todo
        }

    def _last_fingerprints(self, realm: RealmPlan, known: LastKnown) -> Mapping[str, str]:
        """Return the fingerprints of a realm's last write, none if its stored secret may have changed since."""
        if known.last is None or known.doubt or changed_login_fields(self._dialect, known.last, realm.attributes):
            return {}
        return known.last.fingerprints

    def mark_intents(self, realms: Iterable[str]) -> None:
        """Record that these realms are about to be written, together with the steps that wait to be recorded."""
        self._flush(Update(realm, Step.WRITING) for realm in realms)

    def record_attempt(self, attempt: RealmOutcome) -> None:
        """Note the answer to a write; the next mark puts it on disk."""
        if attempt.step is not Step.WRITING:
            with self._lock:
                self._waiting.append(Update(attempt.realm, attempt.step, error=_error(attempt)))

    def record_readback(self, outcomes: Iterable[RealmOutcome]) -> None:
        """Record what the server stores, or its response if it shows no settings."""
        self._flush(
            Update(
                one.realm,
                one.step,
                self._dialect.mask_secrets(one.live.attributes) if one.live else None,
                _error(one),
            )
            for one in outcomes
            if not one.step.in_doubt
        )

    def finish(self, outcome: Outcome, skipped: Iterable[str]) -> None:
        """Record the end of the run, and the realms that it skipped."""
        self._flush(Update(realm, Step.SKIPPED) for realm in skipped)
        self._journal.finish(self.number, outcome)

    def _flush(self, more: Iterable[Update]) -> None:
        with self._lock:
            updates, self._waiting = [*self._waiting, *more], []
            if updates:
                self._journal.record(self.number, updates)


def _error(realm: RealmPlan | RealmOutcome) -> str:
    return next((f.message for f in realm.findings if f.severity is Severity.ERROR), "")
