"""The example of an onboarding service, driven by HTTP against the sandbox."""

from __future__ import annotations

import asyncio
import runpy
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "onboarding_service" / "app.py"
SECRET = "relay-Passw0rd"


@pytest.fixture
def service(ztrust_sandbox):
    """A function that sends a PUT to the service, which works on the sandbox and its relay."""
    example = runpy.run_path(str(EXAMPLE))
    relay = {"host": "127.0.0.1", "port": ztrust_sandbox.mail.port, "security": "none"}
    auth = example["DEFAULTS"]["relay"]["auth"]
    defaults = {**example["DEFAULTS"], "relay": {**relay, "auth": auth}}
    app = example["create_app"]({**ztrust_sandbox.environ, "SMTP_PASSWORD": SECRET}, defaults)

    def put(path: str, content: Mapping[str, str]) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return await client.put(path, json=content)

        return asyncio.run(ask())

    return put


def test_a_tenant_is_onboarded_and_a_repeated_request_writes_nothing(service, ztrust_sandbox):
    ztrust_sandbox.create_realm("shop")
    answers = [service("/tenants/shop", {"sender_name": "The Shop"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == {"realm": "shop", "written": True, "tested": True}
    assert answers[1].json() == {"realm": "shop", "written": False, "tested": True}
    assert ztrust_sandbox.smtp("shop")["fromDisplayName"] == "The Shop"
    assert ztrust_sandbox.smtp("shop")["from"] == "no-reply@shop.example.com"
    assert ztrust_sandbox.mail.wait_for(2)[0].login == "apikey"


def test_what_goes_wrong_has_a_status_of_its_own_and_shows_no_secret(service, ztrust_sandbox):
    invalid = service("/tenants/acme", {"sender_name": "A", "reply_to": "no address"})
    glob = service("/tenants/a*", {"sender_name": "A"})
    ztrust_sandbox.mail.stop()
    untested = service("/tenants/acme", {"sender_name": "A"})
    ztrust_sandbox.stop()
    unreachable = service("/tenants/acme", {"sender_name": "A"})
    answers = (invalid, glob, untested, unreachable)
    assert [answer.status_code for answer in answers] == [422, 422, 502, 503]
    assert all(answer.json()["error"] for answer in answers)
    assert not any(SECRET in answer.text for answer in answers)


def test_no_request_changes_the_realm_of_the_administrators(service, ztrust_sandbox):
    before = ztrust_sandbox.smtp("master")
    answers = [service(f"/tenants/{name}", {"sender_name": "A"}) for name in ("master", "Master", "a%2Fb", "-y")]
    assert [answer.status_code for answer in answers] == [422, 422, 404, 422]
    assert ztrust_sandbox.smtp("master") == before


def test_braces_in_a_name_are_plain_text(service, ztrust_sandbox):
    assert service("/tenants/acme", {"sender_name": "{realm.slug} {x}"}).status_code == 200
    assert ztrust_sandbox.smtp("acme")["fromDisplayName"] == "{realm.slug} {x}"
