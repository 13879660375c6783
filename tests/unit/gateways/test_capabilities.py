"""The supported operations of a product depend on its capabilities alone."""

from __future__ import annotations

import pytest
from support.connecting import FakeGateway

from ztrust_mail import api
from ztrust_mail.applying.options import Waves
from ztrust_mail.core.errors import UsageError
from ztrust_mail.gateways import connect
from ztrust_mail.gateways.capabilities import Operation, describe_operations, require
from ztrust_mail.gateways.gateway import Capabilities
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.settings import Server

ALL = Capabilities(read=True, write=True, test=True, test_unstored=True, set_up=True)
SILENT = Capabilities(
    read=False, write=True, test=False, list_realms=False, keep_secrets=False, clear=False, set_up=False
)


def gateway(can: Capabilities) -> FakeGateway:
    opened = FakeGateway({"acme": {}})
    opened.capabilities = can
    return opened


def connection(can: Capabilities) -> api.Session:
    return api.Session(Server("https://fake.example"), gateway(can), Reach(environ={}))


@pytest.mark.parametrize("product", ["keycloak", "ztrust"])
def test_keycloak_serves_everything_without_a_remark(product):
    opened = connect(Server("https://id.example.com", gateway=product))
    assert {(one.is_supported, one.remark) for one in describe_operations(opened.capabilities)} == {(True, "")}
    assert [one.operation for one in describe_operations(opened.capabilities)] == list(Operation)
    opened.close()


def test_realm_files_need_no_more_than_three_capabilities():
    can = Capabilities(read=True, write=True, test=False)
    assert {one.operation for one in describe_operations(can) if not one.is_supported} == {
        Operation.TEST,
        Operation.TEST_UNSTORED,
        Operation.CANARY,
        Operation.SET_UP,
    }


@pytest.mark.parametrize("can", [SILENT, Capabilities(read=False, write=False, test=True)], ids=["silent", "mute"])
def test_every_unsupported_operation_names_an_alternative(can):
    lacking = [one for one in describe_operations(can) if not one.is_supported]
    assert lacking
    assert all(one.remark for one in lacking)


def test_requiring_a_supported_operation_passes():
    for verb in Operation:
        require(gateway(ALL), verb)


@pytest.mark.parametrize("verb", [one.operation for one in describe_operations(SILENT) if not one.is_supported])
def test_requiring_an_unsupported_operation_fails_and_names_an_alternative(verb):
    with pytest.raises(UsageError, match="Keycloak does not support") as e:
        require(gateway(SILENT), verb)
    assert f"`{verb}`" in e.value.message
    assert e.value.hint.startswith("the nearest alternative: ")
    assert e.value.rule == "not-served"


def test_a_gateway_may_call_itself_by_another_name_than_its_dialects():
    class Files(FakeGateway):
        title = "a folder of realm files"

    opened = Files({})
    opened.capabilities = SILENT
    with pytest.raises(UsageError, match="a folder of realm files does not support `pull`"):
        require(opened, Operation.PULL)


def test_the_library_is_refused_as_the_command_line_is():
    spec = api.load_spec({"version": 1, "realms": {"acme": {"disabled": True}}})
    with connection(SILENT) as opened:
        plan = api.plan(spec, opened)
        for act in (
            lambda: api.pull(opened, ["acme"]),
            lambda: api.test(opened, ["acme"]),
            lambda: api.test(opened, ["acme"], spec=spec),
            lambda: api.plan(spec, opened, secrets=SecretMode.KEEP),
            lambda: api.apply(plan, opened, waves=Waves("1")),
        ):
            with pytest.raises(UsageError, match="does not support"):
                act()
    mute = connection(Capabilities(read=True, write=False, test=False))
    with mute, pytest.raises(UsageError, match="does not support `apply`") as e:
        api.apply(plan, mute)
    assert "by hand" in e.value.hint
    assert opened.opened.written == []


def test_a_missing_list_of_realms_is_reported_before_any_request():
    can = Capabilities(read=True, write=True, test=True, list_realms=False)
    for realms in ([], ["ac*"]):
        with connection(can) as opened:
            with pytest.raises(UsageError, match="no list of its realms"):
                api.pull(opened, realms)
            with pytest.raises(UsageError, match="no list of its realms"):
                api.test(opened, realms)
