"""The commands that need no server: validate, explain, init, schema, help, and how everything ends."""

from __future__ import annotations

import io
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from support.cli import Cli, Ran, raising, run_process

from ztrust_mail.api import linting
from ztrust_mail.cli import main as entry
from ztrust_mail.cli.app import app
from ztrust_mail.cli.commands import validate
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.rules import COMMANDS

GOOD = """\
version: 1
defaults:
  relay:
    host: smtp.example.com
    timeouts: {read: 10s}
    auth: {username: apikey, password: {env: SMTP_PASSWORD}}
  sender: {address: "no-reply@{realm.slug}.example.com", name: Example}
realms:
  acme:
    sender: {name: Acme Corp}
    extra: {x-tag: blue}
  sender: {}
  "tenant-*": {}
  retired: {disabled: true}
"""
BAD_A = "version: 1\nrealms:\n  acme:\n    sender: {adress: a@b.example}\n"
BAD_B = "realms:\n  b:\n    relay: {port: 70000, auth: {password: hunter2-canary}}\n"


@pytest.fixture
def spec(cli: Cli) -> str:
    return cli.write("mail.yaml", GOOD)


# validate


def test_a_valid_spec_is_counted_on_stdout(cli: Cli, spec: str) -> None:
    assert cli("validate", spec) == Ran(0, "Valid: 3 realms and 1 glob in 1 file.\n")


def test_a_spec_with_an_empty_file_name_is_reported(cli: Cli, spec: str) -> None:
    ran = cli("validate", spec, "")
    assert ran.status == 2
    hint = "give a file, a folder, or - for standard input; check whether a shell variable is unset"
    assert ran.out == f"ztrust-mail: error: the path of a spec is empty; {hint} [cannot-read]\n"


def test_a_duration_with_an_unknown_unit_is_refused_with_the_known_ones(cli: Cli) -> None:
    cli.write("t.yaml", GOOD.replace("10s", "1h"))
    assert (
        "`1h`, not a time with a unit; write a whole number and a unit without a space" in cli("validate", "t.yaml").out
    )


def test_warnings_are_printed_and_do_not_change_the_status(cli: Cli) -> None:
    cli.write("w.yaml", GOOD.replace("host: smtp.example.com", "host: smtp.example.com\n    port: 465"))
    ran = cli("validate", "w.yaml")
    assert ran.status == 0
    assert "w.yaml:5:11: warning: port 465 expects implicit TLS" in ran.out
    assert ran.out.endswith("Valid: 3 realms and 1 glob in 1 file.\n")


def test_all_errors_of_all_files_are_printed_at_once_with_their_places(cli: Cli) -> None:
    cli.write("a.yaml", BAD_A)
    cli.write("specs/b.yaml", BAD_B)
    ran = cli("validate", "a.yaml", "specs")
    assert (ran.status, ran.err) == (2, "")
    assert [line.split(": ")[:2] for line in ran.out.splitlines()] == [
        ["a.yaml:4:14", "error"],
        ["specs/b.yaml:3:19", "error"],
        ["specs/b.yaml:3:43", "error"],
        ["Found 3 errors in 2 files."],
    ]
    assert "did you mean `address`?" in ran.out
    assert "hunter2" not in ran.out
    assert "Valid" not in ran.out


def test_the_json_report_of_validate_holds_the_same_findings(cli: Cli) -> None:
    cli.write("a.yaml", BAD_A)
    report = cli.json("validate", "a.yaml")
    (found,) = report["findings"]
    assert (report["status"], report["server"], report["realms"]) == ("usage", "", [])
    assert (found["path"], found["line"], found["column"], found["rule"]) == ("a.yaml", 4, 14, "unknown-key")


def test_standard_input_is_a_spec_named_by_a_dash(cli: Cli) -> None:
    assert cli("validate", "-", stdin=GOOD).status == 0
    bad = cli("validate", "-", stdin=BAD_A)
    assert bad.status == 2
    assert ":4:14: error: unknown key `adress`" in bad.out


@pytest.mark.parametrize("command", ["plan", "apply", "drift", "explain", "test"])
def test_other_commands_print_all_problems_of_a_spec_to_stderr_and_stop(cli: Cli, command: str) -> None:
    cli.write("a.yaml", BAD_A)
    cli.write("b.yaml", BAD_B)
    specs = ["--spec", "a.yaml", "--spec", "b.yaml"] if command == "test" else ["a.yaml", "b.yaml"]
    more = {"explain": ["acme"], "apply": ["--yes"]}.get(command, [])
    ran = cli(command, *specs, *more)
    assert (ran.status, ran.out) == (2, "")
    *found, count = ran.err.splitlines()
    assert [line.split(" ")[0] for line in found] == ["a.yaml:4:14:", "b.yaml:3:19:", "b.yaml:3:43:"]
    assert count == "Found 3 errors in 2 files."


# explain


def test_explain_notes_a_login_that_is_not_inherited(cli: Cli) -> None:
    login = "auth: {username: u, password: {env: P}}"
    text = f"version: 1\ndefaults:\n  sender: {{address: a@b.example}}\n  relay: {{host: h.example, {login}}}\n"
    cli.write("n.yaml", text + "realms:\n  acme: {relay: {host: x.example}}\n  globex: {}\n")
    ran = cli("explain", "n.yaml", "acme")
    assert (ran.status, ran.out.count("[login-not-inherited]")) == (0, 1)
    assert "n.yaml:6:24: note: `acme` sets `relay.host`" in ran.out
    rows = {line.split()[0]: line.rpartition("  ")[2] for line in ran.out.splitlines() if line.startswith("  relay.")}
    assert rows == {
        "relay.host": "n.yaml:6:24",
        "relay.port": "by default",
        "relay.security": "by default",
        "relay.auth": "not inherited: another relay",
    }
    assert "note" not in cli("explain", "n.yaml", "globex").out


def test_explain_names_the_entry_and_the_place_of_every_value(cli: Cli, spec: str) -> None:
    ran = cli("explain", spec, "acme")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "acme  uses entry acme (mail.yaml:9:3)",
        "  sender.address       no-reply@acme.example.com        mail.yaml:7:21",
        "  sender.name          Acme Corp                        mail.yaml:10:20",
        "  relay.host           smtp.example.com                 mail.yaml:4:11",
        "  relay.port           587                              by default",
        "  relay.security       starttls                         by default",
        "  relay.auth.username  apikey                           mail.yaml:6:22",
        "  relay.auth.password  (secret from env:SMTP_PASSWORD)  mail.yaml:6:40",
        "  relay.timeouts.read  10s                              mail.yaml:5:22",
        "  relay.auth           basic                            by default",
        "  extra.x-tag          blue                             mail.yaml:11:20",
    ]


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (["acme", "relay.port"], ["relay.port"]),
        (["acme", "sender"], ["sender.address", "sender.name"]),
        (["acme", "extra"], ["extra.x-tag"]),
        (["acme", "extra.x-tag"], ["extra.x-tag"]),
        (["sender", "sender.name"], ["sender.name"]),
        (["sender", "sender"], ["sender.address", "sender.name"]),
        (["tenant-7", "relay.timeouts"], ["relay.timeouts.read"]),
        (["acme", "reply_to"], []),
    ],
)
def test_a_field_or_group_as_the_last_word_limits_what_is_explained(
    cli: Cli, spec: str, words: list[str], fields: list[str]
) -> None:
    report = cli.json("explain", spec, *words)
    assert report["realm"] == words[0]
    assert [setting["field"] for setting in report["settings"]] == fields


@pytest.mark.parametrize("words", [["sender"], ["more.yaml", "sender"], ["more", "acme"]])
def test_the_last_word_of_explain_is_the_realm_even_if_it_is_named_like_a_field(
    cli: Cli, spec: str, words: list[str]
) -> None:
    more = "realms:\n  other: {}\n"
    cli.write("more.yaml", more)
    cli.write("more/other.yaml", more)
    report = cli.json("explain", spec, *words)
    assert report["realm"] == words[-1]
    assert "relay.host" in [setting["field"] for setting in report["settings"]]


def test_a_folder_that_is_called_like_the_realm_does_not_confuse_explain(cli: Cli, spec: str) -> None:
    (cli.folder / "acme").mkdir()
    assert cli.json("explain", spec, "acme", "sender.name")["settings"][0]["value"] == "Acme Corp"


def test_explain_says_where_a_value_comes_from_in_json_too(cli: Cli, spec: str) -> None:
    (port,) = cli.json("explain", spec, "acme", "relay.port")["settings"]
    (name,) = cli.json("explain", spec, "acme", "sender.name")["settings"]
    assert port == {"field": "relay.port", "value": "587", "origin": None}
    assert name == {"field": "sender.name", "value": "Acme Corp", "origin": "mail.yaml:10:20"}


def test_explain_reports_a_group_without_values_as_not_set(cli: Cli, spec: str) -> None:
    assert cli("explain", spec, "acme", "envelope_from").out.splitlines()[1:] == ["  not set"]


def test_a_disabled_realm_is_explained_as_such(cli: Cli, spec: str) -> None:
    assert cli("explain", spec, "retired").out.splitlines() == [
        "retired  uses entry retired (mail.yaml:14:3)",
        "  no e-mail at all: the entry is disabled",
    ]
    assert cli.json("explain", spec, "retired")["disabled"] is True


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mail.yaml"], "a spec and a realm are required"),
        (["mail.yaml", "acmee"], "no entry of the spec covers the realm `acmee`; did you mean `acme`?"),
        (["mail.yaml", "acme", "sendr"], "unknown field `sendr` of `acme`; did you mean `sender`?"),
        (["mail.yaml", "acme", "zzzzzz"], "unknown field `zzzzzz` of `acme`; fields: sender.address, "),
        (["nix.yaml", "acme"], "nix.yaml"),
    ],
)
def test_unknown_arguments_of_explain_are_refused_with_a_hint(cli: Cli, spec: str, words: list[str], said: str) -> None:
    ran = cli("explain", *words)
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err
    assert said.split("`")[0] in json.dumps(cli.json("explain", *words)["findings"])


def test_a_realm_that_is_wrong_after_expansion_is_explained_with_status_4(cli: Cli) -> None:
    cli.write("m.yaml", "version: 1\nrealms:\n  acme: {sender: {name: Acme}}\n")
    ran = cli("explain", "m.yaml", "acme")
    assert ran.status == 4
    assert "error" in ran.out
    assert "not set" not in ran.out
    assert cli.json("explain", "m.yaml", "acme")["status"] == "partial"


# init and schema


def test_init_from_nothing_prints_a_spec_that_validates_without_a_finding(cli: Cli) -> None:
    cli.write("first.yaml", cli("init").out)
    report = cli.json("validate", "first.yaml")
    assert (report["exit_status"], report["findings"]) == (0, [])


def test_init_quotes_the_file_in_the_command_to_check_it(cli: Cli) -> None:
    assert "ztrust-mail validate 'first; spec.yaml'" in cli("init", "--out", "first; spec.yaml").err


def test_init_writes_a_file_once_and_overwrites_it_only_when_forced(cli: Cli) -> None:
    first = cli("init", "--out", "first.yaml")
    assert (first.status, first.out) == (0, "")
    assert "ztrust-mail validate first.yaml" in first.err
    content = Path("first.yaml").read_text(encoding="utf-8")
    Path("first.yaml").write_text("mine", encoding="utf-8")
    second = cli("init", "--out", "first.yaml")
    assert second.status == 2
    assert "`first.yaml` already exists; name another file, or add --force" in second.err
    assert Path("first.yaml").read_text(encoding="utf-8") == "mine"
    assert cli("init", "--out", "first.yaml", "--force").status == 0
    assert Path("first.yaml").read_text(encoding="utf-8") == content


@pytest.mark.parametrize("place", ["no/such/folder.yaml", ".", "x" * 300])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_an_out_that_cannot_be_written_is_a_usage_error(cli: Cli, place: str, force: list[str]) -> None:
    ran = cli("init", "--out", place, *force)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("ztrust-mail: error: ")


@pytest.mark.parametrize("which", ["spec", "settings", "report", "plan"])
def test_every_schema_is_printed_whole_and_is_a_schema(cli: Cli, which: str) -> None:
    ran = cli("schema", which)
    assert (ran.status, ran.err) == (0, "")
    schema = json.loads(ran.out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:ztrust-mail:schema:{which}:1"


def test_without_a_name_the_schema_of_specs_is_printed(cli: Cli) -> None:
    assert cli("schema") == cli("schema", "spec")


def test_the_report_schema_names_every_exit_status(cli: Cli) -> None:
    properties = json.loads(cli("schema", "report").out)["properties"]
    assert sorted(properties["exit_status"]["enum"]) == sorted(ExitStatus)
    assert sorted(properties["status"]["enum"]) == sorted(status.name.lower() for status in ExitStatus)


# help, usage and endings


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_80_columns_and_shows_neither_markup_nor_python_types(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ran = cli(*filter(None, [command]), "--help")
    assert (ran.status, ran.err) == (0, "")
    assert ran == cli(*filter(None, [command]), "-h")
    assert ran.out.startswith(f"Usage: ztrust-mail {command}".rstrip())
    assert all(len(line) <= 80 for line in ran.out.splitlines())
    assert not re.search(r"\x1b|\[/|\[(bold|dim|red|default)\]|list\[|<str>|<int|[{}]|\.\.\.\.", ran.out)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_and_a_command_shows_what_the_command_shows_with_the_option(cli: Cli, command: str) -> None:
    assert cli("help", command) == cli(command, "--help")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_arguments_above_the_options_alone(cli: Cli, command: str) -> None:
    options = cli("help", command).out.partition("\nOptions:\n")[2]
    assert re.match(r"  (-\w, )?--\w", options)
    assert not re.search(r"^  [\[A-Z]", options, re.MULTILINE)


def test_help_alone_lists_the_commands_and_help_of_an_unknown_one_names_a_similar_one(cli: Cli) -> None:
    assert cli("help") == cli("--help")
    ran = cli("help", "plam")
    assert (ran.status, ran.out) == (2, "")
    assert "unknown command `plam`; did you mean `plan`?" in ran.err


def test_the_command_version_prints_what_the_option_prints(cli: Cli) -> None:
    assert cli("version") == cli("--version")


def test_the_list_of_commands_cuts_no_sentence(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    listed = cli("--help").out.split("Commands:\n")[1].splitlines()
    assert [line.split()[0] for line in listed] == list(COMMANDS)
    assert all(line.endswith(".") and not line.endswith("..") for line in listed)


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("plan", "ztrust-mail plan [OPTIONS] SPEC..."),
        ("explain", "ztrust-mail explain [OPTIONS] SPEC... REALM [FIELD]"),
        ("test", "ztrust-mail test [OPTIONS] [REALM...]"),
        ("pull", "ztrust-mail pull [OPTIONS]"),
    ],
)
def test_the_usage_line_shows_the_arguments_as_they_are_typed(cli: Cli, command: str, usage: str) -> None:
    assert cli(command, "--help").out.splitlines()[0] == f"Usage: {usage}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nix"],
        ["plan"],
        ["plan", "a.yaml", "--nix"],
        ["plan", "a.yaml", "--format", "xml"],
        ["plan", "a.yaml", "--secrets", "never"],
        ["drift", "a.yaml", "--uncovered", "perhaps"],
        ["schema", "nix"],
        ["completion", "tcsh"],
        ["sandbox", "--port", "70000"],
    ],
)
def test_a_wrong_command_line_is_status_2_with_the_usage_on_stderr(cli: Cli, arguments: list[str]) -> None:
    ran = cli(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("Usage: ztrust-mail")


@pytest.mark.parametrize(
    ("arguments", "command", "message"),
    [
        (["plan", "--format", "json"], "plan", "SPEC..."),
        (["plan", "a.yaml", "--nix", "--format=json"], "plan", "--nix"),
        (["plam", "--format=json"], "", "did you mean `plan`?"),
    ],
)
def test_a_wrong_command_line_gives_a_report_if_one_was_requested(
    cli: Cli, arguments: list[str], command: str, message: str
) -> None:
    ran = cli(*arguments)
    assert (ran.json["command"], ran.json["status"], ran.status) == (command, "usage", 2)
    (found,) = ran.json["findings"]
    assert message in found["message"]
    assert found["hint"] == f"see: {f'ztrust-mail {command}'.strip()} --help"
    assert ran.err.startswith("Usage: ztrust-mail")


def test_a_command_imports_no_other_command() -> None:
    code = "import sys; from ztrust_mail.cli.main import run; run(['schema']); print(*sys.modules, file=sys.stderr)"
    imported = run_process(python=("-c", code)).err.split()
    assert {name for name in COMMANDS if f"ztrust_mail.cli.commands.{name}" in imported} == {"schema"}


def test_running_without_a_command_shows_the_help(cli: Cli) -> None:
    ran = cli()
    assert ran.out + ran.err == cli("--help").out
    assert ran.status in (ExitStatus.OK, ExitStatus.USAGE)  # click has changed its mind about this


def test_the_version_is_printed(cli: Cli) -> None:
    ran = cli("--version")
    assert ran.status == 0
    assert re.fullmatch(r"ztrust-mail \d+\.\d+\.\d+\S*\n", ran.out)


def test_the_version_is_printed_without_heavy_imports(cli: Cli) -> None:
    ran = run_process("--version", python=("-X", "importtime", "-m", "ztrust_mail"))
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.err.splitlines()}
    assert ran.status == 0
    assert ran.out == cli("--version").out
    assert "ztrust_mail" in imported
    assert not imported & {"click", "yaml", "jsonschema", "requests", "keycloak", "keyring"}


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_bug_is_status_70_with_its_frames_and_without_its_message(
    cli: Cli, spec: str, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    monkeypatch.setattr(linting, "lint_spec", raising(ValueError("canary-secret")))
    ran = cli("validate", spec, "--format", format, "--report", "json=report.json")
    saved = Path("report.json").read_text(encoding="utf-8")
    assert ran.status == 70
    assert f"{validate.__file__}:" in ran.err
    assert " in command" in ran.err
    assert "internal error: ValueError; please report" in ran.err
    assert "canary-secret" not in ran.err + ran.out + saved
    assert ran.out == ("" if format == "text" else saved)
    assert json.loads(saved)["status"] == "bug"


def test_a_bug_after_the_report_was_written_adds_no_second_one(
    cli: Cli, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ztrust_mail.cli.output.exit_with", raising(ValueError("canary-secret")))
    ran = cli("validate", spec, "--format", "json")
    assert ran.status == 70
    assert json.loads(ran.out)["status"] == "ok"


def test_a_bug_while_loading_the_commands_is_status_70_too(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "main", raising(RuntimeError("canary-secret")))
    ran = cli("schema")
    assert (ran.status, ran.out) == (70, "")
    assert "canary-secret" not in ran.err


@pytest.mark.parametrize("format", ["text", "json"])
def test_an_interruption_is_status_130(cli: Cli, spec: str, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    monkeypatch.setattr(linting, "lint_spec", raising(KeyboardInterrupt()))
    ran = cli("validate", spec, "--format", format)
    assert (ran.status, ran.err) == (130, "Interrupted.\n")
    assert ran.out == "" if format == "text" else ran.json["status"] == "interrupted"


def test_an_interruption_while_the_result_is_written_adds_no_second_report(
    cli: Cli, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    endings = iter([raising(KeyboardInterrupt())])
    ending = entry.ExitStatus.INTERRUPTED

    def exit_with(status: ExitStatus) -> None:
        next(endings, lambda: sys.exit(ending))()

    monkeypatch.setattr("ztrust_mail.cli.output.exit_with", exit_with)
    ran = cli("validate", spec, "--format", "json")
    assert ran.status == 130
    assert json.loads(ran.out)["status"] == "ok"


def test_an_interruption_outside_of_a_command_is_status_130(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "main", raising(KeyboardInterrupt()))
    assert cli("schema") == Ran(130, "")


@pytest.mark.parametrize(("given", "status"), [(None, 0), (3, 3), ("text", 0)])
def test_every_way_in_which_a_command_ends_has_an_exit_status(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, given: object, status: int
) -> None:
    monkeypatch.setattr(app, "main", raising(SystemExit(given)))
    assert cli("schema").status == status


def test_a_command_that_simply_returns_is_status_0(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "main", lambda *_, **__: None)
    assert cli("schema").status == 0


def test_main_exits_with_the_commands_status(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ztrust-mail", "validate", "nix.yaml"])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 2


def test_main_prints_the_version_without_loading_commands(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ztrust-mail", "--version"])
    monkeypatch.setattr(entry, "run", raising(AssertionError()))
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("ztrust-mail ")


def test_main_works_with_streams_that_are_no_files(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "argv", ["ztrust-mail", "validate", "nix.yaml"])
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(SystemExit):
        entry.main()
    assert "nix.yaml" in stream.getvalue()


def test_the_package_runs_as_a_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cli: Cli
) -> None:
    monkeypatch.setattr(sys, "argv", ["ztrust-mail", "--version"])
    with pytest.raises(SystemExit):
        runpy.run_module("ztrust_mail", run_name="__main__")
    assert capsys.readouterr().out.startswith("ztrust-mail ")


def test_a_character_that_the_locale_lacks_does_not_make_a_command_fail(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.write("spec.yaml", GOOD.replace("Acme Corp", "Ácme → Corp"))
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    ran = run_process("explain", "spec.yaml", "acme", "sender.name")
    assert (ran.status, ran.err) == (0, "")
    assert r"\xc1cme \u2192 Corp" in ran.out


def test_a_reader_that_closes_the_pipe_means_status_2_and_one_line(cli: Cli, spec: str) -> None:
    for arguments in (["validate", spec], ["init"], ["schema"], ["explain", spec, "acme", "--format", "json"]):
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = subprocess.run(
                [sys.executable, "-m", "ztrust_mail", *arguments],
                stdout=writing,
                stderr=subprocess.PIPE,
                timeout=60,
                check=False,
            )
        finally:
            os.close(writing)
        assert (arguments, done.returncode, done.stderr.count(b"\n")) == (arguments, ExitStatus.USAGE, 1)
        assert b"the program reading standard output has exited" in done.stderr


def test_each_spec_that_is_written_names_the_schema_for_an_editor_in_its_first_line(cli: Cli) -> None:
    cli.write("a.json", '{"realm": "acme", "smtpServer": {"host": "h.example", "from": "a@b.example"}}')
    for command in (["init"], ["convert", "--from", "realm-export", "--to", "spec", "a.json"]):
        assert cli(*command).out.startswith("# yaml-language-server: $schema=./spec.schema.json\n")


@pytest.mark.parametrize(("switch", "security"), [("ssl", "tls"), ("starttls", "starttls")])
def test_a_switch_of_the_servers_form_is_told_with_the_security_to_write(cli: Cli, switch: str, security: str) -> None:
    cli.write("s.yaml", f"version: 1\nrealms:\n  acme: {{relay: {{host: h.example, {switch}: true}}}}\n")
    said = f"the server's `{switch}` is `relay.security` in a spec: write `security: {security}`"
    assert said in cli("validate", "s.yaml").out
