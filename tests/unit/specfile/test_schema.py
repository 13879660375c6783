"""The schema and the field table say the same, and what the schema refuses is told in our own words."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import ztrust_mail
from ztrust_mail.core.data import load_schema, schema_text
from ztrust_mail.core.findings import Finding
from ztrust_mail.core.secret import SecretKind
from ztrust_mail.model.fields import DEFAULT_PORTS, DEFAULT_SECURITY, EXPIRES, FIELDS, PRESET, Kind, Security
from ztrust_mail.model.values import MAX_LENGTH
from ztrust_mail.reports import style
from ztrust_mail.reports.text.lines import finding_line, finding_lines
from ztrust_mail.specfile import schema
from ztrust_mail.specfile.load import from_dict, read_specs
from ztrust_mail.specfile.schema_messages import ProblemReporter, SchemaProblem

SPEC = load_schema("spec")
NAMES = {"from": "sender.address", "user": "relay.auth.username"}
SOUND = {"sender": {"address": "a@b.example"}, "relay": {"host": "h.example"}}


def resolved(node):
    return SPEC["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node


def shapes(node) -> list[dict]:
    """The forms a value can take at a node, references followed."""
    node = resolved(node)
    return [resolved(choice) for choice in node["anyOf"]] if "anyOf" in node else [node]


def leaves(node, path=()) -> Iterator[tuple[str, dict, bool]]:
    """Every field the schema knows, with its shape and whether false is allowed there."""
    shape = shapes(node)[0]
    name = ".".join(path)
    if "properties" in shape and shape is not SPEC["$defs"]["secret"]:
        for key, child in shape["properties"].items():
            if (path or key not in ("vars", "disabled", "expect", "servers", "overlay", "extra")) and (*path, key) != (
                "templates",
                "messages",
            ):
                yield from leaves(child, (*path, key))
    else:
        yield name, shape, any(s.get("const") is False for s in shapes(node))


def nodes(node, where="#") -> Iterator[tuple[str, dict]]:
    """Every place in the schema that describes a value."""
    if "$ref" in node:
        return
    yield where, node
    for group in ("properties", "patternProperties", "$defs"):
        for key, child in node.get(group, {}).items():
            yield from nodes(child, f"{where}/{key}")
    for n, child in enumerate(node.get("anyOf", ())):
        yield from nodes(child, f"{where}/anyOf/{n}")
    for key in ("items", "additionalProperties", "propertyNames"):
        if isinstance(child := node.get(key), dict):
            yield from nodes(child, f"{where}/{key}")


LEAVES = {name: (shape, removable) for name, shape, removable in leaves(SPEC["$defs"]["entry"])}


@pytest.mark.parametrize("name", ["spec", "settings", "report"])
def test_every_schema_of_the_package_is_valid_draft_2020_12(name):
    read = json.loads(schema_text(name))
    assert read["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(read)
    assert load_schema(name) == read


def test_the_schema_and_the_field_table_know_the_same_fields():
    assert [name for name in LEAVES if name not in (PRESET, EXPIRES)] == list(FIELDS)
    assert {PRESET, EXPIRES} <= set(LEAVES)


def test_defaults_and_entries_take_the_same_settings():
    of_defaults = {name: shape for name, shape, _ in leaves(SPEC["$defs"]["defaults"])}
    assert of_defaults == {name: shape for name, (shape, _) in LEAVES.items()}
    more = SPEC["$defs"]["entry"]["properties"].keys() - SPEC["$defs"]["defaults"]["properties"].keys()
    assert more == {"disabled", "expect", "servers", "overlay"}


TYPES = {
    Kind.ADDRESS: "string",
    Kind.TEXT: "string",
    Kind.HOST: "string",
    Kind.URL: "string",
    Kind.DURATION: "string",
    Kind.PORT: "integer",
    Kind.SECRET: "object",
    Kind.BOOLEAN: "boolean",
    Kind.ADDRESSES: "array",
    Kind.THEME: "string",
}


@pytest.mark.parametrize("row", list(FIELDS.values()), ids=lambda row: row.name)
def test_a_field_has_the_same_kind_in_the_schema_and_in_the_table(row):
    shape, _ = LEAVES[row.name]
    if row.kind is Kind.SECURITY:
        assert shape["enum"] == list(Security)
        assert shape["default"] == DEFAULT_SECURITY
    else:
        assert shape["type"] == TYPES[row.kind]
    if row.kind is Kind.PORT:
        assert (shape["minimum"], shape["maximum"]) == (1, 65535)
        assert all(f"{port} for {security}" in shape["description"] for security, port in DEFAULT_PORTS.items())
    if row.kind in (Kind.ADDRESS, Kind.TEXT, Kind.HOST, Kind.URL):
        assert (shape["minLength"], shape["maxLength"]) == (1, MAX_LENGTH)
        assert ("{realm.slug}" in shape["description"]) is row.placeholders
    assert ("Mandatory" in shape["description"]) is row.mandatory


def test_a_mandatory_field_cannot_be_removed_and_a_boolean_not_either():
    unremovable = {name for name, (_, removable) in LEAVES.items() if not removable}
    assert unremovable >= {row.name for row in FIELDS.values() if row.mandatory or row.kind is Kind.BOOLEAN}


@pytest.mark.parametrize(("where", "node"), list(nodes(SPEC)), ids=lambda v: v if isinstance(v, str) else "")
def test_every_node_of_the_schema_tells_an_editor_what_it_is(where, node):
    assert node.get("title"), where
    assert node.get("description"), where


@pytest.mark.parametrize(("where", "node"), list(nodes(SPEC)), ids=lambda v: v if isinstance(v, str) else "")
def test_every_example_and_default_in_the_schema_fits_its_own_node(where, node):
    validator = Draft202012Validator({**node, "$defs": SPEC["$defs"]})
    for value in (*node.get("examples", ()), *([node["default"]] if "default" in node else ())):
        assert not list(validator.iter_errors(value)), where


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        pytest.param({"realms": {}}, [], id="no-version"),
        pytest.param({"version": 1, "server": "https://id.example.com"}, ["server"], id="server-url"),
        pytest.param({"version": 1, "server": ["prod", "http://h"]}, ["server"], id="server-url in a list"),
        pytest.param(
            {"version": 1, "realms": {"a": {"expect": {"min": 1}}}}, ["realms", "a"], id="expect-without-glob"
        ),
    ],
)
def test_an_editor_that_knows_only_the_schema_sees_the_mistake(spec: dict[str, object], place: list[str]) -> None:
    (found,) = Draft202012Validator(load_schema("spec")).iter_errors(spec)
    assert list(found.absolute_path) == place
    assert len([one for one in ztrust_mail.validate(spec)[1] if one.severity.value == "error"]) == 1


def test_a_glob_may_have_expect_in_the_schema_too() -> None:
    spec = {"version": 1, "realms": {"a-*": {"expect": {"min": 1}}, "a?": {"expect": {"min": 1}}}}
    assert list(Draft202012Validator(load_schema("spec")).iter_errors(spec)) == []


def check(value: object) -> tuple[object, list[Finding]]:
    document, problems = from_dict(value)
    assert problems == []
    return schema.check(document, NAMES)


def said(entry: object) -> list[str]:
    return [f"{f.message}; {f.hint} [{f.rule}]" for f in check({"version": 1, "realms": {"r": entry}})[1]]


def test_a_right_document_comes_back_whole_and_without_findings():
    spec = {"$schema": "https://x.example", "x-mine": [None], "version": 1, "realms": {"r": SOUND, "q": {}}}
    assert check(spec) == (spec, [])


def test_invalid_values_are_left_out_and_the_rest_stays():
    value, findings = check({"version": 1, "nope": 1, "realms": {"r": {"sender": {"name": 1, "nme": 2}, "relay": 5}}})
    assert value == {"version": 1, "realms": {"r": {"sender": {"name": "1"}}}}
    assert sorted(f.rule for f in findings) == ["unknown-key", "unknown-key", "wrong-type"]


@pytest.mark.parametrize("reference", [{}, {"env": "A", "file": "b"}, {"env": 1, "nope": 2}, {"keyring": ["a", []]}])
def test_a_partly_wrong_reference_is_left_out_as_a_whole(reference):
    value, findings = check({"version": 1, "defaults": {"relay": {"auth": {"username": "u", "password": reference}}}})
    assert findings
    assert value["defaults"]["relay"]["auth"] == {"username": "u"}


def test_a_partly_wrong_list_is_left_out_as_a_whole():
    value, findings = check({"version": 1, "server": ["a", ["b"]]})
    assert [f.message for f in findings] == ["`server.1` must be text, not a list"]
    assert value == {"version": 1}


def test_all_problems_of_a_login_are_reported_at_once():
    auth = {"username": ["u"], "password": "p", "token": {"url": [5], "scope": True}, "port": 1}
    rules = sorted(f.rule for f in ztrust_mail.validate({"version": 1, "defaults": {"relay": {"auth": auth}}})[1])
    assert rules == [
        "missing-key", "plain-secret", "two-logins", "unknown-key", "wrong-type", "wrong-type", "wrong-type",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "number", "kept"),
    [
        ("{version: 1, realms: {r: {sender: {name: 0587}}}}", ("sender", "name"), "0587"),
        ("{version: 1, realms: {r: {sender: {name: 1.10}}}}", ("sender", "name"), "1.10"),
        ("{version: 1, realms: {r: {sender: {name: 0x1F}}}}", ("sender", "name"), "0x1F"),
        ("{version: 1, realms: {r: {extra: {a: 1e3}}}}", ("extra", "a"), "1e3"),
        ("{version: 1, realms: {r: {vars: {a: +5}}}}", ("vars", "a"), "+5"),
        ("{version: 1, realms: {r: {relay: {host: 10.10}}}}", ("relay", "host"), "10.10"),
        ("{version: 1, realms: {r: {relay: {auth: {username: 007}}}}}", ("relay", "auth", "username"), "007"),
    ],
)
def test_a_number_in_a_text_field_is_the_text_as_written(tmp_path, field, number, kept):
    (tmp_path / "s.yaml").write_text(field)
    (document,), _ = read_specs([str(tmp_path / "s.yaml")])
    value, findings = schema.check(document, NAMES)
    assert findings == []
    for key in ("realms", "r", *number):
        value = value[key]
    assert (value, type(value)) == (kept, str)


def test_a_number_in_a_list_of_texts_is_text_too():
    reference = {"keyring": [1, 2.5]}
    value, findings = check({"version": 1, "defaults": {"relay": {"auth": {"password": reference}}}})
    assert findings == []
    assert value["defaults"]["relay"]["auth"]["password"] == {"keyring": ["1", "2.5"]}


def test_a_number_that_is_out_of_range_is_quoted_as_it_was_written(tmp_path):
    (tmp_path / "s.yaml").write_text("{version: 1, realms: {r: {relay: {port: 0x11170}}}}")
    (document,), _ = read_specs([str(tmp_path / "s.yaml")])
    assert [f.message for f in schema.check(document, {})[1]] == ["`realms.r.relay.port` is `0x11170`"]


@pytest.mark.parametrize(
    ("entry", "message", "hint"),
    [
        ({"from": "x"}, "unknown key `from` in `realms.r`", "the server's `from` is `sender.address` in a spec"),
        ({"username": "x"}, "unknown key `username` in `realms.r`", "did you mean `relay.auth.username`?"),
        ({"timeouts": {}}, "unknown key `timeouts` in `realms.r`", "did you mean `relay.timeouts`?"),
        ({"vars": []}, "`realms.r.vars` must be a mapping, not a list", 'write a value such as {"region": "eu"}'),
        ({"expect": {"min": -1}}, "`realms.r.expect.min` is `-1`", "write a whole number from 0"),
        (
            {"sender": {"name": True}},
            "`realms.r.sender.name` must be text, not true or false",
            "put the text in quotes",
        ),
        (
            {"sender": {"address": False}},
            "`realms.r.sender.address` must be text, not true or false",
            "put the text in quotes; false removes an inherited value only where the key allows it",
        ),
    ],
)
def test_a_message_says_what_is_wrong_and_what_to_do(entry, message, hint):
    (found,) = check({"version": 1, "realms": {"r": entry}})[1]
    assert (found.message, found.hint) == (message, hint)


@pytest.mark.parametrize(
    ("relay", "message", "hint"),
    [
        ({"auth": {"zzz": 1}}, "unknown key in `_.auth`", "known here: username, password, expires, token"),
        ({"auth": {"passwrd": 1}}, "unknown key `passwrd` in `_.auth`", "did you mean `password`?"),
        (
            {"auth": {"password:p": 1}},
            "unknown key `password…` in `_.auth`",
            "write `password: …`, with a blank after the colon",
        ),
        ({"prot:25": 1}, "unknown key `prot…` in `realms.r.relay`", "did you mean `port`?"),
        ({"auth": {"user": 1}}, "unknown key `user` in `_.auth`", "did you mean `username`?"),
        ({"auth": "x"}, "`_.auth` must be a mapping, not the text", "known here: username, password, expires, token"),
        ({"port": "x"}, "`_.port` must be a whole number, not the text `x`", "write a value such as 587"),
        ({"port": "٥"}, "`_.port` must be a whole number, not the text `٥`", "write the number without quotes"),
        ({"port": 1.5}, "`_.port` must be a whole number, not the number `1.5`", "write a value such as 587"),
        ({"security": ["tls"]}, "`_.security` must be one of starttls, tls, none", ""),
        ({"security": "tsl"}, "`_.security` must be one of starttls, tls, none, not `tsl`", "did you mean `tls`?"),
        ({"debug": "On"}, "`_.debug` must be true or false, not the text `On`", "YAML 1.2 knows only true and false"),
        ({"debug": "x"}, "`_.debug` must be true or false, not the text `x`", "write true or false, without quotes"),
    ],
)
def test_a_message_about_a_relay_says_what_is_wrong_and_what_to_do(relay, message, hint):
    (found,) = check({"version": 1, "realms": {"r": {"relay": relay}}})[1]
    assert (found.message, found.hint) == (message.replace("`_.", "`realms.r.relay."), hint)


def test_a_schema_keyword_without_a_message_is_reported_without_the_value():
    document, _ = from_dict({"realms": {"r": {"relay": {"port": 7}}}})
    problem = SchemaProblem("multipleOf", 10, 7, {}, ("realms", "r", "relay", "port"), is_name=False, removable=True)
    (found,) = ProblemReporter(document, NAMES).translate(problem)
    assert f"{found.message}; {found.hint} [{found.rule}]" == (
        "`realms.r.relay.port` does not fit the schema (multipleOf); see ztrust-mail schema spec [bad-value]"
    )


def test_a_pattern_without_an_end_is_searched_for_as_jsonschema_does():
    errors = schema._pattern_errors
    assert list(errors(schema._validator(), "^A-Z", "A-Z and more", {})) == []
    assert len(list(errors(schema._validator(), "^A-Z", "none", {}))) == 1


def test_the_place_of_a_long_realm_name_is_reported_to_its_end():
    name = "x" * 255
    findings = check({"version": 1, "realms": {name: {"relay": {"port": 0}}}})[1]
    assert [f.message for f in findings] == [f"`realms.{name}.relay.port` is `0`"]


CONTENT = {
    "version": 1,
    "defaults": {"relay": {"port": 70000, "auth": {"username": "u", "password": "CANARY"}}},
    "realms": {
        "acme": {"sender": {"adress": "x"}, "relay": {"timeouts": {"read": "5"}, "host": "h:25"}},
        "a/b": {"extra": {"from": "x"}},
        "globex": {"disabled": True, "vars": {"Bad": "x"}},
    },
}
YAML = """
version: 1
defaults:
  relay:
    port: 70000
    auth: {username: u, password: CANARY}
realms:
  acme:
    sender: {adress: x}
    relay:
      timeouts:
        read: "5"
      host: "h:25"
  a/b: {extra: {from: x}}
  globex: {disabled: true, vars: {Bad: x}}
"""


def found_in(tmp_path: Path, name: str, content: str) -> dict[str, tuple[Finding, str]]:
    """Each message with the finding and the text that stands at its place."""
    path = tmp_path / name
    path.write_text(content)
    rows = content.splitlines()
    findings = ztrust_mail.validate(str(path))[1]
    places = {f.message: (f, rows[f.location.line - 1][f.location.column - 1 :].lstrip("\"'")) for f in findings}
    assert len(places) == len(findings) == 8
    return places


def test_the_same_text_as_json_and_yaml_gives_the_same_findings_at_the_same_places(tmp_path):
    content = json.dumps(CONTENT, indent=2)
    of_json, of_yaml = (found_in(tmp_path, name, content) for name in ("s.json", "s.yaml"))
    assert of_json.keys() == of_yaml.keys()
    for message, (found, _) in of_json.items():
        other = of_yaml[message][0]
        assert (found.rule, found.hint) == (other.rule, other.hint)
        assert (found.location.line, found.location.column) == (other.location.line, other.location.column)


def test_the_same_content_in_json_and_yaml_gives_the_same_findings_at_the_same_words(tmp_path):
    of_json = found_in(tmp_path, "s.json", json.dumps(CONTENT, indent=2))
    of_yaml = found_in(tmp_path, "s.yaml", YAML)
    assert of_json.keys() == of_yaml.keys()
    for message, (found, there) in of_json.items():
        other, here = of_yaml[message]
        assert (found.rule, found.hint) == (other.rule, other.hint)
        if "disabled" not in message:  # at the mapping itself: a brace in JSON, the first key in YAML
            assert there[:3] == here[:3], message


def test_a_dict_gives_the_same_messages_without_lines(tmp_path):
    findings = ztrust_mail.validate(CONTENT)[1]
    assert {f.message for f in findings} == found_in(tmp_path, "s.yaml", YAML).keys()
    places = {str(f.location) for f in findings}
    assert {"<dict>: realms.globex.vars.Bad", "<dict>: realms.acme.relay.host"} <= places
    assert all(place.partition(":")[0] == "<dict>" for place in places)


# Every place of an entry, with a canary as text, in a list and as a key and value of a mapping.


def places(node, path=()) -> Iterator[tuple[str, ...]]:
    yield path
    for shape in shapes(node):
        for key, child in shape.get("properties", {}).items():
            yield from places(child, (*path, key))
        if isinstance(child := shape.get("additionalProperties"), dict):
            yield from places(child, (*path, "anything"))


CANARY = "Tweety7f3a"
FORMS = [
    CANARY,
    [CANARY],
    [[CANARY]],
    {CANARY: CANARY},
    {CANARY: {CANARY: [CANARY]}},
    f"{{{CANARY}}}",
    f"{{{CANARY}",
    f"{CANARY}\n",
    f"{CANARY} {CANARY}",
    [CANARY + "\0"] * 2,
    CANARY * 100,
    [CANARY * 100] * 3,
]
OPEN = {f"relay.auth.{name}" for name in ("username", "token.url", "token.client_id", "token.scope")}
WHERE = [path for path in places(SPEC["$defs"]["entry"]) if path]
SECRETS = [p for p in WHERE if p[:2] == ("relay", "auth") and ".".join(p) not in OPEN]


def findings_with(path: tuple[str, ...], form: object, entry_kind: str) -> list[Finding]:
    entry = copy.deepcopy(SOUND)
    if path[:2] == ("relay", "auth") and len(path) > 2:
        token = {"url": "https://a.example", "client_id": "c", "client_secret": {"env": "A"}}
        entry["relay"]["auth"] = {"username": "u"} | ({"token": token} if path[2] == "token" else {})
    node = entry
    for key in path[:-1]:
        if not isinstance(node.get(key), dict) or key in ("password", "client_secret"):
            node[key] = {}
        node = node[key]
    node[path[-1]] = form
    spec = {"version": 1, entry_kind: {"r": entry} if entry_kind == "realms" else entry}
    if entry_kind == "defaults":
        spec["realms"] = {"r": {}}
    return ztrust_mail.validate(spec)[1]


def test_the_places_include_every_field_and_every_kind_of_reference():
    assert {".".join(p) for p in WHERE} >= set(FIELDS)
    references = [("relay", "auth", "password"), ("relay", "auth", "token", "client_secret")]
    kinds = {(*place, kind.value) for place in references for kind in SecretKind}
    assert sorted(kinds - set(SECRETS)) == [], "schemas/spec.schema.json: secret"
    others = {*references, ("relay", "auth"), ("relay", "auth", "token"), ("relay", "auth", "expires")}
    assert set(SECRETS) - kinds == others


@pytest.mark.parametrize("level", ["realms", "defaults"])
@pytest.mark.parametrize("form", FORMS, ids=range(len(FORMS)))
@pytest.mark.parametrize("path", SECRETS, ids=".".join)
def test_no_value_of_a_login_is_ever_quoted(path, form, level):
    findings = findings_with(path, form, level)
    assert CANARY.lower() not in repr(findings).lower()
    assert CANARY not in style.plain(finding_lines(findings))


@pytest.mark.parametrize("form", FORMS, ids=range(len(FORMS)))
@pytest.mark.parametrize("path", WHERE, ids=".".join)
def test_any_value_in_any_place_is_valid_or_gets_a_readable_message(path, form):
    for finding in findings_with(path, form, "realms"):
        (line,) = style.plain([finding_line(finding)]).splitlines()
        assert line.startswith("<dict>: ")
        assert line.endswith(f" [{finding.rule}]")
        assert "; [" not in line
        assert not finding.hint.endswith((";", " "))
        assert finding.hint or "must be one of" in finding.message


def test_a_right_reference_is_right_with_a_canary_in_it():
    assert findings_with(("relay", "auth", "password", "env"), CANARY, "realms") == []
