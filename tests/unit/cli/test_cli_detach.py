"""``--detach`` where it is refused: before any request is sent or stored."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cli import Cli
from support.fleets import Fleet

from ztrust_mail.cli.workers.submit import is_for_workers

NO_DATABASE = "postgresql://nobody@127.0.0.1:1/journal"


@pytest.fixture
def settings(fleet: Fleet) -> str:
    """Settings whose journal is in a database that does not run."""
    whole = f'{Path(fleet.settings).read_text(encoding="utf-8")}\n[journal]\nurl = "{NO_DATABASE}"\n'
    fleet.cli.set(CONFIG=fleet.cli.write("workers.toml", whole))
    return "workers.toml"


def refusal(cli: Cli, *arguments: str) -> str:
    """Return the error of a command that is refused."""
    ran = cli(*arguments)
    assert (ran.status, ran.out) == (2, "")
    return ran.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("apply mail.yaml --resume --yes", "--resume cannot be combined with --detach: requests always resume"),
        ("apply mail.yaml --wait 1m --yes", "--wait cannot be combined with --detach: requests always wait"),
        ("apply mail.yaml --yes --order stage=dev --all-servers", "--order cannot be combined with --detach"),
        ("apply mail.yaml", "a worker cannot ask for confirmation; review `ztrust-mail plan mail.yaml"),
        ("apply - --yes", "requests cannot read the spec from standard input; save it to a file, and name that"),
        ("drift -", "requests cannot read the spec from standard input"),
        ("test acme --ca-bundle mail.yaml", "--ca-bundle cannot be combined with --detach: workers trust their own"),
        ("test acme --var a=b", "--var needs a spec"),
        ("test --spec -", "requests cannot read the spec from standard input"),
        ("rotate env:A mail.yaml", "a worker cannot ask for confirmation; review `ztrust-mail rotate env:A mail.yaml"),
        ("rotate env:A mail.yaml --dry-run", "--dry-run cannot be combined with --detach: it plans on this machine"),
        ("rotate env:A mail.yaml --out p.json", "--out cannot be combined with --detach: it plans on this machine"),
    ],
)
def test_what_no_request_carries_is_refused_with_the_reason(
    fleet: Fleet, settings: str, arguments: str, problem: str
) -> None:
    server = [] if "--all-servers" in arguments else ["--server", "dev"]
    assert problem in refusal(fleet.cli, *arguments.split(), *server, "--detach")
    assert fleet.writes() == {"dev": 0, "eu-1": 0, "eu-2": 0}


def test_the_review_of_a_rotation_leaves_out_what_it_cannot_have(fleet: Fleet, settings: str) -> None:
    found = refusal(fleet.cli, "rotate", "env:A", "mail.yaml", "--server", "dev", "--detach")
    assert "review `ztrust-mail rotate env:A mail.yaml --server dev --dry-run`, then pass --yes" in found


def test_a_spec_from_a_pipe_is_refused(fleet: Fleet, settings: str) -> None:
    import os

    os.mkfifo("pipe.yaml")
    assert "`pipe.yaml` can be read only once" in refusal(fleet.cli, "drift", "pipe.yaml", "--detach")


def test_a_wrong_spec_is_reported_at_its_line_before_the_journal_is_opened(fleet: Fleet, settings: str) -> None:
    fleet.cli.write("mail.yaml", "version: 1\nrealms:\n  acme: {sendr: {}}\n")
    found = refusal(fleet.cli, "drift", "mail.yaml", "--server", "dev", "--detach")
    assert "mail.yaml:3:10: error: unknown key `sendr`" in found


def test_without_a_journal_for_workers_the_error_says_how_to_have_one(fleet: Fleet) -> None:
    fleet.cli.set(CONFIG=fleet.settings)
    found = refusal(fleet.cli, "drift", "mail.yaml", "--server", "dev", "--detach")
    assert "workers need a journal in PostgreSQL, but this one is in a file; set journal.url" in found
    assert "[no-workers]" in found


def test_a_database_that_does_not_run_is_named_without_its_login(fleet: Fleet, settings: str) -> None:
    found = refusal(fleet.cli, "drift", "mail.yaml", "--server", "dev", "--detach")
    assert "the journal in the PostgreSQL database `journal` at 127.0.0.1:1 cannot be reached" in found
    assert "nobody" not in found


def test_the_refusal_is_a_document_where_one_is_wanted(fleet: Fleet, settings: str) -> None:
    report = fleet.cli.json("drift", "-", "--server", "dev", "--detach")
    assert [one["message"] for one in report["findings"]] == [
        "requests cannot read the spec from standard input",
    ]  # fmt: skip


def test_a_plan_that_is_no_plan_is_refused(fleet: Fleet, settings: str) -> None:
    found = refusal(fleet.cli, "apply", "--plan", "mail.yaml", "--server", "dev", "--detach", "--yes")
    assert "the plan `mail.yaml`" in found
    assert "[bad-plan]" in found


def test_the_settings_can_have_workers_do_it_and_a_file_that_is_not_trusted_cannot(cli: Cli) -> None:
    cli.write("ztrust-mail.toml", '[fleet]\nrun_by = "workers"\n')
    assert not is_for_workers(None, detach=False)
    assert is_for_workers("ztrust-mail.toml", detach=False)
    assert is_for_workers(None, detach=True)


def test_options_that_no_request_carries_are_refused_by_these_settings_too(fleet: Fleet, settings: str) -> None:
    whole = Path(settings).read_text(encoding="utf-8") + '[fleet]\nrun_by = "workers"\n'
    fleet.cli.write(settings, whole)
    found = refusal(fleet.cli, "apply", "mail.yaml", "--server", "dev", "--resume", "--yes")
    assert '--resume cannot be combined with `run_by = "workers"` in the settings' in found


def test_on_a_terminal_it_is_asked_whether_a_worker_shall_write_without_showing_the_plan(
    fleet: Fleet, settings: str
) -> None:
    fleet.cli.write(settings, Path(settings).read_text(encoding="utf-8") + '[fleet]\nrun_by = "workers"\n')
    ran = fleet.cli("apply", "mail.yaml", "--server", "dev", typed="n\n")
    assert (ran.status, ran.out) == (1, "Declined: nothing was submitted.\n")
    assert ran.err == "A worker will plan and write without showing the plan first. Submit the request? [y/N] "
    agreed = fleet.cli("apply", "mail.yaml", "--server", "dev", typed="y\n")
    assert (agreed.status, "cannot be reached" in agreed.err) == (2, True)
    assert "cannot ask for confirmation" in refusal(fleet.cli, "apply", "mail.yaml", "--server", "dev")
    ran = fleet.cli("apply", "mail.yaml", "--server", "dev", "--detach", typed="y\n")
    assert (ran.status, "cannot ask for confirmation" in ran.err) == (2, True)


def test_a_rotation_is_still_previewed_here_with_these_settings(fleet: Fleet, settings: str) -> None:
    fleet.cli.write(settings, Path(fleet.settings).read_text(encoding="utf-8") + '[fleet]\nrun_by = "workers"\n')
    spec = "relay: {host: h.example, auth: {username: u, password: {env: A}}}"
    fleet.cli.write("mail.yaml", f"version: 1\nrealms: {{acme: {{sender: {{address: a@b.example}}, {spec}}}}}\n")
    fleet.cli.monkeypatch.setenv("A", "s3cret")
    ran = fleet.cli("rotate", "env:A", "mail.yaml", "--server", "dev", "--dry-run")
    assert (ran.status, ran.err) == (1, "")
    assert fleet["dev"].url in ran.out
