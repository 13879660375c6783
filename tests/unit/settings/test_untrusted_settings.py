"""A settings file that was only found in the working folder decides nothing about the user's login."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.settings_files import entry, found, named, refused

import ztrust_mail
from ztrust_mail import settings as config
from ztrust_mail.core.errors import SecretError
from ztrust_mail.core.findings import Severity
from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.settings import Server, Settings, choose_server
from ztrust_mail.settings.server_entry import SECRETS, SERVER_KEYS
from ztrust_mail.settings.untrusted import _BOUNDED, _IGNORED

HIDDEN = "S3cr3t-w0rd"
URL = "https://id.example.com"
OTHER = "https://other.example.com"
LOGINS = (
    {"ZTRUST_MAIL_USERNAME": "admin", "ZTRUST_MAIL_PASSWORD": HIDDEN},
    {"ZTRUST_MAIL_CLIENT_SECRET": HIDDEN},
    {"ZTRUST_MAIL_TOKEN": HIDDEN},
)
FULL = {
    "ZTRUST_MAIL_URL": URL,
    "ZTRUST_MAIL_GATEWAY": "ztrust",
    "ZTRUST_MAIL_REALM": "env-realm",
    "ZTRUST_MAIL_CLIENT_ID": "env-client",
    "ZTRUST_MAIL_CLIENT_SECRET": "env-secret",
    "ZTRUST_MAIL_USERNAME": "env-user",
    "ZTRUST_MAIL_PASSWORD": "env-password",
    "ZTRUST_MAIL_TOKEN": "env-token",
    "ZTRUST_MAIL_TIMEOUT": "2m",
    "ZTRUST_MAIL_CONNECTIONS": "64",
}


@pytest.fixture
def evil(tmp_path: Path) -> str:
    """An entry's keys, each with a value that differs from the environment's, and an own certificate authority."""
    bundle = tmp_path / "evil.pem"
    bundle.touch()
    keys = {
        "gateway": '"ztrust"',
        "profile": '"V1"',
        "realm": '"evil"',
        "client_id": '"evil"',
        "username": '"evil"',
        "ca_bundle": f'"{bundle}"',
        "connections": "3",
        "timeout": '"3s"',
    }
    return entry(url=f'"{URL}"', **keys)


# With a login from the environment


@pytest.mark.parametrize("login", LOGINS)
def test_with_the_environments_login_only_bounds_of_an_untrusted_entry_count(
    evil: str, login: Mapping[str, str]
) -> None:
    environ = {"ZTRUST_MAIL_URL": URL, **login}
    server = choose_server(found(evil), environ=environ)
    plain = choose_server(Settings(), environ=environ)
    for key in SERVER_KEYS:
        if key not in _BOUNDED:
            assert getattr(server, key) == getattr(plain, key), key
    assert (server.name, server.connections, server.timeout, server.isolated) == ("main", 3, 3.0, False)


def test_the_environments_own_values_stay_in_force(evil: str) -> None:
    server = choose_server(found(evil), environ=FULL)
    plain = choose_server(Settings(), environ=FULL)
    assert [key for key in SERVER_KEYS if getattr(server, key) != getattr(plain, key)] == ["connections", "timeout"]


def test_every_key_of_a_server_is_classified_for_untrusted_files() -> None:
    assert {"url", *SECRETS, *_BOUNDED, *_IGNORED} == set(SERVER_KEYS)


def test_a_warning_lists_what_is_ignored_what_is_in_force_and_how_to_trust_the_file(evil: str) -> None:
    environ = {"ZTRUST_MAIL_URL": URL, "ZTRUST_MAIL_GATEWAY": "ztrust", "ZTRUST_MAIL_PASSWORD": HIDDEN}
    (finding,) = choose_server(found(evil), environ=environ).findings
    assert (finding.severity, finding.rule) == (Severity.WARNING, "untrusted-settings")
    assert str(finding.location) == config.FILE_NAME
    assert finding.message.startswith(
        "ignored in `servers.main`: `profile`, `realm`, `client_id`, `username`, `ca_bundle`;"
    )
    in_force = "in force: no profile, realm `master`, client_id `admin-cli`, no username, no ca_bundle"
    assert finding.message.endswith(in_force)
    assert "--config ztrust-mail.toml" in finding.hint


def test_a_value_equal_to_the_environments_gives_no_warning() -> None:
    settings = found(entry(url=f'"{URL}/"', realm='"tools"', client_id='"admin-cli"'))
    environ = {"ZTRUST_MAIL_URL": URL, "ZTRUST_MAIL_REALM": "tools", "ZTRUST_MAIL_CLIENT_SECRET": HIDDEN}
    server = choose_server(settings, environ=environ)
    assert (server.findings, server.realm) == ((), "tools")


@pytest.mark.parametrize("option", [None, "main"])
@pytest.mark.parametrize("login", [{}, *LOGINS])
def test_the_environments_login_does_not_go_to_another_url_of_an_untrusted_file(
    option: str | None, login: Mapping[str, str]
) -> None:
    refusal = refused(found(entry(url=f'"{OTHER}"')), option, environ={"ZTRUST_MAIL_URL": URL, **login})
    assert OTHER in refusal.message
    assert URL in refusal.message
    assert "--config" in refusal.hint


@pytest.mark.parametrize("login", [*LOGINS, {"ZTRUST_MAIL_USERNAME": "admin"}])
@pytest.mark.parametrize("way", ["only", "option", "variable", "guard"])
def test_without_a_url_in_the_environment_its_login_goes_to_no_url_of_an_untrusted_file(
    login: Mapping[str, str], way: str
) -> None:
    environ = {**login, **({"ZTRUST_MAIL_SERVER": "main"} if way == "variable" else {})}
    option, guard = "main" if way == "option" else None, ("main",) if way == "guard" else ()
    refusal = refused(found(entry(url=f'"{OTHER}"')), option, guard, environ)
    assert refusal.message.startswith(f"the login in the environment is not sent to `{OTHER}`")
    assert "ZTRUST_MAIL_URL" in refusal.hint
    assert "--config ztrust-mail.toml" in refusal.hint


@pytest.mark.parametrize("environ", [{"ZTRUST_MAIL_SERVER": "main"}, {}])
@pytest.mark.parametrize("guard", [(), ("main",)])
def test_neither_guard_nor_variable_sends_the_login_to_a_url_of_an_untrusted_file(
    environ: dict[str, str], guard: tuple[str, ...]
) -> None:
    settings = found(entry(url='"https://id.example.com.evil.example"'))
    assert "names" in refused(settings, None, guard, {**environ, "ZTRUST_MAIL_URL": URL}).message


@pytest.mark.parametrize(
    "url",
    [
        f"{URL}:8443",
        f"{URL}/auth",
        "http://id.example.com",
        f"{URL}/./",
        f"{URL}/%2e",
        f"{URL}?",
        f"{URL}#x",
        "https://u@id.example.com",
        "https://id.exam\\tple.com",
        "https://id.example.com\\u0000",
    ],
)
def test_only_the_environments_own_url_is_equal_to_it(url: str) -> None:
    refusal = refused(found(entry(url=f'"{url}"')), environ={"ZTRUST_MAIL_URL": URL, "ZTRUST_MAIL_PASSWORD": HIDDEN})
    assert "ZTRUST_MAIL_URL names" in refusal.message


def test_an_untrusted_file_may_name_the_environments_own_url_or_none() -> None:
    environ = {"ZTRUST_MAIL_URL": URL, "ZTRUST_MAIL_PASSWORD": HIDDEN}
    assert choose_server(found(entry(url='"HTTPS://ID.example.com:443/"')), environ=environ).url == URL
    without = choose_server(found(entry(realm='"acme"')), environ=environ)
    assert (without.url, without.realm) == (URL, "master")


def test_the_same_file_decides_everything_once_it_is_named(evil: str) -> None:
    found(evil)
    environ = {"ZTRUST_MAIL_PASSWORD": HIDDEN}
    server = choose_server(config.load(config.FILE_NAME, environ), environ=environ)
    assert (server.realm, server.username, server.url, server.findings) == ("evil", "evil", f"{URL}/auth", ())


def test_an_untrusted_file_does_not_make_plain_http_reachable() -> None:
    settings = found('[allow]\nplain_http = true\n[servers.main]\nurl = "http://id.example.com"\n')
    assert "plain http" in refused(settings).message


# A server that the user names by its URL


@pytest.mark.parametrize("environ", [{}, {"ZTRUST_MAIL_URL": "https://third.example"}])
def test_a_url_given_by_option_takes_only_a_name_for_the_guard_from_an_untrusted_file(
    evil: str, environ: Mapping[str, str]
) -> None:
    environ = {**environ, "ZTRUST_MAIL_PASSWORD": HIDDEN}
    evil += "limits = {windows = []}\nlabels = {stage = 'evil'}\nvars = {domain = 'evil.example'}\n"
    server = choose_server(found(evil), URL, ("main",), environ)
    assert server == Server(url=URL, name="main", password=Secret(HIDDEN))


@pytest.mark.parametrize("key", ["USERNAME", "PASSWORD", "TOKEN"])
def test_a_login_for_one_server_does_not_go_to_the_general_url(key: str) -> None:
    environ = {f"ZTRUST_MAIL_MAIN_{key}": HIDDEN, "ZTRUST_MAIL_URL": OTHER}
    settings = found(entry(connections="3"))
    refusal = refused(settings, "main", environ=environ)
    assert refusal.hint == "set ZTRUST_MAIL_MAIN_URL to the login's own server"
    assert choose_server(settings, "main", environ={**environ, "ZTRUST_MAIL_MAIN_URL": URL}).url == URL


def test_a_url_given_by_option_counts_whatever_an_untrusted_file_says() -> None:
    settings = found(entry(url=f'"{OTHER}"'))
    server = choose_server(settings, "https://third.example", environ={"ZTRUST_MAIL_URL": URL})
    assert server == Server(url="https://third.example")


# An entry with a login of its own

OWN_LOGINS = (
    {"username": '"own"', "password": '"own-password"'},
    {"client_id": '"own"', "client_secret": '"own-secret"'},
    {"token": '"own-token"'},
    {"password": '"own-password"'},
    {"client_secret": '"own-secret"'},
    {"username": '"own"', "client_secret": '"own-secret"'},
)


@pytest.mark.parametrize("own", OWN_LOGINS)
@pytest.mark.parametrize("url", [URL, OTHER])
def test_an_entry_with_its_own_login_gets_nothing_from_the_environment(own: dict[str, str], url: str) -> None:
    settings = found(entry(url=f'"{url}"', **own))
    server = choose_server(settings, environ=FULL)
    without = choose_server(settings, environ={})
    assert server.isolated
    differing = [key for key in SERVER_KEYS if getattr(server, key) != getattr(without, key)]
    assert differing == ["connections", "timeout"]
    assert "env-" not in repr([vars(server), *(s.reveal() for s in vars(server).values() if isinstance(s, Secret))])


@pytest.mark.parametrize("own", OWN_LOGINS)
def test_an_entry_with_a_login_of_its_own_does_not_take_the_environments_url(own: dict[str, str]) -> None:
    assert "is not an http(s) URL" in refused(found(entry(**own)), environ=FULL).message


@pytest.mark.parametrize("environ", [{}, {"ZTRUST_MAIL_REALM": "x", "ZTRUST_MAIL_CLIENT_ID": "y"}])
def test_without_any_login_an_untrusted_entry_is_isolated(environ: Mapping[str, str]) -> None:
    assert choose_server(found(entry(url=f'"{URL}"')), environ=environ) == Server(url=URL, name="main", isolated=True)


def references() -> Iterator[SecretRef]:
    own = {SecretKind.FILE: ("password.txt",), SecretKind.COMMAND: ("echo", HIDDEN)}
    for kind in {*SecretKind} - {SecretKind.KEYCLOAK_VAULT}:
        base = str(Path.cwd()) if kind is SecretKind.FILE else ""
        yield SecretRef(kind, own.get(kind, ("SMTP_PASSWORD",) * (kind.form.parts or 1)), base)


def test_no_reference_of_a_spec_is_resolved_for_a_server_that_an_untrusted_file_chose(user_folder: Path) -> None:
    (user_folder / config.FILE_NAME).write_text("[allow]\ncommand = true\n", encoding="utf-8")
    Path("password.txt").write_text(HIDDEN, encoding="utf-8")
    found(entry(url=f'"{OTHER}"', username='"own"', password='"own"'))
    with ztrust_mail.connect(environ={"SMTP_PASSWORD": HIDDEN}) as connection:
        for problem in connection.secrets.get(references()).values():
            assert isinstance(problem, SecretError)
            assert problem.rule == "secret-out-of-reach"
            assert "--config" in problem.hint


def test_references_are_resolved_where_the_environment_logs_in() -> None:
    found(entry(url=f'"{URL}"'))
    environ = {"ZTRUST_MAIL_URL": URL, "ZTRUST_MAIL_PASSWORD": "p", "SMTP_PASSWORD": HIDDEN}
    reference = SecretRef(SecretKind.ENV, ("SMTP_PASSWORD",))
    with ztrust_mail.connect(environ=environ) as connection:
        assert connection.secrets.get([reference]) == {reference: Secret(HIDDEN)}


def test_a_connection_reports_what_was_ignored(evil: str) -> None:
    found("[allow]\ncommand = true\n" + evil)
    with ztrust_mail.connect(environ={"ZTRUST_MAIL_URL": URL, "ZTRUST_MAIL_PASSWORD": "p"}) as connection:
        assert [finding.rule for finding in connection.findings] == ["untrusted-settings"] * 2


# Realm files


@pytest.mark.parametrize("environ", [{}, FULL, {"ZTRUST_MAIL_URL": "file:///srv/other"}])
def test_realm_files_that_only_an_untrusted_file_names_are_refused(environ: Mapping[str, str], tmp_path: Path) -> None:
    for keys in ({"url": f'"{tmp_path.as_uri()}"'}, {"url": '"file:x"', "gateway": '"realm_files"'}):
        refusal = refused(found(entry(**keys)), environ=environ)
        assert "names the realm files" in refusal.message
        assert "--server URL" in refusal.hint


def test_realm_files_that_the_environment_names_may_have_a_name_in_an_untrusted_file(tmp_path: Path) -> None:
    settings = found(entry(url=f'"{tmp_path.as_uri()}/"', connections="3", realm='"x"'))
    server = choose_server(settings, environ={"ZTRUST_MAIL_URL": tmp_path.as_uri()})
    assert (server.url, server.name, server.isolated) == (tmp_path.as_uri(), "main", False)
    assert "`realm`" in server.findings[0].message


def test_realm_files_given_by_option_are_taken(tmp_path: Path) -> None:
    settings = found(entry(url=f'"{tmp_path.as_uri()}"'))
    assert choose_server(settings, tmp_path.as_uri(), ("main",), {}).name == "main"


# Beside the user's own settings


@pytest.fixture
def own(user_folder: Path) -> Path:
    """The user's own file with one server."""
    path = user_folder / config.FILE_NAME
    path.write_text(f'[servers.production]\nurl = "{URL}"\nrealm = "own"\n', encoding="utf-8")
    return path


def test_the_users_own_entry_of_a_name_counts_and_the_other_is_ignored_with_a_warning(own: Path) -> None:
    settings = found(f'[servers.production]\nurl = "{OTHER}"\nca_bundle = "evil.pem"\nclient_secret = "evil"\n')
    server = choose_server(settings, environ=LOGINS[0])
    assert (server.url, server.realm, server.ca_bundle, server.client_secret) == (URL, "own", "", None)
    assert (server.password, server.isolated) == (Secret(HIDDEN), False)
    (finding,) = server.findings
    assert finding.rule == "untrusted-settings"
    assert str(own) in finding.message
    assert "--config" in finding.hint


def test_an_equal_entry_gives_no_warning(own: Path) -> None:
    assert choose_server(found(own.read_text(encoding="utf-8")), environ={}).findings == ()


@pytest.mark.usefixtures("own")
def test_a_server_of_an_untrusted_file_is_added_with_its_limits() -> None:
    settings = found(entry(url=f'"{OTHER}"'))
    assert choose_server(settings, "production", environ=LOGINS[0]).url == URL
    assert "is not sent to" in refused(settings, "main", environ=LOGINS[0]).message
    assert "and" in refused(settings, "mian-server", environ={}).message


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("environ", [{}, {"ZTRUST_MAIL_URL": OTHER}])
def test_an_untrusted_file_does_not_move_the_choice_away_from_the_users_only_server(
    environ: Mapping[str, str],
) -> None:
    assert "several servers are possible" in refused(found(entry(url=f'"{OTHER}"')), environ=environ).message


@pytest.mark.usefixtures("own")
def test_the_guard_matches_the_users_own_servers_and_no_server_of_the_same_name_in_an_untrusted_file() -> None:
    settings = found(f'[servers.production]\nurl = "{OTHER}"\n')
    assert choose_server(settings, URL, ("production",), {}).name == "production"
    assert "meant for" in refused(settings, OTHER, ("production",), {}).message


def test_the_users_own_file_is_trusted_in_its_own_folder_too(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own.write_text(f'[policy]\nrelays = ["r.example"]\n{own.read_text(encoding="utf-8")}', encoding="utf-8")
    monkeypatch.chdir(own.parent)
    settings = config.load(None, {})
    assert (settings.findings, settings.untrusted.path, settings.policy.path) == ((), "", str(own))


def test_a_long_list_of_servers_is_cut(tmp_path: Path) -> None:
    text = "".join(f'[servers."s{n}\\u001b"]\nurl = "{URL}"\n' for n in range(1000))
    assert refused(named(tmp_path, text)).message.endswith(r"s9\x1b and 990 more")


@pytest.mark.parametrize("key", SECRETS)
@pytest.mark.parametrize(
    "reference",
    ['{env = "HOME"}', '{file = "x"}', '{command = ["touch", "resolved"]}', '{keyring = ["mail", "x"]}', "{x = 1}"],
)
@pytest.mark.parametrize("environ", [{}, {"ZTRUST_MAIL_URL": URL}, FULL])
def test_no_reference_in_an_untrusted_file_is_resolved(environ: Mapping[str, str], reference: str, key: str) -> None:
    refusal = refused(found(entry(url=f'"{URL}"', **{key: reference})), environ=environ)
    assert refusal.rule == "untrusted-settings"
    assert f"has a reference as `servers.main.{key}`, which is not resolved" in refusal.message
    assert "--config ztrust-mail.toml" in refusal.hint
