"""The UiPath gateway with documented and undocumented answers of the Identity Server."""

from __future__ import annotations

import json
from functools import partial
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from support import products
from support.published import UIPATH_KEYS, UNDOCUMENTED_ANSWERS

from ztrust_mail.core.errors import (
    NOT_THE_API,
    RealmError,
    RealmMissing,
    RealmUnreadable,
    ServerRefused,
    ServerUnreachable,
    UsageError,
)
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.products.uipath import UIPATH
from ztrust_mail.gateways import connect
from ztrust_mail.gateways.uipath import UiPathGateway
from ztrust_mail.settings import Server

PASSWORD = "canary-password"
URL = "https://orchestrator.example.com"
SETTING = f"{URL}/identity/api/Setting"
ORGANISATION = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
GOOGLE = {**products.GOOGLE, "Email.Smtp.Password": Secret(PASSWORD)}


def gateway(url: str = URL, token: str | None = "tok-en") -> UiPathGateway:
    opened = connect(Server(url, gateway="uipath", token=Secret(token) if token else None))
    assert isinstance(opened, UiPathGateway)
    return opened


def rows() -> list[dict]:
    shown = {key: "******" if isinstance(text, Secret) else text for key, text in GOOGLE.items()}
    return [{"key": key, "value": text, "partitionGlobalId": ORGANISATION} for key, text in shown.items()]


def refused(kind: type[Exception] = RealmError, doing: str = "read"):
    opened = gateway()
    act = partial(opened.read_one, ORGANISATION) if doing == "read" else partial(opened.write, ORGANISATION, GOOGLE)
    with pytest.raises(kind) as e:
        act()
    assert PASSWORD not in repr(vars(e.value))
    assert e.value.hint
    return e.value


def test_a_reading_asks_for_every_key_of_one_organisation_and_hides_the_password(answers):
    answers.get(SETTING, json=rows())
    live = gateway().read_one(ORGANISATION)
    assert live.attributes == {**GOOGLE, "Email.Smtp.Password": UIPATH.mask}
    (call,) = answers.calls
    query = parse_qsl(urlsplit(call.request.url).query)
    assert ("partitionGlobalId", ORGANISATION) in query
    assert sorted(value for name, value in query if name == "key") == sorted(UIPATH_KEYS)
    assert call.request.headers["Authorization"] == "Bearer tok-en"


def test_empty_values_other_types_and_users_own_rows_are_not_read(answers):
    own = {"key": "Email.Smtp.Host", "value": "mine.example", "userId": "7"}
    odd = [None, {"key": "Email.Smtp.Domain", "value": ""}, {"key": "Auth.X", "value": "x"}, {"value": "x"}]
    null = {"key": "Email.Smtp.ConnectionTimeout", "value": None}
    answers.get(SETTING, json=[*rows(), own, *odd, null])
    assert gateway().read_one(ORGANISATION).attributes["Email.Smtp.Host"] == "smtp.gmail.com"
    answers.get(SETTING, json=[own, *odd, null])
    assert gateway().read_one(ORGANISATION).attributes == {}


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (URL, SETTING),
        (f"{URL}/identity", SETTING),
        (f"{URL}/acme/identity_", f"{URL}/acme/identity_/api/Setting"),
    ],
)
def test_the_url_may_name_the_identity_server_itself(answers, url, address):
    answers.get(address, json=[])
    assert gateway(url).read_one(ORGANISATION).attributes == {}


def test_a_write_sets_every_key_and_empties_what_is_not_set(answers):
    answers.put(SETTING)
    gateway().write(ORGANISATION, GOOGLE)
    body = json.loads(answers.calls[0].request.body)
    assert body["partitionGlobalId"] == ORGANISATION
    assert {row["key"]: row["value"] for row in body["settings"]} == {
        **GOOGLE,
        "Email.Smtp.Password": PASSWORD,
        "Email.Smtp.Domain": "",
        "Email.Smtp.ConnectionTimeout": "",
    }


def test_a_mask_keeps_the_stored_password_by_leaving_its_key_out(answers):
    answers.put(SETTING)
    gateway().write(ORGANISATION, {**GOOGLE, "Email.Smtp.Password": Secret(UIPATH.mask)})
    sent = {row["key"] for row in json.loads(answers.calls[0].request.body)["settings"]}
    assert sent == set(UIPATH_KEYS) - {"Email.Smtp.Password"}


def test_a_refused_token_ends_everything(answers):
    answers.get(SETTING, status=401)
    answers.put(SETTING, status=401)
    assert refused(ServerRefused).rule == refused(ServerRefused, "write").rule == "token-refused"
    with pytest.raises(ServerRefused):
        gateway().read([ORGANISATION], everything=False)


def test_a_missing_scope_is_named(answers):
    answers.get(SETTING, status=403)
    answers.put(SETTING, status=403)
    assert "PM.Setting.Read" in refused(RealmUnreadable).hint
    e = refused(RealmError, "write")
    assert not isinstance(e, RealmUnreadable)
    assert "PM.Setting.Write" in e.hint


def test_an_organisation_that_is_not_there_is_missing(answers):
    answers.get(SETTING, status=404, json={"message": "no such organization"})
    reading = gateway().read([ORGANISATION], everything=True)
    assert isinstance(reading.realms[ORGANISATION], RealmMissing)
    assert not reading.complete
    assert "partitionGlobalId" in refused(RealmMissing).hint


def test_a_refused_value_is_reported_with_the_servers_message_without_the_password(answers):
    answers.put(SETTING, status=400, json={"message": f"port and {PASSWORD} are wrong"})
    e = refused(doing="write")
    assert (e.rule, "port and … are wrong" in e.message) == ("server-says", True)


NO_LIST = {
    "half-json": {"status": 200, "body": '[{"key": "Em', "content_type": "application/json"},
    "object": {"status": 200, "json": {"Email.Smtp.Host": "x"}},
}


@pytest.mark.parametrize("doing", ["read", "write"])
@pytest.mark.parametrize("answer", UNDOCUMENTED_ANSWERS.values(), ids=UNDOCUMENTED_ANSWERS)
def test_an_undocumented_answer_is_an_unknown_outcome_with_a_next_step(answers, answer, doing):
    answers.add("GET" if doing == "read" else "PUT", SETTING, **answer)
    e = refused(doing=doing)
    assert (e.rule, "UiPath Orchestrator does not document" in e.message) == (NOT_THE_API, True)


@pytest.mark.parametrize("answer", NO_LIST.values(), ids=NO_LIST)
def test_an_answer_that_is_not_a_list_is_refused_as_a_reading(answers, answer):
    answers.get(SETTING, **answer)
    assert refused().rule == NOT_THE_API


@pytest.mark.parametrize("failure", [requests.ReadTimeout(), requests.ConnectionError("x"), requests.ConnectTimeout()])
@pytest.mark.parametrize("doing", ["read", "write"])
def test_a_server_that_does_not_answer_is_reported_as_unreachable(answers, doing, failure):
    answers.add("GET" if doing == "read" else "PUT", SETTING, body=failure)
    assert refused(ServerUnreachable, doing).rule in ("slow", "reset", "unreachable")


def test_only_reading_and_writing_are_supported(answers):
    opened = gateway()
    opened.login()
    assert (opened.realms(), opened.version(), opened.may_write("x")) == ([], (), None)
    assert opened.account().name == "the owner of the given token"
    with pytest.raises(UsageError, match="has no documented test call"):
        opened.test("x", {})
    opened.allow_probe()
    opened.stop_waiting()
    opened.close()
    with pytest.raises(ServerRefused):
        gateway(token=None).login()
    assert len(answers.calls) == 0


def test_ctrl_c_does_not_wait_for_a_busy_server(answers, monkeypatch):
    opened = gateway()
    stopped: list[bool] = []
    monkeypatch.setattr(opened, "stop_waiting", lambda: stopped.append(True))

    def interrupted(realm: str):
        raise KeyboardInterrupt

    monkeypatch.setattr(opened, "read_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opened.read(["a", "b"], everything=False)
    assert stopped == [True]
    assert len(answers.calls) == 0
