"""One run on two real servers of different versions, and on one that is down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support.admin_api import AdminApi
from support.bad_server import nobody
from support.cli import Cli
from support.fleets import SPEC, entry
from support.keycloak_server import KeycloakServer

REALMS = ("acme", "globex")


@pytest.fixture(name="settings")
def settings_fixture(cli: Cli, keycloak_26: KeycloakServer, keycloak_16: KeycloakServer) -> Iterator[str]:
    """A settings file with both servers, on which the realms of the spec exist, and one that is down."""
    with ExitStack() as stack:
        entries = [entry("down", stack.enter_context(nobody()), 'stage = "new"')]
        for name, server in (("new", keycloak_26), ("old", keycloak_16)):
            api = AdminApi(server.url, server.admin_user, server.admin_password)
            stack.enter_context(api.with_realms(REALMS))
            entries.append(entry(name, server.url, f'stage = "{name}"', server.admin_password))
        yield cli.write("fleet.toml", "\n".join(entries))


def test_two_real_servers_are_written_in_one_run_and_a_third_that_is_down_ends_neither(cli: Cli, settings: str) -> None:
    spec, chosen = cli.write("mail.yaml", SPEC), ("--config", settings, "--all-servers")
    report = cli.json("apply", spec, *chosen, "--yes")
    assert [one["report"]["exit_status"] for one in report["servers"]] == [3, 0, 0]
    assert (report["exit_status"], report["summary"]) == (3, {"realms": 4, "applied": 4})
    assert {one["report"]["run"] for one in report["servers"][1:]} == {1, 2}
    drift = cli.json("drift", spec, *chosen)
    assert [one["result"] for one in drift["servers"]] == ["unreachable: connection refused", "in sync", "in sync"]
