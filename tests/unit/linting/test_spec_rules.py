"""What is doubtful about a spec whose form is right, and what of it can be said without a server."""

from __future__ import annotations

import pytest

import ztrust_mail
from ztrust_mail.core.findings import Finding, Severity

BASE = {"sender": {"address": "a@b.example"}, "relay": {"host": "h.example"}}
LOGIN = {"username": "u", "password": {"env": "KEY"}}


def findings(realms: dict, defaults: dict = BASE) -> list[Finding]:
    return ztrust_mail.validate({"version": 1, "defaults": defaults, "realms": realms})[1]


def relay(**settings: object) -> dict:
    return {"r": {"relay": settings}}


@pytest.mark.parametrize(
    ("settings", "rules"),
    [
        ({"security": "none", "auth": LOGIN}, ["clear-text-login"]),
        ({"security": "none", "port": 587, "auth": LOGIN}, ["clear-text-login"]),
        ({"security": "none"}, ["no-encryption"]),
        ({"security": "tls", "auth": LOGIN}, []),
        ({"port": 465}, ["port-security"]),
        ({"port": 465, "security": "starttls"}, ["port-security"]),
        ({"port": 465, "security": "tls"}, []),
        ({"port": 465, "security": "none"}, ["no-encryption"]),
        ({"port": 25, "security": "tls"}, ["port-security"]),
        ({"port": 587, "security": "tls"}, ["port-security"]),
        ({"port": 2525, "security": "tls"}, []),
    ],
)
def test_settings_that_leak_or_cannot_work_give_a_warning(settings, rules):
    found = findings(relay(**settings))
    assert [f.rule for f in found] == rules
    assert all(f.severity is Severity.WARNING and f.hint and f.realm == "r" for f in found)


def test_a_token_sent_in_clear_text_gives_a_warning_too():
    token = {"url": "https://a.example", "client_id": "c", "client_secret": {"env": "S"}, "scope": "s"}
    assert [f.rule for f in findings(relay(security="none", auth={"username": "u", "token": token}))] == [
        "clear-text-login"
    ]


def test_warnings_do_not_stop_a_spec_from_loading():
    spec = ztrust_mail.load_spec({"version": 1, "realms": {"r": {**BASE, "relay": {"host": "h", "port": 465}}}})
    assert spec.entries[0].name == "r"


@pytest.mark.parametrize("name", [" acme", "acme ", "\u3000acme"])
def test_a_name_with_a_space_at_its_end_is_doubtful(name):
    (found,) = findings({name: {}})
    assert (found.rule, found.severity) == ("odd-name", Severity.WARNING)
    assert "begins or ends with a space" in found.message


def test_names_that_differ_in_case_alone_are_doubtful():
    (found,) = findings({"acme": {}, "Acme": {}, "globex": {}})
    assert (found.rule, found.message) == ("odd-name", "`Acme` and `acme` differ only in upper and lower case")


def test_a_spec_without_realms_is_doubtful():
    assert [f.rule for f in ztrust_mail.validate({"version": 1})[1]] == ["no-realms"]


def written(tmp_path, content: str) -> list[tuple[int, str | None, str]]:
    path = tmp_path / "s.yaml"
    path.write_text(content, encoding="utf-8")
    found = ztrust_mail.validate(str(path))[1]
    return [(f.location.line, f.realm, f.rule) for f in found]


DEFAULTS = "version: 1\ndefaults: {relay: {host: h.example}, vars: {box: a},\n  sender: {address: %s}}\nrealms:\n"


def test_a_problem_in_the_defaults_is_reported_once_for_all_realms(tmp_path):
    content = DEFAULTS % '"{box}"' + "  acme: {}\n  globex: {}\n  t-*: {}\n"
    assert written(tmp_path, content) == [(3, None, "bad-value")]


def test_the_only_realm_for_which_a_default_is_wrong_is_named(tmp_path):
    content = DEFAULTS % '"{realm}@b.example"' + '  acme: {}\n  "a c": {}\n'
    assert written(tmp_path, content) == [(3, "a c", "bad-value")]


def test_each_realm_whose_name_leaves_a_placeholder_empty_is_named(tmp_path):
    path = tmp_path / "mail.yaml"
    defaults = "defaults: {sender: {address: 'x@{realm.slug}.example'}, relay: {host: h.example}}"
    path.write_text(f"version: 1\n{defaults}\nrealms: {{a: {{}}, '...': {{}}, é: {{}}}}\n", encoding="utf-8")
    found = ztrust_mail.validate(str(path))[1]
    empty = "`sender.address` uses `{realm.slug}`, which is empty for the realm"
    assert [(f.realm, f.message) for f in found] == [("...", f"{empty} `...`"), ("é", f"{empty} `é`")]
    assert {f.hint for f in found} == {"give its own entry a value without it"}


def test_a_problem_in_an_entry_is_reported_only_at_its_place(tmp_path):
    content = DEFAULTS % "a@b.example" + '  acme: {envelope_from: "{realm}"}\n'
    assert written(tmp_path, content) == [(5, None, "bad-value")]


@pytest.mark.parametrize("text", ["{realm}", "no-reply@{realm}", "{realm.slug}"])
def test_problems_that_depend_on_the_realm_name_are_not_reported_for_globs(text):
    assert findings({"t-*": {"envelope_from": text}}) == []
    assert [f.rule for f in findings({"t-1": {"envelope_from": text}})] == (
        [] if text == "no-reply@{realm}" else ["bad-value"]
    )


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ({"envelope_from": "{x}"}, "bad-value"),
        ({"envelope_from": "{realm}@{nope}.example"}, "bad-placeholder"),
        ({"envelope_from": "{realm}@}.example"}, "bad-placeholder"),
        ({"relay": {"auth": {"username": "u"}}}, "missing-field"),
        ({"relay": {"port": 465}}, "port-security"),
    ],
)
def test_all_other_problems_are_reported_for_globs(entry, rule):
    found = findings({"t-*": {**entry, "vars": {"x": "nobody"}}})
    assert [(f.rule, f.realm) for f in found] == [(rule, "t-*")]


def test_a_glob_in_a_file_is_reported_by_its_place(tmp_path):
    assert written(tmp_path, DEFAULTS % '"{realm}@{nope}"' + "  t-*: {}\n") == [(3, None, "bad-placeholder")]


WITH_LOGIN = {**BASE, "relay": {"host": "h.example", "port": 465, "security": "tls", "auth": LOGIN}}


def test_an_entry_with_its_own_host_gets_a_note_on_what_it_does_not_inherit(tmp_path):
    path = tmp_path / "mail.yaml"
    path.write_text(
        "version: 1\n"
        "defaults:\n"
        "  sender: {address: a@b.example}\n"
        "  relay: {host: h.example, auth: {username: u, password: {env: KEY}}}\n"
        "realms:\n"
        "  acme: {relay: {host: other.example}}\n"
    )
    (found,) = ztrust_mail.validate(path)[1]
    assert (found.severity, found.rule) == (Severity.NOTE, "login-not-inherited")
    assert str(found.location) == f"{path}:6:24"
    assert found.message == (
        f"`acme` sets `relay.host`, so it does not inherit `relay.auth` of the defaults ({path}:4:45)"
    )
    assert "`auth: false`" in found.hint
    assert ztrust_mail.load_spec(path).warnings == (found,)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"host": "x.example", "auth": LOGIN, "security": "tls"}, id="with a login of its own"),
        pytest.param({"host": "x.example", "auth": False}, id="without a login on purpose"),
        pytest.param({"timeouts": {"connect": "5s"}}, id="with the host of the defaults"),
    ],
)
def test_an_entry_that_says_what_it_wants_gets_no_note(settings):
    assert findings(relay(**settings), WITH_LOGIN) == []


def test_port_and_security_are_named_too_unless_the_entry_sets_them():
    (found,) = findings(relay(host="x.example", port=2525), WITH_LOGIN)
    assert "does not inherit `relay.auth` and `relay.security` of the defaults" in found.message


def test_defaults_without_login_port_and_security_make_no_note():
    assert findings(relay(host="x.example")) == []


def test_the_note_on_many_entries_is_one_sentence():
    realms = {f"t-{n:03}": {"relay": {"host": f"h{n}.example"}} for n in range(300)}
    (found,) = findings(realms, WITH_LOGIN)
    assert found.message.startswith("300 entries (t-000, t-001 and 298 more) set `relay.host`, so they do not inherit")
