"""What the lint rules about servers rely on, and what they find: the same on Keycloak and on the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
import trustme
from support.admin_api import AdminApi
from support.main_job import connected
from support.server_under_test import ServerUnderTest
from support.smtp import Relays, attributes
from support.token_endpoint import token_endpoint

import ztrust_mail
from ztrust_mail.core.findings import Finding

ENTRY: dict[str, object] = {"sender": {"address": "no-reply@acme.example"}, "relay": {"host": "smtp.acme.example"}}
_numbers = count(1)


@pytest.fixture(scope="module")
def admin(server: ServerUnderTest) -> Iterator[AdminApi]:
    api = AdminApi(server.url, server.admin_user, server.admin_password)
    yield api
    api.close()


@pytest.fixture
def realm(admin: AdminApi) -> Iterator[str]:
    name = f"lint {next(_numbers)}"
    admin.create_realm(name)
    yield name
    admin.delete_realm(name)


def find(server: ServerUnderTest, realm: str, entry: dict[str, object], *rules: str) -> list[Finding]:
    """Return what the named rules find in an entry and on the server."""
    with connected(server) as session:
        options = ztrust_mail.LintOptions(select=rules)
        found = ztrust_mail.lint({"version": 1, "realms": {realm: entry}}, session, realms=[realm], options=options)
    return [one for one in found.findings if one.realm == realm or one.realm is None]


def test_a_server_says_which_themes_and_senders_of_mail_it_has(server: ServerUnderTest, realm: str) -> None:
    with connected(server) as session:
        session.gateway.login()
        info = session.gateway.server_info()
    assert ".".join(map(str, info.version)) == server.version
    assert info.themes is not None
    assert "keycloak" in info.themes
    assert info.senders == ("default",)
    assert find(server, realm, ENTRY, "email-sender-provider") == []


@pytest.mark.parametrize("switch", ["verifyEmail", "resetPasswordAllowed"])
def test_a_realm_that_needs_mail_and_gets_none_is_found(
    server: ServerUnderTest, admin: AdminApi, realm: str, switch: str
) -> None:
    admin.ok("PUT", f"/admin/realms/{realm}", {switch: True})
    (found,) = find(server, realm, {"disabled": True}, "needs-mail")
    assert f"{switch} is on" in found.message
    assert find(server, realm, ENTRY, "needs-mail") == []


def test_a_realm_whose_workflow_sends_mail_and_that_gets_none_is_found(
    server: ServerUnderTest, admin: AdminApi, realm: str
) -> None:
    has_workflows = not server.version.startswith("16.")
    mails = {"on": "user-created", "steps": [{"uses": "disable-user", "after": "9000"}, {"uses": "notify-user"}]}
    others = {"on": "user-created", "steps": [{"uses": "disable-user", "after": "9000"}]}
    bodies = [{"name": f"a{number:02}", **others} for number in range(11)]
    bodies += [{"name": "off", "enabled": False, **mails}, {"name": "welcome", **mails}]
    for body in bodies:
        assert admin.call("POST", f"/admin/realms/{realm}/workflows", body).ok == has_workflows
    messages = [one.message for one in find(server, realm, {"disabled": True}, "needs-mail")]
    found = ["the realm has no e-mail settings, and its workflow sends mail: `welcome`"]
    assert messages == (found if has_workflows else [])
    assert find(server, realm, ENTRY, "needs-mail") == []


def test_a_theme_that_the_server_does_not_have_is_found(server: ServerUnderTest, admin: AdminApi, realm: str) -> None:
    admin.ok("PUT", f"/admin/realms/{realm}", {"emailTheme": "keycloack"})
    (found,) = find(server, realm, ENTRY, "unknown-email-theme")
    assert (found.rule, found.hint) == ("unknown-email-theme", "did you mean `keycloak`?")
    assert find(server, realm, {**ENTRY, "templates": {"theme": "keycloak"}}, "unknown-email-theme") == []


def test_a_field_that_the_version_ignores_is_found(server: ServerUnderTest, realm: str) -> None:
    entry = {**ENTRY, "relay": {"host": "smtp.acme.example", "timeouts": {"read": "20s"}}}
    found = [one.field for one in find(server, realm, entry, "ignored-attribute")]
    assert found == (["relay.timeouts.read"] if server.version.startswith("16.") else [])


@pytest.mark.parametrize(("scope", "requests"), [("https://relay.example/.default", 1), (None, 3)])
def test_without_a_scope_every_mail_costs_a_token(
    server: ServerUnderTest,
    admin: AdminApi,
    realm: str,
    relays: Relays,
    authority: trustme.CA,
    scope: str | None,
    requests: int,
) -> None:
    has_token_login = not server.version.startswith("16.")
    relay = relays.plain()
    answer = {"access_token": "token", "token_type": "Bearer", "expires_in": 3600}
    with token_endpoint(authority, answer) as endpoint:
        given = {"authTokenUrl": endpoint.url, "authTokenClientId": "id", "authTokenClientSecret": "secret"}
        given |= {"authTokenScope": scope} if scope else {}
        for _ in range(3):
            sent = admin.test_mail(realm, attributes(relay, auth="true", authType="token", user="u", **given))
            assert not has_token_login or sent.status_code == 204, sent.text
        assert len(endpoint.forms) == (requests if has_token_login else 0)
