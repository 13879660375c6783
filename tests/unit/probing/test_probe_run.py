"""Realms that share a relay: one dialogue for all of them, whatever their number."""

from __future__ import annotations

import signal
import threading

import pytest
from support.relays import OddRelays, Talk, answering

from ztrust_mail.core.errors import ExitStatus, RealmMissing
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.model.fields import FieldMap, Login, Masked, Raw, Security
from ztrust_mail.probing.options import ProbeOptions
from ztrust_mail.probing.outcome import ProbeStatus, Stage
from ztrust_mail.probing.run import ProbedStatus, ProbeRun, probe_realms
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.secrets.store import SecretStore

LOGIN_OFFER = b"250-x\r\n250 AUTH PLAIN\r\n"


def fields(port: int, sender: str = "a@acme.example", **more: object) -> FieldMap:
    base = {"sender.address": sender, "relay.host": "127.0.0.1", "relay.port": port, "relay.security": Security.NONE}
    return {**base, **{name.replace("__", "."): value for name, value in more.items()}}


def with_login(port: int, secret: object) -> FieldMap:
    login = {"relay__auth": Login.BASIC, "relay__auth__username": "u", "relay__auth__password": secret}
    return fields(port, **login)


def run(jobs, variables=None, **options: object) -> ProbeRun:
    redactor = Redactor()
    store = SecretStore(Reach(environ=variables or {}), redactor)
    return probe_realms("https://id.example", jobs, ProbeOptions(**options), store, redactor)


def test_400_realms_on_5_relays_take_5_dialogues(odd_relays: OddRelays) -> None:
    relays = [odd_relays(answering()) for _ in range(5)]
    jobs = {f"t{n}": fields(relays[n % 5].port, f"no-reply@t{n}.example") for n in range(400)}
    done = run(jobs)
    assert [relay.connections for relay in relays] == [1] * 5
    assert [len(one.realms) for one in done.relays] == [80] * 5
    assert {one.status for one in done.realms} == {ProbedStatus.OK}
    assert (done.exit_status, len(done.realms)) == (ExitStatus.OK, 400)
    assert done.raise_for_status() is None


def test_the_progress_counts_realms(odd_relays: OddRelays) -> None:
    relay, other = odd_relays(answering()), odd_relays(answering())
    seen: list[tuple[int, int]] = []
    redactor = Redactor()
    jobs = {"a": fields(relay.port), "b": fields(relay.port), "c": fields(other.port)}
    probe_realms("", jobs, ProbeOptions(), SecretStore(Reach(), redactor), redactor, lambda *n: seen.append(n))
    assert seen[-1] == (3, 3)
    assert len(seen) == 2


def test_another_login_is_another_dialogue(odd_relays: OddRelays) -> None:
    relay = odd_relays(answering({"EHLO": LOGIN_OFFER, "AUTH": b"235 ok\r\n"}))
    jobs = {name: with_login(relay.port, SecretRef(SecretKind.ENV, (name,))) for name in ("A", "B")}
    done = run({**jobs, "C": with_login(relay.port, SecretRef(SecretKind.ENV, ("A",)))}, {"A": "one", "B": "two"})
    assert relay.connections == 2
    assert [one.realms for one in done.relays] == [("A", "C"), ("B",)]


@pytest.mark.parametrize(
    ("secret", "words", "status"),
    [
        (Masked(), "masks the stored secret", ExitStatus.OK),
        (None, "masks the stored secret", ExitStatus.OK),
        (SecretRef(SecretKind.KEYCLOAK_VAULT, ("smtp",)), "vault", ExitStatus.OK),
        (SecretRef(SecretKind.ENV, ("UNSET",)), "`UNSET` is not set", ExitStatus.PARTIAL),
        (SecretRef(SecretKind.ENV, ("MASK",)), "it is a mask", ExitStatus.PARTIAL),
    ],
)
def test_a_login_without_a_usable_secret_is_not_tested(odd_relays, secret, words: str, status: ExitStatus) -> None:
    relay = odd_relays(answering({"EHLO": LOGIN_OFFER}))
    done = run({"acme": with_login(relay.port, secret)}, {"MASK": "**********"}, allow_clear_login=True)
    stage = done.relays[0].stage(Stage.LOGIN)
    assert (stage.status, stage.rule) == (ProbeStatus.NOT_TESTED, "relay-login-not-tested")
    assert words in stage.detail
    assert stage.detail.startswith("login not tested: ")
    assert done.exit_status is status
    assert done.realms[0].status is ProbedStatus.NOT_TESTED


def test_secrets_are_resolved_only_for_logins_that_are_tested(odd_relays: OddRelays) -> None:
    relay = odd_relays(answering({"EHLO": LOGIN_OFFER}))
    asked: list[str] = []

    class Watched(dict):
        def __contains__(self, name: object) -> bool:
            asked.append(str(name))
            return super().__contains__(name)

    jobs = {"acme": with_login(relay.port, SecretRef(SecretKind.ENV, ("PW",)))}
    assert run(jobs, Watched(PW="x")).exit_status is ExitStatus.OK
    assert run(jobs, Watched(PW="x"), allow_clear_login=True, until=Stage.EHLO).exit_status is ExitStatus.OK
    assert asked == []
    run(jobs, Watched(PW="x"), allow_clear_login=True)
    assert asked == ["PW"]


def test_realms_without_a_relay_have_a_status_of_their_own(odd_relays: OddRelays) -> None:
    relay = odd_relays(answering())
    jobs = {
        "none": None,
        "gone": RealmMissing("no such realm", "", "no-realm"),
        "odd": {**fields(relay.port), "relay.port": Raw("x")},
        "zero": fields(0),
        "both": {**fields(relay.port), "relay.security": Raw("ssl and starttls")},
        "fine": fields(relay.port),
    }
    done = run(jobs)
    assert [(one.realm, one.status.value) for one in done.realms] == [
        ("none", "skipped"),
        ("gone", "missing"),
        ("odd", "failed"),
        ("zero", "failed"),
        ("both", "failed"),
        ("fine", "ok"),
    ]
    assert {one.rule for one in done.findings} == {"no-realm", "relay-settings"}
    assert done.exit_status is ExitStatus.PARTIAL


def test_a_refused_sender_fails_its_own_realm_alone(odd_relays: OddRelays) -> None:
    def play(talk: Talk) -> None:
        talk.say(b"220 hi\r\n")
        while (line := talk.hear()) != b"QUIT":
            talk.say(b"550 5.7.1 no\r\n" if b"bad@" in line else b"250 OK\r\n")

    relay = odd_relays(play)
    done = run({"good": fields(relay.port), "bad": fields(relay.port, "bad@acme.example")})
    assert {one.realm: one.status for one in done.realms} == {"good": ProbedStatus.OK, "bad": ProbedStatus.FAILED}
    assert done.exit_status is ExitStatus.DIFFERS


@pytest.mark.usefixtures("ctrl_c")
def test_an_interruption_ends_all_dialogues(odd_relays: OddRelays) -> None:
    main, ended = threading.main_thread().ident, threading.Event()

    def play(talk: Talk) -> None:
        signal.pthread_kill(main, signal.SIGINT)
        talk.wait_for_the_end()
        ended.set()

    redactor = Redactor()
    jobs = {"slow": fields(odd_relays(play).port)}
    with pytest.raises(KeyboardInterrupt):
        probe_realms("", jobs, ProbeOptions(deadline=60), SecretStore(Reach(), redactor), redactor)
    assert ended.wait(10)
