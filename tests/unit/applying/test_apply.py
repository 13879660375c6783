"""Applying: what is written, what never is, and what is said of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count

import pytest
from hypothesis import given, settings
from support.connecting import FakeGateway, aged, carried_out, connected, make_plan, sent
from support.mail_settings import (
    BASIC,
    ENTRIES,
    ENVIRON,
    JUNK,
    NO_LOGIN,
    STORED,
    TOKEN,
    entry_of,
    field_maps,
    live,
    one_realm,
    realms,
    stored,
)
from support.results import messages, rules, statuses

from ztrust_mail import SecretMode, apply, explain, plan
from ztrust_mail.applying.options import Waves
from ztrust_mail.applying.outcome import Result
from ztrust_mail.core.errors import ExitStatus, ServerRefused, ServerUnreachable
from ztrust_mail.dialects.products.keycloak import MASK
from ztrust_mail.sandbox import Sandbox, SandboxOptions

VERSIONS = ("16.1.1", "18.0.2", "26.0.0", "26.2.0", "26.7.4", "26.8.0")


@pytest.fixture(scope="module")
def sandboxes() -> Iterator[Mapping[str, Sandbox]]:
    """A sandbox of each version; tests make realms of their own in them."""
    started = {version: Sandbox(SandboxOptions(version=version, realms=())) for version in VERSIONS}
    for sandbox in started.values():
        sandbox.start()
    yield started
    for sandbox in started.values():
        sandbox.stop()


_NUMBERS = count()


def fresh(sandbox: Sandbox, smtp: Mapping[str, str]) -> str:
    name = f"realm-{next(_NUMBERS)}"
    sandbox.create_realm(name, smtp)
    return name


def applied(
    sandbox: Sandbox,
    spec,
    *,
    environ=ENVIRON,
    secrets=SecretMode.AUTO,
    connections=8,
    allow=("all",),
    stale=False,
    **how,
) -> Result:
    with connected(sandbox, environ, connections=connections) as connection:
        made = plan(spec, connection, secrets=secrets)
        return apply(aged(made) if stale else made, connection, allow=allow, **how)


def held(entry) -> dict[str, str]:
    """Return what a server holds of an entry, the secrets included."""
    wanted = explain(one_realm(entry, "acme"), "acme")
    return stored(wanted.fields)


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("version", VERSIONS)
def test_applying_twice_writes_nothing_the_second_time(sandboxes, version, kind):
    sandbox = sandboxes[version]
    names = [fresh(sandbox, smtp) for smtp in JUNK.values()]
    spec = realms(dict.fromkeys(names, ENTRIES[kind]))
    first = applied(sandbox, spec)
    assert set(statuses(first).values()) <= {"applied", "in_sync"}
    assert first.exit_status is ExitStatus.OK
    before = len(sandbox.requests)
    second = applied(sandbox, spec)
    assert set(statuses(second).values()) == {"in_sync"}
    assert sent(sandbox, "PUT", before) == []


@pytest.mark.parametrize("version", ["16.1.1", "26.7.4"])
def test_any_settings_applied_over_any_others_converge_and_preserve_unmanaged_attributes(sandboxes, version):
    sandbox = sandboxes[version]
    name = fresh(sandbox, {})

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(fields=field_maps, there=live)
    def converges(fields, there):
        sandbox.edit_smtp(name, there)
        spec = one_realm(entry_of(fields), name)
        with connected(sandbox) as connection:
            first = plan(spec, connection)
            assert apply(first, connection, allow=["all"]).exit_status is ExitStatus.OK
            before = len(sandbox.requests)
            again = apply(plan(spec, connection), connection)
        assert statuses(again) == {name: "in_sync"}
        assert sent(sandbox, "PUT", before) == []
        now = sandbox.smtp(name)
        assert {n: now[n] for n in first.realms[0].difference.unmanaged} == {
            n: there[n] for n in first.realms[0].difference.unmanaged
        }
        if first.changed:
            assert now == stored(fields) | {n: there[n] for n in first.realms[0].difference.unmanaged}

    converges()


@pytest.mark.parametrize("name", JUNK)
def test_junk_is_repaired_to_exactly_what_the_spec_says(ztrust_sandbox, name):
    ztrust_sandbox.edit_smtp("acme", JUNK[name])
    result = applied(ztrust_sandbox, one_realm({**BASIC, "extra": {"x-hint": "bulk"}}))
    assert statuses(result) == {"acme": "applied"}
    unmanaged = {n: v for n, v in JUNK[name].items() if n in ("x-old", "sender.address", "", "x\tname")}
    assert ztrust_sandbox.smtp("acme") == {**STORED, "x-hint": "bulk", **unmanaged}


@pytest.mark.parametrize("kind", ENTRIES)
def test_a_write_holds_smtp_server_and_nothing_else(ztrust_sandbox, kind):
    ztrust_sandbox.edit_smtp("acme", {**JUNK["unknown keys"], "from": "old@acme.example"})
    before = ztrust_sandbox.realm_settings("acme")
    result = applied(ztrust_sandbox, one_realm(ENTRIES[kind]))
    assert statuses(result) == {"acme": "applied"}
    (put,) = sent(ztrust_sandbox, "PUT")
    assert (put.path, put.query, list(put.body)) == ("/admin/realms/acme", "", ["smtpServer"])
    assert all(isinstance(text, str) for text in put.body["smtpServer"].values())
    assert ztrust_sandbox.realm_settings("acme") == before
    assert {(r.method, r.path) for r in ztrust_sandbox.requests} <= {
        ("POST", "/realms/master/protocol/openid-connect/token"),
        ("GET", "/admin/realms/acme"),
        ("GET", "/admin/serverinfo"),
        ("PUT", "/admin/realms/acme"),
    }


def test_a_disabled_realm_is_written_as_an_empty_object(ztrust_sandbox):
    ztrust_sandbox.edit_smtp("acme", JUNK["unknown keys"] | {"envelopeFrom": ""})
    result = applied(ztrust_sandbox, one_realm({"disabled": True}))
    (put,) = sent(ztrust_sandbox, "PUT")
    assert put.body == {"smtpServer": {}}
    assert ztrust_sandbox.smtp("acme") == {}
    listed = {name for change in result.realms[0].changes for name in change.attributes}
    assert listed == {*JUNK["unknown keys"], "envelopeFrom"}


def test_false_removes_an_extra_attribute_and_no_other(ztrust_sandbox):
    ztrust_sandbox.edit_smtp("acme", {**STORED, "x-old": "1", "x-new": "2"})
    applied(ztrust_sandbox, one_realm({**BASIC, "extra": {"x-old": False}}))
    assert ztrust_sandbox.smtp("acme") == {**STORED, "x-new": "2"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("entry", "attribute", "secret"),
    [
        (BASIC, "password", ENVIRON["SMTP_PASSWORD"]),
        (ENTRIES["token"], "authTokenClientSecret", ENVIRON["SMTP_CLIENT_SECRET"]),
        (ENTRIES["vault"], "password", "${vault.smtp.key}"),
    ],
)
def test_every_write_to_a_realm_with_a_login_carries_the_secret(sandboxes, version, entry, attribute, secret):
    sandbox = sandboxes[version]
    name = fresh(sandbox, held(entry) | {attribute: "another", "fromDisplayName": "Old"})
    before = len(sandbox.requests)
    assert statuses(applied(sandbox, one_realm(entry, name))) == {name: "applied"}
    assert sandbox.smtp(name)[attribute] == secret
    (put,) = sent(sandbox, "PUT", before)
    assert MASK not in put.body["smtpServer"].values()


def test_an_unchanged_masked_secret_is_not_written_by_auto_and_written_by_write(ztrust_sandbox):
    ztrust_sandbox.edit_smtp("acme", {**STORED, "password": "another"})
    assert statuses(applied(ztrust_sandbox, one_realm(BASIC))) == {"acme": "in_sync"}
    assert ztrust_sandbox.smtp("acme")["password"] == "another"
    assert statuses(applied(ztrust_sandbox, one_realm(BASIC), secrets=SecretMode.WRITE)) == {"acme": "applied"}
    assert ztrust_sandbox.smtp("acme") == STORED


class Watched(dict[str, str]):
    """An environment that tells which variables were read, and what the sandbox had got by then."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(ENVIRON)
        self.sandbox = sandbox
        self.read: list[str] = []
        self.puts_before: list[int] = []

    def __getitem__(self, name: str) -> str:
        self.read.append(name)
        self.puts_before.append(len(sent(self.sandbox, "PUT")))
        return super().__getitem__(name)


def test_secrets_are_resolved_once_each_and_before_the_first_write(ztrust_sandbox):
    ztrust_sandbox.create_realm("third")
    spec = realms({"acme": BASIC, "globex": ENTRIES["token"], "third": BASIC})
    watched = Watched(ztrust_sandbox)
    result = applied(ztrust_sandbox, spec, environ=watched)
    assert set(statuses(result).values()) == {"applied"}
    assert sorted(watched.read) == sorted(ENVIRON)
    assert watched.puts_before == [0, 0]


def test_only_secrets_of_realms_to_be_written_are_resolved(ztrust_sandbox):
    ztrust_sandbox.edit_smtp("acme", STORED)
    watched = Watched(ztrust_sandbox)
    applied(ztrust_sandbox, realms({"acme": BASIC, "globex": ENTRIES["token"]}), environ=watched)
    assert watched.read == ["SMTP_CLIENT_SECRET"]


@pytest.mark.parametrize("value", [None, "", MASK, "two\nlines", "x" * 256])
def test_a_realm_whose_secret_cannot_be_resolved_fails_before_its_write_and_others_go_on(ztrust_sandbox, value):
    environ = {} if value is None else {"SMTP_PASSWORD": value}
    spec = realms({"acme": BASIC, "globex": NO_LOGIN})
    result = applied(ztrust_sandbox, spec, environ=environ)
    assert statuses(result) == {"acme": "failed", "globex": "applied"}
    assert [put.path for put in sent(ztrust_sandbox, "PUT")] == ["/admin/realms/globex"]
    assert "`relay.auth.password`" in messages(result)
    assert "SMTP_PASSWORD" in messages(result)
    assert result.exit_status is ExitStatus.PARTIAL


@pytest.mark.parametrize("version", VERSIONS)
def test_keep_sends_the_mask_and_the_stored_secret_stays(sandboxes, version):
    sandbox = sandboxes[version]
    name = fresh(sandbox, {**STORED, "password": "another", "fromDisplayName": "Old", "x": "1"})
    before = len(sandbox.requests)
    result = applied(sandbox, one_realm(BASIC, name), secrets=SecretMode.KEEP, environ={})
    assert statuses(result) == {name: "applied"}
    assert sandbox.smtp(name) == {**STORED, "password": "another", "x": "1"}
    (put,) = sent(sandbox, "PUT", before)
    assert put.body["smtpServer"]["password"] == MASK
    assert put.body["smtpServer"]["authType"] == "basic"


@pytest.mark.parametrize("version", VERSIONS)
def test_keep_works_if_port_and_security_are_written_differently_but_mean_the_same(sandboxes, version):
    sandbox = sandboxes[version]
    entry = {**BASIC, "relay": {**BASIC["relay"], "security": "none"}}
    there = {n: v for n, v in STORED.items() if n not in ("port", "starttls", "authType")}
    name = fresh(sandbox, {**there, "ssl": "", "password": "another", "fromDisplayName": "Old"})
    result = applied(sandbox, one_realm(entry, name), secrets=SecretMode.KEEP, environ={})
    assert statuses(result) == {name: "applied"}
    assert "normalised" not in rules(result)
    now = sandbox.smtp(name)
    assert (now["password"], now["fromDisplayName"], now["ssl"], "port" in now) == ("another", "Acme", "", False)


RELAY = {"host": "smtp.example.com", "auth": {"username": "apikey", "password": {"env": "SMTP_PASSWORD"}}}


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({**BASIC, "relay": {**RELAY, "host": "other.example.com"}}, "`relay.host`"),
        ({**BASIC, "relay": {**RELAY, "port": 2525}}, "`relay.port`"),
        ({**BASIC, "relay": {**RELAY, "security": "tls", "port": 587}}, "`relay.security`"),
        ({**BASIC, "relay": {**RELAY, "security": "none", "port": 587}}, "`relay.security`"),
        ({**BASIC, "sender": {"address": "other@acme.example", "name": "Acme"}}, "`sender.address`"),
        ({**BASIC, "relay": {**RELAY, "auth": {**RELAY["auth"], "username": "other"}}}, "`relay.auth.username`"),
        ({**BASIC, "relay": {**RELAY, "auth": {"username": "apikey", "token": TOKEN}}}, "`relay.auth`"),
    ],
)
def test_keep_is_refused_if_the_server_might_drop_the_secret(ztrust_sandbox, entry, why):
    ztrust_sandbox.edit_smtp("acme", STORED)
    spec = realms({"acme": entry, "globex": NO_LOGIN})
    result = applied(ztrust_sandbox, spec, secrets=SecretMode.KEEP)
    assert statuses(result) == {"acme": "failed", "globex": "applied"}
    assert rules(result)[-1] == "cannot-keep"
    assert why in messages(result)
    assert ztrust_sandbox.smtp("acme") == STORED
    assert [put.path for put in sent(ztrust_sandbox, "PUT")] == ["/admin/realms/globex"]


@pytest.mark.parametrize("name", ["url", "client_id", "scope"])
def test_keep_is_refused_if_the_token_login_changes(ztrust_sandbox, name):
    there = held(ENTRIES["token"])
    ztrust_sandbox.edit_smtp("acme", there)
    auth = {"username": "u", "token": TOKEN | {name: f"https://other.example.com/{name}"}}
    spec = one_realm({"sender": NO_LOGIN["sender"], "relay": {"host": "smtp.example.com", "auth": auth}})
    result = applied(ztrust_sandbox, spec, secrets=SecretMode.KEEP)
    assert rules(result) == ["cannot-keep"]
    assert ztrust_sandbox.smtp("acme") == there


@pytest.mark.parametrize(
    ("name", "why"),
    [("password", "none is stored"), ("auth", "`relay.auth`"), ("user", "`relay.auth.username`")],
)
def test_keep_is_refused_if_no_secret_is_stored(ztrust_sandbox, name, why):
    ztrust_sandbox.edit_smtp("acme", {n: v for n, v in STORED.items() if n != name})
    result = applied(ztrust_sandbox, one_realm(BASIC), secrets=SecretMode.KEEP)
    assert rules(result) == ["cannot-keep"]
    assert why in messages(result)
    assert sent(ztrust_sandbox, "PUT") == []


@pytest.mark.parametrize("version", ["16.1.1", "26.0.0"])
def test_keep_never_sends_a_mask_to_a_server_that_does_not_mask(sandboxes, version):
    there = held(ENTRIES["token"]) | {"fromDisplayName": "Old"}
    name = fresh(sandboxes[version], there)
    result = applied(sandboxes[version], one_realm(ENTRIES["token"], name), secrets=SecretMode.KEEP)
    assert "the server does not hide it" in messages(result)
    assert sandboxes[version].smtp(name) == there
    assert ENVIRON["SMTP_CLIENT_SECRET"] not in messages(result) + repr(result.realms[0].changes)


def test_keep_writes_realms_without_a_login_as_usual(ztrust_sandbox):
    ztrust_sandbox.edit_smtp("acme", STORED)
    result = applied(ztrust_sandbox, realms({"acme": NO_LOGIN, "globex": ENTRIES["vault"]}), secrets=SecretMode.KEEP)
    assert statuses(result) == {"acme": "applied", "globex": "applied"}
    assert ztrust_sandbox.smtp("acme") == held(NO_LOGIN)


def test_a_fresh_reading_is_not_repeated(ztrust_sandbox):
    applied(ztrust_sandbox, one_realm(NO_LOGIN))
    assert [r.method for r in ztrust_sandbox.requests if not r.path.endswith("token")] == ["GET", "PUT", "GET"]


def test_a_stale_reading_is_repeated_before_the_write(ztrust_sandbox):
    ztrust_sandbox.edit_smtp("acme", {"x-kept": "1"})
    assert statuses(applied(ztrust_sandbox, one_realm(NO_LOGIN), stale=True)) == {"acme": "applied"}
    assert [r.method for r in ztrust_sandbox.requests if not r.path.endswith("token")] == ["GET", "GET", "PUT", "GET"]
    assert ztrust_sandbox.smtp("acme")["x-kept"] == "1"


MANY = tuple(f"r{n:03}" for n in range(120))


def admin_requests(sandbox: Sandbox) -> list[tuple[str, str]]:
    return [(r.method, r.path) for r in sandbox.requests if r.path.startswith("/admin/")]


def test_an_apply_to_50_named_realms_reads_no_other_realm_of_the_server():
    names = MANY[:50]
    with Sandbox(SandboxOptions(realms=MANY)) as sandbox:
        assert set(statuses(applied(sandbox, realms(dict.fromkeys(names, NO_LOGIN)), stale=True)).values()) == {
            "applied"
        }
        asked = admin_requests(sandbox)
    paths = [f"/admin/realms/{name}" for name in names]
    assert sorted(asked) == sorted([("GET", path) for path in paths] * 3 + [("PUT", path) for path in paths])


def test_an_apply_to_a_few_realms_that_globs_match_lists_all_realms_once():
    with Sandbox(SandboxOptions(realms=MANY)) as sandbox:
        assert set(statuses(applied(sandbox, realms({"r00*": NO_LOGIN}))).values()) == {"applied"}
        asked = admin_requests(sandbox)
    paths = [f"/admin/realms/{name}" for name in MANY[:10]]
    each = [(method, path) for method in ("GET", "PUT") for path in paths]
    assert sorted(asked) == sorted([("GET", "/admin/realms"), *each])


def test_a_stale_canary_is_read_again_without_the_realms_of_later_waves():
    with Sandbox(SandboxOptions(realms=MANY)) as sandbox:
        applied(sandbox, realms({"r*": NO_LOGIN}), waves=Waves(canary="1"), stale=True)
        asked = admin_requests(sandbox)
    path = f"/admin/realms/{MANY[0]}"
    assert asked[:3] == [("GET", "/admin/realms"), ("GET", path), ("PUT", path)]


@pytest.mark.parametrize("entry", [BASIC, {"disabled": True}])
@pytest.mark.parametrize("change", [{"x-kept": "2"}, {"port": "26"}, {"new": ""}])
def test_a_realm_changed_since_the_plan_fails_and_is_not_written(ztrust_sandbox, entry, change):
    ztrust_sandbox.edit_smtp("acme", {"x-kept": "1"})
    with connected(ztrust_sandbox) as connection:
        made = plan(realms({"acme": entry, "globex": NO_LOGIN}), connection)
        ztrust_sandbox.edit_smtp("acme", {"x-kept": "1"} | change)
        result = apply(aged(made), connection)
    assert statuses(result) == {"acme": "failed", "globex": "applied"}
    assert rules(result) == ["changed-meanwhile"]
    assert ztrust_sandbox.smtp("acme") == {"x-kept": "1"} | change


@pytest.mark.parametrize("entry", [BASIC, {"disabled": True}])
def test_a_realm_removed_since_the_plan_fails(ztrust_sandbox, entry):
    ztrust_sandbox.edit_smtp("acme", {"x": "1"})
    with connected(ztrust_sandbox) as connection:
        made = plan(one_realm(entry), connection)
        ztrust_sandbox.remove_realm("acme")
        result = apply(aged(made), connection)
    assert rules(result) == ["no-realm"]
    assert sent(ztrust_sandbox, "PUT") == []


def test_one_realm_that_fails_stops_no_other_and_results_keep_the_specs_order():
    names = [f"r{n:02}" for n in reversed(range(20))]
    with Sandbox(SandboxOptions(realms=tuple(names))) as sandbox, connected(sandbox) as connection:
        made = plan(realms(dict.fromkeys(names, NO_LOGIN)), connection)
        sandbox.faults.failing_realms |= {"r07", "r13"}
        told: list[str] = []
        result = apply(made, connection, allow=["mass-change"], progress=lambda realm: told.append(realm.realm))
        assert [realm.realm for realm in result.realms] == names
        failed = [name for name, status in statuses(result).items() if status == "failed"]
        assert failed == ["r13", "r07"]
        assert sorted(told) == sorted(names)
        assert all(sandbox.smtp(name) == ({} if name in failed else held(NO_LOGIN)) for name in names)
        assert result.exit_status is ExitStatus.PARTIAL


def test_realms_that_were_not_planned_stay_as_they_were(ztrust_sandbox):
    spec = realms({"nosuch": NO_LOGIN, "acme": NO_LOGIN, "glob*": {**NO_LOGIN, "expect": {"min": 2}}})
    result = applied(ztrust_sandbox, spec)
    assert statuses(result) == {"nosuch": "missing", "acme": "applied", "globex": "skipped"}
    assert ztrust_sandbox.smtp("globex") == {}
    assert result.exit_status is ExitStatus.PARTIAL


@pytest.mark.parametrize("error", [ServerRefused("the token is refused"), ServerUnreachable("gone")])
def test_a_server_lost_during_a_run_hides_no_write(error):
    gateway = FakeGateway({"a": {}, "b": {}, "c": {}}, connections=1)

    def lose(realm: str) -> None:
        if realm == "b":
            raise error

    gateway.before_write = lose
    made = make_plan(realms(dict.fromkeys("abc", NO_LOGIN)), gateway)
    result = carried_out(made, gateway)
    assert statuses(result) == {"a": "applied", "b": "failed", "c": "applied"}
    assert result.exit_status is ExitStatus.PARTIAL


@contextmanager
def no_interrupt_passed_on() -> Iterator[None]:
    """Fail where KeyboardInterrupt comes through: it would end the whole test run."""
    try:
        yield
    except KeyboardInterrupt:
        pytest.fail("the interrupt was passed on, and the result is lost")


@pytest.mark.parametrize(
    ("lose", "why"),
    [(ServerUnreachable("the server is gone"), "the server is gone"), (KeyboardInterrupt(), "interrupted")],
)
def test_a_realm_that_cannot_be_read_back_is_reported_as_written(lose, why):
    gateway = FakeGateway({"a": {}, "b": {}, "c": held(NO_LOGIN)})
    made = make_plan(realms(dict.fromkeys("abc", NO_LOGIN)), gateway)

    def raise_it() -> None:
        raise lose

    gateway.before_read = raise_it
    with no_interrupt_passed_on():
        result = carried_out(made, gateway)
    assert statuses(result) == {"a": "failed", "b": "failed", "c": "in_sync"}
    assert messages(result).count(f"2 realms written, not read back: {why}") == 2
    interrupted = isinstance(lose, KeyboardInterrupt)
    assert result.exit_status is (ExitStatus.INTERRUPTED if interrupted else ExitStatus.PARTIAL)


@pytest.mark.parametrize(
    ("store", "lost"),
    [
        (lambda a: {n: v for n, v in a.items() if n != "port"}, ["`relay.port`"]),
        (lambda a: a | {"host": "other"}, ["`relay.host`"]),
        (lambda a: a | {"ssl": "true", "debug": "1"}, ["`relay.security`", "`relay.debug`"]),
        (lambda a: {n: v for n, v in a.items() if n != "password"}, ["`relay.auth.password`"]),
        (lambda a: {n: v for n, v in a.items() if n != "x-kept"}, ["`x-kept`"]),
        (lambda a: a | {"x-kept": "2"}, ["`x-kept`"]),
        (lambda a: {}, ["`sender.address`", "`relay.host`", "`x-kept`"]),
    ],
)
def test_a_server_that_stores_other_values_is_reported(store, lost):
    gateway = FakeGateway({"acme": {"x-kept": "1"}, "fine": {}})
    made = make_plan(realms({"acme": BASIC, "fine": NO_LOGIN}), gateway)
    gateway.on_store = lambda attributes: store(attributes) if "x-kept" in attributes else attributes
    result = carried_out(made, gateway)
    assert statuses(result) == {"acme": "failed", "fine": "applied"}
    assert rules(result) == ["not-kept"]
    assert all(name in messages(result) for name in lost)


def test_a_server_that_keeps_attributes_of_a_disabled_realm_is_reported():
    gateway = FakeGateway({"acme": STORED})
    made = make_plan(one_realm({"disabled": True}), gateway)
    gateway.on_store = lambda attributes: {"auth": "false"}
    result = carried_out(made, gateway)
    assert (statuses(result), rules(result)) == ({"acme": "failed"}, ["not-kept"])


def test_a_server_that_drops_default_values_causes_only_a_note():
    gateway = FakeGateway({"acme": {}})
    gateway.on_store = lambda attributes: {n: v for n, v in attributes.items() if v != "false"}
    result = carried_out(make_plan(one_realm(NO_LOGIN), gateway), gateway)
    assert (statuses(result), rules(result)) == ({"acme": "applied"}, ["normalised"])
    assert "`auth`, `ssl`" in messages(result)
    assert result.exit_status is ExitStatus.OK


def test_a_realm_removed_before_it_is_read_back_fails():
    gateway = FakeGateway({"acme": {}})
    made = make_plan(one_realm(NO_LOGIN), gateway)
    gateway.before_read = lambda: gateway.stored.clear()
    result = carried_out(made, gateway)
    assert (statuses(result), rules(result)) == ({"acme": "failed"}, ["no-realm"])


def test_a_concurrent_write_is_found_by_reading_back(ztrust_sandbox):
    def overwrite(realm: str) -> None:
        ztrust_sandbox.edit_smtp(realm, {"x": "1"})

    with connected(ztrust_sandbox) as connection:
        made = plan(one_realm(NO_LOGIN), connection)
        ztrust_sandbox.faults.before_write = overwrite
        result = apply(made, connection)
    assert statuses(result) == {"acme": "applied"}
    assert ztrust_sandbox.smtp("acme") == held(NO_LOGIN)


@pytest.mark.parametrize("connections", [1, 3])
def test_cancelling_finishes_the_writes_under_way_and_skips_the_rest(connections):
    names = [f"r{n}" for n in range(10)]
    cancel = threading.Event()
    with Sandbox(SandboxOptions(realms=tuple(names))) as sandbox:
        sandbox.faults.before_write = lambda realm: cancel.set()
        spec = realms(dict.fromkeys(names, NO_LOGIN))
        result = applied(sandbox, spec, cancel=cancel, connections=connections)
        done = [name for name, status in statuses(result).items() if status == "applied"]
        assert 1 <= len(done) <= connections
        assert statuses(result) == {name: "applied" if name in done else "skipped" for name in names}
        assert all((sandbox.smtp(name) != {}) is (name in done) for name in names)
        assert result.interrupted
        assert result.exit_status is ExitStatus.INTERRUPTED


def test_a_run_cancelled_before_it_began_writes_nothing():
    gateway = FakeGateway({"a": {}, "b": held(NO_LOGIN)})
    cancel = threading.Event()
    cancel.set()
    made = make_plan(realms(dict.fromkeys("ab", NO_LOGIN)), gateway)
    result = carried_out(made, gateway, cancel=cancel)
    assert statuses(result) == {"a": "skipped", "b": "in_sync"}
    assert gateway.written == []


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupt_during_a_run_loses_no_result():
    names = [f"r{n}" for n in range(6)]
    gateway = FakeGateway({name: {} for name in names}, connections=2)
    stop = threading.Event()
    both_under_way = threading.Barrier(2, timeout=10)

    def interrupt(realm: str) -> None:
        if both_under_way.wait() == 0:
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGINT)
        assert stop.wait(10)

    gateway.before_write = interrupt
    made = make_plan(realms(dict.fromkeys(names, NO_LOGIN)), gateway)
    with no_interrupt_passed_on():
        result = carried_out(made, gateway, cancel=stop)
    assert statuses(result) == {n: "applied" if n in ("r0", "r1") else "skipped" for n in names}
    assert sorted(gateway.written) == ["r0", "r1"]
    assert result.interrupted
    assert result.exit_status is ExitStatus.INTERRUPTED


def test_a_bug_in_one_realm_is_raised_and_not_hidden():
    gateway = FakeGateway({"a": {}})

    def break_down(realm: str) -> None:
        raise ZeroDivisionError

    gateway.before_write = break_down
    with pytest.raises(ZeroDivisionError):
        carried_out(make_plan(one_realm(NO_LOGIN, "a"), gateway), gateway)


@pytest.mark.parametrize(
    ("kind", "version", "too_new"),
    [
        ("utf8", "26.2.7", {"relay.utf8"}),
        ("utf8", "26.2.8", set()),
        ("utf8", "26.3.2", {"relay.utf8"}),
        ("utf8", "26.3.3", set()),
        ("utf8", "26.4.0", set()),
        ("timeouts", "26.4.9", {"relay.timeouts.connect", "relay.timeouts.read", "relay.timeouts.write"}),
        ("timeouts", "26.5.0", set()),
        ("token", "26.1.0", {f"relay.auth.token.{name}" for name in TOKEN}),
        ("token", "26.2.0", set()),
        ("basic", "16.1.1", set()),
        ("disabled", "16.1.1", set()),
    ],
)
def test_a_field_that_the_server_is_too_old_for_is_written_with_a_warning(kind, version, too_new):
    with Sandbox(SandboxOptions(version=version)) as sandbox:
        sandbox.edit_smtp("acme", {"x": "1"})
        result = applied(sandbox, one_realm(ENTRIES[kind]))
        assert statuses(result) == {"acme": "applied"}
        found = [f for f in result.realms[0].findings if f.rule == "too-new"]
        assert {f.field for f in found} == too_new
        assert all(f"this server is {version}" in f.message for f in found)
        expected = {"x": "1", **held(ENTRIES[kind])} if kind != "disabled" else {}
        assert sandbox.smtp("acme") == expected
        assert result.exit_status is ExitStatus.OK
        asked = [r for r in sandbox.requests if r.path == "/admin/serverinfo"]
        assert len(asked) == (kind not in ("basic", "disabled"))


def test_backports_are_named_in_the_warning():
    gateway = FakeGateway({"acme": {}})
    gateway.running = (26, 3, 2)
    result = carried_out(make_plan(one_realm(ENTRIES["utf8"]), gateway), gateway)
    assert "it needs 26.2.8 or 26.3.3 or 26.4.0" in messages(result)


def test_removing_a_field_that_the_server_is_too_old_for_gives_no_warning():
    gateway = FakeGateway({"acme": {**held(NO_LOGIN), "allowutf8": "true", "timeout": "5"}})
    gateway.running = (18, 0, 2)
    result = carried_out(make_plan(one_realm(NO_LOGIN), gateway), gateway)
    assert (statuses(result), rules(result)) == ({"acme": "applied"}, [])
    assert gateway.stored["acme"] == held(NO_LOGIN)


def test_a_server_of_unknown_version_gets_no_warning(ztrust_sandbox):
    ztrust_sandbox.create_user("master", "clerk", "pw", roles=("acme-realm:manage-realm",))
    with connected(ztrust_sandbox, username="clerk", password="pw") as connection:
        result = apply(plan(one_realm(ENTRIES["utf8"]), connection), connection)
    assert (statuses(result), rules(result)) == ({"acme": "applied"}, [])


def test_a_failed_realm_gets_the_warning_about_too_new_fields_as_well():
    gateway = FakeGateway({"acme": {}})
    gateway.running = (18, 0, 2)
    made = make_plan(one_realm(ENTRIES["token"]), gateway)
    result = carried_out(made, gateway, environ={})
    assert rules(result) == ["secret-missing", *["too-new"] * 4]


def test_no_text_of_a_result_holds_a_secret(ztrust_sandbox):
    spec = realms({"acme": BASIC, "globex": ENTRIES["token"]})
    result = applied(ztrust_sandbox, spec)
    assert ztrust_sandbox.smtp("acme")["password"] == ENVIRON["SMTP_PASSWORD"]
    assert all(secret not in repr(result) for secret in ENVIRON.values())
