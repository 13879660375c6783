"""What the journal knows of one realm: the writes before, by and after a run, and which secret was stored when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ztrust_mail.core.secret import SecretRef
from ztrust_mail.dialects.row import Attributes, is_template
from ztrust_mail.journal.records import Step, Write
from ztrust_mail.planning.compare import secret_fields


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
