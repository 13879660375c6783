"""The common part of checks that probe relays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from ztrust_mail.kits.kit import Candidate, CheckContext, Kit
from ztrust_mail.probing.outcome import RelayOutcome, Stage
from ztrust_mail.probing.relay import Relay, sender_of
from ztrust_mail.probing.run import probe_relays


class RelayKit(Kit[Relay, RelayOutcome]):
    """Probes each relay once, with the envelope senders of its realms. ``until`` is the last stage."""

    until: ClassVar[Stage]

    def probe(self, uses: Mapping[Relay, Sequence[Candidate]], context: CheckContext) -> Mapping[Relay, RelayOutcome]:
        """Probe each relay until the check's last stage."""
        senders = {
            relay: list(dict.fromkeys(filter(None, (sender_of(one.fields or {}) for one in users))))
            for relay, users in uses.items()
        }
        options = replace(context.probe, until=self.until)
        found = probe_relays(
            senders, options, context.store, context.redactor, lambda relay: context.done(len(uses[relay]))
        )
        return {one.relay: replace(one, realms=tuple(user.realm for user in uses[one.relay])) for one in found}

    def relays(self, seen: Sequence[RelayOutcome]) -> tuple[RelayOutcome, ...]:
        """Return the probes."""
        return tuple(seen)
