"""The wheel in fresh environments, whose home does not exist: without extras, and with the one of the sandbox."""

import os
import shlex
from pathlib import Path

import pytest
from support.distributions import BareEnvironment, Distributions, make_environment, user_extras

import ztrust_mail
from ztrust_mail.sandbox import Sandbox

SPEC = """\
version: 1
defaults:
  relay: {host: relay.example.com, auth: {username: apikey, password: PASSWORD}}
  sender: {address: "no-reply@{realm.slug}.example.com"}
realms: {acme: {}}
"""

WITHOUT_EXTRA = {
    "convert": [("convert", "--from", "terraform", "--to", "spec", "main.tf")],
    "dns": [("check", "--for", "sender", "--spec", "mail.yaml")],
    "fleet": [("worker",), ("requests", "1", "--cancel")],
    "html": [("plan", "mail.yaml", "--report", "html=plan.html"), ("validate", "mail.yaml", "--format", "html")],
    "postgresql": [("history", "--server", "http://127.0.0.1:1")],
    "sandbox": [("sandbox",), ("demo",)],
}
"""Commands that need an extra, for each extra."""


def test_every_extra_has_a_command_that_is_tried_without_it() -> None:
    assert WITHOUT_EXTRA.keys() == user_extras().keys()


@pytest.mark.parametrize(
    ("extra", "command"), [(extra, command) for extra, commands in WITHOUT_EXTRA.items() for command in commands]
)
def test_a_command_without_its_extra_prints_the_command_that_installs_it(
    without_extras: BareEnvironment, tmp_path: Path, extra: str, command: tuple[str, ...]
) -> None:
    (tmp_path / "main.tf").write_text("# no realms\n", encoding="utf-8")
    spec = "version: 1\nrealms: {acme: {relay: {host: a.example}, sender: {address: a@b.example}}}\n"
    (tmp_path / "mail.yaml").write_text(spec, encoding="utf-8")
    ran = without_extras.run(
        "ztrust-mail", *command, cwd=tmp_path, ZTRUST_MAIL_JOURNAL="postgresql://eve@127.0.0.1:1/x"
    )
    assert (ran.status, ran.out) == (2, "")
    assert f"not installed; install it: pip install 'ztrust-mail[{extra}]' [" in ran.err


@pytest.mark.parametrize("extra", WITHOUT_EXTRA)
def test_the_printed_command_installs_the_packages_of_the_extra_beside_the_wheel(
    without_extras: BareEnvironment, extra: str
) -> None:
    _, *arguments = shlex.split(f"pip install 'ztrust-mail[{extra}]'")
    last = without_extras.pip(*arguments, "--dry-run").lower().replace("_", "-").partition("would install ")[2]
    for requirement in user_extras()[extra]:
        assert requirement.partition(">")[0].partition("[")[0].lower() in last
    assert "ztrust-mail" not in last


@pytest.mark.parametrize(
    ("command", "output"),
    [
        (("ztrust-mail", "--version"), f"ztrust-mail {ztrust_mail.__version__}\n"),
        (("ztrust-mail", "schema", "spec"), '"$schema"'),
        (("ztrust-mail", "rule", "secret-missing"), "secret-missing"),
        (("ztrust-mail", "rule"), "secret-missing"),
        (("ztrust-mail", "completion", "bash"), "complete"),
        (("ztrust-mail", "help", "apply"), "--yes"),
        (("ztrust-mail", "init"), "version: 1"),
        (("python", "-m", "ztrust_mail", "--version"), "ztrust-mail"),
        (("python", "-c", "import ztrust_mail; print(*ztrust_mail.__all__)"), "apply"),
    ],
)
def test_a_command_that_needs_no_file_works_anywhere_and_leaves_no_file(
    without_extras: BareEnvironment, tmp_path: Path, command: tuple[str, ...], output: str
) -> None:
    before = entries(without_extras.folder)
    tmp_path.chmod(0o555)
    ran = without_extras.run(*command, cwd=tmp_path, PYTHONDONTWRITEBYTECODE="1")
    assert (ran.status, ran.err) == (0, "")
    assert output in ran.out
    assert entries(tmp_path) == []
    assert entries(without_extras.folder) == before


def entries(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_wheel_without_extras_plans_applies_and_checks_for_drift(
    without_extras: BareEnvironment, tmp_path: Path, ztrust_sandbox: Sandbox
) -> None:
    spec = SPEC.replace("PASSWORD", "{env: SMTP_PASSWORD}")
    login = write_project(tmp_path, ztrust_sandbox, spec)
    for command, status in ((("plan",), 1), (("apply", "--yes"), 0), (("drift",), 0)):
        ran = without_extras.run("ztrust-mail", *command, "mail.yaml", cwd=tmp_path, SMTP_PASSWORD="geheim", **login)
        assert ran.status == status, ran
    assert ztrust_sandbox.smtp("acme")["host"] == "relay.example.com"


def test_a_machine_without_a_keyring_says_what_to_use_instead(
    without_extras: BareEnvironment, tmp_path: Path, ztrust_sandbox: Sandbox
) -> None:
    login = write_project(tmp_path, ztrust_sandbox, SPEC.replace("PASSWORD", "{keyring: [smtp, apikey]}"))
    ran = without_extras.run("ztrust-mail", "apply", "mail.yaml", "--yes", cwd=tmp_path, **login)
    assert ran.status == 4
    assert "on a machine without a keyring use env or file" in ran.out
    assert ztrust_sandbox.smtp("acme") == {}


def write_project(folder: Path, sandbox: Sandbox, spec: str) -> dict[str, str]:
    """Write a spec, and return the variables of its server and journal."""
    (folder / "mail.yaml").write_text(spec, encoding="utf-8")
    return {
        "ZTRUST_MAIL_URL": sandbox.url,
        "ZTRUST_MAIL_USERNAME": sandbox.options.admin_user,
        "ZTRUST_MAIL_PASSWORD": sandbox.options.admin_password,
        "ZTRUST_MAIL_JOURNAL": f"sqlite:///{folder}/journal.sqlite3",
    }


def test_the_wheel_with_the_extra_of_the_sandbox_runs_the_demo(distributions: Distributions, tmp_path: Path) -> None:
    environment = make_environment(tmp_path, f"{distributions.wheel}[sandbox]")
    work = tmp_path / "work"
    work.mkdir()
    ran = environment.run("ztrust-mail", "demo", cwd=work, TMPDIR=os.fspath(tmp_path))
    assert ran.status == 0, ran
    assert entries(work) == []
