"""The package as a library: what it exports, what importing it costs, and its verbs from end to end."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.connecting import FakeGateway, connected
from support.mail_settings import BASIC, ENVIRON, NO_LOGIN, STORED, one_realm, realms

import ztrust_mail
from ztrust_mail import aio, api
from ztrust_mail.applying.outcome import RealmOutcome
from ztrust_mail.core import errors
from ztrust_mail.core.errors import ConfigError, ExitStatus, SpecError, Unsafe, UsageError, ZtrustMailError
from ztrust_mail.core.results import ResultMethods
from ztrust_mail.journal.records import NewRun, Outcome, Step, Update
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.settings import Server

HEAVY = (
    "requests",
    "urllib3",
    "keycloak",
    "jsonschema",
    "yaml",
    "click",
    "werkzeug",
    "aiosmtpd",
    "keyring",
    "psycopg",
)
VERBS = [name for name in ztrust_mail.__all__ if inspect.isfunction(getattr(ztrust_mail, name))]


def in_a_new_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    "code",
    [
        "import ztrust_mail",
        "import ztrust_mail; ztrust_mail.__version__",
        "from ztrust_mail import load_spec; from ztrust_mail import connect",
    ],
)
def test_importing_the_package_imports_nothing_heavy(code):
    loaded = json.loads(in_a_new_python(f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"))
    assert "ztrust_mail" in loaded
    assert sorted({name.partition(".")[0] for name in loaded} & set(HEAVY)) == []


def test_the_gateway_leaves_python_keycloak_to_the_login_which_imports_it_while_the_server_answers():
    loaded = in_a_new_python("import ztrust_mail.gateways.keycloak.gateway, sys\nprint('keycloak' in sys.modules)")
    assert loaded == "False\n"


def test_importing_the_package_alone_imports_none_of_its_parts():
    loaded = in_a_new_python("import ztrust_mail, sys\nprint(*[m for m in sys.modules if m.startswith('ztrust_mail')])")
    assert sorted(loaded.split()) == ["ztrust_mail", "ztrust_mail._version"]


def test_every_exported_name_exists():
    for name in ztrust_mail.__all__:
        assert getattr(ztrust_mail, name) is not None
    assert {*VERBS} >= {"apply", "connect", "drift", "ensure", "load_spec", "plan", "test"}
    assert all(getattr(ztrust_mail, verb).__doc__ for verb in VERBS)


def test_all_errors_and_the_types_of_results_are_exported():
    defined = {
        name for name, one in vars(errors).items() if isinstance(one, type) and one.__module__ == errors.__name__
    }
    assert defined <= {*ztrust_mail.__all__}
    results = {
        "CheckRun",
        "DoctorReport",
        "Drift",
        "Ensured",
        "LintResult",
        "MailTestRun",
        "Plan",
        "ProbeRun",
        "Pulled",
        "Result",
        "RunDiff",
        "ServerDiff",
        "ServerList",
    }
    assert {one.__name__ for one in ResultMethods.__subclasses__()} == results
    assert results | {"Finding", "Severity", "RealmPlan", "SpecDict", "EntryDict"} <= {*ztrust_mail.__all__}


OF_THE_COMMANDS = {"closed_window_note", "fit_to_file", "judge", "require_support", "run_plan", "spec_digest"}
"""Functions of ``ztrust_mail.api`` that the commands alone need."""


def test_every_verb_of_the_api_is_in_the_list_of_the_package_and_has_a_form_for_event_loops():
    verbs = {name for name in api.__all__ if inspect.isfunction(getattr(api, name))} - OF_THE_COMMANDS
    assert sorted(verbs - {*ztrust_mail.__all__}) == [], "ztrust_mail/__init__.py: the imports, and __all__"
    assert sorted(verbs - {"unfinished"} - {*dir(aio)}) == [], "ztrust_mail/aio.py: NAME = _in_thread(api.NAME)"


def test_every_exported_name_is_offered_at_a_prompt():
    assert {*dir(ztrust_mail)} >= {*ztrust_mail.__all__}


def test_a_name_that_is_not_exported_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nosuch'"):
        ztrust_mail.nosuch  # noqa: B018
    assert not hasattr(ztrust_mail, "load")


def test_the_secret_modes_are_what_the_command_line_calls_them():
    assert [mode.value for mode in ztrust_mail.SecretMode] == ["auto", "write", "keep"]


@pytest.fixture
def environ(tmp_path: Path, ztrust_sandbox: Sandbox) -> dict[str, str]:
    """An environment that names a settings file with the sandbox in it, and the login."""
    path = tmp_path / "settings.toml"
    path.write_text(f'[servers.sandbox]\nurl = "{ztrust_sandbox.url}"\n', encoding="utf-8")
    login = {"ZTRUST_MAIL_USERNAME": "admin", "ZTRUST_MAIL_PASSWORD": "admin"}
    return {"ZTRUST_MAIL_CONFIG": str(path), **login, **ENVIRON}


def test_all_library_calls_work_together_and_print_nothing(ztrust_sandbox, environ, capfd):
    ztrust_sandbox.edit_smtp("globex", {"host": "old"})
    spec = ztrust_mail.load_spec(
        {"version": 1, "server": "sandbox", "realms": {"acme": BASIC, "globex": {"disabled": True}}}
    )
    assert ztrust_mail.validate({"version": 1, "realms": {"acme": BASIC}})[1] == []
    with ztrust_mail.connect(spec=spec, environ=environ) as connection:
        assert connection.server.name == "sandbox"
        made = ztrust_mail.plan(spec, connection)
        assert [realm.realm for realm in made.changed] == ["acme", "globex"]
        done = ztrust_mail.apply(made, connection)
        assert done.exit_status is ExitStatus.OK
        assert ztrust_mail.drift(spec, connection).exit_status is ExitStatus.OK
        assert ztrust_mail.test(connection, ["globex"]).exit_status is ExitStatus.OK
        assert [*ztrust_mail.pull(connection, ["acme"]).realms] == ["acme"]
        assert ztrust_mail.doctor(connection).exit_status is ExitStatus.OK
    assert ztrust_sandbox.smtp("acme") == STORED
    assert ztrust_mail.explain(spec, "acme").fields["relay.port"] == 587
    assert capfd.readouterr() == ("", "")


def test_failing_library_calls_raise_and_neither_print_nor_exit(ztrust_sandbox, environ, capfd):
    with pytest.raises(SpecError) as invalid:
        ztrust_mail.load_spec({"version": 1, "realms": {"acme": {"sender": {"adress": "x"}}}})
    assert [finding.rule for finding in invalid.value.findings] == ["unknown-key"]
    assert ztrust_mail.validate({"version": 1, "realms": {"acme": {}}})[1] != []
    with pytest.raises(ConfigError, match="no server `sandbax`"):
        ztrust_mail.connect("sandbax", environ=environ)
    guarded = ztrust_mail.load_spec({"version": 1, "server": "production", "realms": {"acme": NO_LOGIN}})
    with pytest.raises(ConfigError, match="meant for server `production`"):
        ztrust_mail.connect("sandbox", spec=guarded, environ=environ)
    with ztrust_mail.connect(environ=environ | {"ZTRUST_MAIL_PASSWORD": "wr0ng-pw"}) as connection:
        for verb in (
            lambda: ztrust_mail.plan(one_realm(NO_LOGIN), connection),
            lambda: ztrust_mail.test(connection),
            lambda: ztrust_mail.pull(connection),
        ):
            with pytest.raises(ZtrustMailError) as refused:
                verb()
            assert refused.value.exit_status is ExitStatus.UNREACHABLE
            assert "wr0ng-pw" not in f"{refused.value} {refused.value.hint}"
        assert ztrust_mail.doctor(connection).exit_status is ExitStatus.UNREACHABLE
    assert capfd.readouterr() == ("", "")


def test_a_plan_for_one_server_is_not_applied_to_another(ztrust_sandbox, environ):
    spec = ztrust_mail.load_spec({"version": 1, "realms": {"acme": BASIC}})
    with Sandbox(SandboxOptions(realms=("acme",))) as other:
        with ztrust_mail.connect(other.url, environ=environ) as connection:
            made = ztrust_mail.plan(spec, connection)
        with ztrust_mail.connect(spec=spec, environ=environ) as connection, pytest.raises(UsageError) as refused:
            ztrust_mail.apply(made, connection)
    assert str(refused.value).startswith(f"the plan was made for `{other.url}`, and this is `{ztrust_sandbox.url}`")
    assert not [request for request in ztrust_sandbox.requests if request.method == "PUT"]


def test_a_plan_made_under_another_policy_is_judged_by_the_one_here(ztrust_sandbox, environ, tmp_path):
    strict = tmp_path / "strict.toml"
    strict.write_text('[policy]\nrelays = ["*.allowed.example"]\n', encoding="utf-8")
    spec = ztrust_mail.load_spec({"version": 1, "realms": {"acme": BASIC}})
    with ztrust_mail.connect(spec=spec, environ=environ) as connection:
        made = ztrust_mail.plan(spec, connection)
    strictly = ztrust_mail.connect(ztrust_sandbox.url, config_path=str(strict), environ=environ)
    with strictly as connection, pytest.raises(Unsafe, match="the settings' policy"):
        ztrust_mail.apply(made, connection, allow=["all"])
    assert not [request for request in ztrust_sandbox.requests if request.method == "PUT"]


def test_an_apply_first_settles_the_writes_of_a_killed_run(ztrust_sandbox, environ):
    spec = ztrust_mail.load_spec({"version": 1, "realms": {"acme": NO_LOGIN, "globex": NO_LOGIN}})
    with ztrust_mail.connect(spec=spec, environ=environ) as connection:
        ztrust_mail.apply(ztrust_mail.plan(spec, connection), connection)
        ztrust_sandbox.edit_smtp("globex", {"host": "old.example"})
        killed = connection.journal.begin(NewRun(connection.gateway.url, "apply", "eve"), connection.journal.writes(1))
        connection.journal.record(killed, [Update(realm, Step.WRITING) for realm in ("acme", "globex")])
        done = ztrust_mail.apply(ztrust_mail.plan(spec, connection), connection)
        steps = connection.journal.steps_by_realm(killed)
    assert [(f.rule, f.realm) for f in done.findings if f.rule == "settled"] == [
        ("settled", "acme"),
        ("settled", "globex"),
    ]
    assert steps == {"acme": Step.VERIFIED, "globex": Step.FAILED}


def test_a_run_under_way_is_named_and_none_of_its_writes_counts_as_unknown(ztrust_sandbox, environ):
    spec = ztrust_mail.load_spec({"version": 1, "realms": {"acme": NO_LOGIN}})
    with ztrust_mail.connect(environ=environ) as running, ztrust_mail.connect(environ=environ) as beside:
        ztrust_mail.apply(ztrust_mail.plan(spec, running), running)
        ztrust_sandbox.edit_smtp("acme", {"host": "old.example"})
        with running.lock():
            number = running.journal.begin(NewRun(running.gateway.url, "apply", "eve"), running.journal.writes(1))
            running.journal.record(number, [Update("acme", Step.WRITING)])
            meanwhile = ztrust_mail.drift(spec, beside)
            (told,) = [f for f in ztrust_mail.plan(spec, beside).findings if f.rule == "under-way"]
            assert not [f for f in ztrust_mail.plan(spec, running).findings if f.rule == "under-way"]
        afterwards = ztrust_mail.drift(spec, beside)
    assert told.message.startswith(f"run {number} of admin (realm master), ")
    assert [f.rule for f in meanwhile.findings if f.rule in ("under-way", "in-doubt")] == ["under-way"]
    assert [f.rule for f in afterwards.findings if f.rule in ("under-way", "in-doubt")] == ["in-doubt"]


def test_a_run_stopped_by_an_exception_of_progress_can_be_resumed(ztrust_sandbox, environ):
    def progress(_: RealmOutcome) -> None:
        raise ZeroDivisionError

    spec = ztrust_mail.load_spec({"version": 1, "realms": {"acme": NO_LOGIN, "globex": NO_LOGIN}})
    with ztrust_mail.connect(environ=environ) as connection:
        with pytest.raises(ZeroDivisionError):
            ztrust_mail.apply(ztrust_mail.plan(spec, connection), connection, progress=progress)
        assert [past.run.outcome for past in ztrust_mail.history(connection)] == [Outcome.STOPPED]
        assert {f.rule for f in ztrust_mail.apply(ztrust_mail.plan(spec, connection), connection).findings} == {
            "settled"
        }
        assert not ztrust_mail.find_unfinished(connection)


def test_the_result_names_canaries_that_were_tested_and_those_without_settings_to_test(ztrust_sandbox, environ):
    ztrust_sandbox.edit_smtp("globex", {"host": "old.example"})
    relay = {"host": "127.0.0.1", "port": ztrust_sandbox.mail.port, "security": "none"}
    entries = {"acme": {**NO_LOGIN, "relay": relay}, "globex": {"disabled": True}}
    spec = ztrust_mail.load_spec({"version": 1, "realms": entries})
    with ztrust_mail.connect(environ=environ) as connection:
        done = ztrust_mail.apply(ztrust_mail.plan(spec, connection), connection, waves=ztrust_mail.Waves(canary="*"))
    assert [finding.message for finding in done.findings] == [
        "canary: the test mail to admin@sandbox.example was sent in clear text",
        "canary: it has no e-mail settings to test",
    ]


def test_a_canary_that_matches_no_realm_is_refused_before_anything_is_journaled(ztrust_sandbox, environ):
    spec = ztrust_mail.load_spec({"version": 1, "realms": {"acme": NO_LOGIN}})
    with ztrust_mail.connect(environ=environ) as connection:
        plan = ztrust_mail.plan(spec, connection)
        with pytest.raises(UsageError, match="canary"):
            ztrust_mail.apply(plan, connection, waves=ztrust_mail.Waves(canary="none-*"))
        assert connection.journal.runs(connection.gateway.url) == []


def test_connecting_by_url_sends_nothing(ztrust_sandbox, environ):
    connection = ztrust_mail.connect(ztrust_sandbox.url, environ=environ)
    connection.close()
    assert connection.server.url == ztrust_sandbox.url
    assert connection.findings == ()
    assert ztrust_sandbox.requests == ()
    assert "admin" not in repr(connection.server.password)


def test_a_connection_is_closed_when_its_block_is_left():
    gateway, closed = FakeGateway({}), []
    gateway.close = lambda: closed.append(True)  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError), ztrust_mail.Session(Server("https://x"), gateway, Reach()):
        raise ZeroDivisionError
    assert closed == [True]


def test_the_settings_decide_which_secrets_a_spec_may_reach(environ, tmp_path):
    with ztrust_mail.connect(environ=environ) as connection:
        assert connection.reach.settings_paths == (str(tmp_path / "settings.toml"),)
        assert connection.reach.environ is environ


def test_explaining_is_offline_and_names_what_it_cannot_explain():
    spec = realms({"acme": NO_LOGIN, "tenant-*": NO_LOGIN, "*-eu-": NO_LOGIN, "-eu-*": NO_LOGIN})
    assert ztrust_mail.explain(spec, "tenant-1").entry.name == "tenant-*"
    assert [f.rule for f in ztrust_mail.explain(spec, "-eu-").findings] == ["glob-tie"]
    with pytest.raises(UsageError, match="covers the realm `acne`") as unknown:
        ztrust_mail.explain(spec, "acne")
    assert unknown.value.hint == "did you mean `acme`?"
    with pytest.raises(UsageError) as nothing:
        ztrust_mail.explain(spec, "zzzzzz")
    assert "add an entry" in nothing.value.hint


def test_drift_reads_every_realm_and_plan_only_the_named_ones(ztrust_sandbox):
    spec = one_realm({"disabled": True})
    with connected(ztrust_sandbox) as connection:
        assert ztrust_mail.drift(spec, connection).plan.uncovered == ("globex", "master")
        assert ztrust_mail.plan(spec, connection).uncovered == ()


def test_pytest_does_not_take_the_verb_test_for_a_test():
    assert ztrust_mail.test.__test__ is False
