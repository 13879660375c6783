"""A finding shows its source line, and never one that may hold a secret."""

from pathlib import Path

import pytest

from ztrust_mail.core.findings import Excerpt, Finding
from ztrust_mail.specfile.load import validate

SECRET = "hunter2"
BAD = "port: 70000"
"""A mistake that makes a finding on its line."""


def check(tmp_path: Path, text: str, name: str = "mail.yaml") -> list[Finding]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return validate(path, {}).findings()


def excerpts(tmp_path: Path, text: str, name: str = "mail.yaml") -> list[Excerpt]:
    return [found.excerpt for found in check(tmp_path, text, name) if found.excerpt]


def spec(relay: str) -> str:
    return f"version: 1\ndefaults:\n  sender: {{address: a@b.example}}\n  relay:{relay}\nrealms:\n  acme: {{}}\n"


LEAKS = {
    "on the same flow line": " {host: h.example, port: 70000, auth: {username: u, password: hunter2}}",
    "before it on the same line": " {auth: {username: u, password: hunter2}, host: h.example, port: 70000}",
    "under a misspelt key": " {host: h.example, pasword: hunter2, port: 70000}",
    "under a word of another language": " {host: h.example, kennwort: hunter2, port: 70000}",
    "under a misspelt group": " {host: h.example, auht: {usr: u, pw: hunter2}, port: 70000}",
    "in a URL for a host": " {host: 'smtp://user:hunter2@h.example', port: 70000}",
    "in a comment": " {host: h.example, port: 70000}  # hunter2",
    "in a text of several lines": "\n    auth: {password: 'a\n      hunter2', x: {port: 1}}\n    port: 70000",
    "in a text that looks like a field": "\n    auth:\n      password: 'x\n        port: hunter2'\n    port: 70000",
    "in a block text": "\n    auth:\n      password: |\n        port: hunter2\n      username: u\n    port: 70000",
    "as the user name": "\n    auth: {username: [hunter2], password: {env: P}}\n    port: 70000",
    "in a list": "\n    auth: {password: {command: [hunter2, 1]}}\n    port: 70000",
    "twice": "\n    kennwort: hunter2\n    kennwort: hunter2\n    port: 70000",
    "twice inside a login": "\n    auth:\n      password:\n        port: x\n        port: hunter2\n",
    "as an unknown alias": "\n    auth: {username: u, password: *hunter2}\n    port: 70000",
    "with a placeholder": "\n    auth: {username: u, password: hunter2{realm}}\n    port: 70000",
    "with a placeholder, under a misspelt key": " {pasword: hunter2{realm}}",
    "with a placeholder, under an unknown key": " {kennwort: hunter2{realm}}",
    "before a placeholder, under a misspelt key": " {pasword: {realm}hunter2}",
    "before a placeholder, under an unknown key": "\n    kennwort: {realm}hunter2",
    "in a bracket that is not closed": "\n    kennwort: [hunter2",
    "as the user name outside of a login, in quotes that are not closed": '\n    username: "hunter2\n',
    "as the user name before a placeholder": " {auth: {\n      username: hunter2{realm}}}",
    "after a key without a blank": " {host: h.example, auth: {username: u, password:hunter2}}",
    "after a key without a colon": " {host: h.example, auth: {username: u, password hunter2}}",
    "after a key outside of a login": " {host: h.example, password:hunter2}",
    "after a key without a colon, outside of a login": " {host: h.example, password hunter2}",
    "after a key with an equals sign": " {host: h.example, auth: {username: u, password=hunter2}}",
    "below an indented tab": "\n    auth:\n\t      password: hunter2\n",
    "in a text that a bracket breaks": '\n    auth: {password: "x\n      port: hunter2 {", host: {x}y}\n',
    "in a block text that a comment ends": "\n    auth:\n      password: >\n #   x\n        port: hunter2\n",
    "in a block text with a tab": "\n    auth:\n      password: >\n        port: hunter2\n\t  port: hunter2\n",
}


@pytest.mark.parametrize("place", LEAKS)
@pytest.mark.parametrize("end", ["", " ]"], ids=["readable", "broken"])
def test_no_finding_shows_a_secret(place: str, end: str, tmp_path: Path) -> None:
    found = check(tmp_path, spec(LEAKS[place] + end))
    assert found
    for one in found:
        assert SECRET not in f"{one.excerpt} {one.message} {one.hint}"


@pytest.mark.parametrize(
    "text",
    [
        '{"version": 1, "defaults": {"relay": {"port": 70000, "auth": {"password": "hunter2"}}}}',
        '{"version": 1, "defaults": {"relay":\n{"port": 70000, "kennwort":"hunter2"}}}',
        '{"version": 1, "defaults": {"relay":\n{"port": 1, "password":\n"hunter2" "x"}}}',
        '{"version": 1,\n"kennwort": "hunter2", "realms" {}}',
    ],
)
def test_no_finding_on_json_shows_a_secret(text: str, tmp_path: Path) -> None:
    found = check(tmp_path, text, "mail.json")
    assert found
    assert all(SECRET not in f"{one.excerpt} {one.message} {one.hint}" for one in found)


def test_a_line_of_public_fields_is_shown_around_the_place(tmp_path: Path) -> None:
    relay = "\n    host: h.example\n    auth: {username: u, password: {env: P}}\n    port: 70000  # x"
    assert excerpts(tmp_path, spec(relay)) == [Excerpt("    port: ", "70000", "")]


def test_a_misspelt_key_is_marked_as_a_whole(tmp_path: Path) -> None:
    (found, *_) = excerpts(tmp_path, "version: 1\nrealms:\n  acme: {sender: {adress: no-reply@acme.example}}\n")
    assert found == Excerpt("  acme: {sender: {", "adress", ": no-reply@acme.example}}")


def test_an_excerpt_of_a_json_spec_is_shown_too(tmp_path: Path) -> None:
    text = '{\n  "version": 1,\n  "defaults": {\n    "relay": {"host": "h.example", "port": "587"}\n  }\n}'
    assert Excerpt('    "relay": {"host": "h.example", "port": ', '"587"', "}") in excerpts(tmp_path, text, "mail.json")


def test_a_long_line_is_cut_on_both_sides_and_a_very_long_one_is_not_shown(tmp_path: Path) -> None:
    blank = " " * 300
    (found,) = excerpts(tmp_path, spec(f" {{host: h.example, {blank}{BAD},{blank}utf8: true}}"))
    assert (len(found.before), found.marked, len(found.after)) == (201, "70000", 201)
    assert found.before.startswith("…")
    assert found.after.endswith("…")
    assert excerpts(tmp_path, spec(f" {{{' ' * 10_000}{BAD}, host: h.example}}")) == []


def test_a_tab_is_named_as_the_cause_at_its_place(tmp_path: Path) -> None:
    (found,) = check(tmp_path, "version: 1\nrealms:\n  acme:\n  \tsender: {address: a@b.example}\n")
    assert (found.location and (found.location.line, found.location.column)) == (4, 3)
    assert (found.message, found.hint) == ("tab found; YAML is indented with spaces", "replace the tab with spaces")
    assert found.excerpt == Excerpt("  ", "\t", "sender: {address: a@b.example}")


PLACEHOLDERS = {
    "acme: {sender: {address: no-reply@{realm}.example.com}}": (37, 'write "no-reply@{realm}.example.com"'),
    "acme: {sender: {address: {realm}@example.com, name: x}}": (28, 'write "{realm}@example.com"'),
    "acme: {sender: {name: Mail of {realm}, address: a@b.c}}": (33, 'write "Mail of {realm}"'),
    "acme: {notify: {recipients: [a@{realm}.example, b@c.example]}}": (34, 'write "a@{realm}.example"'),
    "acme: {sender: {address: '{realm}', name: {realm} mail}}": (45, 'write "{realm} mail"'),
    "acme: {sender: {name: {realm}}}": (25, 'quote the value: write "{realm}"'),
    "acme: {relay: {auth: {username: u-{realm}, password: x}}}": (37, "put the whole value in double quotes"),
}


@pytest.mark.parametrize("entry", PLACEHOLDERS)
def test_an_unquoted_placeholder_is_named_with_the_value_to_write(entry: str, tmp_path: Path) -> None:
    (found, *_) = check(tmp_path, f"version: 1\nrealms:\n  {entry}\n")
    column, hint = PLACEHOLDERS[entry]
    assert (found.rule, found.hint) == ("unquoted-placeholder", hint)
    assert (found.location and (found.location.line, found.location.column)) == (3, column)


def test_an_unknown_alias_is_named_where_it_cannot_be_a_password(tmp_path: Path) -> None:
    (found,) = check(tmp_path, "version: 1\ndefaults:\n  relay: *relay\n")
    assert found.message == "unknown alias `*relay`: no anchor `&relay` above"
