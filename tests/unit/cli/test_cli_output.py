"""What leaves the command line: reports, JSON in every failure, hostile text made harmless, and no secret ever."""

from __future__ import annotations

import json
import logging
import os
import socket
import unicodedata
from pathlib import Path

import pytest
from support.bad_server import BadServer, answer
from support.cli import Cli, Ran, raising, report_validator

from ztrust_mail.cli import output
from ztrust_mail.gateways.keycloak.gateway import KeycloakGateway
from ztrust_mail.reports.report import PAGE_FORMATS, OutputFormat, load_format
from ztrust_mail.sandbox import Sandbox, SandboxOptions

ADMIN_CANARY = "canary-of-the-admin"
RELAY_CANARY = "canary-of-the-relay"
PLAIN = "version: 1\nrealms:\n  acme: {sender: {address: a@b.example}, relay: {host: h.example, security: none}}\n"
LOGIN = """\
version: 1
realms:
  acme:
    sender: {address: a@b.example}
    relay: {host: h.example, auth: {username: u, password: {env: SMTP_PASSWORD}}}
"""
BAD = "version: 1\nrealms:\n  acme: {sender: {adress: x}}\n"
FORMATS = f"FORMAT=FILE with one of the formats {', '.join(OutputFormat)}"
HOSTILE = [
    "[red]x[/red]",
    "esc\x1b[31mEVIL\x1b]0;t\x07",
    "bidi\u202egnp\u2066",
    "two\nlines\r",
    "\u200bzero",
    "csi\x9b1m",
]


@pytest.fixture
def ztrust_sandbox_options() -> SandboxOptions:
    return SandboxOptions(realms=("acme",), admin_password=ADMIN_CANARY)


@pytest.fixture
def spec(cli: Cli, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SMTP_PASSWORD", RELAY_CANARY)
    cli.write("bad.yaml", BAD)
    cli.write("login.yaml", LOGIN)
    return cli.write("mail.yaml", PLAIN)


# reports in files


def test_report_files_are_written_in_addition_to_the_result(cli: Cli, spec: str) -> None:
    ran = cli("plan", spec, "--report", "json=r.json", "--report", "text=r.txt", "--report", "json=again.json")
    report = json.loads(Path("r.json").read_text(encoding="utf-8"))
    report_validator().validate(report)
    assert (ran.status, report["exit_status"]) == (1, 1)
    assert Path("again.json").read_text(encoding="utf-8") == Path("r.json").read_text(encoding="utf-8")
    assert Path("r.txt").read_text(encoding="utf-8") == "ztrust-mail report: plan\n" + ran.err + ran.out


def test_the_text_report_of_an_apply_contains_the_plan_and_its_result(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    ran = cli("apply", spec, "--yes", "--report", "text=r.txt", "--format", "json")
    said = Path("r.txt").read_text(encoding="utf-8")
    assert ran.json["status"] == "ok"
    assert said.startswith(f"ztrust-mail report: apply\n{sandbox.url}, as admin (realm master)\n\nacme\n")
    assert said.endswith("\n\nacme  applied\nDone: 1 realm applied (run 1).\n")


def test_reports_are_written_for_failures_too(cli: Cli, spec: str) -> None:
    ran = cli("plan", "bad.yaml", "--report", "json=r.json", "--report", "text=r.txt")
    assert ran.status == 2
    assert json.loads(Path("r.json").read_text(encoding="utf-8"))["findings"][0]["rule"] == "unknown-key"
    assert Path("r.txt").read_text(encoding="utf-8") == "ztrust-mail report: plan\n" + ran.err


@pytest.mark.parametrize("name", set(PAGE_FORMATS) - {OutputFormat.TEXT})
def test_a_converted_text_is_in_the_document_and_nowhere_else(cli: Cli, spec: str, name: OutputFormat) -> None:
    ran = cli("convert", "--from", "spec", "--to", "realm-export", spec, "--format", name)
    assert load_format(name).recognises(ran.out.encode())
    assert ran.out.count("a@b.example") == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("json", f"--report `json` is not FORMAT=FILE; write {FORMATS}"),
        ("json=", f"--report `json=` is not FORMAT=FILE; write {FORMATS}"),
        ("=x", f"--report `=x`: unknown report format ``; write {FORMATS}"),
        ("jsn=x", "--report `jsn=x`: unknown report format `jsn`; did you mean `json`?"),
        ("", "--report `` is not FORMAT=FILE"),
        (
            "json=-",
            "--report `json=-`: the result already goes to standard output; to have it there use --format json",
        ),
        ("text=no/such/r.txt", "cannot write the report `no/such/r.txt`: its folder does not exist"),
        ("text=.", "cannot write the report `.`: it is a folder"),
        ("j\x1b[31m=x", r"--report `j\x1b[31m=x`: unknown report format"),
    ],
)
def test_a_report_that_cannot_be_written_is_refused_before_any_work(
    cli: Cli, sandbox: Sandbox, spec: str, given: str, said: str
) -> None:
    ran = cli("apply", spec, "--yes", "--report", "json=good.json", "--report", given)
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err
    report = cli.json("apply", spec, "--yes", "--report", given)
    assert (report["status"], len(report["findings"])) == ("usage", 1)
    assert sandbox.requests == ()
    assert not Path("good.json").exists()


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["plan", "mail.yaml"], "text=mail.yaml", "it is a spec"),
        (["validate", "bad.yaml", "mail.yaml"], "json=link.yaml", "it is a spec"),
        (["test", "--spec", "mail.yaml"], "json=folder/../mail.yaml", "it is a spec"),
        (["drift", "folder"], "json=folder/a/b.json", "it would be one of the specs in `folder`"),
        (["rotate", "env:SMTP_PASSWORD", "folder"], "text=folder/a.yaml", "it would be one of the specs in `folder`"),
        (["plan", "mail.yaml", "--out", "p.json"], "json=p.json", "it is what --out names"),
        (["apply", "--plan", "p.json", "--yes"], "json=./p.json", "it is the saved plan"),
        (["doctor", "--config", "own.toml"], "text=own.toml", "it is a settings file"),
        (["history"], "text=ztrust-mail.toml", "it is a settings file"),
        (["revert", "--yes"], "text=r.txt", "another report goes there"),
    ],
)
def test_a_report_is_not_written_over_a_file_of_the_commands_own(
    cli: Cli, sandbox: Sandbox, spec: str, arguments: list[str], given: str, said: str
) -> None:
    for name in ("folder/a.yaml", "folder/a/c.yaml", "own.toml", "ztrust-mail.toml"):
        cli.write(name, "")
    Path("link.yaml").symlink_to("mail.yaml")
    before = {path: path.read_text("utf-8") for path in cli.folder.rglob("*.*")}
    ran = cli(*arguments, "--report", "json=r.txt", "--report", given)
    assert (ran.status, ran.out) == (2, "")
    assert f"cannot write the report `{given.partition('=')[2].removeprefix('./')}`: {said}; name another" in ran.err
    assert sandbox.requests == ()
    assert {path: path.read_text("utf-8") for path in cli.folder.rglob("*.*")} == before


def test_a_report_replaces_an_earlier_report_or_an_empty_file(cli: Cli, spec: str) -> None:
    Path("r.json").touch()
    for given, other in (("json=r.json", "text=r.txt"), ("text=r.json", "json=r.txt"), ("json=r.json", "text=r.txt")):
        assert cli("plan", spec, "--report", given, "--report", other).status == 1
    Path("r.json").write_text(json.dumps(json.loads(Path("r.json").read_text("utf-8"))), encoding="utf-8-sig")
    assert cli("validate", spec, "--report", "json=r.json").status == 0
    assert json.loads(Path("r.json").read_text("utf-8"))["command"] == "validate"
    assert Path("r.txt").read_text("utf-8").startswith("ztrust-mail report: plan\n")


FOREIGN = {
    "other.yaml": PLAIN,
    "keys.json": '{"schema": "urn:example:report:1"}',
    "notes.txt": "ztrust-mail: notes\n",
    "database": "SQLite format 3\0",
    "late.json": '{"command": "plan", "schema": "urn:ztrust-mail:schema:report:1"}',
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("command", ["json", "text", "--out", "--force"])
def test_neither_a_report_nor_a_plan_replaces_any_other_file(
    cli: Cli, sandbox: Sandbox, spec: str, name: str, command: str
) -> None:
    cli.write(name, FOREIGN[name])
    is_plan = command.startswith("--")
    options = ["--out", name, *([command] if command == "--force" else [])]
    ran = cli("plan", spec, *(options if is_plan else ["--report", f"{command}={name}"]))
    assert (ran.status, ran.out) == (2, "")
    what = "a saved plan; name a file elsewhere" if is_plan else "a report; name another file"
    assert f"`{name}`: it holds something other than {what}" in ran.err
    assert Path(name).read_text("utf-8") == FOREIGN[name]
    assert sandbox.requests == ()


@pytest.mark.parametrize("options", [("--report", "markdown=plan.md"), ("--out", "plan.md", "--force")])
def test_no_file_is_made_where_a_link_leads(cli: Cli, sandbox: Sandbox, spec: str, options: tuple[str, ...]) -> None:
    (cli.folder / "elsewhere").mkdir()
    Path("plan.md").symlink_to("elsewhere/made.md")
    ran = cli("plan", spec, *options)
    assert (ran.status, ran.out) == (2, "")
    assert "it is a link to a file that does not exist" in " ".join(ran.err.split())
    assert list((cli.folder / "elsewhere").iterdir()) == []
    assert sandbox.requests == ()


def test_a_report_and_a_plan_do_not_replace_each_other(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    cli("plan", spec, "--out", "p.json", "--report", "json=r.json")
    before, requests = [Path(name).read_bytes() for name in ("p.json", "r.json")], len(sandbox.requests)
    ran = cli("plan", spec, "--report", "json=p.json")
    assert (ran.status, "`p.json`: it is a saved plan; name another file" in ran.err) == (2, True)
    ran = cli("plan", spec, "--out", "r.json", "--force")
    assert (ran.status, "`r.json`: it is a report; name a file elsewhere" in ran.err) == (2, True)
    assert [Path(name).read_bytes() for name in ("p.json", "r.json")] == before
    assert len(sandbox.requests) == requests


@pytest.mark.parametrize(
    "command", [["convert", "--from", "spec", "--to", "terraform", "mail.yaml"], ["pull"], ["init"]]
)
def test_force_does_not_replace_the_journal(
    cli: Cli, sandbox: Sandbox, spec: str, state_folder: Path, command: list[str]
) -> None:
    assert cli("apply", spec, "--yes").status == 0
    journal = state_folder / "ztrust-mail" / "journal.sqlite3"
    before = journal.read_bytes()
    ran = cli(*(spec if part == "mail.yaml" else part for part in command), "--out", str(journal), "--force")
    assert (ran.status, "it is the journal; name another file" in ran.err) == (2, True)
    assert journal.read_bytes() == before


def test_an_empty_config_option_is_refused_and_does_not_mean_other_settings(cli: Cli, spec: str) -> None:
    for given in (["--config", ""], ["--config=", "--report", "json=r.json"]):
        ran = cli("plan", spec, *given)
        assert (ran.status, "--config names no file; give the settings file's path" in ran.err) == (2, True)


@pytest.mark.parametrize("place", ["usual", "settings", "variable"])
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("is_there", [False, True])
def test_neither_a_report_nor_a_plan_takes_the_place_of_the_journal(
    cli: Cli, sandbox: Sandbox, spec: str, state_folder: Path, place: str, suffix: str, is_there: bool
) -> None:
    journal = (state_folder if place == "usual" else cli.folder) / "ztrust-mail" / "journal.sqlite3"
    options = []
    if place == "settings":
        cli.write("own.toml", f'[journal]\nurl = "sqlite:///{journal}"\n')
        options = ["--config", "own.toml"]
    elif place == "variable":
        cli.set(JOURNAL=f"sqlite:///{journal}")
    journal.parent.mkdir(parents=True)
    target = journal.with_name(journal.name + suffix)
    if is_there:
        target.touch()
    for given in (["--report", f"json={target}"], ["--out", str(target), "--force"]):
        ran = cli("plan", spec, *given, *options)
        assert (ran.status, "it is the journal; name a" in ran.err) == (2, True)
    assert [(path, path.read_bytes()) for path in journal.parent.iterdir()] == ([(target, b"")] if is_there else [])
    assert sandbox.requests == ()


def test_a_file_created_during_the_command_is_not_replaced_by_a_report(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    sandbox.faults.before_write = lambda _: Path("r.json").write_text("notes", encoding="utf-8")
    ran = cli("apply", spec, "--yes", "--report", "json=r.json")
    assert ran.status == 2
    assert ran.out.endswith("Done: 1 realm applied (run 1).\n")
    assert "cannot write the report `r.json`: it holds something other than a report" in ran.err
    assert Path("r.json").read_text("utf-8") == "notes"


@pytest.mark.parametrize("option", ["--report=json=r.json", "--report=text=r.txt", "--out=p.json"])
def test_on_a_full_disk_the_earlier_report_or_plan_stays_whole(
    cli: Cli, sandbox: Sandbox, spec: str, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    assert cli("plan", spec, option).status == 1
    [path] = [path for path in cli.folder.iterdir() if path.name[:2] in ("r.", "p.")]
    before, names = path.read_bytes(), sorted(os.listdir())
    sandbox.create_realm("more")
    monkeypatch.setattr(os, "fsync", raising(OSError(28, "No space left on device")))
    ran = cli("plan", spec, option, "--force")
    assert (ran.status, "No space left on device" in ran.err) == (2, True)
    assert (path.read_bytes(), sorted(os.listdir())) == (before, names)


def test_a_report_in_the_folder_of_the_specs_is_written(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    cli.write("folder/a.yaml", PLAIN)
    for name in ("r.txt", ".r.json"):
        assert cli("plan", "folder", "--report", f"json=folder/{name}").status == 1
        assert Path("folder", name).exists()
        assert cli("plan", "-", "--report", f"json=folder/{name}", stdin=PLAIN).status == 1


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_report_that_fails_at_the_end_hides_nothing_of_the_result(
    cli: Cli, sandbox: Sandbox, spec: str, format: str
) -> None:
    name = "x" * 300  # longer than a file system takes
    ran = cli("apply", spec, "--yes", "--report", f"json={name}", "--report", "text=r.txt", "--format", format)
    assert ran.status == 2
    assert ran.err.count("error: cannot write the report") == 1
    assert sandbox.smtp("acme")["host"] == "h.example"
    if format == "json":
        assert ran.json["summary"] == {"realms": 1, "applied": 1}
        assert ran.json["findings"][-1]["rule"] == "report"
    else:
        assert ran.out.endswith("Done: 1 realm applied (run 1).\n")
    assert "Done: 1 realm applied (run 1)." in Path("r.txt").read_text(encoding="utf-8")


# JSON in every failure


FAILURES = {
    "invalid spec": (["plan", "bad.yaml"], 2),
    "invalid spec, apply": (["apply", "bad.yaml", "--yes"], 2),
    "no such file": (["drift", "nix.yaml"], 2),
    "nothing selected": (["plan", "mail.yaml", "--realm", "nix"], 2),
    "no terminal": (["apply", "mail.yaml"], 2),
    "unknown server": (["plan", "mail.yaml", "--server", "nix"], 2),
    "plain http": (["plan", "mail.yaml", "--server", "http://id.example.com"], 2),
    "no such settings": (["doctor", "--config", "nix.toml"], 2),
    "unreachable": (["plan", "mail.yaml", "--server", "http://127.0.0.1:9"], 3),
    "unreachable, doctor": (["doctor", "--server", "http://127.0.0.1:9"], 3),
    "unreachable, test": (["test", "--server", "http://127.0.0.1:9"], 3),
    "no realm to test": (["test", "nix-*"], 2),
    "unknown realm": (["explain", "mail.yaml", "nix"], 2),
}


@pytest.mark.parametrize(("arguments", "status"), FAILURES.values(), ids=FAILURES)
def test_every_failure_is_one_valid_json_object_that_agrees_with_the_text(
    cli: Cli, spec: str, arguments: list[str], status: int
) -> None:
    text = cli(*arguments)
    report = cli.json(*arguments)
    assert (text.status, report["exit_status"], report["command"]) == (status, status, arguments[0])
    reasons = report["findings"] or [{"message": report["checks"][0]["detail"], "hint": report["checks"][0]["hint"]}]
    for reason in reasons:
        assert reason["message"] in text.err + text.out
        assert reason["hint"] in text.err + text.out
    assert text.err.count("\n") == len(report["findings"])


def test_a_wrong_password_is_status_3_and_names_account_and_realm(cli: Cli, spec: str) -> None:
    cli.set(PASSWORD="wrong-password")
    ran = cli("plan", spec)
    assert (ran.status, ran.out) == (3, "")
    assert "refuses the login of `admin` to realm `master`: the user name or password is wrong" in ran.err
    assert cli.json("plan", spec)["findings"][0]["rule"] == "login-refused"


def test_missing_settings_say_what_to_set(cli: Cli) -> None:
    cli.write("mail.yaml", PLAIN)
    ran = cli("plan", "mail.yaml")
    assert ran.status == 2
    assert "no server given; give --server URL, set ZTRUST_MAIL_URL" in ran.err
    cli.set(URL="http://127.0.0.1:9")
    assert cli.json("plan", "mail.yaml")["findings"][0]["rule"] == "no-login"


def test_a_stopped_server_is_status_3(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    sandbox.stop()
    ran = cli("plan", spec)
    assert (ran.status, ran.out) == (3, "")
    assert (
        f"cannot connect to {sandbox.url.removeprefix('http://')}: connection refused; check the port in the URL"
        in ran.err
    )


def test_a_server_that_hangs_is_status_3_with_another_message_than_a_stopped_one(cli: Cli, spec: str) -> None:
    cli.set(TIMEOUT="50ms")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ran = cli("plan", spec, "--server", f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert (ran.status, ran.out) == (3, "")
    assert (
        "accepted the connection but did not answer within 0.05s; if the server is only slow, raise timeout" in ran.err
    )


@pytest.mark.parametrize(
    ("status", "kind", "body", "said"),
    [
        (200, "text/html; charset=utf-8", "<html>[red]Login[/red]\x1b[31m</html>", "answered 200 with a web page"),
        (502, "text/html", "<html>Bad Gateway</html>", "answered 502 with a web page"),
        (502, "text/plain", "upstream canary-of-the-proxy", "answered 502 with something else"),
        (200, "application/json", "{broken", "answered 200 with broken or unknown JSON"),
    ],
)
def test_an_answer_from_another_server_than_an_admin_api_is_status_3(
    cli: Cli, spec: str, status: int, kind: str, body: str, said: str
) -> None:
    with BadServer(answer(status, body.encode(), kind)) as server:
        ran = cli("plan", spec, "--server", server.url)
        assert cli.json("plan", spec, "--server", server.url)["exit_status"] == 3
    assert (ran.status, ran.out) == (3, "")
    assert said in ran.err
    assert "check the URL's path" in ran.err
    assert "canary" not in ran.err


@pytest.mark.parametrize("more", [["plan"], ["apply", "--yes"]])
def test_a_realm_that_cannot_be_read_is_status_4_with_what_the_server_says(
    cli: Cli, sandbox: Sandbox, spec: str, more: list[str]
) -> None:
    sandbox.faults.failing_realms.add("acme")
    ran = cli(*more, spec)
    assert ran.status == 4
    assert "\nacme  failed\n" in ran.out
    assert ran.out.endswith("\n1 realm failed.\n")
    assert "realm acme: error: the server refuses to read `acme` (500): `unknown_error`" in ran.out
    assert cli.json(*more, spec)["status"] == "partial"


def test_a_server_that_is_unavailable_is_status_3(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    sandbox.faults.unavailable = True
    ran = cli("drift", spec)
    assert (ran.status, ran.out) == (3, "")
    assert "answers 503" in ran.err


def test_findings_of_two_kinds_keep_their_order_and_are_printed_once(cli: Cli, sandbox: Sandbox, spec: str) -> None:
    sandbox.create_user("acme", "manager", "pw", roles=["manage-realm"])
    cli.write("globs.yaml", PLAIN + '  "x-*": {expect: {min: 1}}\n')
    cli.set(USERNAME="manager", PASSWORD="pw", REALM="acme")
    sandbox.faults.list_forbidden = True
    ran = cli("plan", "globs.yaml")
    assert ran.status == 4
    assert len(ran.err.splitlines()) == len(set(ran.err.splitlines()))
    assert "[no-realm-list]" in ran.out


# hostile text


def steering(text: str) -> str:
    """Return the characters that could steer a terminal or reorder a line."""
    return "".join(c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs"))


@pytest.fixture
def hostile(cli: Cli, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    monkeypatch.setenv("SMTP_PASSWORD", RELAY_CANARY)
    sandbox.edit_smtp("acme", {"from": HOSTILE[1], "fromDisplayName": HOSTILE[0], HOSTILE[3]: HOSTILE[2]})
    for name in HOSTILE:
        smtp = {"from": "a@b.example", "host": f"h{name}", "fromDisplayName": name, f"x{name}": name, "port": name}
        sandbox.create_realm(name, smtp)
    entry = "{sender: {address: a@b.example}, relay: {host: h.example, security: none}}"
    cli.write("all.yaml", f'version: 1\nrealms:\n  "*": {entry}\n  "acme": {{disabled: true}}\n')
    return sandbox


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "all.yaml"],
        ["apply", "all.yaml", "--yes"],
        ["drift", "all.yaml"],
        ["drift", "all.yaml", "--realm", "acme"],
        ["test"],
        ["doctor"],
        ["pull", *(f"--realm={start}*" for start in ("[", "esc", "bidi", "two", "csi", "acme"))],
        ["doctor", "--setup-commands", "--realm", HOSTILE[1]],
        ["explain", "all.yaml", HOSTILE[2]],
        ["explain", "all.yaml", "acme", HOSTILE[1]],
        ["plan", HOSTILE[1]],
        ["plan", "all.yaml", "--realm", HOSTILE[2]],
        ["plan", "all.yaml", "--server", HOSTILE[1]],
        ["plan", "all.yaml", "--config", HOSTILE[1]],
        ["init", "--realm", HOSTILE[1] + "nix"],
        ["init", "--out", f"{HOSTILE[1]}/x"],
        ["plan", "all.yaml", "--report", f"text={HOSTILE[1]}/x"],
    ],
)
def test_no_foreign_text_steers_the_terminal_or_counts_as_markup(
    cli: Cli, hostile: Sandbox, arguments: list[str]
) -> None:
    ran = cli(*arguments, "--report", "text=r.txt") if arguments[0] in ("plan", "apply", "drift") else cli(*arguments)
    assert ran.status != 70
    assert steering(ran.out + ran.err) == ""
    assert ran.out + ran.err != ""


def test_hostile_names_and_values_are_shown_escaped_and_markup_is_shown_as_it_is(cli: Cli, hostile: Sandbox) -> None:
    out = cli("plan", "all.yaml").out
    assert "\n[red]x[/red]\n" in out
    assert "\n`esc\\x1b[31mEVIL\\x1b]0;t\\x07`\n" in out
    assert "\n`two\\x0alines\\x0d`\n" in out
    assert "h[red]x[/red] → h.example\n" in out
    assert "bidi\\u202egnp\\u2066 → 25" in out
    assert "xcsi\\x9b1m" in out


def test_the_json_report_keeps_hostile_text_whole_and_is_ascii(cli: Cli, hostile: Sandbox) -> None:
    ran = cli("plan", "all.yaml", "--format", "json", "--report", "json=r.json")
    assert ran.out.isascii()
    assert steering(ran.out) == ""
    assert {realm["realm"] for realm in ran.json["realms"]} == {"acme", *HOSTILE}
    assert Path("r.json").read_text(encoding="utf-8") == ran.out


def test_the_text_report_is_as_harmless_as_the_terminal(cli: Cli, hostile: Sandbox) -> None:
    cli("apply", "all.yaml", "--yes", "--report", "text=r.txt")
    assert steering(Path("r.txt").read_text(encoding="utf-8")) == ""


def test_the_message_of_a_server_is_quoted_and_escaped(cli: Cli, spec: str) -> None:
    body = {"error": "invalid_grant", "error_description": "go\x1b[31m \u202eaway [bold]now[/bold]\n"}
    with BadServer(answer(401, body)) as server:
        ran = cli("plan", spec, "--server", server.url)
    assert ran.status == 3
    assert r"the server says `go\x1b[31m \u202eaway [bold]now[/bold]\x0a`" in ran.err
    assert steering(ran.err) == ""


def test_a_files_name_is_shown_escaped_in_findings(cli: Cli) -> None:
    cli.write("a\x1b[31m\u202e.yaml", BAD)
    ran = cli("validate", "a\x1b[31m\u202e.yaml")
    assert r"a\x1b[31m\u202e.yaml:3:19: error: unknown key" in ran.out
    assert steering(ran.out) == ""
    assert cli.json("validate", "a\x1b[31m\u202e.yaml")["findings"][0]["path"] == "a\x1b[31m\u202e.yaml"


def test_values_of_a_spec_are_shown_escaped(cli: Cli) -> None:
    cli.write("s.yaml", 'version: 1\nrealms:\n  "a\\e[31m": {"k\\e\\u202E": 1}\n')
    ran = cli("validate", "s.yaml")
    assert ran.status == 2
    assert r"k\x1b\u202e" in ran.out
    assert steering(ran.out) == ""


# secrets


def all_commands(cli: Cli) -> list[Ran]:
    return [
        cli(*words, *more)
        for words in (
            ["validate", "login.yaml"],
            ["explain", "login.yaml", "acme"],
            ["plan", "login.yaml"],
            ["apply", "login.yaml", "--yes"],
            ["apply", "login.yaml", "--yes", "--secrets", "write"],
            ["drift", "login.yaml"],
            ["test", "--spec", "login.yaml"],
            ["test", "acme"],
            ["doctor"],
        )
        for more in ([], ["--format", "json"])
    ] + [cli("pull"), cli("init", "--realm", "acme"), cli("doctor", "--setup-commands")]


@pytest.mark.parametrize("trouble", ["none", "wrong password", "unavailable", "failing realm", "bug", "interrupted"])
def test_no_secret_is_ever_shown_whatever_goes_wrong_and_however_much_is_logged(
    cli: Cli, sandbox: Sandbox, spec: str, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = [ADMIN_CANARY, RELAY_CANARY]
    if trouble == "wrong password":
        secrets.append("canary-that-is-wrong")
        cli.set(PASSWORD=secrets[-1])
    elif trouble == "unavailable":
        sandbox.faults.unavailable = True
    elif trouble == "failing realm":
        sandbox.faults.failing_realms.add("acme")
    elif trouble in ("bug", "interrupted"):
        error = ValueError(f"{ADMIN_CANARY} {RELAY_CANARY}") if trouble == "bug" else KeyboardInterrupt()
        cli.monkeypatch.setattr(KeycloakGateway, "read", raising(error))
    statuses = {ran.status for ran in all_commands(cli)}
    for secret in secrets:
        assert secret not in "".join(cli.seen)
        assert secret not in caplog.text
    expected = {"none": 0, "wrong password": 3, "unavailable": 3, "failing realm": 4, "bug": 70, "interrupted": 130}
    assert expected[trouble] in statuses
    assert (sandbox.smtp("acme").get("password") == RELAY_CANARY) == (trouble == "none")


# Output itself


def test_an_error_that_names_no_rule_carries_the_commands_name(cli: Cli, spec: str) -> None:
    assert cli.json("explain", spec, "nix")["findings"][0]["rule"] == "explain"


def test_the_result_is_printed_even_without_any_finding(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_output(None, "spec: Ä\n", force=False)
    assert capsys.readouterr().out == "spec: Ä\n"
