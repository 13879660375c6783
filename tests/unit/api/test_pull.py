"""From live settings to a spec that says the same, or to a word about what it cannot say."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.connecting import Unreadable, connected, sent
from support.mail_settings import BASIC, ENTRIES, STORED, field_maps, live, one_realm, stored, texts

from ztrust_mail import explain, load_spec, plan, pull
from ztrust_mail.api.pull_spec import Pulled
from ztrust_mail.api.pull_spec import pull as pull_entries
from ztrust_mail.core.errors import ExitStatus, RealmUnreadable, UsageError
from ztrust_mail.core.findings import Severity
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.dialects.products.keycloak import KEYCLOAK, MASK
from ztrust_mail.gateways.gateway import LiveRealm
from ztrust_mail.planning.compare import compare
from ztrust_mail.sandbox import Sandbox, SandboxOptions
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.export import to_yaml
from ztrust_mail.specfile.resolve import resolve_entry

RANDOM = settings(max_examples=60, deadline=None, derandomize=True)
SHOWN = {**STORED, "password": MASK}
TOKEN = {
    **SHOWN, "authType": "token", "authTokenUrl": "https://x.example/t", "authTokenClientId": "c",
    "authTokenClientSecret": MASK, "password": "",
}  # fmt: skip


def of(states, *, factor=False) -> Pulled:
    reading = {name: LiveRealm(name, smtp, 0.0) for name, smtp in states.items()}
    return pull_entries(KEYCLOAK, reading, factor=factor)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Write pulled entries as a file and read that as a spec."""
    path = tmp_path_factory.mktemp("pulled") / "mail.yaml"

    def through_a_file(pulled: Pulled) -> Spec:
        path.write_text(to_yaml(pulled.realms, pulled.defaults), encoding="utf-8")
        return load_spec(str(path))

    return through_a_file


def differing(spec: Spec, states) -> dict[str, list[str]]:
    """Return per entry the fields that a plan would change."""
    found = {}
    for entry in spec.entries:
        wanted = resolve_entry(spec, entry, entry.name)
        assert wanted.findings == ()
        changes = compare(KEYCLOAK, wanted, states[entry.name]).changes
        found[entry.name] = [change.field for change in changes]
    return found


def messages(pulled: Pulled) -> str:
    return "\n".join(f"{f.severity.value}: {f.message}; {f.hint}" for f in pulled.findings)


@pytest.mark.parametrize("version", ["16.1.1", "26.7.4"])
def test_any_settings_are_pulled_as_a_spec_that_is_in_sync_or_reported(version, written):
    with Sandbox(SandboxOptions(version=version)) as sandbox, connected(sandbox, Unreadable()) as connection:

        @RANDOM
        @given(one=live, other=live, factor=st.booleans())
        def pulls(one, other, factor):
            sandbox.edit_smtp("acme", one)
            sandbox.edit_smtp("globex", other)
            pulled = pull(connection, ["acme", "globex"], factor=factor)
            spec = written(pulled)
            told = {finding.realm for finding in pulled.findings}
            left_out = {f.realm for f in pulled.findings if f.severity is Severity.ERROR}
            assert set(pulled.realms) == {"acme", "globex"} - left_out
            for realm in plan(spec, connection, resolve=False).realms:
                assert realm.status in ("in_sync", "changed")
                fields = {f.field for f in pulled.findings if f.realm == realm.realm}
                assert {change.field for change in realm.changes} <= fields
                assert realm.realm in told or realm.status == "in_sync"

        pulls()


@RANDOM
@given(fields=st.lists(field_maps, min_size=1, max_size=3))
def test_valid_settings_are_pulled_without_a_finding(fields):
    states = {f"r{n}": stored(one) for n, one in enumerate(fields)}
    spoken = [f for f in of(states).findings if not f.field or not f.field.startswith("extra.")]
    assert spoken == []


@st.composite
def fleets(draw):
    """Return several realms' settings that have much in common."""
    base = stored(draw(field_maps))
    states = {}
    for n in range(draw(st.integers(2, 4))):
        smtp = stored(draw(field_maps)) if draw(st.integers(0, 3)) == 0 else dict(base)
        for name in draw(st.lists(st.sampled_from(sorted(smtp)), max_size=2, unique=True)):
            del smtp[name]
        if draw(st.booleans()):
            smtp["port"] = draw(st.sampled_from(["25", "587"]))
        states[f"realm {n}"] = draw(st.sampled_from([smtp, smtp, smtp, {}]))
    return states


@RANDOM
@given(states=fleets())
def test_factored_entries_resolve_to_the_same_settings(states, written):
    plainly, factored = of(states), of(states, factor=True)
    assert factored.findings == plainly.findings
    one, other = written(plainly), written(factored)
    assert [e.name for e in one.entries] == [e.name for e in other.entries]
    for first, second in zip(one.entries, other.entries, strict=True):
        a, b = (resolve_entry(spec, entry, entry.name) for spec, entry in ((one, first), (other, second)))
        assert (a.findings, a.disabled, a.fields) == (b.findings, b.disabled, b.fields)


def test_shared_settings_become_defaults_and_passwords_are_named_after_their_realm():
    pulled = of({"a": SHOWN, "b-1": SHOWN | {"fromDisplayName": "B"}, "off": {}}, factor=True)
    assert pulled.realms == {"a": {"sender.name": "Acme"}, "b-1": {"sender.name": "B"}, "off": None}
    assert pulled.defaults["relay.auth.password"] == SecretRef(SecretKind.ENV, ("SMTP_PASSWORD_{realm}",))
    assert pulled.defaults["relay.port"] == 587


def test_login_port_and_security_become_defaults_only_together_with_the_host():
    pulled = of({"a": SHOWN, "b": SHOWN | {"host": "other.example.com"}}, factor=True)
    assert set(pulled.defaults) == {"sender.address", "sender.name", "reply_to.address", "reply_to.name"}
    assert pulled.realms["b"]["relay.auth.username"] == "apikey"


def test_a_port_becomes_a_default_only_together_with_the_security():
    pulled = of({"a": SHOWN, "b": SHOWN | {"starttls": "false", "ssl": "true"}}, factor=True)
    assert "relay.port" not in pulled.defaults
    assert pulled.realms["a"] == {"relay.port": 587, "relay.security": "starttls"}


def test_a_token_becomes_a_default_as_a_whole_or_not_at_all(written):
    states = {"a": TOKEN, "b": TOKEN | {"authTokenScope": "mail"}}
    pulled = of(states, factor=True)
    assert [name for name in pulled.defaults if ".token." in name] == []
    assert differing(written(pulled), states) == {"a": [], "b": []}
    same = of({"a": TOKEN, "b": TOKEN}, factor=True)
    assert "relay.auth.token.url" in same.defaults
    assert differing(written(same), {"a": TOKEN, "b": TOKEN}) == {"a": [], "b": []}


@pytest.mark.parametrize("states", [{"a": SHOWN}, {"a": SHOWN, "off": {}}, {"off": {}, "gone": {}}])
def test_one_realm_alone_has_nothing_to_share(states):
    assert of(states, factor=True).defaults == {}
    assert of(states, factor=True).realms == of(states).realms


def variables(pulled: Pulled) -> dict[str, str]:
    return {
        realm: value.argument[0]
        for realm, leaves in pulled.realms.items()
        for value in (leaves or {}).values()
        if isinstance(value, SecretRef)
    }


def test_masked_secrets_become_one_variable_each(written):
    states = {"a-b": SHOWN, "a.b": SHOWN, "A_B": SHOWN, "ü": SHOWN, "t": TOKEN}
    pulled = of(states)
    assert variables(pulled) == {
        "a-b": "SMTP_PASSWORD_A_B",
        "a.b": "SMTP_PASSWORD_A_B_2",
        "A_B": "SMTP_PASSWORD_A_B_3",
        "ü": "SMTP_PASSWORD__",
        "t": "SMTP_CLIENT_SECRET_T",
    }
    assert set(map(tuple, differing(written(pulled), states).values())) == {()}
    assert differing(written(of(states, factor=True)), states) == differing(written(pulled), states)


def test_a_masked_secret_gets_a_comment_and_its_mask_is_not_written():
    text = to_yaml(of({"acme": SHOWN}).realms, {})
    assert "{env: SMTP_PASSWORD_ACME}  # the server hides the value: put it into this variable" in text
    assert "*" not in text


def test_a_long_realm_name_still_makes_a_variable(written):
    states = {"x" * 255: SHOWN, "x" * 254 + "y": SHOWN}
    pulled = of(states)
    names = variables(pulled).values()
    assert len(set(names)) == 2
    assert max(map(len, names)) <= 255
    assert set(map(tuple, differing(written(pulled), states).values())) == {()}


def test_a_vault_reference_is_pulled_as_a_vault_reference(written):
    states = {"acme": SHOWN | {"password": "${vault.smtp.key}"}}
    spec = written(of(states))
    wanted = explain(spec, "acme").fields["relay.auth.password"]
    assert wanted == SecretRef(SecretKind.KEYCLOAK_VAULT, ("smtp.key",))
    assert differing(spec, states) == {"acme": []}


@pytest.mark.parametrize("text", ["{", "}}", "{realm}", "{{x}}", "no", "1e3", "null", "~", "2024-01-01", "a: b", "# c"])
@pytest.mark.parametrize("name", ["fromDisplayName", "user", "x-extra"])
def test_unusual_text_is_pulled_exactly(written, text, name):
    states = {"acme": SHOWN | {name: text}}
    pulled = of(states)
    assert pulled.findings == ()
    assert differing(written(pulled), states) == {"acme": []}
    assert compare(KEYCLOAK, explain(written(pulled), "acme"), states["acme"]).unmanaged == ()


@RANDOM
@given(name=texts, attribute=texts, value=st.text(max_size=20))
def test_any_realm_name_and_extra_attribute_is_pulled_or_reported(written, name, attribute, value):
    states = {name: SHOWN | {f"x-{attribute}": value}}
    pulled = of(states)
    spec = written(pulled)
    if not pulled.findings:
        assert differing(spec, states) == {name: []}
        assert compare(KEYCLOAK, explain(spec, name), states[name]).unmanaged == (() if value else (f"x-{attribute}",))


@pytest.mark.parametrize("realm", ["true", "null", "123", "0x1F", "1e3", "<<", "=", "- a", "'", "a b", " a ", "master"])
def test_realm_names_that_look_like_numbers_or_booleans_are_pulled_as_names(written, realm):
    states = {realm: SHOWN}
    assert differing(written(of(states)), states) == {realm: []}


@pytest.mark.parametrize("realm", ["tenant-*", "who?", ".", "..", "a/b", "a\nb", "\u202e", " ", "\ud800"])
def test_a_realm_whose_name_no_spec_can_hold_is_left_out_with_an_error(written, realm):
    pulled = of({realm: SHOWN, "acme": SHOWN})
    assert [*pulled.realms] == ["acme"]
    assert [f.realm for f in pulled.findings] == [realm]
    assert "the name of the realm is not valid in a spec" in messages(pulled)
    assert pulled.exit_status is ExitStatus.PARTIAL
    assert differing(written(pulled), {"acme": SHOWN}) == {"acme": []}


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"port": "abc"}, ["relay.port"]),
        ({"ssl": "true"}, ["relay.security"]),
        ({"starttls": "TRUE"}, ["relay.security"]),
        ({"debug": "yes"}, ["relay.debug"]),
        ({"timeout": "3600001"}, ["relay.timeouts.read"]),
        ({"timeout": "soon"}, ["relay.timeouts.read"]),
        ({"fromDisplayName": "a\r\nBcc: x"}, ["sender.name"]),
        ({"fromDisplayName": " "}, ["sender.name"]),
        ({"fromDisplayName": "{" * 200}, ["sender.name"]),
        ({"envelopeFrom": "no address"}, ["envelope_from"]),
        ({"replyTo": "no address"}, ["reply_to.address", "reply_to.name"]),
        ({"replyTo": ""}, ["reply_to.name"]),
        ({"authTokenUrl": "https://x.example"}, ["relay.auth.token.url"]),
        ({"auth": "TRUE"}, ["relay.auth", "relay.auth.username", "relay.auth.password"]),
        ({"auth": "false"}, ["relay.auth.username", "relay.auth.password"]),
        ({"auth": "false", "authTokenClientSecret": MASK}, [
            "relay.auth.username", "relay.auth.password", "relay.auth.token.client_secret",
        ]),
    ],
)  # fmt: skip
def test_settings_that_a_spec_cannot_express_are_left_out_with_a_warning_and_planned_as_changes(
    written, change, fields
):
    states = {"acme": SHOWN | change}
    pulled = of(states)
    assert [f.field for f in pulled.findings] == fields
    assert all(f.severity is Severity.WARNING for f in pulled.findings)
    assert pulled.exit_status is ExitStatus.OK
    assert set(differing(written(pulled), states)["acme"]) == set(fields)


@pytest.mark.parametrize("name", ["", " ", "a\tb", "\u2066"])
def test_an_attribute_whose_name_no_spec_can_hold_is_left_out_and_a_plan_keeps_it(written, name):
    states = {"acme": SHOWN | {name: "v"}}
    pulled = of(states)
    assert "left out: a plan does not change it" in messages(pulled)
    spec = written(pulled)
    assert differing(spec, states) == {"acme": []}
    assert compare(KEYCLOAK, explain(spec, "acme"), states["acme"]).unmanaged == (name,)


def test_security_that_a_spec_cannot_express_never_becomes_none(written):
    wanted = explain(written(of({"acme": SHOWN | {"ssl": "true"}})), "acme").fields
    assert wanted["relay.security"] == "starttls"


def test_a_pulled_spec_names_the_servers_defaults_for_absent_attributes(written):
    states = {"acme": {"from": "a@b.example", "host": "h"}}
    pulled = of(states)
    assert pulled.realms["acme"] == {
        "sender.address": "a@b.example", "relay.host": "h", "relay.port": 25, "relay.security": "none",
    }  # fmt: skip
    assert differing(written(pulled), states) == {"acme": []}


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        ({"from": ""}, ["sender.address"]),
        ({"from": "grüße@acme.example"}, ["sender.address"]),
        ({"host": "http://x"}, ["relay.host"]),
        ({"from": "", "host": ""}, ["sender.address", "relay.host"]),
        ({"user": ""}, ["relay.auth.username"]),
        ({"password": ""}, ["relay.auth.password"]),
        ({"password": "${vault.a b}"}, ["relay.auth.password"]),
        ({"authType": "token"}, [f"relay.auth.token.{n}" for n in ("url", "client_id", "client_secret")]),
        ({**TOKEN, "authTokenUrl": "http://clear"}, ["relay.auth.token.url"]),
        ({**TOKEN, "authTokenClientSecret": ""}, ["relay.auth.token.client_secret"]),
    ],
)
def test_a_realm_that_lacks_what_an_entry_needs_is_left_out_with_an_error(written, change, lacks):
    pulled = of({"acme": SHOWN | change, "fine": SHOWN})
    errors = [f for f in pulled.findings if f.severity is Severity.ERROR]
    assert [f.field for f in errors] == lacks
    assert [*pulled.realms] == ["fine"]
    assert pulled.exit_status is ExitStatus.PARTIAL
    assert differing(written(pulled), {"fine": SHOWN}) == {"fine": []}


def test_an_unreadable_realm_is_reported_and_never_pulled_as_disabled(written):
    reading = {"gone": RealmUnreadable("may not see it", "ask", "may-not-see"), "off": LiveRealm("off", {}, 0.0)}
    pulled = pull_entries(KEYCLOAK, reading)
    assert pulled.realms == {"off": None}
    assert [(f.realm, f.rule) for f in pulled.findings] == [("gone", "may-not-see")]
    assert pulled.exit_status is ExitStatus.PARTIAL
    assert [(e.name, e.disabled) for e in written(pulled).entries] == [("off", True)]


@pytest.mark.parametrize(
    ("globs", "found", "paths"),
    [
        ((), ["acme", "globex", "master"], ["/admin/realms"]),
        (("glob*",), ["globex"], ["/admin/realms"]),
        (("acme",), ["acme"], ["/admin/realms/acme"]),
        (("globex", "acme", "acme"), ["acme", "globex"], ["/admin/realms/acme", "/admin/realms/globex"]),
    ],
)
def test_pulling_only_reads(ztrust_sandbox, globs, found, paths):
    ztrust_sandbox.edit_smtp("acme", STORED)
    with connected(ztrust_sandbox, Unreadable()) as connection:
        pulled = pull(connection, globs)
    assert [*pulled.realms] == found
    assert sorted({r.path for r in sent(ztrust_sandbox, "GET")}) == paths
    assert {r.method for r in ztrust_sandbox.requests if not r.path.endswith("/token")} == {"GET"}


def test_pulling_a_missing_realm_is_reported(ztrust_sandbox):
    with connected(ztrust_sandbox) as connection:
        pulled = pull(connection, ["acme", "nosuch"])
    assert (pulled.realms, [f.rule for f in pulled.findings]) == ({"acme": None}, ["no-realm"])
    assert pulled.exit_status is ExitStatus.PARTIAL


def test_a_glob_without_matches_is_reported_even_if_another_one_matches(ztrust_sandbox):
    with connected(ztrust_sandbox) as connection:
        pulled = pull(connection, ["ac*", "nosuch"])
    assert [f.message for f in pulled.findings] == ["no realm matches --realm `nosuch`"]
    assert pulled.exit_status is ExitStatus.OK


@pytest.mark.parametrize("globs", [("nosuch-*",), ()])
def test_pulling_no_realm_is_an_error_and_not_an_empty_spec(ztrust_sandbox, globs):
    ztrust_sandbox.faults.list_forbidden = not globs
    with connected(ztrust_sandbox) as connection, pytest.raises(UsageError, match="no realm matches"):
        pull(connection, globs)


def test_every_kind_of_spec_is_equal_after_apply_and_pull(written):
    for kind, entry in ENTRIES.items():
        smtp = {} if kind == "disabled" else stored(explain(one_realm(entry, "acme"), "acme").fields)
        states = {
            "acme": {
                n: MASK if n in ("password", "authTokenClientSecret") and "$" not in v else v for n, v in smtp.items()
            }
        }
        assert differing(written(of(states)), states) == {"acme": []}
    assert differing(one_realm(BASIC), {"acme": SHOWN}) == {"acme": []}


@pytest.mark.parametrize(
    ("native", "text"),
    [
        ("host", "u:hunter2@h.example"),
        ("authTokenUrl", "https://u:hunter2@x.example/t"),
        ("authTokenUrl", "https://x.example/t?client_secret=hunter2"),
    ],
)
def test_a_password_in_a_host_or_a_url_on_the_server_is_left_out_and_not_shown(native, text):
    pulled = of({"acme": {**TOKEN, native: text}})
    assert "which a spec cannot express" in messages(pulled)
    assert "hunter2" not in messages(pulled) + repr(pulled)
