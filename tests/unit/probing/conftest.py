"""Probes of single relays, with the secrets that a test gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import Secret
from ztrust_mail.probing.connection import Deadline
from ztrust_mail.probing.dialogue import SmtpDialogue
from ztrust_mail.probing.options import ProbeOptions
from ztrust_mail.probing.outcome import RelayOutcome
from ztrust_mail.probing.relay import Relay

Look = Callable[..., RelayOutcome]


@pytest.fixture
def look() -> Look:
    """Return the outcome of a probe of a relay."""

    def run(
        relay: Relay,
        *,
        secret: str = "",
        senders: Sequence[str] = ("no-reply@acme.example",),
        **options: object,
    ) -> RelayOutcome:
        how = ProbeOptions(**{"deadline": 20.0, **options})  # type: ignore[arg-type]  # the tests' own values
        redactor = Redactor()
        redactor.add([Secret(secret)] if secret else [])
        dialogue = SmtpDialogue(relay, senders, how, redactor, Deadline(how.deadline))
        if secret:
            dialogue.secret = Secret(secret)
        return dialogue.run()

    return run
