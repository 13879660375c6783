"""Whatever a relay says, the probe ends by its deadline with an outcome, and without the secret."""

from __future__ import annotations

import base64
import socket
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.relays import ScriptedRelay, Talk

from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import Secret
from ztrust_mail.model.fields import Login, Security
from ztrust_mail.probing.connection import Deadline
from ztrust_mail.probing.dialogue import SmtpDialogue
from ztrust_mail.probing.options import ProbeOptions, stages_of
from ztrust_mail.probing.outcome import ProbeStatus
from ztrust_mail.probing.run import ProbeRun
from ztrust_mail.reports.report import OutputFormat, load_format, of_probe

PASSWORD = "zQ7kanari-pässword"
ECHO = base64.b64encode(f"\0u\0{PASSWORD}".encode())

pieces = st.one_of(
    st.sampled_from(
        [
            b"220 hi\r\n", b"250 ok\r\n", b"250-x\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN XOAUTH2\r\n", b"334 \r\n",
            b"334 !!!\r\n", b"235 ok\r\n", b"535 " + ECHO + b"\r\n", b"535 " + PASSWORD.encode() + b"\r\n",
            b"421 bye\r\n", b"354 go\r\n", b"250-", b"\x1b[2J\r\n", b"999 x\r\n", b"220\r\n", b"\x16\x03\x01", b"",
        ]
    ),
    st.binary(max_size=60),
    st.builds(lambda code, text: b"%d %s\r\n" % (code, text), st.integers(200, 599), st.binary(max_size=20)),
)  # fmt: skip


@given(
    script=st.lists(pieces, max_size=12),
    security=st.sampled_from(Security),
    polite=st.booleans(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_replies_end_in_an_outcome_without_the_secret(script, security, polite: bool) -> None:
    def play(talk: Talk) -> None:
        for place, said in enumerate(script):
            if polite and place:
                talk.hear()
            talk.say(said)
        with suppress(OSError):
            talk.close()

    redactor = Redactor()
    redactor.add([Secret(PASSWORD)])
    with ScriptedRelay(play) as server:
        relay = server.settings(security, login=Login.BASIC, username="u")
        options = ProbeOptions(deadline=0.5, patience=0.1, allow_clear_login=True, to="b@acme.example", send=True)
        dialogue = SmtpDialogue(relay, ["a@acme.example"], options, redactor, Deadline(options.deadline))
        dialogue.secret = Secret(PASSWORD)
        outcome = dialogue.run()
    assert [one.stage for one in outcome.stages] == list(stages_of(relay))
    assert outcome.seconds < 30
    assert outcome.status in (ProbeStatus.FAILED, ProbeStatus.OK, ProbeStatus.WARNING, ProbeStatus.NOT_TESTED)
    run = ProbeRun("", (outcome,))
    shown = repr(outcome) + "".join(load_format(one).document(of_probe(run)) for one in OutputFormat)
    for secret in (PASSWORD, ECHO.decode(), base64.b64encode(PASSWORD.encode()).decode()):
        assert secret not in shown
    assert "\x1b" not in shown


def test_the_deadline_ends_a_connection_that_is_open(monkeypatch) -> None:
    ours, theirs = socket.socketpair()
    with theirs, Deadline(60) as deadline:
        deadline.watch(ours)
        deadline.expire()
        assert ours.recv(1) == b""
        assert deadline.is_over
        later, other = socket.socketpair()
        with other:
            deadline.watch(later)
            assert later.recv(1) == b""
