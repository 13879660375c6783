"""The doctor's questions, its answers for every kind of account, and that asking changes nothing."""

from __future__ import annotations

import shlex
import socket
import textwrap
from dataclasses import replace

import pytest
from support.connecting import FakeGateway, Unreadable, connected, sent
from support.mail_settings import STORED

from ztrust_mail import doctor
from ztrust_mail.core.errors import ExitStatus, ServerRefused, ServerUnreachable
from ztrust_mail.diagnose.doctor import DoctorReport, examine, setup_commands
from ztrust_mail.reports.text.servers import doctor_lines, doctor_verdict
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.settings import Server

LOGIN, VERSION, READ, WRITE, ADDRESS = (
    "reach and log in", "server version", "read e-mail settings", "write e-mail settings", "address for test mails",
)  # fmt: skip
SERVER = Server("https://id.example.com")


def examined(sandbox: Sandbox, *globs: str, **account: str) -> DoctorReport:
    with connected(sandbox, Unreadable(), **account) as connection:
        return doctor(connection, globs)


def answers(found: DoctorReport) -> dict[str, bool | None]:
    return {check.question: check.answer for check in found.checks}


def detail(found: DoctorReport, question: str) -> str:
    (check,) = (check for check in found.checks if check.question == question)
    return f"{check.detail}; {check.hint}"


def groups(found: DoctorReport, question: str) -> list[tuple[tuple[str, ...], str]]:
    """Return the realms that a check is a no for, with their problem and what to do about it."""
    (check,) = (check for check in found.checks if check.question == question)
    return [(group.realms, f"{group.message}; {group.hint}") for group in check.groups]


def test_an_administrator_with_an_address_passes_all_checks(ztrust_sandbox):
    found = examined(ztrust_sandbox)
    assert answers(found) == dict.fromkeys((LOGIN, VERSION, READ, WRITE, ADDRESS), True)
    assert [check.detail for check in found.checks] == [
        "admin of realm master", "26.7.4", "in 3 realms", "in 3 realms", "admin@sandbox.example",
    ]  # fmt: skip
    assert found.exit_status is ExitStatus.OK
    assert found.url == ztrust_sandbox.url


@pytest.mark.parametrize("version", ["16.1.1", "18.0.2", "26.0.0", "26.7.4", "26.8.0"])
def test_the_doctor_writes_nothing_and_sends_no_mail(version):
    with Sandbox(SandboxOptions(version=version)) as sandbox:
        sandbox.edit_smtp("acme", {**STORED, "host": sandbox.mail.host, "port": str(sandbox.mail.port)})
        before = {name: sandbox.smtp(name) for name in ("acme", "globex", "master")}
        examined(sandbox)
        assert {name: sandbox.smtp(name) for name in before} == before
        assert {r.method for r in sandbox.requests} <= {"GET", "POST"}
        assert all(r.path.endswith("/testSMTPConnection") for r in sent(sandbox, "POST"))
        assert all(r.body == {"from": ""} for r in sent(sandbox, "POST"))
        assert sandbox.mail.received == ()


def test_the_write_check_names_realms_where_the_account_may_only_view(ztrust_sandbox):
    roles = ("acme-realm:view-realm", "globex-realm:manage-realm", "master-realm:query-users")
    ztrust_sandbox.create_user("master", "clerk", "pw", roles=roles)
    found = examined(ztrust_sandbox, username="clerk", password="pw")
    assert answers(found) == {LOGIN: True, VERSION: None, READ: False, WRITE: False, ADDRESS: None}
    ((hidden, why),), ((barred, role),) = groups(found, READ), groups(found, WRITE)
    assert (detail(found, READ), hidden) == ("in 2 of 3 realms; ", ("master",))
    assert "may not see the e-mail settings of `master`" in why
    assert (detail(found, WRITE), barred) == ("in 1 of 2 realms; ", ("acme",))
    assert role.endswith("role manage-realm there: ztrust-mail doctor --setup-commands --realm acme")
    assert found.exit_status is ExitStatus.PARTIAL
    limited = examined(ztrust_sandbox, "globex", username="clerk", password="pw")
    assert (answers(limited)[READ], answers(limited)[WRITE]) == (True, True)


def many_realms(sandbox: Sandbox, number: int) -> DoctorReport:
    """Return what the doctor finds for an account that may do different things in many realms."""
    roles = ("query-users", "view-realm", "manage-realm")
    names = [f"customer-number-{n:04}" for n in range(number)]
    for name in names:
        sandbox.create_realm(name)
    owned = [f"{name}-realm:{roles[n % 3]}" for n, name in enumerate(names)]
    sandbox.create_user("master", "clerk", "pw", roles=owned)
    return examined(sandbox, "customer-*", username="clerk", password="pw")


def test_realms_with_the_same_problem_are_one_group(ztrust_sandbox):
    found = many_realms(ztrust_sandbox, 9)
    ((hidden, why),), ((barred, role),) = groups(found, READ), groups(found, WRITE)
    assert hidden == tuple(f"customer-number-{n:04}" for n in (0, 3, 6))
    assert "settings of `{realm}`" in why
    assert barred == tuple(f"customer-number-{n:04}" for n in (1, 4, 7))
    assert role.count("--realm") == 3


def test_the_findings_on_many_realms_fit_a_screen_of_80_columns_and_24_lines(ztrust_sandbox):
    found = many_realms(ztrust_sandbox, 60)
    lines = ["".join(span.text for span in one) for one in [*doctor_lines(found), *doctor_verdict(found)]]
    wrapped = [part for text in lines for part in textwrap.wrap(text, 78)]
    assert len(wrapped) <= 22  # and the command and the next prompt
    assert "`customer-number-0001`, `customer-number-0004`, `customer-number-0007` and 17 more" in "\n".join(lines)
    assert any(text.endswith("ztrust-mail doctor --setup-commands --realm REALM") for text in lines)
    assert lines[-1] == "2 checks failed; 2 checks could not be made."


@pytest.mark.parametrize("glob", ["glbex", "glbex*"])
def test_a_misspelt_realm_is_answered_with_the_realm_that_is_meant(ztrust_sandbox, glob):
    found = examined(ztrust_sandbox, glob)
    [reading] = [check for check in found.checks if check.question == READ]
    said = " ".join([reading.detail, reading.hint, *(f"{one.message} {one.hint}" for one in reading.groups)])
    assert reading.answer is False
    assert "did you mean `globex`?" in said
    assert "view-realm" not in said


def test_the_checks_of_realms_report_their_progress(ztrust_sandbox):
    seen: list[tuple[int, int]] = []
    with connected(ztrust_sandbox, Unreadable()) as connection:
        doctor(connection, progress=lambda checked, total: seen.append((checked, total)))
    assert sorted(seen) == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("version", ["16.1.1", "18.0.2"])
def test_rights_on_old_servers_are_checked_without_a_test_mail(version):
    with Sandbox(SandboxOptions(version=version)) as sandbox:
        sandbox.create_user("master", "clerk", "pw", roles=("acme-realm:view-realm", "globex-realm:manage-realm"))
        viewed = examined(sandbox, "acme", username="clerk", password="pw")
        managed = examined(sandbox, "globex", username="clerk", password="pw")
        assert (answers(viewed)[READ], answers(viewed)[WRITE]) == (True, False)
        assert (answers(managed)[READ], answers(managed)[WRITE]) == (True, True)
        assert sent(sandbox, "POST") == []


def test_an_account_without_any_right_sees_no_realm(ztrust_sandbox):
    ztrust_sandbox.create_user("master", "nobody", "pw")
    found = examined(ztrust_sandbox, username="nobody", password="pw")
    assert answers(found) == {LOGIN: True, VERSION: None, READ: False, WRITE: False, ADDRESS: None}
    assert "this account sees no realm" in detail(found, READ)
    assert found.exit_status is ExitStatus.PARTIAL


def test_doctor_reads_a_named_realm_on_its_own(ztrust_sandbox):
    found = examined(ztrust_sandbox, "acme", "nosuch")
    ((missing, why),) = groups(found, READ)
    assert (detail(found, READ), missing) == ("in 1 of 2 realms; ", ("nosuch",))
    assert "there is no realm `nosuch`" in why
    ztrust_sandbox.faults.list_forbidden = True
    assert answers(examined(ztrust_sandbox, "acme"))[READ] is True


@pytest.mark.parametrize("email", [None, ""])
def test_the_doctor_asks_for_an_address_when_the_account_has_none(email):
    with Sandbox(SandboxOptions(admin_email=email)) as sandbox:
        found = examined(sandbox)
        assert answers(found)[ADDRESS] is False
        assert "set the e-mail address of admin of realm master" in detail(found, ADDRESS)
        assert found.exit_status is ExitStatus.PARTIAL


@pytest.mark.parametrize("version", ["26.7.1", "26.7.2"])
def test_a_release_known_to_be_slow_is_named(version):
    with Sandbox(SandboxOptions(version=version)) as sandbox:
        found = examined(sandbox)
    assert answers(found)[VERSION] is False
    assert f"{version}, known to be very slow with many realms" in detail(found, VERSION)
    assert "timeout" in detail(found, VERSION)


def test_a_wrong_password_ends_the_checks(ztrust_sandbox):
    found = examined(ztrust_sandbox, password="wr0ng-pw")
    assert answers(found) == {LOGIN: False}
    assert found.exit_status is ExitStatus.UNREACHABLE
    assert "wr0ng-pw" not in repr(found)


def test_an_unreachable_server_ends_the_checks(ztrust_sandbox):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with connected(ztrust_sandbox) as connection:
        lost = replace(connection.server, url=f"http://127.0.0.1:{port}")
    from ztrust_mail.gateways import connect

    gateway = connect(lost)
    found = examine(lost, gateway)
    gateway.close()
    assert (answers(found), found.exit_status) == ({LOGIN: False}, ExitStatus.UNREACHABLE)
    assert "connection refused" in detail(found, LOGIN)


@pytest.mark.parametrize("error", [ServerUnreachable("gone", "look"), ServerRefused("refused", "look")])
@pytest.mark.parametrize(
    ("hook", "answered"), [("before_read", [LOGIN, VERSION]), ("before_may_write", [LOGIN, VERSION, READ])]
)
def test_checks_before_a_lost_connection_are_reported(hook, answered, error):
    def fail(*_: str) -> None:
        raise error

    gateway = FakeGateway({"acme": {}})
    setattr(gateway, hook, fail)
    found = examine(SERVER, gateway)
    assert [*answers(found)] == [*answered, "work with the admin API"]
    assert (found.checks[-1].answer, found.exit_status) == (False, ExitStatus.UNREACHABLE)
    assert found.checks[-1].detail == str(error)


ODD = 'it\'s $(rm -rf ~) "x"; `id` & a b'


def test_setup_commands_make_an_account_with_the_least_rights():
    lines = setup_commands(replace(SERVER, url="https://id.example.com/auth"), ["acme", "globex"])
    assert shlex.split(lines[0])[:5] == ["kcadm.sh", "config", "credentials", "--server", "https://id.example.com/auth"]
    grants = [shlex.split(line) for line in lines if "add-roles" in line]
    assert [words[words.index("--cclientid") + 1] for words in grants] == ["acme-realm", "globex-realm"]
    assert all(words[-4:] == ["--rolename", "view-realm", "--rolename", "manage-realm"] for words in grants)
    assert all("-r master" in line or "--realm master" in line for line in lines)
    assert "realm-admin" not in "".join(lines)


def test_setup_commands_quote_whatever_a_realm_is_called():
    lines = setup_commands(replace(SERVER, realm=ODD), [ODD])
    assert shlex.split(lines[0])[6] == ODD
    (grant,) = (shlex.split(line) for line in lines if "add-roles" in line)
    assert grant[grant.index("-r") + 1] == ODD
    assert all(shlex.quote(ODD) in line for line in lines)
    (named,) = (shlex.split(line) for line in setup_commands(SERVER, [ODD]) if "add-roles" in line)
    assert named[named.index("--cclientid") + 1] == f"{ODD}-realm"


def test_setup_commands_for_an_account_of_another_realm_use_the_client_realm_management():
    (grant,) = (line for line in setup_commands(replace(SERVER, realm="acme"), ["acme"]) if "add-roles" in line)
    assert "-r acme" in grant
    assert "--cclientid realm-management" in grant
