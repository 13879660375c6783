"""What the journal tells of one realm around a run: how the run found it, how it left it, and what came after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ztrust_mail.core.secret import SecretRef
from ztrust_mail.dialects.row import Attributes, is_template
from ztrust_mail.journal.records import Step, Write
from ztrust_mail.planning.compare import secret_fields


def has_written(write: Write) -> bool:
    """Tell whether a write changed its realm, may have done so, or was followed by something else than was meant."""
    if write.step is Step.FAILED:
        return write.after is not None and write.after != write.before
    return write.step.is_done or write.step.in_doubt


@dataclass(frozen=True)
class RealmHistory:
    """One realm around the write of a run.

    ``history`` holds all writes to the realm, newest first; ``earlier`` is the last one before the run's that
    wrote, ``latest`` the last of all that did. Attributes to compare with are masked.
    """

    write: Write
    history: tuple[Write, ...]
    earlier: Write | None
    latest: Write

    @classmethod
    def of(cls, write: Write, history: Sequence[Write]) -> RealmHistory:
        """Return the trail of a realm, given a write that wrote and all there were, newest first."""
        wrote = [one for one in history if has_written(one)]
        earlier = next((one for one in wrote if one.run < write.run), None)
        return cls(write, tuple(history), earlier, wrote[0])

    @property
    def fingerprints_before(self) -> Mapping[str, str]:
        """By field, which secret stood there before the run; a field is missing where that is not known."""
        known = self.earlier
        return known.fingerprints if known and _left(known, self.write.before) else {}

    def fingerprints_now(self, live: Attributes) -> Mapping[str, str]:
        """By field, which secret stands there now; a field is missing where that is not known."""
        return self.latest.fingerprints if _left(self.latest, live) else {}

    def is_as_left(self, live: Attributes, hidden: Sequence[str]) -> bool:
        """Tell whether the realm is as the run left it, the ``hidden`` secrets included."""
        if not _left(self.write, live) or self.write.after != live:
            return False
        if self.latest.run == self.write.run:
            return True
        now = self.fingerprints_now(live)
        return _left(self.latest, live) and all(now.get(n) == self.write.fingerprints.get(n) for n in hidden)

    def is_same_secret(self, name: str, live: Attributes) -> bool:
        """Tell whether the secret that stands there is known to be the one from before the run."""
        now, then = self.fingerprints_now(live), self.fingerprints_before
        if name in then:
            return now.get(name) == then[name]
        as_left = self.latest.run == self.write.run and _left(self.write, live)
        kept = name not in self.write.fingerprints and name in secret_fields(self.write.intent or {})
        return as_left and kept

    def counts_as_back(self, name: str, live: Attributes) -> bool:
        """Tell whether the secret is back, given that all else is.

        One that the journal never knew counts as back once a later run has written the realm: nothing can be gained.
        """
        later = self.latest.run != self.write.run and _left(self.latest, live)
        return self.is_same_secret(name, live) or (later and name not in self.fingerprints_before)

    def references(self, name: str, fingerprint: str = "") -> tuple[SecretRef, ...]:
        """Return each reference that a secret of this realm came from, those of the secret itself first."""
        writes = sorted(self.history, key=lambda one: one.fingerprints.get(name) != fingerprint)
        found = (secret_fields(one.intent or {}).get(name) for one in writes)
        return tuple(dict.fromkeys(ref for ref in found if ref))


def _left(write: Write, attributes: Attributes) -> bool:
    """Tell whether a write is known to have left these attributes behind, whatever stands beside them.

    Which secret stands there depends on the attributes alone, and not every write looked beside them.
    """
    return write.step.is_done and _own(write.after or {}) == _own(attributes)


def _own(attributes: Attributes) -> dict[str, str]:
    return {name: text for name, text in attributes.items() if not is_template(name)}
