"""A spec that is written reads back as it was, whatever the realms and values are called."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ztrust_mail
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.model.addresses import address_problem
from ztrust_mail.model.fields import (
    DEFAULT_PORTS,
    FIELDS,
    Duration,
    FieldMap,
    FieldValue,
    Kind,
    Login,
    Security,
    extra_field,
    field_of,
    message_field,
)
from ztrust_mail.model.values import BadValue, parse
from ztrust_mail.specfile import placeholders
from ztrust_mail.specfile.export import Leaf, Leaves, to_yaml


def is_text(value: str) -> bool:
    try:
        return parse(Kind.TEXT, value) == value and len(placeholders.escape(value)) <= 255
    except BadValue:
        return False


ODD = [
    "no",
    "on",
    "Yes",
    "null",
    "~",
    "true",
    "0587",
    "1e3",
    "0x1F",
    ".5",
    "1_000",
    "12:30:45",
    "=",
    "<<",
    "2024-01-01",
]
ODD += [
    "a: b",
    "a #b",
    "#a",
    "- a",
    "? a",
    "!a",
    "&a",
    "*a",
    "%a",
    "@a",
    "`a",
    "{realm}",
    "{{x",
    "}",
    "'",
    '"',
    "\\n",
    "|",
]
ODD += [" a", "a ", "a\u00a0", "\ufeffa", "\u200f", "😀", "\U0010ffff", "\ue000", "\uffff", "{env: SMTP_PASSWORD_A}"]
TEXT = (st.sampled_from(ODD) | st.text(max_size=30)).filter(is_text)
ATOM = st.text(string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=20)
ADDRESS = st.builds(
    lambda local, name: f"{local}@{name}.example", ATOM, st.sampled_from(["acme", "bücher", "no"])
).filter(lambda a: address_problem(a, utf8=False) is None)
HOST = st.sampled_from(
    ["smtp.example.com", "localhost", "192.0.2.1", "2001:db8::1", "no", "null.example", "1and1.example"]
)
DURATION = st.builds(Duration, st.integers(1, 3_600_000))
NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
REFERENCE = st.one_of(
    NAME.map(lambda name: SecretRef(SecretKind.ENV, (name,))),
    st.lists(st.sampled_from(["pass", "no", "5", "{realm}", "a b", ""]), min_size=1).map(
        lambda parts: SecretRef(SecretKind.COMMAND, tuple(parts))
    ),
    st.tuples(TEXT, TEXT).map(lambda parts: SecretRef(SecretKind.KEYRING, parts)),
    st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True).map(
        lambda key: SecretRef(SecretKind.KEYCLOAK_VAULT, (key,))
    ),
)
OF_KIND = {
    Kind.ADDRESS: ADDRESS,
    Kind.TEXT: TEXT,
    Kind.HOST: HOST,
    Kind.PORT: st.integers(1, 65535),
    Kind.SECURITY: st.sampled_from(Security),
    Kind.SECRET: REFERENCE,
    Kind.URL: st.sampled_from(["https://a.example/{x}", "https://a.example:8443/?a=b#c"]),
    Kind.DURATION: DURATION,
    Kind.BOOLEAN: st.booleans(),
    Kind.ADDRESSES: st.lists(ADDRESS, min_size=1, max_size=3, unique=True).map(", ".join),
    Kind.THEME: TEXT.filter(lambda name: "/" not in name and "\\" not in name and name not in (".", "..")),
}
RESERVED = {"from", "user", "host", "port", "ssl", "auth", "password", "starttls", "debug", "timeout"}
MESSAGE = st.builds(
    message_field, st.sampled_from(["en", "no", "pt-BR"]), st.sampled_from(["emailTestSubject", "a.b", "a.b.c", "null"])
)
REALM = TEXT.filter(lambda name: not any(c in name for c in "*?/") and name not in (".", ".."))


@st.composite
def field_maps(draw: st.DrawFn) -> FieldMap:
    """Any settings a spec can want of a realm."""
    login = draw(st.sampled_from(Login))
    unused = {
        Login.NONE: ("relay.auth.",),
        Login.BASIC: ("relay.auth.token.",),
        Login.TOKEN: ("relay.auth.password",),
    }
    needed = {"relay.auth.username", "relay.auth.password", *(n for n in FIELDS if n.startswith("relay.auth.token."))}
    names = [n for n in FIELDS if not n.startswith(unused[login])]
    values: dict[str, FieldValue] = {}
    for name in names:
        row = field_of(name)
        if row.mandatory or name in ("relay.port", "relay.security") or name in needed or draw(st.booleans()):
            values[name] = draw(OF_KIND[row.kind])
    if "reply_to.address" not in values:
        values.pop("reply_to.name", None)
    extras = draw(st.dictionaries(TEXT.filter(lambda n: n not in RESERVED), TEXT, max_size=3))
    values |= draw(st.dictionaries(MESSAGE, TEXT.filter(lambda text: "{" not in text and "'" not in text), max_size=3))
    return values | {extra_field(n): text for n, text in extras.items()} | {"relay.auth": login}


def leaf(name: str, value: FieldValue) -> Leaf:
    if isinstance(value, bool | int | SecretRef):
        return value
    return placeholders.escape(str(value)) if field_of(name).placeholders else str(value)


def leaves(fields: FieldMap) -> Leaves:
    return {name: leaf(name, value) for name, value in fields.items() if name != "relay.auth"}


def read(tmp_path_factory: pytest.TempPathFactory, text: str):
    path = tmp_path_factory.mktemp("spec") / "s.yaml"
    path.write_text(text, encoding="utf-8")
    return ztrust_mail.load_spec(str(path))


@settings(deadline=None)
@given(st.dictionaries(REALM, st.none() | field_maps(), max_size=3))
def test_any_settings_of_a_realm_are_equal_after_being_written_and_read(tmp_path_factory, realms):
    text = to_yaml({name: None if f is None else leaves(f) for name, f in realms.items()}, {}, "a head")
    spec = read(tmp_path_factory, text)
    assert [e.name for e in spec.entries] == list(realms)
    for name, fields in realms.items():
        wanted = ztrust_mail.explain(spec, name)
        assert wanted.findings == ()
        assert wanted.disabled is (fields is None)
        assert dict(wanted.fields) == (fields or {})


@settings(deadline=None)
@given(field_maps())
def test_settings_moved_into_the_defaults_are_equal_after_being_written_and_read(tmp_path_factory, fields):
    spec = read(tmp_path_factory, to_yaml({"acme": {}, "globex": None}, leaves(fields)))
    assert dict(ztrust_mail.explain(spec, "acme").fields) == fields
    assert ztrust_mail.explain(spec, "globex").disabled


def test_a_written_spec_looks_hand_written():
    hidden = SecretRef(SecretKind.ENV, ("SMTP_PASSWORD_ACME",))
    entry: Leaves = {
        "sender.address": "a@b.example",
        "sender.name": "Grüße, 日本",
        "relay.host": "h.example",
        "relay.port": DEFAULT_PORTS[Security.TLS],
        "relay.security": "tls",
        "relay.auth.username": "u",
        "relay.auth.password": hidden,
        "relay.utf8": True,
        "extra.a.b": "no",
    }
    assert (
        to_yaml({"acme": entry, "no": None}, {"relay.timeouts.read": "10s"}, "first\nsecond")
        == """\
# yaml-language-server: $schema=./spec.schema.json
# first
# second
version: 1
defaults:
  relay:
    timeouts: {read: 10s}
realms:
  acme:
    sender: {address: a@b.example, name: 'Grüße, 日本'}
    relay:
      host: h.example
      port: 465
      security: tls
      auth:
        username: u
        password: {env: SMTP_PASSWORD_ACME}  # the server hides the value: put it into this variable
      utf8: true
    extra: {a.b: 'no'}
  'no': {disabled: true}
"""
    )


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("SMTP_PASSWORD_ACME", True),
        ("SMTP_PASSWORD_{realm}", True),
        ("SMTP_CLIENT_SECRET_ACME", True),
        ("OTHER_PASSWORD", False),
    ],
)
def test_only_a_variable_for_a_masked_secret_gets_a_comment(variable, told):
    text = to_yaml({"acme": {"relay.auth.password": SecretRef(SecretKind.ENV, (variable,))}}, {})
    assert ("# the server hides the value" in text) is told


def test_a_head_of_several_lines_is_all_comment():
    text = to_yaml({}, {}, "a\rb\u2028c\nversion: 2")
    assert [line[:2] for line in text.splitlines()[:4]] == ["# "] * 4
    assert text.endswith("version: 1\nrealms: {}\n")


def test_a_value_that_looks_like_a_masked_secret_reads_back_unchanged(tmp_path_factory):
    name = "x {env: SMTP_PASSWORD_A} # y"
    entry = leaves({"sender.address": "a@b.example", "sender.name": name, "relay.host": "h", extra_field(name): name})
    spec = read(tmp_path_factory, to_yaml({"acme": entry}, {}))
    wanted = ztrust_mail.explain(spec, "acme").fields
    assert wanted["sender.name"] == wanted[extra_field(name)] == name
