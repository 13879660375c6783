"""What a shell is told when it asks for completions; tests/e2e/test_completing_shells.py drives real shells."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from support.cli import Cli, Keyboard, cli_fixture  # noqa: F401  # a fixture

from ztrust_mail.cli import completion, main
from ztrust_mail.cli.app import app
from ztrust_mail.core.rules import COMMANDS
from ztrust_mail.reports.report import OutputFormat

SPEC = """\
version: 1
defaults: {relay: {host: h.example, auth: {username: u, password: {command: [touch, resolved]}}}}
realms: {acme: {}, globex: {}, "tenant-*": {}}
"""
SETTINGS = '[servers.production]\nurl = "https://id.example.com"\npassword = "canary"\n[servers.staging]\n'


def ask(line: str, shell: str = "bash", replaced: str = "") -> list[str]:
    """Return the answer's lines for the text before the cursor."""
    asked = {"COMP_LINE": f"ztrust-mail {line}", "COMP_WORD": replaced}
    return completion.answer(app, f"{shell}_complete", asked).splitlines()


def words(line: str) -> list[str]:
    """Return the suggested words, without files."""
    return [word for kind, _, word in (row.partition(",") for row in ask(line, "fish")) if kind in ("plain", "prefix")]


@pytest.fixture
def spec(cli: Cli) -> str:
    return cli.write("mail.yaml", SPEC)


@pytest.mark.parametrize("shell", completion.Shell)
def test_a_completion_script_uses_the_variable_that_the_command_reads(cli: Cli, shell: str) -> None:
    ran = cli("completion", shell)
    assert (ran.status, ran.err) == (0, "")
    assert f"{main.COMPLETION_VARIABLE}={shell}_complete" in ran.out


@pytest.mark.parametrize("shell", completion.Shell)
def test_the_help_has_the_line_that_turns_completion_on_in_each_shell(cli: Cli, shell: str) -> None:
    assert f"ztrust-mail completion {shell}" in cli("completion", "--help").out


def test_the_program_answers_a_shell_and_ends_with_0(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(main.COMPLETION_VARIABLE, "bash_complete")
    monkeypatch.setenv("COMP_LINE", "ztrust-mail va")
    monkeypatch.setenv("COMP_WORD", "va")
    ran = cli()
    assert (ran.status, ran.out, ran.err) == (0, "plain,validate\n", "")


def test_each_shell_gets_the_answer_in_its_own_form() -> None:
    assert ask("va", "bash", "va") == ["plain,validate"]
    assert ask("va", "zsh") == ["plain", "validate", "Check spec files offline."]
    assert ask("va", "fish") == ["plain,validate\tCheck spec files offline."]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("plan ma", "spec,"),
        ("validate ", "spec,"),
        ("explain ma", "spec,"),
        ("rotate env:X ma", "spec,"),
        ("test --spec ", "spec,"),
        ("plan --config ", "file,"),
        ("plan --config=ma", "file,--config="),
        ("plan --out ", "file,"),
        ("convert ", "file,"),
        ("plan --report json=", "file,json="),
        ("plan --report=json=x", "file,--report=json="),
    ],
)
def test_paths_are_completed_by_the_shell(cli: Cli, line: str, kind: str) -> None:
    assert ask(line, "fish") == [kind]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("plan mail.yaml --realm ", ["acme", "globex", "tenant-*"]),
        ("plan mail.yaml --realm=g", ["--realm=globex"]),
        ("plan . --realm g", ["globex"]),
        ("plan mail.yaml ./mail.yaml --realm g", ["globex"]),
        ("drift --realm x mail.yaml --realm g", ["globex"]),
        ("explain mail.yaml ", ["acme", "globex", "tenant-*"]),
        ("explain mail.yaml acme envelope", ["envelope_from"]),
        ("test --spec mail.yaml a", ["acme"]),
        ("apply mail.yaml --canary t", ["tenant-*"]),
        ("plan --report ", [f"{name}=" for name in OutputFormat]),
        ("plan --format js", ["json"]),
        ("explain --format s", []),
        ("presets --format s", []),
        ("plan --allow ", ["mass-change", "needed-mail", "weaker-security", "lost-secret", "window", "all"]),
        ("plan --allow all,mass", ["all,mass-change"]),
        ("plan --allow all,a", []),
        ("sandbox --relay-fault exp", ["expired"]),
        ("sandbox --relay-fault no-starttls,", [f"no-starttls,{fault}" for fault in ("auth", "slow", "refuse-sender")]),
        ("convert --from real", ["realm-export"]),
        ("convert --to omni", ["omnibyte"]),
        ("rule plain-s", ["plain-secret"]),
        ("docs exit", ["exit-status"]),
        ("presets ses-eu-n", ["ses-eu-north-1"]),
        ("init --preset mailg", ["mailgun", "mailgun-eu"]),
        ("help ", [*COMMANDS]),
    ],
)
def test_values_come_from_the_command_line_and_the_spec(
    cli: Cli, spec: str, line: str, expected: Sequence[str]
) -> None:
    assert words(line) == expected
    assert not Path("resolved").exists()


def test_servers_come_from_the_settings_that_the_line_or_the_environment_names(cli: Cli) -> None:
    cli.write("ztrust-mail.toml", SETTINGS)
    cli.write("other.toml", "[servers.demo]\n")
    assert words("plan --server ") == ["production", "staging"]
    assert words("plan --config other.toml --server ") == ["demo"]
    assert words("plan --config=other.toml --server=") == ["--server=demo"]
    cli.set(CONFIG="other.toml")
    assert words("plan --server ") == ["demo"]


def test_labels_come_from_the_settings_with_their_values(cli: Cli) -> None:
    cli.write("ztrust-mail.toml", "[servers.a]\nlabels = {stage = 'dev'}\n[servers.b]\nlabels = {stage = 'prod'}\n")
    assert words("drift --label sta") == ["stage=dev", "stage=prod"]


BROKEN = {
    "tab.yaml": "version: 1\n\trealms: {}\n",
    "list.yaml": "[1]\n",
    "realms.yaml": "version: 1\nrealms: [1]\n",
    "null.yaml": "",
    "bomb.yaml": "a: &a [x, x]\nb: &b [*a, *a]\nrealms: *b\n",
    "bytes.json": "\0\x01",
}


@pytest.mark.parametrize("name", BROKEN)
def test_completion_skips_a_broken_spec_and_uses_the_others(
    cli: Cli, spec: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.write(name, BROKEN[name])
    assert words(f"plan {name} --realm ") == []
    assert words(f"plan {name} missing.yaml - {spec} --realm a") == ["acme"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("content", ["[servers", "servers = 1\n", "[servers]\na = 1\n", "\0", "[nonsense]\n"])
def test_completion_suggests_nothing_for_broken_settings(cli: Cli, content: str) -> None:
    cli.write("bad.toml", content)
    assert words("plan --config bad.toml --server ") == []
    assert words("plan --config missing.toml --server ") == []


def test_pipes_and_standard_input_are_left_alone(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.write(writer, SETTINGS.encode())
    os.close(writer)
    os.mkfifo("pipe.yaml")
    cli.write("-", SPEC)
    monkeypatch.setattr(sys, "stdin", Keyboard(SPEC))
    assert words("plan pipe.yaml - --realm ") == []
    assert words(f"plan --config /dev/fd/{reader} --server ") == []
    assert os.read(reader, 1000) == SETTINGS.encode()
    os.close(reader)


def test_completion_reads_no_large_files(cli: Cli, spec: str) -> None:
    cli.write("large.yaml", SPEC + "# " + "x" * completion.MAX_SPEC_BYTES)
    cli.write("large.toml", SETTINGS + "# " + "x" * 1_000_000)
    assert words(f"plan {spec} large.yaml --realm a") == ["acme"]
    assert words("plan large.yaml --realm ") == []
    assert words("plan --config large.toml --server ") == []


def test_the_number_of_completed_names_is_limited(cli: Cli) -> None:
    cli.write("many.json", json.dumps({"realms": {f"r{n}": {} for n in range(completion.MAX_NAMES + 1)}}))
    assert len(words("plan many.json --realm ")) == completion.MAX_NAMES


def test_names_with_control_characters_are_not_completed(cli: Cli) -> None:
    cli.write("mail.yaml", 'version: 1\nrealms: {"a\\x1b]0;x": {}, "a\\u202eb": {}, "a\\nb": {}, ab: {}}\n')
    assert words("plan mail.yaml --realm a") == ["ab"]


@pytest.mark.parametrize(
    ("line", "replaced", "answer"),
    [
        ("plan --server=pro", "pro", "plain,production"),
        ("plan --server ", "", "plain,production"),
        ("plan mail.yaml --realm a", "a", r"plain,a\ b\$\(c\)"),
        (r"plan mail.yaml --realm a\ ", r"a\ ", r"plain,a\ b\$\(c\)"),
        ("plan mail.yaml --realm x", "x", "plain,x:y"),
        ("plan mail.yaml --realm x:", "", "plain,y"),
        ("plan mail.yaml --realm 'x", "x", "plain,x:y"),
        ("plan mail.yaml --realm 'a", "a", ""),
        ('plan mail.yaml --realm "a ', "a ", ""),
    ],
)
def test_bash_gets_the_part_that_it_replaces_quoted_for_the_shell(
    cli: Cli, line: str, replaced: str, answer: str
) -> None:
    cli.write("ztrust-mail.toml", "[servers.production]\n")
    cli.write("mail.yaml", 'version: 1\nrealms: {"a b$(c)": {}, "x:y": {}}\n')
    assert "\n".join(ask(line, "bash", replaced)) == answer


def endless(_context: click.Context, _word: str) -> Sequence[str]:
    while True:
        pass


def failing(_context: click.Context, _word: str) -> Sequence[str]:
    raise ValueError("canary")


def test_suggestions_that_take_too_long_or_fail_are_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    for find in (endless, failing):
        command = click.Command("x", params=[click.Argument(["a"], shell_complete=completion.suggest(find))])
        assert completion.answer(command, "bash_complete", {"COMP_LINE": "x "}, seconds=0.01) == ""
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("instruction", "environ"),
    [("tcsh_complete", {"COMP_LINE": "x "}), ("bash_complete", {}), ("bash_source", {"COMP_LINE": ""}), ("", {})],
)
def test_an_unknown_question_of_a_shell_has_no_answer(instruction: str, environ: dict[str, str]) -> None:
    assert completion.answer(app, instruction, environ) == ""


def test_an_unknown_command_has_no_completions() -> None:
    assert words("nix --se") == []
