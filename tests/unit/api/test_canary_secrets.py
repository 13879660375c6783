"""A secret in every place where one can stand: no output, log, report, plan or journal ever holds it."""

from __future__ import annotations

import base64
import html
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, quote

import pytest
from support.bad_server import nobody
from support.canaries import (  # noqa: F401  # the options are a fixture
    APPLIES,
    ELSEWHERE,
    LOUD,
    MARK,
    OTHERS,
    PLANS,
    REALMS,
    REFERENCES,
    SURE,
    WORK,
    Ring,
    Watch,
    all_of_it,
    canary,
    leaks,
    options_fixture,
    settings,
    spec,
)
from support.cli import PATIENCE, raising

from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.rules import COMMANDS
from ztrust_mail.gateways.keycloak.gateway import KeycloakGateway
from ztrust_mail.sandbox import Sandbox
from ztrust_mail.sandbox import sandbox as server
from ztrust_mail.sandbox.admin_api.request import Call
from ztrust_mail.sandbox.quirks import Answer, error, error_message
from ztrust_mail.secrets.store import FETCHERS


def test_every_command_is_run_with_canary_secrets() -> None:
    names = set(COMMANDS)
    assert names == {command[0] for command in (*WORK, *OTHERS)} | ELSEWHERE.keys()


def test_the_canary_spec_has_every_kind_of_secret_that_is_resolved_here() -> None:
    kinds = {kind for reference in REFERENCES.values() for kind in reference}
    assert kinds == set(FETCHERS), "tests/support/canaries.py: REFERENCES, and where it stores the secrets"


@pytest.mark.parametrize("ztrust_sandbox_options", ["26.7.4", "16.1.1"], indirect=True)
def test_successful_commands_show_no_secret(watch: Watch, ztrust_sandbox: Sandbox) -> None:
    ended = all_of_it(watch, *OTHERS, *PLANS, *APPLIES)
    assert ExitStatus.BUG not in ended
    held = {realm: ztrust_sandbox.smtp(realm) for realm in REALMS}
    assert held["acme"]["password"] == canary("ONE")
    assert held["globex"]["authTokenClientSecret"] == canary("TWO")
    others = {realm: canary(*reference) for realm, reference in REFERENCES.items() if realm != "acme"}
    assert {realm: held[realm]["password"] for realm in others} == others

    watch.cli.monkeypatch.setenv("MAIL_ONE", canary("ONE-new"))
    for name in REALMS:
        ztrust_sandbox.edit_smtp(name, {**ztrust_sandbox.smtp(name), "x-note": "somebody was here"})
    ended = all_of_it(watch, *WORK, *reversed(WORK))
    assert ExitStatus.BUG not in ended
    assert len(ended[ExitStatus.OK]) > len(WORK)
    assert ztrust_sandbox.smtp("acme")["password"] == canary("ONE-new")
    assert (watch.cli.folder / "plan.json").stat().st_size > 0


def down(watch: Watch, sandbox: Sandbox) -> None:
    with nobody() as url:
        watch.write("settings.toml", settings(url))


def wrong_password(watch: Watch, sandbox: Sandbox) -> None:
    watch.write("settings.toml", settings(sandbox.url).replace(canary("admin"), canary("wrong")))


def wrong_client(watch: Watch, sandbox: Sandbox) -> None:
    sandbox.create_client("master", "other", canary("another"), ["admin"])
    watch.write(
        "settings.toml",
        settings(sandbox.url).replace("servers.main", "servers.third").replace("servers.other", "servers.main"),
    )


def wrong_token(watch: Watch, sandbox: Sandbox) -> None:
    watch.write("settings.toml", f'[servers.main]\nurl = "{sandbox.url}"\n')
    watch.cli.set(TOKEN=canary("token"))


def forbidden_by_the_policy(watch: Watch, sandbox: Sandbox) -> None:
    policy = '[policy]\nrelays = ["relay.acme.example"]\n[policy.secrets]\nenv = ["OTHER_"]\n'
    watch.write("settings.toml", settings(sandbox.url, policy))


def secrets_missing(watch: Watch, sandbox: Sandbox) -> None:
    for name in ("MAIL_ONE", "MAIL_TWO"):
        watch.cli.monkeypatch.delenv(name)
    (watch.cli.folder / "secret.txt").unlink()
    watch.write("tell.py", f"import sys; sys.exit({canary('said')!r})")
    watch.cli.write("mail.json", json.dumps(spec(sandbox.mail.port, "New")))


def secrets_that_are_none(watch: Watch, sandbox: Sandbox) -> None:
    for name, value in {"MAIL_ONE": canary("line\nbreak"), "MAIL_TWO": canary("long") * 30}.items():
        watch.cli.monkeypatch.setenv(name, value)
    (watch.cli.folder / "secret.txt").write_bytes(canary("half").encode() + b"\xff\xfe")


def keyring_broken(watch: Watch, sandbox: Sandbox) -> None:
    watch.cli.monkeypatch.setattr(Ring, "get_password", raising(RuntimeError(canary("keyring-error"))))


def journal_closed(watch: Watch, sandbox: Sandbox) -> None:
    watch.cli.set(JOURNAL=f"sqlite:///{watch.cli.folder}/secret.txt/journal.sqlite3")


def journal_damaged(watch: Watch, sandbox: Sandbox) -> None:
    path = watch.write("damaged.sqlite3", "no journal at all: " + canary("journal") * 100)
    watch.cli.set(JOURNAL=f"sqlite:///{watch.cli.folder}/{path}")


def journal_elsewhere(watch: Watch, sandbox: Sandbox) -> None:
    watch.cli.set(JOURNAL=f"postgresql://u:{canary('database')}@127.0.0.1:1/journal?sslcert={canary('query')}")


def all_unavailable(watch: Watch, sandbox: Sandbox) -> None:
    sandbox.faults.unavailable = True


def realms_failing(watch: Watch, sandbox: Sandbox) -> None:
    sandbox.faults.failing_realms |= {"acme", "globex"}


def breaking(where: str, error: BaseException) -> Callable[[Watch, Sandbox], None]:
    def break_it(watch: Watch, sandbox: Sandbox) -> None:
        watch.cli.monkeypatch.setattr(where, raising(error))

    return break_it


def everything() -> str:
    """Return all secrets there are."""
    names = ["admin", "client", "ONE", "TWO", *FETCHERS, *(f"{r}-password" for r in REALMS)]
    return " ".join(map(canary, names))


TROUBLES: Mapping[str, tuple[Callable[[Watch, Sandbox], None], ExitStatus]] = {
    "the server is down": (down, ExitStatus.UNREACHABLE),
    "the server is unavailable": (all_unavailable, ExitStatus.UNREACHABLE),
    "realms fail": (realms_failing, ExitStatus.PARTIAL),
    "the password is wrong": (wrong_password, ExitStatus.UNREACHABLE),
    "the client's secret is wrong": (wrong_client, ExitStatus.UNREACHABLE),
    "the token is wrong": (wrong_token, ExitStatus.UNREACHABLE),
    "the policy forbids it": (forbidden_by_the_policy, ExitStatus.UNSAFE),
    "secrets are missing": (secrets_missing, ExitStatus.PARTIAL),
    "secrets are none": (secrets_that_are_none, ExitStatus.PARTIAL),
    "the keyring is broken": (keyring_broken, ExitStatus.PARTIAL),
    "the journal cannot be opened": (journal_closed, ExitStatus.USAGE),
    "the journal is damaged": (journal_damaged, ExitStatus.USAGE),
    "the journal's database is down": (journal_elsewhere, ExitStatus.USAGE),
    "a bug in reading": (
        breaking("ztrust_mail.gateways.keycloak.gateway.KeycloakGateway.read", ValueError(everything())),
        ExitStatus.BUG,
    ),
    "a bug in writing": (
        breaking("ztrust_mail.gateways.keycloak.gateway.KeycloakGateway.write", ValueError(everything())),
        ExitStatus.BUG,
    ),
    "a bug in the journal": (
        breaking("ztrust_mail.journal.journal.Journal.record", KeyError(everything())),
        ExitStatus.BUG,
    ),
    "a bug in resolving": (breaking("ztrust_mail.secrets.store.resolve", OSError(everything())), ExitStatus.BUG),
    "ctrl-c in writing": (
        breaking("ztrust_mail.applying.apply.ApplyRun._write_wave", KeyboardInterrupt(everything())),
        ExitStatus.INTERRUPTED,
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_failing_commands_show_no_secret(watch: Watch, ztrust_sandbox: Sandbox, trouble: str) -> None:
    begun = ("apply", "mail.json", "--realm", "acme", "--realm", "initech", *SURE)
    assert ExitStatus.OK in all_of_it(watch, PLANS[1], begun)
    befall, status = TROUBLES[trouble]
    befall(watch, ztrust_sandbox)
    ended = all_of_it(watch, *WORK, ("pull",), ("init", "--realm", "acme"))
    assert " ".join(APPLIES[0]) in ended[status]


ODD = canary('odd "quoted" <ü> &+/% \\ end')
"""A secret with all that is written otherwise in JSON and URLs."""


def password_in(body: str) -> str:
    """Return the password that a request carried."""
    if not body.startswith("{"):
        return dict(parse_qsl(body))["password"]
    sent = json.loads(body)
    return str(sent.get("smtpServer", sent).get("password", ""))


ECHOES: Mapping[str, Callable[[str], str]] = {
    "as it came": str,
    "as a value": lambda body: f"{{auth=true, password={password_in(body)}}}",
    "as a part of a URL": lambda body: quote(password_in(body), ""),
    "as HTML": lambda body: html.escape(password_in(body)),
    "as SMTP sends it": lambda body: base64.b64encode(f"\0u\0{password_in(body)}".encode()).decode(),
}


@pytest.mark.parametrize("status", [400, 401, 404, 500])
@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("where", ["login", "work"])
def test_a_server_that_quotes_a_secret_does_not_make_it_show(
    watch: Watch, ztrust_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, where: str, echo: str, status: int
) -> None:
    said: list[str] = []
    answer = server.answer

    def saying_it_back(call: Call) -> Answer:
        is_login = call.path.endswith("token")
        if is_login is (where == "work") or call.method == "GET":
            return answer(call)
        said.append(f"Realm, client secret: {ECHOES[echo](call.raw_body.decode())} {call.authorization}")
        return error(status, "invalid_grant", said[-1]) if is_login else error_message(status, said[-1])

    monkeypatch.setattr(server, "answer", saying_it_back)
    if where == "login":
        watch.write("settings.toml", settings(ztrust_sandbox.url).replace(f'"{canary("admin")}"', json.dumps(ODD)))
    else:
        monkeypatch.setenv("MAIL_ONE", ODD)
    all_of_it(watch, ("doctor",), ("apply", "mail.json", *SURE), ("test", "--spec", "mail.json"))
    assert all(map(leaks, said))


def of_realms(call: Call) -> bool:
    return call.path.startswith("/admin/realms")


def told(secret: str) -> Answer:
    return error_message(500, f"cannot use {secret} or {base64.b64encode(f'?{secret}'.encode()).decode()}")


def sent_on(secret: str) -> Answer:
    return Answer(307, headers={"Location": f"http://{secret}@elsewhere.example/"})


SECRETS: Mapping[str, Callable[[Call], str]] = {
    "a stored password": lambda call: canary("ONE"),
    "the administrator's password": lambda call: canary("admin"),
    "the access token": lambda call: call.authorization.removeprefix("Bearer "),
}

LATER: Mapping[str, Callable[[Call], bool]] = {
    "the read-back": lambda call: call.method == "GET",
    "another write": lambda call: call.method == "PUT",
    "the test call": lambda call: call.method == "POST",
}
"""Which requests are answered with a secret that they did not carry, once a realm was written."""


@pytest.mark.parametrize("saying", [told, sent_on])
@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("later", LATER)
def test_an_answer_that_quotes_a_secret_of_another_request_does_not_make_it_show(
    watch: Watch,
    ztrust_sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    later: str,
    secret: str,
    saying: Callable[[str], Answer],
) -> None:
    said: list[str] = []
    writes: list[str] = []
    answer = server.answer

    def answering(call: Call) -> Answer:
        if of_realms(call) and writes and LATER[later](call):
            said.append(SECRETS[secret](call))
            return saying(said[-1])
        writes.extend([call.path] if call.method == "PUT" else [])
        return answer(call)

    monkeypatch.setattr(server, "answer", answering)
    all_of_it(watch, ("apply", "mail.json", "--canary", "1", *SURE), ("test", "--spec", "mail.json"))
    assert said


LOUDLY = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
for name in sys.argv.pop(1).split(","):
    logging.getLogger(name).setLevel(logging.DEBUG)
if sys.argv.pop(1) == "broken":
    from ztrust_mail.gateways.keycloak.gateway import KeycloakGateway
    def write(self, realm, attributes, before):
        raise ValueError({name: getattr(value, "reveal", lambda: value)() for name, value in attributes.items()})
    KeycloakGateway.write = write
from ztrust_mail.cli.main import main
main()
"""


@pytest.mark.parametrize(("state", "status"), [("sound", ExitStatus.OK), ("broken", ExitStatus.BUG)])
def test_a_separate_process_that_logs_everything_shows_no_secret(watch: Watch, state: str, status: ExitStatus) -> None:
    arguments = ("apply", "mail.json", "--realm", "acme", "--realm", "initech", *SURE, "--report", "json=report.json")
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", LOUDLY, ",".join(LOUD), state, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert b"DEBUG:urllib3" in done.stderr
    assert not leaks(done.stdout + done.stderr)


# Whoever looks would find something


@pytest.mark.parametrize(
    "disguise",
    [
        str,
        lambda secret: secret[::-1],
        lambda secret: secret.encode().hex(),
        lambda secret: base64.b64encode(f"u:{secret}".encode()).decode(),
        lambda secret: base64.b64encode(f"us:{secret}".encode()).decode(),
        lambda secret: base64.b64encode(f"use:{secret}".encode()).decode(),
        lambda secret: secret.encode("utf-16-le").decode("latin-1"),
        lambda secret: "Bearer eyJhbGciOiJSUzI1NiJ9.e30.x",
    ],
)
def test_an_encoded_secret_counts_as_a_leak(disguise: Callable[[str], str]) -> None:
    assert leaks(f"the password is {disguise(canary('x'))}.")
    assert not leaks("the password is (secret from env:MAIL_ONE)")


def leaking(kind: str) -> Callable[..., object]:
    """Return a function that lets a secret out, of the kind that the place takes."""
    secret = canary(kind)

    def log(*_: object) -> list[object]:
        logging.getLogger("urllib3").debug("posting %s", {"password": secret})
        return []

    ways: Mapping[str, Callable[..., object]] = {
        "output": lambda value: f"{value} {secret}",
        "report": lambda said, *_, **__: f"{secret} {said}",
        "journal": lambda value, salt: value.decode(),
        "plan": lambda fields: {"sender.address": secret},
        "log": log,
        "traceback": lambda e: print(secret, file=sys.stderr) or 70,
    }
    return ways[kind]


LEAKS = {
    "output": "ztrust_mail.reports.text.plan.display_value",
    "report": "ztrust_mail.reports.style.plain",
    "journal": "ztrust_mail.journal.journal._scrypt",
    "plan": "ztrust_mail.planning.saved.write.to_json",
    "log": "ztrust_mail.api.run.settle",
    "traceback": "ztrust_mail.cli.main._report_internal_error",
}


def work_and_look(watch: Watch) -> None:
    all_of_it(watch, PLANS[1], APPLIES[0])
    watch.look()


@pytest.mark.parametrize("kind", LEAKS)
def test_a_deliberate_leak_is_found(watch: Watch, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(LEAKS[kind], leaking(kind))
    if kind == "traceback":
        monkeypatch.setattr(KeycloakGateway, "write", raising(ValueError()))
    with pytest.raises(AssertionError, match=MARK):
        work_and_look(watch)
    watch.is_over = True


def own_references(watch: Watch) -> Mapping[str, str]:
    """Return a reference of each kind that leads to the administrator's password."""
    watch.write("admin.txt", canary("admin"))
    watch.write("tell_admin.py", f"print({canary('admin')!r})")
    watch.cli.monkeypatch.setenv("ADMIN_CANARY", canary("admin"))
    return {
        "env": '{env = "ADMIN_CANARY"}',
        "file": '{file = "admin.txt"}',
        "command": f'{{command = ["{sys.executable}", "tell_admin.py"]}}',
        "keyring": '{keyring = ["ztrust-mail", "main"]}',
    }


@pytest.mark.parametrize("kind", [kind.value for kind in FETCHERS])
def test_a_servers_login_from_a_reference_is_used_and_not_shown(
    watch: Watch, ring: Ring, ztrust_sandbox: Sandbox, kind: str
) -> None:
    text = settings(ztrust_sandbox.url)
    watch.write("settings.toml", text.replace(f'"{canary("admin")}"', own_references(watch)[kind]))
    ring.entry = canary("admin") if kind == "keyring" else ring.entry
    checks = (("servers",), ("servers", "--check", "--verbose"), ("doctor", "--verbose"))
    ended = all_of_it(watch, *checks, PLANS[0], ("drift", "mail.json"))
    assert ExitStatus.BUG not in ended
    assert "doctor --verbose" in ended[ExitStatus.OK]
    ring.entry = RuntimeError(canary("admin"))
    watch.cli.monkeypatch.setenv("ADMIN_CANARY", f"{canary('admin')}\n\n{canary('admin')}")
    watch.write("admin.txt", f"\0{canary('admin')}")
    watch.write("tell_admin.py", f"import sys; print({canary('admin')!r}, file=sys.stderr); sys.exit(1)")
    ended = all_of_it(watch, ("servers", "--check"), ("doctor",), PLANS[0])
    assert [*ended] == [ExitStatus.USAGE]


def test_a_servers_login_from_a_variable_of_its_own_is_used_and_not_shown(
    watch: Watch, ztrust_sandbox: Sandbox
) -> None:
    watch.write("settings.toml", settings(ztrust_sandbox.url).replace(f'password = "{canary("admin")}"\n', ""))
    watch.cli.set(MAIN_PASSWORD=canary("admin"))
    ended = all_of_it(watch, ("servers", "--check"), ("doctor", "--verbose"))
    assert "doctor --verbose" in ended[ExitStatus.OK]
    watch.cli.set(MAIN_PASSWORD=canary("wrong"), OTHER_TOKEN=canary("token"))
    assert ExitStatus.BUG not in all_of_it(watch, ("servers", "--check"), ("doctor",), ("doctor", "--server", "other"))
