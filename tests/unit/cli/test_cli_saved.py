"""Saved plans through the command line: reviewed, applied as they are, or refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.bad_server import CLOSE, BadServer
from support.cli import Cli
from support.fault_proxy import Fault, FaultProxy

import ztrust_mail
from ztrust_mail.core.data import of_json
from ztrust_mail.core.errors import Unsafe
from ztrust_mail.sandbox import Sandbox

SPEC = """
version: 1
defaults:
  sender: {address: "no-reply@{realm.slug}.example.com"}
  relay: {host: smtp.example.com, auth: {username: apikey, password: {env: SMTP_PASSWORD}}}
realms: {acme: {}, globex: {}}
"""


@pytest.fixture
def plan(cli: Cli, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> str:
    """The digest of a plan saved in ``plan.json``."""
    monkeypatch.setenv("SMTP_PASSWORD", "relay-password")
    ran = cli("plan", cli.write("mail.yaml", SPEC), "--out", "plan.json")
    assert ran.status == 1
    digest = re.search(r"^Saved to `plan.json`; its digest is (\w+)$", ran.out, re.MULTILINE)[1]
    assert json.loads(Path("plan.json").read_text(encoding="ascii"))["digest"] == digest
    return digest


def test_a_saved_plan_is_applied_without_the_spec(cli: Cli, sandbox: Sandbox, plan: str) -> None:
    Path("mail.yaml").unlink()
    ran = cli("apply", "--plan", "plan.json", "--expect-digest", plan[:12], "--yes")
    assert ran.status == 0
    assert ran.out.endswith("Done: 2 realms applied (run 1).\n")
    assert "plan-spec-absent" in ran.out
    assert sandbox.smtp("globex")["password"] == "relay-password"


def test_the_journal_names_the_plan_that_was_applied(cli: Cli, sandbox: Sandbox, plan: str) -> None:
    cli("apply", "--plan", "plan.json", "--yes")
    told = json.loads(cli("history", "1", "--format", "json").out)
    assert told["runs"][0]["plan_digest"] == plan


def test_no_secret_is_in_the_file(cli: Cli, sandbox: Sandbox, plan: str) -> None:
    assert "relay-password" not in Path("plan.json").read_text(encoding="ascii")


def test_a_new_secret_alone_is_planned_and_applied(
    cli: Cli, sandbox: Sandbox, plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("apply", "--plan", "plan.json", "--yes")
    monkeypatch.setenv("SMTP_PASSWORD", "another-password")
    assert cli("plan", "mail.yaml", "--out", "second.json").status == 1
    ran = cli("apply", "--plan", "second.json", "--yes")
    assert (ran.status, sandbox.smtp("acme")["password"]) == (0, "another-password")
    assert "plan-cannot-see" in ran.out


def altered(text: str) -> None:
    path = Path("plan.json")
    path.write_text(path.read_text(encoding="ascii").replace("smtp.example.com", text), encoding="ascii")


@pytest.mark.parametrize("change", ["file", "spec", "realm", "digest"])
def test_a_stale_saved_plan_is_refused_and_nothing_is_written(
    cli: Cli, sandbox: Sandbox, plan: str, change: str
) -> None:
    options = []
    if change == "file":
        altered("smtp.attacker.example")
    elif change == "spec":
        cli.write("mail.yaml", SPEC + "# more\n")
    elif change == "realm":
        sandbox.edit_smtp("globex", {"host": "else.example"})
    else:
        options = ["--expect-digest", "0" * 12]
    before = {name: sandbox.smtp(name) for name in ("acme", "globex")}
    ran = cli("apply", "--plan", "plan.json", "--yes", *options)
    rule = {"file": "plan-altered", "spec": "plan-spec-moved", "realm": "plan-stale", "digest": "plan-other"}[change]
    assert ran.status == 5
    assert f"[{rule}]" in ran.err
    assert ("globex" in ran.err) is (change == "realm")
    assert {name: sandbox.smtp(name) for name in before} == before


def test_a_spec_added_to_the_folder_makes_a_saved_plan_stale(cli: Cli, sandbox: Sandbox) -> None:
    cli.write("specs/mail.yaml", SPEC)
    assert cli("plan", "specs", "--out", "plan.json").status == 1
    cli.write("specs/more.yaml", "version: 1\nrealms: {}\n")
    ran = cli("apply", "--plan", "plan.json", "--yes")
    assert ran.status == 5
    assert "stale plan: since it was made, 1 spec file added: `specs/more.yaml`" in ran.err


def test_a_plan_cannot_be_saved_to_standard_output(cli: Cli, sandbox: Sandbox) -> None:
    cli.write("mail.yaml", SPEC)
    ran = cli("plan", "mail.yaml", "--out", "-")
    assert (ran.status, ran.out) == (2, "")
    assert "Invalid value for '--out': the result already goes to standard output; name a file" in ran.err
    assert not Path("-").exists()
    assert sandbox.requests == ()


@pytest.mark.parametrize("folder", ["specs", ".", "specs/below/.."])
def test_a_plan_cannot_be_saved_into_a_folder_of_specs(cli: Cli, sandbox: Sandbox, folder: str) -> None:
    cli.write("specs/mail.yaml", SPEC)
    cli.write("specs/below/x.txt", "")
    ran = cli("plan", folder, "--out", "specs/below/plan.json")
    assert ran.status == 2
    assert (
        f"cannot write the plan `specs/below/plan.json`: it would be one of the specs in `{folder}`; name a file"
        in ran.err
    )
    assert sandbox.requests == ()


@pytest.mark.parametrize("more", [["mail.yaml"], ["--realm", "acme"], ["--secrets", "write"], ["--var", "a=b"]])
def test_a_saved_plan_takes_no_options_that_would_change_it(
    cli: Cli, sandbox: Sandbox, plan: str, more: list[str]
) -> None:
    ran = cli("apply", "--plan", "plan.json", "--yes", *more)
    assert ran.status == 2
    assert "--plan cannot be combined with SPEC, --realm, --var or --secrets" in ran.err


def test_a_refusal_names_every_realm_in_json(cli: Cli, sandbox: Sandbox, plan: str) -> None:
    for name in ("acme", "globex"):
        sandbox.edit_smtp(name, {"host": "else.example"})
    report = cli.json("apply", "--plan", "plan.json", "--yes")
    assert report["exit_status"] == 5
    assert [finding["realm"] for finding in report["findings"]] == [None, "acme", "globex"]


def test_a_digest_without_a_plan_is_refused(cli: Cli, sandbox: Sandbox) -> None:
    assert cli("apply", cli.write("mail.yaml", SPEC), "--expect-digest", "0" * 12, "--yes").status == 2


def test_nothing_to_apply_is_refused(cli: Cli, sandbox: Sandbox) -> None:
    ran = cli("apply", "--yes")
    assert ran.status == 2
    assert "no spec and no saved plan given" in ran.err


def test_a_plan_is_overwritten_only_with_force_and_that_is_checked_first(cli: Cli, sandbox: Sandbox, plan: str) -> None:
    before = len(sandbox.requests)
    assert cli("plan", "mail.yaml", "--out", "plan.json").status == 2
    assert len(sandbox.requests) == before
    assert cli("plan", "mail.yaml", "--out", "plan.json", "--force").status == 1
    assert cli("plan", "mail.yaml", "--out", "nowhere/plan.json").status == 2


@pytest.mark.parametrize("wait", ["5", "soon", "-1s"])
def test_a_time_to_wait_needs_its_unit(cli: Cli, sandbox: Sandbox, wait: str) -> None:
    ran = cli("apply", cli.write("mail.yaml", SPEC), "--yes", f"--wait={wait}")
    assert ran.status == 2
    assert f"--wait is not a duration with a unit: `{wait}`" in ran.err


def test_resuming_a_complete_run_is_reported(cli: Cli, sandbox: Sandbox) -> None:
    ran = cli("apply", cli.write("mail.yaml", SPEC), "--resume", "--yes")
    assert ran.status == 2
    assert "nothing to resume" in ran.err


def test_a_stopped_run_is_reported_resumed_and_not_resumed_with_another_spec(
    cli: Cli, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "relay-password")
    spec = cli.write("mail.yaml", SPEC)
    sandbox.faults.before_write = sandbox.faults.failing_realms.add
    first = cli("apply", spec, "--yes", "--wave", "1", "--stop-after", "1")
    assert (first.status, first.out.splitlines()[-1]) == (
        4,
        "Fix the cause, then continue with: ztrust-mail apply mail.yaml --resume --wave 1 --stop-after 1",
    )
    sandbox.faults.before_write = None
    sandbox.faults.failing_realms.clear()

    other = cli("apply", cli.write("other.yaml", SPEC + "# another\n"), "--resume", "--yes")
    assert other.status == 5
    assert "[spec-moved]" in other.err
    resumed = cli("apply", spec, "--resume", "--yes")
    assert resumed.out.endswith("Done: 2 realms applied (run 2).\n")
    outcomes = [run["outcome"] for run in json.loads(cli("history", "--format", "json").out)["runs"]]
    assert outcomes == ["done", "resumed"]


# A saved plan chooses no server


@pytest.fixture
def other_server() -> Iterator[BadServer]:
    """A server that nobody should connect to."""
    with BadServer(CLOSE) as server:
        yield server
        assert server.accepted == 0


def redirect(url: str) -> str:
    """Let ``plan.json`` name another server, with a digest made anew, and return the digest."""
    data = json.loads(Path("plan.json").read_text(encoding="ascii"))
    data.pop("digest")
    data["server"]["url"] = url
    digest = of_json(data)
    Path("plan.json").write_text(json.dumps({**data, "digest": digest}), encoding="ascii")
    return digest


def settings_of(cli: Cli, *urls: str, name: str = "own.toml") -> str:
    """Write settings with a server ``s1``, ``s2``, … at each URL, and take the URL from the environment."""
    cli.monkeypatch.delenv("ZTRUST_MAIL_URL")
    return cli.write(name, "".join(f'[servers.s{number}]\nurl = "{url}"\n' for number, url in enumerate(urls, 1)))


@pytest.mark.parametrize("chosen", ["variable", "option", "only entry", "one of two entries", "no choice"])
@pytest.mark.parametrize("expected", [False, True])
def test_a_plan_that_names_another_server_gets_no_connection_to_it(
    cli: Cli, sandbox: Sandbox, plan: str, other_server: BadServer, chosen: str, expected: bool
) -> None:
    digest = redirect(other_server.url)
    options: list[str] = ["--expect-digest", digest] if expected else []
    if chosen == "option":
        options += ["--server", sandbox.url]
    elif chosen == "only entry":
        options += ["--config", settings_of(cli, sandbox.url)]
    elif chosen == "one of two entries":
        options += ["--config", settings_of(cli, sandbox.url, "https://id.example"), "--server", "s1"]
    elif chosen == "no choice":
        cli.monkeypatch.delenv("ZTRUST_MAIL_URL")
        options = []
    before = len(sandbox.requests)
    ran = cli("apply", "--plan", "plan.json", "--yes", *options)
    assert (ran.status, ran.out) == (5, "")
    assert f"the plan was made for the server `{other_server.url}`, but" in ran.err
    assert ("no server given" if chosen == "no choice" else sandbox.url) in ran.err
    assert "[plan-server]" in ran.err
    assert len(sandbox.requests) == before


def test_without_a_server_the_command_that_names_it_is_shown_ready_for_a_shell(
    cli: Cli, sandbox: Sandbox, plan: str
) -> None:
    redirect("https://id.example/$(id)\x1b")
    cli.monkeypatch.delenv("ZTRUST_MAIL_URL")
    ran = cli("apply", "--plan", "plan.json", "--yes")
    assert ran.status == 5
    assert r"ztrust-mail apply --plan plan.json --server 'https://id.example/$(id)\x1b' [" in ran.err


@pytest.mark.parametrize("file", ["own.toml", "ztrust-mail.toml"])
def test_the_entry_for_the_plans_server_is_chosen_from_trusted_settings_only(
    cli: Cli, sandbox: Sandbox, plan: str, file: str
) -> None:
    settings_of(cli, "https://id.example", sandbox.url, name=file)
    ran = cli("apply", "--plan", "plan.json", "--yes", *(["--config", file] if file == "own.toml" else []))
    assert ran.status == (0 if file == "own.toml" else 5)
    if ran.status:
        assert "a plan file cannot choose a server: several servers are possible: s1 and s2" in ran.err


def test_two_entries_for_the_plans_server_are_refused_as_ambiguous(cli: Cli, sandbox: Sandbox, plan: str) -> None:
    config = settings_of(cli, sandbox.url, f"{sandbox.url}/")
    ran = cli("apply", "--plan", "plan.json", "--yes", "--config", config, "--expect-digest", plan)
    assert ran.status == 5
    assert "one of `s1`, `s2`, name it yourself: ztrust-mail apply --plan plan.json --server s1 [" in ran.err
    assert cli("apply", "--plan", "plan.json", "--yes", "--config", config, "--server", "s1").status == 0


def test_the_trusted_entry_for_the_plans_server_is_named_where_another_is_chosen(
    cli: Cli, sandbox: Sandbox, plan: str
) -> None:
    config = settings_of(cli, "https://id.example", sandbox.url)
    ran = cli("apply", "--plan", "plan.json", "--yes", "--config", config, "--server", "s1")
    assert ran.status == 5
    assert "--plan plan.json --server s2" in ran.err


@pytest.mark.parametrize("expected", [False, True])
def test_only_a_plan_whose_digest_was_expected_may_choose_its_server(
    cli: Cli, sandbox: Sandbox, plan: str, expected: bool
) -> None:
    cli.monkeypatch.delenv("ZTRUST_MAIL_URL")
    ran = cli("apply", "--plan", "plan.json", "--yes", *(["--expect-digest", plan] if expected else []))
    assert ran.status == (0 if expected else 5)


def test_the_library_sends_requests_only_to_the_server_of_the_plan(
    cli: Cli, sandbox: Sandbox, plan: str, other_server: BadServer
) -> None:
    redirect(other_server.url)
    saved = ztrust_mail.load_plan("plan.json")
    with pytest.raises(Unsafe, match="but the chosen server is"):
        ztrust_mail.connect(plan=saved)
    before = len(sandbox.requests)
    with ztrust_mail.connect() as connection, pytest.raises(Unsafe, match="the plan was made for the server"):
        ztrust_mail.plan_saved(saved, connection)
    assert len(sandbox.requests) == before


# A saved plan whose apply was stopped


@contextmanager
def failing(sandbox: Sandbox, realm: str) -> Iterator[None]:
    """Let a realm fail from its first write on."""
    sandbox.faults.before_write = lambda name: sandbox.faults.failing_realms.update({realm} & {name})
    yield
    sandbox.faults.before_write = None
    sandbox.faults.failing_realms.clear()


@pytest.fixture
def stopped(cli: Cli, sandbox: Sandbox, plan: str) -> str:
    """The last line of the apply of ``plan.json``, which wrote acme and then failed at globex."""
    with failing(sandbox, "globex"):
        ran = cli("apply", "--plan", "plan.json", "--yes", "--wave", "1", "--stop-after", "1")
    assert (ran.status, sandbox.smtp("acme")["password"]) == (4, "relay-password")
    return ran.out.splitlines()[-1]


def outcomes(cli: Cli) -> list[str]:
    return [run["outcome"] for run in json.loads(cli("history", "--format", "json").out)["runs"]]


def test_what_the_run_of_a_plan_left_is_taken_up_from_the_same_file(cli: Cli, sandbox: Sandbox, stopped: str) -> None:
    command = "ztrust-mail apply --plan plan.json --resume --wave 1 --stop-after 1"
    assert stopped == f"Fix the cause, then continue with: {command}"
    before = writes(sandbox)
    ran = cli("apply", "--plan", "plan.json", "--resume", "--yes")
    assert (ran.status, ran.out.splitlines()[-1]) == (0, "Done: 1 realm applied (run 2).")
    assert writes(sandbox)[len(before) :] == ["/admin/realms/globex"]
    assert sandbox.smtp("globex")["password"] == "relay-password"
    assert outcomes(cli) == ["done", "resumed"]
    assert json.loads(cli("history", "2", "--format", "json").out)["runs"][0]["command"] == "apply --plan"


def writes(sandbox: Sandbox) -> list[str]:
    return [call.path for call in sandbox.requests if call.method == "PUT"]


def test_a_stopped_resume_can_be_resumed(cli: Cli, sandbox: Sandbox, stopped: str) -> None:
    with failing(sandbox, "globex"):
        assert cli("apply", "--plan", "plan.json", "--resume", "--yes").status == 4
    assert cli("apply", "--plan", "plan.json", "--resume", "--yes").status == 0
    assert outcomes(cli) == ["done", "resumed", "resumed"]


def test_without_resume_the_plan_of_a_stopped_run_is_stale_with_a_hint_to_resume(
    cli: Cli, sandbox: Sandbox, stopped: str
) -> None:
    ran = cli("apply", "--plan", "plan.json", "--yes")
    assert ran.status == 5
    assert "run 1 wrote part of this plan: add --resume" in ran.err


def test_resume_refuses_a_realm_that_changed_since_the_run_stopped(cli: Cli, sandbox: Sandbox, stopped: str) -> None:
    sandbox.edit_smtp("globex", {"host": "else.example"})
    sandbox.edit_smtp("acme", {"host": "else.example"})  # written by that run: what came later is a matter of drift
    ran = cli("apply", "--plan", "plan.json", "--resume", "--yes")
    assert ran.status == 5
    assert "stale plan: realm `globex` changed after the plan was made" in ran.err


@pytest.mark.parametrize("other", ["spec", "plan"])
def test_the_run_of_another_plan_is_not_resumed(cli: Cli, sandbox: Sandbox, plan: str, other: str) -> None:
    cli("plan", "mail.yaml", "--realm", "acme", "--out", "other.json")
    with failing(sandbox, "acme"):
        assert cli("apply", *(["mail.yaml"] if other == "spec" else ["--plan", "other.json"]), "--yes").status == 4
    ran = cli("apply", "--plan", "plan.json", "--resume", "--yes")
    assert ran.status == 5
    assert "cannot resume run 1, the last one, with this plan" in ran.err


def test_resuming_the_complete_run_of_a_plan_is_reported(cli: Cli, sandbox: Sandbox, plan: str) -> None:
    for _ in range(2):
        ran = cli("apply", "--plan", "plan.json", "--resume", "--yes")
        assert ran.status == 2
        assert "nothing to resume" in ran.err
        cli("apply", "--plan", "plan.json", "--yes")


def test_resume_leaves_realms_out_that_the_plan_left_out(cli: Cli, sandbox: Sandbox, plan: str) -> None:
    sandbox.faults.failing_realms.add("globex")
    assert cli("plan", "mail.yaml", "--out", "part.json").status == 4
    sandbox.faults.failing_realms.clear()
    assert cli("apply", "--plan", "part.json", "--yes").status == 4
    again = cli("apply", "--plan", "part.json", "--resume", "--yes")
    assert again.status == 4
    assert "globex: error: not in the plan" in again.out
    assert writes(sandbox) == ["/admin/realms/acme"]


def test_the_run_of_a_saved_plan_is_not_resumed_with_a_spec(cli: Cli, sandbox: Sandbox, stopped: str) -> None:
    ran = cli("apply", "mail.yaml", "--resume", "--yes")
    assert ran.status == 2
    assert "apply --plan FILE --resume" in ran.err


def test_resume_has_nothing_left_if_all_writes_of_the_plans_run_arrived(cli: Cli, sandbox: Sandbox, plan: str) -> None:
    with FaultProxy(sandbox.url) as proxy:
        cli.set(URL=proxy.url)
        assert cli("plan", "mail.yaml", "--out", "proxied.json").status == 1
        proxy.fault(Fault.CUT_BEFORE_ANSWER, method="GET", path="/admin/realms/", at=3, times=100)
        assert cli("apply", "--plan", "proxied.json", "--yes").status == 4
        proxy.clear()
        ran = cli("apply", "--plan", "proxied.json", "--resume", "--yes")
        assert (ran.status, ran.out.splitlines()[-1]) == (0, "Nothing is left of run 1: all its writes succeeded.")
        assert cli("plan", "mail.yaml", "--realm", "acme", "--out", "other.json").status == 0
        ran = cli("apply", "--plan", "other.json", "--resume", "--yes")
        assert (ran.status, "nothing to resume" in ran.err) == (2, True)


def test_resuming_only_some_realms_is_refused(cli: Cli, sandbox: Sandbox) -> None:
    ran = cli("apply", cli.write("mail.yaml", SPEC), "--resume", "--realm", "acme", "--yes")
    assert ran.status == 2
    assert "--realm" in ran.err


def test_a_misspelt_reason_is_refused_before_any_request(cli: Cli, sandbox: Sandbox) -> None:
    ran = cli("apply", cli.write("mail.yaml", SPEC), "--allow", "mass-chnage", "--yes")
    assert ran.status == 2
    assert "mass-change" in ran.err
    assert list(sandbox.requests) == []
