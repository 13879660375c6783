"""Which settings count, which server is chosen, and what a file nobody named may not do."""

from __future__ import annotations

import json
import os
import tomllib
import traceback
from dataclasses import replace
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
from support.settings_files import entry, found, named, refused

from ztrust_mail import settings as config
from ztrust_mail.core.errors import ConfigError
from ztrust_mail.core.findings import Severity
from ztrust_mail.core.secret import Secret, SecretKind
from ztrust_mail.model.fields import Security
from ztrust_mail.settings import (
    FleetSettings,
    Permissions,
    Policy,
    Server,
    Settings,
    choose_server,
    is_loopback,
    journal_url,
    load,
)
from ztrust_mail.settings import policy as policies
from ztrust_mail.settings.file import ALLOW_KEYS, JOURNAL_KEYS, JOURNAL_URL, TABLES, Untrusted
from ztrust_mail.settings.server_entry import KINDS, SECRETS, SERVER_KEYS

HIDDEN = "S3cr3t-w0rd"
URL = "https://id.example.com"
OTHER = "https://other.example.com"
DATABASE = f"postgresql://mail:{HIDDEN}@db.example.com/journal"
JOURNAL = f'[journal]\nurl = "{DATABASE}"\n'
POLICY = '[policy]\nrelays = ["smtp.example.com"]\n'
SCHEDULE = '[schedules.nightly]\ndrift = ["specs"]\ncron = "0 3 * * *"\n'
FLEET = '[fleet]\nrun_by = "workers"\n'
ALLOW_ALL = '[allow]\ncommand = true\nplain_http = true\nsecret_folders = ["/srv/keys"]\n'


# Where settings come from


def test_without_any_file_there_are_no_servers_and_nothing_is_permitted() -> None:
    assert load(None, {}) == Settings()
    assert Settings().permissions == Permissions(command=False, plain_http=False, secret_folders=())


def test_a_named_file_is_the_only_one_and_else_the_users_and_the_working_folders_are_read(
    tmp_path: Path, user_folder: Path
) -> None:
    option, variable, own = tmp_path / "option.toml", tmp_path / "variable.toml", user_folder / config.FILE_NAME
    environ = {"ZTRUST_MAIL_CONFIG": str(variable)}
    for path in (option, variable, Path(config.FILE_NAME), own):
        path.write_text(entry(url=f'"{URL}"'), encoding="utf-8")
    assert load(str(option), environ).paths == (str(option),)
    assert load(None, environ).paths == (str(variable),)
    assert load(None, {"ZTRUST_MAIL_CONFIG": ""}).paths == (config.FILE_NAME, str(own))
    Path(config.FILE_NAME).unlink()
    assert load(None, {}).paths == (str(own),)


@pytest.mark.parametrize("by_option", [True, False])
def test_a_named_file_that_is_missing_is_an_error_and_no_other_file_is_used(tmp_path: Path, by_option: bool) -> None:
    Path(config.FILE_NAME).write_text(entry(url=f'"{URL}"'), encoding="utf-8")
    missing = str(tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match=r"cannot read the settings file .*missing\.toml: No such file"):
        load(missing if by_option else None, {} if by_option else {"ZTRUST_MAIL_CONFIG": missing})


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the settings file"):
        load(str(tmp_path), {})


# What only a trusted file may do


def test_a_file_named_by_option_variable_or_in_the_users_folder_is_trusted(tmp_path: Path, user_folder: Path) -> None:
    path = user_folder / config.FILE_NAME
    path.write_text(ALLOW_ALL, encoding="utf-8")
    expected = Permissions(command=True, plain_http=True, secret_folders=("/srv/keys",))
    for settings in (load(str(path), {}), load(None, {"ZTRUST_MAIL_CONFIG": str(path)}), load(None, {})):
        assert settings.permissions == expected
        assert settings.untrusted == Untrusted()
        assert not settings.findings


def test_permissions_of_a_file_in_the_working_folder_are_ignored_with_a_warning() -> None:
    settings = found(ALLOW_ALL + entry(url=f'"{URL}"'))
    assert settings.permissions == Permissions()
    assert settings.untrusted.path == config.FILE_NAME
    (finding,) = settings.findings
    assert (finding.severity, finding.rule) == (Severity.WARNING, "untrusted-settings")
    assert str(finding.location) == config.FILE_NAME
    assert "--config" in finding.hint
    assert "ZTRUST_MAIL_CONFIG" in finding.hint
    assert choose_server(settings, environ={}).plain_http is False


def test_the_same_file_is_trusted_once_it_is_named() -> None:
    found(ALLOW_ALL)
    assert load(config.FILE_NAME, {}).permissions.command
    assert load("./" + config.FILE_NAME, {}).untrusted == Untrusted()


@pytest.mark.parametrize("text", ["", "[allow]\n", "[allow]\ncommand = false\nsecret_folders = []\n"])
def test_a_file_in_the_working_folder_without_permissions_gives_no_warning(text: str) -> None:
    assert found(text).findings == ()


def test_a_link_in_the_working_folder_to_the_users_file_is_not_trusted(user_folder: Path) -> None:
    target = user_folder / "elsewhere.toml"
    target.write_text(ALLOW_ALL, encoding="utf-8")
    Path(config.FILE_NAME).symlink_to(target)
    assert load(None, {}).permissions == Permissions()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (POLICY, "[policy] is ignored"),
        ("[policy]\nrelays = []\n", "[policy] is ignored"),
        ("[policy.secrets]\n", "[policy] is ignored"),
        (JOURNAL, "[journal] is ignored"),
        (POLICY + JOURNAL, "[policy] and [journal] are ignored"),
        (ALLOW_ALL + POLICY, "[allow] and [policy] are ignored"),
        (SCHEDULE, "[schedules] is ignored"),
        (FLEET, "[fleet] is ignored"),
        ("[fleet]\nkeep_days = 1\n" + SCHEDULE, "[schedules] and [fleet] are ignored"),
    ],
)
def test_tables_that_only_trusted_settings_have_are_ignored_in_the_working_folder_with_one_warning(
    text: str, named: str
) -> None:
    settings = found(text)
    assert (settings.policy, settings.journal) == (Policy(), None)
    assert (settings.schedules, settings.fleet) == ((), FleetSettings())
    (finding,) = settings.findings
    assert finding.message.startswith(named)
    assert HIDDEN not in repr(settings)


def test_a_file_in_the_working_folder_removes_nothing_of_the_users_own_file(user_folder: Path) -> None:
    own = user_folder / config.FILE_NAME
    own.write_text(POLICY + JOURNAL + ALLOW_ALL + SCHEDULE + FLEET + entry(url=f'"{URL}"'), encoding="utf-8")
    alone = load(None, {})
    settings = found('[policy]\nrelays = ["*"]\n' + entry(url=f'"{OTHER}"'))
    assert (settings.policy.relays, settings.policy.path) == (("smtp.example.com",), str(own))
    assert settings.journal == Secret(DATABASE)
    assert settings.permissions == Permissions(command=True, plain_http=True, secret_folders=("/srv/keys",))
    assert [one.name for one in settings.schedules] == ["nightly"]
    assert settings.fleet == FleetSettings(run_by_workers=True)
    assert replace(settings.trusted, findings=()) == alone


def test_an_unreadable_policy_of_the_user_is_an_error(user_folder: Path) -> None:
    (user_folder / config.FILE_NAME).write_text("[policy", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid TOML"):
        found(entry(url=f'"{URL}"'))


def test_a_named_file_is_the_only_one(tmp_path: Path, user_folder: Path) -> None:
    (user_folder / config.FILE_NAME).write_text(POLICY + JOURNAL, encoding="utf-8")
    settings = named(tmp_path, entry(url=f'"{URL}"'))
    assert (settings.policy, settings.journal) == (Policy(path=str(tmp_path / "named.toml")), None)


def test_a_trusted_file_may_name_another_url_than_the_environment(tmp_path: Path) -> None:
    settings = named(tmp_path, entry(url=f'"{OTHER}"'))
    assert choose_server(settings, environ={"ZTRUST_MAIL_URL": URL}).url == OTHER


def test_secret_folders_start_from_the_settings_files_folder(tmp_path: Path) -> None:
    settings = named(tmp_path, '[allow]\nsecret_folders = ["keys", "/run/mail"]\n')
    assert settings.permissions.secret_folders == (str(tmp_path / "keys"), "/run/mail")


# The policy and the journal


def test_every_key_of_a_policy_is_read(tmp_path: Path) -> None:
    text = """
        [policy]
        relays = ["SMTP.example.com", "*.sendgrid.net", "10.0.0.*", "2001:DB8:0::1"]
        token_hosts = ["login.example.com"]
        sender_domains = ["example.com"]
        reply_domains = []
        minimum_security = "tls"
        templates = false
        [policy.secrets]
        env = ["SMTP_"]
        file = ["/run/secrets/", "keys", ""]
        command = []
        keycloak_vault = [""]
    """
    assert named(tmp_path, text).policy == Policy(
        relays=("smtp.example.com", "*.sendgrid.net", "10.0.0.*", "2001:db8::1"),
        token_hosts=("login.example.com",),
        sender_domains=("example.com",),
        reply_domains=(),
        minimum_security="tls",
        templates=False,
        secrets={
            SecretKind.ENV: ("SMTP_",),
            SecretKind.FILE: (os.path.realpath("/run/secrets"), os.path.realpath(tmp_path / "keys"), ""),
            SecretKind.COMMAND: (),
            SecretKind.KEYCLOAK_VAULT: ("",),
        },
        path=str(tmp_path / "named.toml"),
    )


@pytest.mark.parametrize("text", ["", "[policy]\n"])
def test_an_empty_policy_limits_nothing(tmp_path: Path, text: str) -> None:
    assert named(tmp_path, text).policy == Policy(path=str(tmp_path / "named.toml"))


def test_a_policy_without_a_table_of_secrets_limits_none_and_an_empty_table_forbids_every_kind(tmp_path: Path) -> None:
    assert named(tmp_path, POLICY).policy.secrets is None
    assert named(tmp_path, "[policy.secrets]\n").policy.secrets == {}


@pytest.mark.parametrize(
    "pattern",
    [
        "smtp://smtp.example.com",
        "https://login.example.com/token",
        "smtp.example.com:587",
        "smtp.example.com.",
        "smtp.example.com/",
        "no-reply@example.com",
        "@example.com",
        "bücher.example",
        " smtp.example.com",
        "smtp..example.com",
        ".example.com",
        "",
        "[::1]",
        "::1::",
        "1.2.3.4:25",
        "*example.com",
        "smtp*.com",
        "mail-?",
        "smtp.*",
        "smtp.example.*",
        "10.0.*",
        "**",
        "smtp.example.com\\n",
    ],
)
def test_a_pattern_that_names_no_host_or_whose_end_is_open_is_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        named(tmp_path, f'[policy]\nrelays = ["smtp.example.com", "{pattern}"]\n')
    if pattern:
        assert refusal.value.message.endswith(", which is not a pattern of hosts")
    assert "`policy.relays`" in refusal.value.message
    assert refusal.value.hint


def test_the_security_words_of_a_policy_are_those_of_a_spec() -> None:
    assert set(policies.SECURITY_WORDS) == {security.value for security in Security} - {Security.NONE}


def test_the_journals_url_is_a_secret_and_comes_from_the_settings_before_the_environment(tmp_path: Path) -> None:
    environ = {"ZTRUST_MAIL_JOURNAL": "sqlite:////var/lib/mail/journal.db\n"}
    settings = named(tmp_path, JOURNAL)
    assert settings.journal == journal_url(settings, environ) == Secret(DATABASE)
    assert HIDDEN not in repr(settings)
    assert journal_url(Settings(), environ) == Secret("sqlite:////var/lib/mail/journal.db")


@pytest.mark.parametrize("environ", [{}, {"ZTRUST_MAIL_JOURNAL": ""}, {"ZTRUST_MAIL_JOURNAL": "\n"}])
def test_without_a_url_the_journal_is_at_its_default_place(environ: dict[str, str]) -> None:
    assert journal_url(Settings(), environ) is None


def test_an_invalid_url_of_a_journal_is_refused_and_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        named(tmp_path, f'[journal]\nurl = "{HIDDEN}"\n')
    assert refusal.value.message == f"{tmp_path / 'named.toml'}: `journal.url` is not the URL of a database"
    with pytest.raises(ConfigError) as other:
        journal_url(Settings(), {"ZTRUST_MAIL_JOURNAL": f"mail:{HIDDEN}@db"})
    assert other.value.message == "ZTRUST_MAIL_JOURNAL is not the URL of a database"
    assert HIDDEN not in told(refusal.value) + told(other.value)
    captured = traceback.TracebackException.from_exception(other.value, capture_locals=True)
    own = [frame for frame in captured.stack if "ztrust_mail/settings" in frame.filename]
    assert own
    assert all(HIDDEN not in str(frame.locals.get("given")) + str(frame.locals.get("url")) for frame in own)


# Which server is meant

TWO = f'[servers.production]\nurl = "{URL}"\n[servers.staging]\nurl = "{OTHER}"\n'


@pytest.mark.parametrize(
    ("text", "option", "guard", "environ", "url"),
    [
        (TWO, "staging", (), {}, OTHER),
        (TWO, None, (), {"ZTRUST_MAIL_SERVER": "staging"}, OTHER),
        (TWO, "production", (), {"ZTRUST_MAIL_SERVER": "staging"}, URL),
        (TWO, None, ("staging",), {}, OTHER),
        (TWO, None, ("staging",), {"ZTRUST_MAIL_URL": URL}, OTHER),
        (TWO, None, (), {"ZTRUST_MAIL_URL": "https://third.example"}, "https://third.example"),
        (TWO, "https://third.example", (), {}, "https://third.example"),
        (TWO, None, (), {"ZTRUST_MAIL_SERVER": "https://third.example"}, "https://third.example"),
        (TWO, "staging", ("production", "staging"), {}, OTHER),
        (TWO, OTHER + "/", ("staging",), {}, OTHER),
        (TWO, None, ("production", "staging"), {"ZTRUST_MAIL_URL": OTHER}, OTHER),
        (entry(url=f'"{URL}"'), None, (), {}, URL),
        (entry(url=f'"{URL}"'), None, (), {"ZTRUST_MAIL_URL": OTHER}, URL),
        (entry(realm='"acme"'), None, (), {"ZTRUST_MAIL_URL": OTHER}, OTHER),
        ("", None, (), {"ZTRUST_MAIL_URL": OTHER}, OTHER),
    ],
)
def test_the_named_or_only_server_is_chosen(
    tmp_path: Path, text: str, option: str | None, guard: tuple[str, ...], environ: dict[str, str], url: str
) -> None:
    assert choose_server(named(tmp_path, text), option, guard, environ).url == url


def test_several_servers_and_no_choice_is_an_error_that_lists_them(tmp_path: Path) -> None:
    refusal = refused(named(tmp_path, TWO))
    assert "production and staging" in refusal.message
    assert "--server" in refusal.hint


def test_several_servers_in_the_guard_are_listed_too(tmp_path: Path) -> None:
    assert "production and spare" in refused(named(tmp_path, TWO), guard=("production", "spare")).message


def test_no_server_anywhere_is_an_error_that_says_where_to_name_one() -> None:
    refusal = refused(Settings())
    assert refusal.message == "no server given"
    assert "--server" in refusal.hint
    assert "ZTRUST_MAIL_URL" in refusal.hint


def test_an_unknown_name_gets_a_suggestion_or_the_list(tmp_path: Path) -> None:
    settings = named(tmp_path, TWO)
    assert refused(settings, "prodution").hint == "did you mean `production`?"
    assert "production and staging" in refused(settings, "qqq").hint
    assert "https://" in refused(settings, "id.example.com").hint
    assert "there is no file" in refused(Settings(), "production").message


@pytest.mark.parametrize(
    ("option", "environ"),
    [
        ("staging", {}),
        (None, {"ZTRUST_MAIL_SERVER": "staging"}),
        (OTHER, {}),
        (None, {"ZTRUST_MAIL_SERVER": OTHER}),
        ("https://unknown.example", {}),
        ("twin", {}),
        (URL + "/auth", {}),
    ],
)
def test_a_server_against_the_specs_guard_is_refused(
    tmp_path: Path, option: str | None, environ: dict[str, str]
) -> None:
    settings = named(tmp_path, f'{TWO}[servers.twin]\nurl = "{URL}"\n')
    assert "meant for server `production`" in refused(settings, option, ("production",), environ).message


def test_a_guard_that_the_settings_do_not_know_is_not_met_by_the_environments_url() -> None:
    assert (
        "no server `production`" in refused(Settings(), guard=("production",), environ={"ZTRUST_MAIL_URL": URL}).message
    )
    several = ("production", "spare")
    refusal = refused(Settings(), guard=several, environ={"ZTRUST_MAIL_URL": URL})
    assert "`production` or `spare`" in refusal.message


def test_a_guard_with_a_url_instead_of_a_name_never_matches() -> None:
    assert "meant for" in refused(Settings(), URL, (URL,)).message


# What the chosen server gets


def test_every_key_of_a_server_entry_is_read(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    text = entry(
        url='"https://id.example.com/auth/"',
        gateway='"ztrust"',
        realm='"tools"',
        client_id='"mailer"',
        client_secret='"c"',
        username='"ann"',
        password='"p"',
        ca_bundle=f'"{bundle}"',
        connections="3",
        timeout='"1500ms"',
    )
    assert choose_server(named(tmp_path, text), environ={}) == Server(
        url="https://id.example.com/auth",
        name="main",
        gateway="ztrust",
        realm="tools",
        client_id="mailer",
        client_secret=Secret("c"),
        username="ann",
        password=Secret("p"),
        ca_bundle=str(bundle),
        connections=3,
        timeout=1.5,
    )


def test_a_key_that_is_left_out_has_its_default() -> None:
    assert choose_server(Settings(), URL, environ={}) == Server(
        url=URL, gateway="keycloak", realm="master", client_id="admin-cli", connections=8, timeout=10.0
    )


ENVIRONMENT = {
    "ZTRUST_MAIL_REALM": "env-realm",
    "ZTRUST_MAIL_USERNAME": "env-user",
    "ZTRUST_MAIL_PASSWORD": "env-password",
    "ZTRUST_MAIL_CLIENT_ID": "env-client",
    "ZTRUST_MAIL_CLIENT_SECRET": "env-secret",
    "ZTRUST_MAIL_TIMEOUT": "2m",
    "ZTRUST_MAIL_CONNECTIONS": "64",
}


def test_a_url_takes_everything_else_from_the_environment(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    environ = ENVIRONMENT | {"ZTRUST_MAIL_CA_BUNDLE": str(bundle), "ZTRUST_MAIL_TOKEN": "env-token"}
    text = entry(url=f'"{URL}"', realm='"not-this"', username='"not-this"', password='"not-this"')
    assert choose_server(named(tmp_path, text), URL, environ=environ) == Server(
        url=URL,
        realm="env-realm",
        client_id="env-client",
        client_secret=Secret("env-secret"),
        username="env-user",
        password=Secret("env-password"),
        token=Secret("env-token"),
        ca_bundle=str(bundle),
        connections=64,
        timeout=120.0,
    )


@pytest.mark.parametrize(
    "key", ["realm", "username", "password", "client_id", "client_secret", "timeout", "connections"]
)
def test_an_entrys_key_comes_before_the_environments(tmp_path: Path, key: str) -> None:
    own = {"timeout": '"3s"', "connections": "5"}.get(key, '"own"')
    without = choose_server(named(tmp_path, entry(url=f'"{URL}"')), environ=ENVIRONMENT)
    server = choose_server(named(tmp_path, entry(url=f'"{URL}"', **{key: own})), environ=ENVIRONMENT)
    expected = {"timeout": 3.0, "connections": 5, "password": Secret("own"), "client_secret": Secret("own")}
    assert getattr(server, key) == expected.get(key, "own")
    assert getattr(server, key) != getattr(without, key)
    others = set(ENVIRONMENT) - {f"ZTRUST_MAIL_{key.upper()}"}
    for other in (name.removeprefix("ZTRUST_MAIL_").lower() for name in others):
        assert getattr(server, other) == getattr(without, other)


@pytest.mark.parametrize(("key", "used"), [("username", False), ("client_secret", False), ("client_id", True)])
def test_a_ready_token_is_used_unless_the_entry_has_a_login_of_its_own(tmp_path: Path, key: str, used: bool) -> None:
    settings = named(tmp_path, entry(url=f'"{URL}"', **{key: '"own"'}))
    token = choose_server(settings, environ={"ZTRUST_MAIL_TOKEN": "ready"}).token
    assert token == (Secret("ready") if used else None)


@pytest.mark.parametrize("login", [{}, {"username": '"own"'}, {"client_secret": '"own"'}])
def test_an_entrys_own_token_comes_before_every_login(tmp_path: Path, login: dict[str, str]) -> None:
    settings = named(tmp_path, entry(url=f'"{URL}"', token='"own-token"', **login))
    assert choose_server(settings, environ={"ZTRUST_MAIL_TOKEN": "ready"}).token == Secret("own-token")
    assert "own-token" not in repr(settings)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost/auth", "HTTP://id.example.com"])
def test_digitanium_is_refused_over_plain_http_even_on_this_machine(tmp_path: Path, url: str) -> None:
    text = entry(url=f'"{url}"', gateway='"digitanium"') + "\n[allow]\nplain_http = true\n"
    told = refused(named(tmp_path, text))
    assert told.message == "the URL of `main` is plain http, and its product requires https"
    assert told.rule == "plain-http"
    environ = {"ZTRUST_MAIL_URL": url, "ZTRUST_MAIL_GATEWAY": "digitanium"}
    assert refused(Settings(), environ=environ).rule == "plain-http"


def test_uipath_is_refused_over_plain_http_as_every_product_is(tmp_path: Path) -> None:
    far = named(tmp_path, entry(url='"http://id.example.com"', gateway='"uipath"'))
    assert "is plain http" in refused(far).message
    near = named(tmp_path, entry(url='"http://127.0.0.1:1"', gateway='"uipath"'))
    assert choose_server(near, environ={}).gateway == "uipath"


def test_an_empty_variable_counts_as_unset() -> None:
    environ = dict.fromkeys([*ENVIRONMENT, "ZTRUST_MAIL_TOKEN", "ZTRUST_MAIL_CA_BUNDLE", "ZTRUST_MAIL_SERVER"], "")
    assert choose_server(Settings(), URL, environ=environ) == Server(url=URL)


@pytest.mark.parametrize(("given", "value"), [("word\n", "word"), ("word\r\n", "word"), ("word\n\n", "word\n")])
def test_a_variables_secret_loses_the_one_line_break_that_a_file_gave_it(given: str, value: str) -> None:
    environ = {"ZTRUST_MAIL_PASSWORD": given, "ZTRUST_MAIL_TOKEN": given, "ZTRUST_MAIL_CLIENT_SECRET": given}
    server = choose_server(Settings(), URL, environ=environ)
    assert server.password == server.token == server.client_secret == Secret(value)


def test_a_line_break_alone_is_no_secret() -> None:
    assert choose_server(Settings(), URL, environ={"ZTRUST_MAIL_PASSWORD": "\n"}).password is None


# What is wrong with a file


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[server.main]\n", "unknown key `server`", "did you mean `servers`?"),
        ("colour = 1\n", "unknown key `colour`", "known here: servers, allow"),
        (entry(usernane='"x"'), "unknown key `servers.main.usernane`", "did you mean `username`?"),
        (entry(clientId='"x"'), "unknown key `servers.main.clientId`", "did you mean `client_id`?"),
        (entry(bearer='"x"'), "unknown key `servers.main.bearer`", ""),
        ("[allow]\ncommands = true\n", "unknown key `allow.commands`", "did you mean `command`?"),
        ("servers = 1\n", "`servers` must be a table", ""),
        ("allow = []\n", "`allow` must be a table", ""),
        ('[servers]\nmain = "x"\n', "`servers.main` is not a table", "[servers.main]"),
        ('[servers]\n"a\\u001b[31m" = "x"\n', r"`servers.a\x1b[31m` is not a table", ""),
        (entry(url="1"), "`servers.main.url` must be text", ""),
        (entry(url='""'), "`servers.main.url` is empty", "leave it out"),
        (entry(password="1"), "`servers.main.password` must be text", ""),
        (entry(password='""'), "`servers.main.password` is empty", "leave it out"),
        (entry(connections='"8"'), "`servers.main.connections` must be a whole number", ""),
        (entry(connections="true"), "`servers.main.connections` must be a whole number", ""),
        (entry(connections="8.0"), "`servers.main.connections` must be a whole number", ""),
        (entry(timeout="10"), "`servers.main.timeout` must be text", ""),
        ("[allow]\ncommand = 1\n", "`allow.command` must be true or false", ""),
        ('[allow]\nplain_http = "true"\n', "`allow.plain_http` must be true or false", ""),
        ('[allow]\nsecret_folders = "/srv"\n', "`allow.secret_folders` must be a list", ""),
        ("[allow]\nsecret_folders = [1]\n", "`allow.secret_folders` must be a list of texts", ""),
        ('[allow]\nsecret_folders = [""]\n', "`allow.secret_folders` must be a list of texts", ""),
        ("policy = 1\n", "`policy` must be a table", ""),
        ("[policy]\nrelay = []\n", "unknown key `policy.relay`", "did you mean `relays`?"),
        ('[policy]\nrelays = "smtp.example.com"\n', "`policy.relays` must be a list", ""),
        ("[policy]\nsender_domains = [1]\n", "`policy.sender_domains` must be a list of texts", ""),
        ('[policy]\nminimum_security = "none"\n', "`policy.minimum_security` is `none`", "starttls or tls"),
        ('[policy]\nminimum_security = "startls"\n', "`policy.minimum_security` is `startls`", "did you mean"),
        ('[policy]\nminimum_security = ""\n', "`policy.minimum_security` is empty", ""),
        ("[policy]\nminimum_security = true\n", "`policy.minimum_security` must be text", ""),
        ("[policy]\nsecrets = []\n", "`policy.secrets` must be a table", ""),
        ("[policy.secrets]\nvault = []\n", "unknown key `policy.secrets.vault`", "keycloak_vault"),
        ('[policy.secrets]\nenv = "SMTP_"\n', "`policy.secrets.env` must be a list", ""),
        ("[policy.secrets]\nenv = [1]\n", "`policy.secrets.env` must be a list of texts", ""),
        (
            '[policy.secrets]\nfile = ["a\\u0000b"]\n',
            r"`policy.secrets.file` contains `a\x00b` with a control character",
            "",
        ),
        ("[journal]\npath = 'x'\n", "unknown key `journal.path`", "known here: url"),
        ("[journal]\nurl = 1\n", "`journal.url` must be text", ""),
        ("[journal]\nurl = ''\n", "`journal.url` is empty", ""),
    ],
)
def test_a_wrong_key_or_value_is_reported_with_its_place(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        choose_server(named(tmp_path, text), environ={})
    assert refusal.value.message == f"{tmp_path / 'named.toml'}: {message}"
    assert hint in refusal.value.hint
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"[servers.main]\npassword = {HIDDEN}\n", ":2:12: "),
        (f'[servers.main]\npassword = "{HIDDEN}\n', ":2:24: "),
        (f'[servers.main]\npassword = "{HIDDEN}"\npassword = "x"\n', ":3:15: "),
        (f'[servers.main]\npassword = "{HIDDEN}\\q"\n', ":2:26: "),
        (f'[servers.main]\npassword = """{HIDDEN}', ": "),
    ],
)
def test_a_syntax_error_is_reported_by_its_place_and_nothing_is_quoted(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        named(tmp_path, text)
    assert refusal.value.message == f"{tmp_path / 'named.toml'}{place}not valid TOML"
    assert HIDDEN not in told(refusal.value)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes('[servers."münchen"]\n'.encode("latin-1"))
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load(str(path), {})


def test_a_settings_file_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nested too deeply"):
        named(tmp_path, "a = " + "[" * 100_000)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("connections", "0", "connections is `0`"),
        ("connections", "-1", "connections is `-1`"),
        ("connections", "65", "connections is `65`"),
        ("connections", "1000000000000", "connections is `1000000000000`"),
        ("timeout", '"10"', "timeout is `10`"),
        ("timeout", '"0s"', "timeout is `0s`"),
        ("timeout", '"-1s"', "timeout is `-1s`"),
        ("timeout", '"1.5s"', "timeout is `1.5s`"),
        ("timeout", '"1h"', "timeout is `1h`"),
        ("timeout", '"601s"', "timeout is `601s`"),
        ("timeout", '"11m"', "timeout is `11m`"),
        ("timeout", '"600001ms"', "timeout is `600001ms`"),
        ("timeout", '"１s"', "timeout is `１s`"),
        ("timeout", '"10s "', "timeout is `10s `"),
        ("gateway", '"keyclock"', "unknown gateway `keyclock` for server `main`"),
        ("gateway", '"x"', "unknown gateway `x` for server `main`"),
        ("ca_bundle", '"/a\\u001b[2J\\u202e"', r"the CA bundle `/a\x1b[2J\u202e` does not exist"),
        ("ca_bundle", '"/nowhere/ca.pem"', "the CA bundle `/nowhere/ca.pem` does not exist"),
        ("realm", '"."', "realm `.` cannot be named in a URL"),
        ("realm", '".."', "realm `..` cannot be named in a URL"),
    ],
)
def test_a_value_out_of_bounds_is_quoted(tmp_path: Path, key: str, value: str, message: str) -> None:
    assert refused(named(tmp_path, entry(**{"url": f'"{URL}"', key: value}))).message == message


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("CONNECTIONS", "many", "connections is `many`"),
        ("CONNECTIONS", "0", "connections is `0`"),
        ("CONNECTIONS", "８", "connections is `８`"),
        ("TIMEOUT", "soon", "timeout is `soon`"),
        ("CA_BUNDLE", "/nowhere/ca.pem", "the CA bundle `/nowhere/ca.pem` does not exist"),
        ("REALM", "..", "realm `..` cannot be named in a URL"),
        ("GATEWAY", "foo", "unknown gateway `foo` in ZTRUST_MAIL_GATEWAY"),
    ],
)
def test_a_variable_out_of_bounds_is_refused_too(variable: str, value: str, message: str) -> None:
    assert refused(Settings(), URL, environ={f"ZTRUST_MAIL_{variable}": value}).message == message


def test_an_invalid_duration_is_reported_with_the_valid_units() -> None:
    hint = refused(Settings(), URL, environ={"ZTRUST_MAIL_TIMEOUT": "1h"}).hint
    assert hint == "write a whole number and a unit without a space: ms, s or m, such as 10s; 10m at most"


def test_an_unknown_gateway_gets_a_suggestion_or_the_list(tmp_path: Path) -> None:
    misspelt = named(tmp_path, entry(url=f'"{URL}"', gateway='"keyclock"'))
    assert refused(misspelt).hint == "did you mean `keycloak`?"
    unknown = named(tmp_path, entry(url=f'"{URL}"', gateway='"x"'))
    assert refused(unknown).hint == f"known: {', '.join(config.GATEWAYS)}"


# URLs


@pytest.mark.parametrize(
    "url",
    [
        "https://id.example.com",
        "https://id.example.com/",
        "https://id.example.com/auth///",
        "https://id.example.com:8443/auth",
        "HTTPS://ID.EXAMPLE.COM",
        "https://[2001:db8::1]:8443",
        "https://xn--bcher-kva.example",
        "http://localhost:8080",
        "http://LOCALHOST",
        "HTTP://localhost",
        "http://127.0.0.1:8080/auth",
        "http://127.255.255.254",
        "http://[::1]:8080",
    ],
)
def test_https_anywhere_and_plain_http_on_this_machine_are_allowed(url: str) -> None:
    assert choose_server(Settings(), url, environ={}).url == url.lower().rstrip("/")


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("HTTPS://Id.Example.com:443/", "https://id.example.com"),
        ("https://id.example.com:0443/Auth/", "https://id.example.com/Auth"),
        ("https://id.example.com:/auth", "https://id.example.com/auth"),
        ("https://id.example.com.", "https://id.example.com"),
        ("https://id.example.com:80", "https://id.example.com:80"),
        ("http://[::1]:80/auth", "http://[::1]/auth"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("https://[2001:db8:0:0::1]", "https://[2001:db8::1]"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
    ],
)
def test_a_server_has_one_url_however_it_is_written(url: str, canonical: str) -> None:
    assert choose_server(Settings(), url, environ={}).url == canonical


@pytest.mark.parametrize("url", ["HTTPS://ID.example.com/", "https://id.example.com:443"])
def test_a_servers_entry_is_known_by_its_url_however_it_is_written(tmp_path: Path, url: str) -> None:
    assert choose_server(named(tmp_path, TWO), url, ("production",), {}).name == "production"


@pytest.mark.parametrize(
    "path",
    [
        "/.",
        "/..",
        "/./",
        "/auth/..",
        "/auth/../auth",
        "/./auth",
        "/auth/.",
        "/%2e",
        "/%2E%2e/",
        "/.%2e/auth",
        "/%61uth",
        "/auth%2f",
        "/auth%2Fx",
        "//auth",
        "/auth//x",
        "/auth;x",
        "/äuth",
    ],
)
def test_a_path_that_is_one_of_several_spellings_is_refused(tmp_path: Path, path: str) -> None:
    refusal = refused(Settings(), f"http://localhost{path}")
    assert refusal.message.startswith(f"the server's URL has the path `{path}`")
    assert refused(named(tmp_path, entry(url=f'"http://localhost{path}"')))
    assert refused(Settings(), environ={"ZTRUST_MAIL_URL": f"http://localhost{path}"})


@pytest.mark.parametrize(
    "host",
    [
        *("10.1", "0xa000001", "167772161", "010.0.0.1", "10.0.0.0x1", "[::ffff:10.0.0.1]", "[::FFFF:a00:1]"),
        *("127.0.0.999", "127.0.0.010", "127.0.0.٣", "127.1", "127", "0x7f000001", "2130706433", "ｌocalhost"),
        *("bücher.example", "ｉd.example.com", "id。example.com", "straße.example", "a..b.example", "id.example.com.."),
    ],
)
def test_a_host_that_is_one_of_several_spellings_is_refused(host: str) -> None:
    refusal = refused(Settings(), f"https://{host}")
    assert refusal.message.startswith(f"the server's URL has the host `{host.strip('[]').lower()}`")


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "xn--bcher-kva.example", "a_b.example", "10.example", "1x", "[fe80::1%eth0]"]
)
def test_a_host_with_one_spelling_is_accepted(host: str) -> None:
    assert choose_server(Settings(), f"https://{host}", environ={}).url == f"https://{host}"


@pytest.mark.parametrize(
    "host", ["a$(id).example", "a;id;.example", "a`id`.example", "-x.example", "a'b", "[::1%$(id)]"]
)
def test_a_host_that_a_shell_would_run_or_take_as_an_option_is_refused(host: str) -> None:
    refusal = refused(Settings(), f"https://{host}")
    assert (
        refusal.message
        == f"the server's URL has the host `{host.strip('[]')}`, which is neither a host name nor an address"
    )


def test_the_zone_of_an_ipv6_address_has_one_spelling() -> None:
    assert choose_server(Settings(), "https://[fe80::1%25eth0]", environ={}).url == "https://[fe80::1%eth0]"


@pytest.mark.parametrize("path", ["/auth", "/a.b/..c/.d/e..", "/idp-2/~x_y", "/a+b@c:d,e", "/identity_/"])
def test_a_path_with_one_spelling_is_accepted(path: str) -> None:
    assert choose_server(Settings(), URL + path, environ={}).url == (URL + path).rstrip("/")


PLAIN = [
    "http://id.example.com",
    "HTTP://id.example.com",
    "HtTp://ID.EXAMPLE.COM",
    "http://127.0.0.1.evil.example",
    "http://127.0.0.999",
    "http://127.0.0.010",
    "http://127.0.0.٣",
    "http://localhost.evil.example",
    "http://localhost.",
    "http://127.0.0.1.",
    "http://127.1",
    "http://127",
    "http://0x7f000001",
    "http://2130706433",
    "http://0.0.0.0",
    "http://[::]",
    "http://[::2]",
    "http://10.0.0.1",
    "http://192.168.1.1:8080",
    "http://evil.example:80/127.0.0.1",
    "http://ｌocalhost",
]
SEVERAL_SPELLINGS = [
    *("http://127.0.0.999", "http://127.0.0.010", "http://127.0.0.٣", "http://127.1", "http://127"),
    *("http://0x7f000001", "http://2130706433", "http://ｌocalhost"),
]


@pytest.mark.parametrize("url", PLAIN)
def test_plain_http_to_another_machine_is_refused(url: str) -> None:
    refusal = refused(Settings(), url)
    assert "plain http: the admin's password would be sent in clear" in refusal.message
    assert "plain_http" in refusal.hint


@pytest.mark.parametrize("url", [url for url in PLAIN if url not in SEVERAL_SPELLINGS])
def test_plain_http_is_permitted_by_trusted_settings(tmp_path: Path, url: str) -> None:
    server = choose_server(named(tmp_path, "[allow]\nplain_http = true\n"), url, environ={})
    assert (server.url, server.plain_http) == (url.lower().replace(":80/", "/").removesuffix("."), True)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost@evil.example",
        "http://127.0.0.1:80@evil.example",
        "http://@localhost",
        f"https://admin:{HIDDEN}@id.example.com",
        f"https://:{HIDDEN}@id.example.com",
        "https://id.example.com?x=1",
        "https://id.example.com?",
        "https://id.example.com/auth#top",
        "https://id.example.com#",
        "http://localhost#@evil.example",
        "http://localhost?@evil.example",
    ],
)
def test_a_url_with_a_login_a_query_or_a_fragment_is_refused_and_not_quoted(url: str) -> None:
    refusal = refused(Settings(), url)
    assert refusal.message == "the server's URL contains a login, a query or a fragment"
    assert HIDDEN not in told(refusal)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://id.example.com",
        "javascript://x",
        "https://",
        "https:///auth",
        "https://:8080",
        "://",
        "https://id.example.com:0",
        "https://id.example.com:99999",
        "https://id.example.com:port",
        "https://[::1",
        "http://[::1].evil.example",
        "http://[::1]evil.example:80",
        "https://id.exa mple.com",
        "http://local\nhost",
        "http://local\thost",
        " http://localhost",
        "http://localhost\n",
        "http://localhost\\@evil.example",
        "http://localhost\\.evil.example",
        "http://evil.example\\@localhost",
        "https://id.example.com/\x00",
        "https://id.\u202eexample.com",
    ],
)
def test_a_value_that_is_not_a_plain_url_is_refused(url: str) -> None:
    assert refused(Settings(), url).message == "the server's URL is not an http(s) URL"


@pytest.mark.parametrize(
    ("page", "base"),
    [
        ("/admin/master/console/", ""),
        ("/admin/master/console/#/acme/realm-settings/email", ""),
        ("/auth/admin/acme/console", "/auth"),
        ("/admin/", ""),
        ("/auth/admin/realms", "/auth"),
        ("/realms/acme/account?referrer=x", ""),
        ("/id/realms/master/protocol/openid-connect/token", "/id"),
        ("/realms/acme/.well-known/openid-configuration", ""),
    ],
)
def test_the_url_of_a_page_is_refused_with_the_base_url(page: str, base: str) -> None:
    refusal = refused(Settings(), f"https://id.example.com{page}")
    assert refusal.message == "the server's URL leads to a page of the server, not to its base"
    assert refusal.hint == f"write https://id.example.com{base}"


def test_the_base_url_proposed_for_a_page_holds_no_login() -> None:
    assert refused(Settings(), "https://u:hunter2@id.example.com/admin/").hint == "write https://id.example.com"


@pytest.mark.parametrize("path", ["/auth", "/administration", "/realms-of-acme", "/id/admins"])
def test_a_base_path_that_only_resembles_a_page_is_fine(path: str) -> None:
    assert choose_server(Settings(), f"https://id.example.com{path}", environ={}).url.endswith(path)


def test_a_missing_url_is_reported_with_the_servers_name(tmp_path: Path) -> None:
    assert refused(named(tmp_path, entry(realm='"x"'))).message == "the URL of server `main` is not an http(s) URL"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_addresses_are_recognised(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "localhost.evil", "127.0.0.1.evil", "128.0.0.1", "::2", "xlocalhost"])
def test_addresses_that_only_look_like_loopback_are_not_recognised(host: str) -> None:
    assert not is_loopback(host)


# What is never shown


def told(error: ConfigError) -> str:
    """Return everything that a careless caller may print of an error."""
    shown = traceback.TracebackException.from_exception(error).format()
    return "".join([*shown, repr(error), error.message, error.hint])


def test_settings_and_server_do_not_show_their_secrets(tmp_path: Path) -> None:
    settings = named(tmp_path, entry(url=f'"{URL}"', password=f'"{HIDDEN}"', client_secret=f'"{HIDDEN}"'))
    server = choose_server(settings, environ={"ZTRUST_MAIL_TOKEN": HIDDEN})
    assert server.password == Secret(HIDDEN)
    assert HIDDEN not in repr(settings) + repr(server) + str(settings.servers) + repr(vars(server))


@pytest.mark.parametrize("wrong", ["connections = 0", "timeout = 'x'", "pasword = 'x'", "url = 1", "url = 'ftp://x'"])
def test_an_error_next_to_a_secret_does_not_show_it_even_with_local_variables(tmp_path: Path, wrong: str) -> None:
    text = f'[servers.main]\npassword = "{HIDDEN}"\n{wrong}\n'
    with pytest.raises(ConfigError) as refusal:
        choose_server(named(tmp_path, text if "url" in wrong else f"{text}url = '{URL}'\n"), environ={})
    captured = traceback.TracebackException.from_exception(refusal.value, capture_locals=True)
    own = [frame for frame in captured.stack if "ztrust_mail" in frame.filename]
    assert own
    assert all(HIDDEN not in str(frame.locals) for frame in own)
    assert HIDDEN not in told(refusal.value)


@pytest.mark.parametrize(
    ("option", "guard", "environ", "text"),
    [
        (f"https://admin:{HIDDEN}@id.example.com", ("production",), {}, ""),
        (f"admin:{HIDDEN}@id.example.com", (), {}, ""),
        (None, (), {"ZTRUST_MAIL_URL": f"https://a:{HIDDEN}@x.example"}, entry(url=f'"{URL}"')),
        (None, (), {"ZTRUST_MAIL_URL": URL}, entry(url=f'"https://a:{HIDDEN}@x.example"')),
    ],
)
def test_a_login_inside_a_url_is_not_quoted_by_any_refusal(
    option: str | None, guard: tuple[str, ...], environ: dict[str, str], text: str
) -> None:
    assert HIDDEN not in told(refused(found(text), option, guard, environ))


# The schema says the same


REFERENCE_TYPES = {kind.value: str if kind.form.is_text else list for kind in KINDS}


@pytest.fixture(scope="module")
def schema() -> dict[str, object]:
    """The published schema of the settings file."""
    text = resources.files("ztrust_mail").joinpath("schemas/settings.schema.json").read_text(encoding="utf-8")
    parsed: dict[str, object] = json.loads(text)
    return parsed


def test_the_schema_is_a_schema_and_knows_the_same_keys_and_types(schema: dict) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    names = {str: "string", Secret: "string", int: "integer", bool: "boolean", list: "array", dict: "object"}
    tables = schema["properties"]
    server, policy = schema["$defs"]["server"]["properties"], tables["policy"]["properties"]
    for table, known in (
        (tables, TABLES),
        (server, SERVER_KEYS),
        (tables["allow"]["properties"], ALLOW_KEYS),
        (policy, policies.POLICY_KEYS),
        (policy["secrets"]["properties"], policies.SECRET_KEYS),
        (schema["$defs"]["reference"]["properties"], REFERENCE_TYPES),
        (tables["journal"]["properties"], JOURNAL_KEYS),
    ):
        assert {k: v.get("type", "string") for k, v in table.items()} == {k: names[t] for k, t in known.items()}
    assert policy["minimum_security"]["enum"] == list(policies.SECURITY_WORDS)
    assert schema["$defs"]["pattern"]["pattern"] == policies.HOST_PATTERN
    assert tables["journal"]["properties"]["url"]["pattern"] == JOURNAL_URL
    assert server["gateway"]["enum"] == list(config.GATEWAYS)
    defaults = {key: value["default"] for key, value in server.items() if "default" in value}
    plain = Server(url=URL)
    assert defaults == {
        "gateway": plain.gateway,
        "realm": plain.realm,
        "client_id": plain.client_id,
        "connections": plain.connections,
        "timeout": f"{plain.timeout:g}s",
        "queue": plain.queue,
    }


REFERENCES = ('{env = "A_1"}', '{file = "a/b"}', '{command = ["pass", "show"]}', '{keyring = ["mail", "prod"]}')
NO_REFERENCES = (
    *("{}", "1", "[]", '["x"]', '{env = ""}', '{env = "1x"}', '{env = ["A"]}', '{file = ""}', '{command = "pass"}'),
    *("{command = []}", "{command = [1]}", '{keyring = ["mail"]}', '{keyring = "mail"}', '{keycloak_vault = "x"}'),
    *('{env = "A", file = "b"}', '{enf = "A"}'),
)
WINDOWS = (
    "[]",
    '[{cron = "0 22 * * SAT", duration = "6h"}, {cron = "*/5 0-3 1,15 * *", duration = "90m", timezone = "UTC"}]',
    *(f'[{{cron = "* * * * *", duration = "{length}"}}]' for length in ("1m", "9999m", "99h", "168h")),
)
NO_WINDOWS = (
    *('"0 22 * * SAT"', "[1]", "[{}]", '[{cron = "0 22 * * SAT"}]', '[{duration = "6h"}]'),
    *('[{cron = "0 22 * * * *", duration = "6h"}]', '[{cron = 1, duration = "6h"}]', '[{cron = "", duration = "6h"}]'),
    *(f'[{{cron = "* * * * *", duration = "{length}"}}]' for length in ("", "0m", "6", "6d", "169h", "10000m", "1.5h")),
    '[{cron = "* * * * *", duration = "6h", timezone = ""}]',
    '[{cron = "* * * * *", duration = "6h", zone = "UTC"}]',
)
GOOD_NAMES = ("default", "eu", "0", "eu-1.a_b", "a" * 63)
"""Names of queues and schedules."""

BAD_NAMES = ("", "EU", "-eu", ".eu", "e u", "eu/1", "é", "a" * 64)
GOOD = [
    "",
    *(entry(url=f'"{URL}"', **{key: ref}) for key in SECRETS for ref in REFERENCES),
    *(entry(url=f'"{URL}"', limits=f"{{windows = {windows}}}") for windows in WINDOWS),
    *(entry(url=f'"{URL}"', limits=f"{{requests_per_second = {rate}}}") for rate in ("0.1", "1", "1000", "2.5")),
    entry(url=f'"{URL}"', labels='{stage = "prod"}', vars='{a = "b"}', limits="{}"),
    *(entry(url=f'"{URL}"', limits=f"{{connections = {n}}}") for n in ("1", "64")),
    TWO,
    ALLOW_ALL,
    POLICY,
    JOURNAL,
    SCHEDULE,
    *(SCHEDULE.replace("nightly", f'"{name}"') for name in GOOD_NAMES),
    *(SCHEDULE.replace('["specs"]', drift) for drift in ('"a"', '["a", "/b"]')),
    *(SCHEDULE + keys for keys in ('servers = ["a", "*"]', 'labels = ["a=b", "c=d="]', 'timezone = "Europe/Berlin"')),
    *(f"[fleet]\n{keys}\n" for keys in ("", 'run_by = "here"', 'run_by = "workers"\nkeep_days = 3650')),
    '[policy]\nrelays = []\nsender_domains = ["*"]\nminimum_security = "starttls"\n',
    *(
        f'[policy]\nrelays = ["{p}"]\n'
        for p in (
            "localhost",
            "relay",
            "*.local",
            "a-?.b_c.example.com",
            "*.*.d.e",
            "1.2.3.4",
            "10.*.*.?",
            "::1",
            "A.B",
        )
    ),
    '[policy.secrets]\nenv = [""]\nfile = ["keys", "/run/secrets"]\nkeyring = []\n',
    entry(url=f'"{URL}"', username='"a"', password='"p"', client_secret='"c"', realm='"a b"', client_id='"c"'),
    *(entry(url=f'"{URL}"', timeout=f'"{t}"') for t in ("1ms", "600000ms", "599999ms", "1s", "600s", "10m", "99s")),
    *(entry(url=f'"{URL}"', connections=n) for n in ("1", "64")),
    *(entry(url=f'"{URL}"', gateway=f'"{g}"') for g in config.GATEWAYS if g != config.FILES),
    entry(url='"file:///srv/exports"'),
    entry(url='"file:///srv/exports"', gateway='"realm_files"'),
    entry(url='"file:///srv/exports"', labels='{stage = "lab"}', vars='{a = "b"}', limits="{}", queue='"lab"'),
    *(entry(url=f'"{URL}"', queue=f'"{name}"') for name in GOOD_NAMES),
]
BAD = [
    *(entry(url=f'"{URL}"', **{key: ref}) for key in SECRETS for ref in NO_REFERENCES),
    *(entry(url=f'"{URL}"', limits=f"{{windows = {windows}}}") for windows in NO_WINDOWS),
    *(entry(url=f'"{URL}"', limits=f"{{requests_per_second = {n}}}") for n in ("0", "0.09", "1001", "true", '"5"')),
    *(entry(url=f'"{URL}"', queue=f'"{name}"') for name in BAD_NAMES),
    entry(url=f'"{URL}"', queue="1"),
    *(
        entry(url=f'"{URL}"', limits=limits)
        for limits in ("5", *(f"{{connections = {n}}}" for n in ("0", "65", "'4'")))
    ),
    entry(url=f'"{URL}"', connections="4", limits="{connections = 3}"),
    "servers = 1\n",
    "[server.main]\n",
    "[servers]\nmain = 1\n",
    "[allow]\ncommand = 1\n",
    "[allow]\nx = true\n",
    "[policy]\nx = []\n",
    "[policy]\nrelays = 1\n",
    '[policy]\nminimum_security = "none"\n',
    *(f'[policy]\nrelays = ["{p}"]\n' for p in ("", "a.*", "*b.c", "x:1", "a b", "a.", "10.*", "https://a.b", "a.b/c")),
    "[policy.secrets]\nenv = [1]\n",
    "[policy.secrets]\nvault = ['']\n",
    "[journal]\nurl = 'journal.db'\n",
    "[journal]\nurl = ''\n",
    "[schedules]\nnightly = 1\n",
    "[schedules.nightly]\n",
    *(SCHEDULE.replace("nightly", f'"{name}"') for name in BAD_NAMES),
    *(SCHEDULE.replace('["specs"]', drift) for drift in ('""', "[]", "1", '[""]', "[1]", '"\\u001b"', '["\\u0085"]')),
    *(SCHEDULE.replace("0 3 * * *", cron) for cron in ("", "0 3 * *", "@daily")),
    *(f"{SCHEDULE}servers = {servers}" for servers in ('"a"', "[]", '[""]', '["file:///a"]', '["https://a.b"]')),
    *(f"{SCHEDULE}labels = {labels}" for labels in ('"a=b"', "[]", '["a"]', '["a="]', '["=b"]', '["a=\\u001b"]')),
    *(f"{SCHEDULE}{keys}" for keys in ('timezone = ""', 'every = "1h"')),
    *(f"[fleet]\n{keys}\n" for keys in ('run_by = "cloud"', "keep_days = 0", "keep_days = 3651", "keep_days = 1.5")),
    "[fleet]\nx = 1\n",
    "[allow]\nsecret_folders = [1]\n",
    '[allow]\nsecret_folders = [""]\n',
    *(
        entry(url=f'"{URL}"', timeout=f'"{t}"')
        for t in ("", "0s", "10", "010s", "601s", "600001ms", "11m", "1h", "１s", "10s ", "1.5s")
    ),
    *(entry(url=f'"{URL}"', connections=n) for n in ("0", "65", "-1", "1.5", "true", '"8"')),
    *(entry(url=f'"{URL}"', gateway=f'"{g}"') for g in ("", "keyclock", "Keycloak")),
    *(entry(url=f'"{URL}"', realm=f'"{r}"') for r in ("", ".", "..")),
    *(entry(url=f'"{URL}"', **{k: '""'}) for k in ("client_id", "client_secret", "username", "password", "ca_bundle")),
    entry(url=f'"{URL}"', gateway='"realm_files"'),
    entry(url='"file:///srv/exports"', gateway='"keycloak"'),
    entry(url='"file:///srv/exports"', username='"admin"'),
    *(entry(url=f'"{u}"') for u in ("file:exports", "file:/srv", "file://host/srv", "FILE:///srv")),
    entry(url='""'),
    entry(url="1"),
    entry(url=f'"{URL}"', usernane='"x"'),
]


@pytest.mark.parametrize(("text", "is_good"), [(t, True) for t in GOOD] + [(t, False) for t in BAD])
def test_the_schema_and_the_code_agree_on_a_file(tmp_path: Path, schema: dict, text: str, is_good: bool) -> None:
    def accepted() -> bool:
        try:
            settings = named(tmp_path, text)
            for name in settings.servers:
                choose_server(settings, name, environ={})
        except ConfigError:
            return False
        return True

    assert jsonschema.Draft202012Validator(schema).is_valid(tomllib.loads(text)) is is_good
    assert accepted() is is_good


# ZTrust's versions


@pytest.mark.parametrize(
    ("profile", "url", "meant"),
    [
        ("V1", URL, f"{URL}/auth"),
        ("V1", f"{URL}/", f"{URL}/auth"),
        ("V1", f"{URL}/auth", f"{URL}/auth"),
        ("V1", f"{URL}/sso", f"{URL}/sso"),
        ("V4", URL, URL),
    ],
)
def test_a_version_of_ztrust_knows_its_path(tmp_path: Path, profile: str, url: str, meant: str) -> None:
    settings = named(tmp_path, entry(url=f'"{url}"', gateway='"ztrust"', profile=f'"{profile}"'))
    server = choose_server(settings)
    assert (server.url, server.profile) == (meant, profile)


@pytest.mark.parametrize(("gateway", "profile"), [("keycloak", "V1"), ("ztrust", "V5"), ("ztrust", "v1")])
def test_an_unknown_profile_of_ztrust_is_refused(tmp_path: Path, gateway: str, profile: str) -> None:
    settings = named(tmp_path, entry(url=f'"{URL}"', gateway=f'"{gateway}"', profile=f'"{profile}"'))
    assert refused(settings).hint in ('add gateway = "ztrust"', "ZTrust's versions are V1, V2, V3, V4")
