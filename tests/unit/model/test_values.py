"""Values become typed ones by the kind of their field, or are refused in words that say what to do."""

from __future__ import annotations

import pytest

from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.model.fields import ABSENT, FIELDS, Duration, Kind, Masked, Raw, Security, extra_field, field_of
from ztrust_mail.model.values import BadValue, parse
from ztrust_mail.specfile.readers.document import SourceInt


def refused(kind: Kind, value: object, **options: bool) -> BadValue:
    with pytest.raises(BadValue) as caught:
        parse(kind, value, **options)
    assert caught.value.args == (caught.value.problem, caught.value.hint)
    assert caught.value.problem
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("kind", "value", "typed"),
    [
        (Kind.TEXT, "Grüße 日本", "Grüße 日本"),
        (Kind.TEXT, " kept as it is ", " kept as it is "),
        (Kind.TEXT, "x" * 255, "x" * 255),
        (Kind.ADDRESS, "no-reply@acme.example", "no-reply@acme.example"),
        (Kind.HOST, "smtp.example.com", "smtp.example.com"),
        (Kind.HOST, "smtp.example.com.", "smtp.example.com."),
        (Kind.HOST, "localhost", "localhost"),
        (Kind.HOST, "mail_relay", "mail_relay"),
        (Kind.HOST, "1and1.example", "1and1.example"),
        (Kind.HOST, "192.0.2.1", "192.0.2.1"),
        (Kind.HOST, "2001:DB8::0001", "2001:db8::1"),
        (Kind.HOST, ".".join(["x" * 63] * 3 + ["y" * 61]), ".".join(["x" * 63] * 3 + ["y" * 61])),
        (Kind.PORT, 1, 1),
        (Kind.PORT, 65535, 65535),
        (Kind.SECURITY, "starttls", Security.STARTTLS),
        (Kind.SECURITY, "tls", Security.TLS),
        (Kind.SECURITY, "none", Security.NONE),
        (Kind.URL, "https://login.example.com/token?x=1", "https://login.example.com/token?x=1"),
        (Kind.URL, "https://a.example:8443", "https://a.example:8443"),
        (Kind.DURATION, "1ms", Duration(1)),
        (Kind.DURATION, "10s", Duration(10_000)),
        (Kind.DURATION, "60m", Duration(3_600_000)),
        (Kind.DURATION, "0010s", Duration(10_000)),
        (Kind.BOOLEAN, True, True),
        (Kind.BOOLEAN, False, False),
        (Kind.SECRET, SecretRef(SecretKind.ENV, ("_A1",)), SecretRef(SecretKind.ENV, ("_A1",))),
        (Kind.SECRET, SecretRef(SecretKind.COMMAND, ("sh", "a\nb")), SecretRef(SecretKind.COMMAND, ("sh", "a\nb"))),
    ],
)
def test_a_right_value_becomes_a_typed_one(kind, value, typed):
    parsed = parse(kind, value)
    assert (parsed, type(parsed)) == (typed, type(typed))


def test_a_number_of_a_file_becomes_a_plain_one():
    assert type(parse(Kind.PORT, SourceInt(587, "0587"))) is int


@pytest.mark.parametrize("code", [0, 9, 10, 13, 27, 127, 0x85, 0x9F, 0x2028, 0x2029, 0x202A, 0x202E, 0x2066, 0x2069])
@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.ADDRESS, Kind.HOST, Kind.URL])
def test_a_character_that_steers_is_refused_and_named(kind, code):
    for text in (f"a{chr(code)}b", f"ab{chr(code)}", chr(code)):
        assert refused(kind, text).problem == f"contains the control character U+{code:04X}"


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.ADDRESS, Kind.HOST, Kind.URL])
def test_empty_and_too_long_values_are_refused(kind):
    for empty in ("", "   ", "\u3000"):
        assert refused(kind, empty).problem == "is empty"
    assert refused(kind, "x" * 256).problem == "has 256 characters, over the limit of 255"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("no-reply", "is not an address Keycloak accepts: `no-reply` has no @"),
        ("A <a@b.example>", "is not a plain address: `A <a@b.example>`"),
        ("<a@b.example>", "is not a plain address: `<a@b.example>`"),
        (" a@b.example", "is not an address Keycloak accepts: ` a@b.example` has a character or a dot"),
        ("a@b.example, c@d.example", "is not an address Keycloak accepts: `a@b.example, c@d.example` has"),
        ("ä@b.example", "is not an address Keycloak accepts: `ä@b.example` has non-ASCII characters"),
    ],
)
def test_an_invalid_address_is_refused(text, problem):
    assert refused(Kind.ADDRESS, text).problem.startswith(problem)


def test_a_local_part_may_have_other_letters_where_utf8_is_on():
    assert parse(Kind.ADDRESS, "ä@b.example", utf8=True) == "ä@b.example"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("https://smtp.example.com", "is not a host name"),
        ("smtp.example.com/x", "is not a host name"),
        ("smtp.example.com:587", "contains a port"),
        ("bücher.example", "has non-ASCII letters"),
        ("smtp..example.com", "is not a host name"),
        (".", "is not a host name"),
        ("-smtp.example.com", "is not a host name"),
        ("smtp-.example.com", "is not a host name"),
        ("smtp example", "is not a host name"),
        ("x" * 64, "is not a host name"),
        (".".join(["x" * 50] * 5), "is not a host name"),
        ("192.168.1.300", "is not a host name"),
        ("192.168.1", "is not a host name"),
        ("587", "is not a host name"),
        ("[::1]", "is not a host name"),
        ("::1::", "is not a host name"),
        ("fe80::1%eth0", "contains a %"),
        ("2001:db8::66%smtp.example.net", "contains a %"),
        ("smtp%2eexample.com", "contains a %"),
        ("${SMTP_HOST}", "is not a host name"),
    ],
)
def test_an_invalid_host_is_refused_and_quoted(text, problem):
    found = refused(Kind.HOST, text)
    assert found.problem.startswith(f"{problem}: `{text[:50]}")


@pytest.mark.parametrize(
    "text",
    [
        *("hunter2@b", "::1%hunter2@b", "u:hunter2@b.example:587", "smtp://apikey:hunter2@smtp.example.com"),
        *("u:hunter2%40b.example", "u:hunter2\uff20b.example"),
    ],
)
def test_a_host_with_a_login_in_it_is_refused_and_not_quoted(text):
    assert refused(Kind.HOST, text).problem == "is not a host name: it contains an @"


def test_a_host_with_a_secret_parameter_is_refused_and_not_quoted():
    assert refused(Kind.HOST, "b.example?password=hunter2").problem == "is not a host name: it contains a parameter"


@pytest.mark.parametrize(
    "parameter",
    ["client_secret", "password", "client%5Fsecret", "api_key", "apikey", "access_token", "x=1&secret", "sig", "code"],
)
@pytest.mark.parametrize("mark", ["?", "#"])
def test_a_token_url_with_a_secret_in_its_parameters_is_refused_and_not_quoted(parameter, mark):
    found = refused(Kind.URL, f"https://a.example/token{mark}{parameter}=hunter2")
    assert found.problem == "has a parameter that looks like a secret"
    assert "write the secret under client_secret" in found.hint


@pytest.mark.parametrize(
    "query", ["?api-version=2", "?tenant=a@b.example", "?token_type=x", "?password=", "?secretary"]
)
def test_a_token_url_may_have_other_parameters(query):
    assert parse(Kind.URL, f"https://a.example/token{query}")


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/token",
        "a.example/token",
        "https:///token",
        "https://u:hunter2@a.example",
        "https://u@a.example",
        "https://:hunter2@a.example",
        "https://a.example:0/",
        "https://a.example:99999/",
        "https://a.example:hunter2/",
        "https://[::1/",
        "https://a.example/a b",
        "ftp://a.example",
    ],
)
def test_a_token_url_that_is_not_https_or_holds_a_login_is_refused_and_not_quoted(url):
    assert "a.example" not in " ".join(refused(Kind.URL, url).args)


@pytest.mark.parametrize(
    "text", ["0s", "0ms", "61m", "3600001ms", "10", "s", "1.5s", "10 s", "-1s", "1h", "10s\n", "9999999999ms", 10]
)
def test_a_time_without_unit_or_out_of_bounds_is_refused(text):
    assert (
        refused(Kind.DURATION, text).hint == "write a whole number and a unit without a space: ms, s or m, such as 10s"
    )


@pytest.mark.parametrize("value", [0, -1, 65536, True, 587.0, "587", None])
def test_an_invalid_port_is_refused(value):
    assert refused(Kind.PORT, value).problem == f"is not a port: `{value}`"


@pytest.mark.parametrize(
    "reference",
    [
        SecretRef(SecretKind.ENV, ("hunter 2",)),
        SecretRef(SecretKind.ENV, ("2hunter",)),
        SecretRef(SecretKind.ENV, ("hunter\n",)),
        SecretRef(SecretKind.FILE, ("hunter\0.txt",)),
        SecretRef(SecretKind.KEYRING, ("smtp", "hunter\u202e")),
        SecretRef(SecretKind.KEYCLOAK_VAULT, ("hunter\n",)),
        "hunter2",
    ],
)
def test_a_bad_secret_reference_is_refused_and_not_quoted(reference):
    assert "hunter" not in " ".join(refused(Kind.SECRET, reference).args)


@pytest.mark.parametrize(
    ("milliseconds", "shown"), [(1, "1ms"), (1500, "1500ms"), (10_000, "10s"), (60_000, "60s"), (0, "0s")]
)
def test_a_time_is_shown_with_its_unit(milliseconds, shown):
    assert str(Duration(milliseconds)) == shown


def test_values_that_only_a_server_can_have_are_shown_as_words():
    assert str(Masked()) == "(set, hidden by the server)"
    assert str(Raw("abc")) == "abc"
    assert str(ABSENT) == "(not set)"
    assert Duration(1) < Duration(2)


def test_any_extra_attribute_is_a_text_field_with_placeholders():
    row = field_of(extra_field("x.y"))
    assert (row.name, row.kind, row.placeholders, row.mandatory, row.secret) == (
        "extra.x.y",
        Kind.TEXT,
        True,
        False,
        False,
    )


def test_a_field_of_the_table_is_found_by_its_name():
    row = field_of("relay.auth.password")
    assert row is FIELDS["relay.auth.password"]
    assert row.path == ("relay", "auth", "password")
    assert row.secret


def test_only_secrets_are_secret_and_only_the_fields_of_the_contract_take_placeholders():
    assert {n for n, r in FIELDS.items() if r.secret} == {"relay.auth.password", "relay.auth.token.client_secret"}
    assert {n for n, r in FIELDS.items() if r.placeholders} == {
        "sender.address", "sender.name", "reply_to.address", "reply_to.name", "envelope_from", "relay.host",
        "relay.auth.username", "relay.auth.password", "relay.auth.token.client_secret", "notify.recipients",
        "templates.theme",
    }  # fmt: skip
    assert {n for n, r in FIELDS.items() if r.mandatory} == {"sender.address", "relay.host"}
