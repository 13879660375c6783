"""Several documents make one spec, every value knows where it stands, and all problems are told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

import ztrust_mail
from ztrust_mail.core.errors import SpecError
from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.linting import lint
from ztrust_mail.model.fields import ABSENT, Duration, Security, is_within
from ztrust_mail.specfile.entries import Spec

SOUND = "sender: {address: a@b.example}, relay: {host: h.example}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(**files: str) -> list[str]:
    for name, content in files.items():
        Path(f"{name}.yaml").write_text(content, encoding="utf-8")
    return [f"{name}.yaml" for name in files]


def said(findings: list[Finding]) -> list[str]:
    return [f"{f.location}: {f.message} [{f.rule}]" for f in findings]


def spec_of(content: str) -> Spec:
    return ztrust_mail.load_spec(put(s=content))


def settings_of(entry: str) -> dict[str, object]:
    spec = spec_of(f"version: 1\nrealms:\n  r: {{{entry}}}\n")
    return {name: setting.value for name, setting in spec.entries[0].settings.items()}


@pytest.mark.usefixtures("folder")
class TestOneFile:
    def test_every_field_becomes_a_typed_setting(self):
        token = "{url: https://a.example, client_id: c, client_secret: {keyring: [s, n]}, scope: s}"
        assert settings_of(
            "sender: {address: a@b.example, name: A}, reply_to: {address: r@b.example, name: R}, "
            "envelope_from: e@b.example, relay: {host: h.example, port: 25, security: none, utf8: true, debug: false, "
            f"auth: {{username: u, token: {token}}}, timeouts: {{connect: 1s, read: 2ms, write: 3m}}}}, "
            "extra: {a.b: c}"
        ) == {
            "sender.address": "a@b.example",
            "sender.name": "A",
            "reply_to.address": "r@b.example",
            "reply_to.name": "R",
            "envelope_from": "e@b.example",
            "relay.host": "h.example",
            "relay.port": 25,
            "relay.security": Security.NONE,
            "relay.utf8": True,
            "relay.debug": False,
            "relay.auth.username": "u",
            "relay.auth.token.url": "https://a.example",
            "relay.auth.token.client_id": "c",
            "relay.auth.token.client_secret": SecretRef(SecretKind.KEYRING, ("s", "n")),
            "relay.auth.token.scope": "s",
            "relay.timeouts.connect": Duration(1000),
            "relay.timeouts.read": Duration(2),
            "relay.timeouts.write": Duration(180_000),
            "extra.a.b": "c",
        }

    @pytest.mark.parametrize(
        ("entry", "removed"),
        [
            ("reply_to: false", "reply_to"),
            ("reply_to: {name: false}", "reply_to.name"),
            ("envelope_from: false", "envelope_from"),
            ("sender: {name: false}", "sender.name"),
            ("relay: {auth: false}", "relay.auth"),
            ("relay: {port: false}", "relay.port"),
            ("relay: {timeouts: false}", "relay.timeouts"),
            ("relay: {timeouts: {read: false}}", "relay.timeouts.read"),
            ("extra: {k: false}", "extra.k"),
        ],
    )
    def test_false_is_a_removal(self, entry, removed):
        assert settings_of(entry) == {removed: ABSENT}

    def test_false_is_a_value_where_a_boolean_is_wanted(self):
        assert settings_of("relay: {utf8: false, debug: false}") == {"relay.utf8": False, "relay.debug": False}

    def test_text_with_a_brace_is_expanded_per_realm_and_other_text_is_not(self):
        assert settings_of('sender: {address: "{realm}", name: "{{x"}') == {
            "sender.address": "{realm}",
            "sender.name": "{{x",
        }

    def test_braces_are_plain_text_in_fields_without_placeholders(self):
        token = '{url: "https://a.example/{realm}", client_id: "{realm}", client_secret: {env: A}, scope: "{x"}'
        values = settings_of(f"relay: {{auth: {{username: u, token: {token}}}}}")
        assert values["relay.auth.token.url"] == "https://a.example/{realm}"
        assert values["relay.auth.token.client_id"] == "{realm}"
        assert values["relay.auth.token.scope"] == "{x"

    @pytest.mark.parametrize(
        ("written", "reference"),
        [
            ("{env: A}", SecretRef(SecretKind.ENV, ("A",))),
            ("{command: [pass, show, 5]}", SecretRef(SecretKind.COMMAND, ("pass", "show", "5"))),
            ("{keyring: [a, b]}", SecretRef(SecretKind.KEYRING, ("a", "b"))),
            ("{keycloak_vault: k.e-y_1}", SecretRef(SecretKind.KEYCLOAK_VAULT, ("k.e-y_1",))),
        ],
    )
    def test_a_reference_says_where_the_secret_is(self, written, reference):
        assert settings_of(f"relay: {{auth: {{password: {written}}}}}") == {"relay.auth.password": reference}

    def test_a_secret_file_is_relative_to_the_spec_file_it_is_named_in(self, folder):
        (folder / "sub").mkdir()
        Path("sub/s.yaml").write_text("version: 1\nrealms: {r: {relay: {auth: {password: {file: p.txt}}}}}")
        (entry,) = ztrust_mail.load_spec("sub/s.yaml").entries
        reference = entry.settings["relay.auth.password"].value
        assert reference == SecretRef(SecretKind.FILE, ("p.txt",), str(folder / "sub"))

    def test_every_value_knows_its_line_and_column(self):
        spec = spec_of(
            "version: 1\ndefaults:\n  vars: {a: b}\nrealms:\n  r:\n    relay:\n      host: h\n    reply_to: false\n"
        )
        (entry,) = spec.entries
        assert entry.location == Location("s.yaml", 5, 3)
        assert entry.settings["relay.host"].location == Location("s.yaml", 7, 13)
        assert entry.settings["reply_to"].location == Location("s.yaml", 8, 15)
        assert entry.settings["reply_to"].removed
        assert spec.defaults.variables["a"].location == Location("s.yaml", 3, 13)
        assert spec.defaults.variables["a"].text == "b"

    def test_entries_keep_the_order_they_are_written_in(self):
        spec = spec_of(
            f"version: 1\nrealms: {{z: {{}}, 'a*': {{{SOUND}}}, m: {{disabled: true}}, 'b?': {{expect: {{min: 3}}}}}}"
        )
        assert [e.name for e in spec.entries] == ["z", "a*", "m", "b?"]
        assert [e.name for e in spec.globs] == ["a*", "b?"]
        assert [e.disabled for e in spec.entries] == [False, False, True, False]
        assert [e.expect_min for e in spec.entries] == [0, 0, 0, 3]

    @pytest.mark.parametrize(("written", "least"), [("3", 3), ("3.0", 3), ("0", 0)])
    def test_the_number_a_glob_must_match_is_taken_however_it_is_written(self, written, least):
        assert spec_of(f"version: 1\nrealms: {{'a*': {{expect: {{min: {written}}}}}}}").entries[0].expect_min == least

    def test_a_disabled_entry_that_says_false_is_a_usual_one(self):
        assert not spec_of(f"version: 1\nrealms: {{a: {{disabled: false, {SOUND}}}}}").entries[0].disabled

    @pytest.mark.parametrize(
        ("written", "names"), [("production", ("production",)), ("[a, b]", ("a", "b")), ("2024", ("2024",))]
    )
    def test_the_server_guard_is_a_name_or_names(self, written, names):
        assert spec_of(f"version: 1\nserver: {written}\n").servers == names

    @pytest.mark.parametrize("written", ["https://id.example.com", "[production, 'http://x']"])
    def test_the_server_guard_is_never_a_url(self, written):
        with pytest.raises(SpecError) as caught:
            spec_of(f"version: 1\nserver: {written}\n")
        assert said(caught.value.findings) == ["s.yaml:2:9: `server` holds a URL [bad-value]"]

    @pytest.mark.parametrize("name", [".", ".."])
    def test_a_realm_that_would_be_another_url_is_refused(self, name):
        with pytest.raises(SpecError) as caught:
            spec_of(f"version: 1\nrealms: {{'{name}': {{{SOUND}}}}}")
        assert said(caught.value.findings) == [f"s.yaml:2:10: `{name}` cannot be a realm's name [bad-name]"]

    def test_top_level_keys_that_begin_with_x_or_dollar_are_ignored(self):
        spec = spec_of("version: 1\n$schema: https://x\nx-a: {relay: 1}\nx-: null\nrealms: {}\n")
        assert spec.entries == ()

    def test_an_extra_attribute_that_a_field_stands_for_is_refused_with_the_field(self):
        findings = ztrust_mail.validate(put(s="version: 1\nrealms: {r: {extra: {ssl: 'true', x: y}}}"))[1]
        assert said(findings[:1]) == [
            "s.yaml:2:22: `realms.r.extra.ssl` is not an extra attribute: it has a field of its own [reserved-extra]"
        ]
        assert findings[0].hint == "set `relay.security`"


@pytest.mark.usefixtures("folder")
class TestSeveralFiles:
    def test_several_files_make_one_spec(self):
        paths = put(
            a=f"version: 1\nserver: s\ndefaults: {{{SOUND}}}\n",
            b="realms: {acme: {}}",
            c="version: 1\nrealms: {globex: {}}",
        )
        spec = ztrust_mail.load_spec(paths)
        assert spec.paths == tuple(paths)
        assert spec.servers == ("s",)
        assert [(e.name, str(e.location)) for e in spec.entries] == [("acme", "b.yaml:1:10"), ("globex", "c.yaml:2:10")]
        assert ztrust_mail.explain(spec, "globex").origins["relay.host"].path == "a.yaml"
        assert spec.warnings == ()

    @pytest.mark.parametrize(
        ("content", "what"),
        [
            ("defaults: {}", "`defaults`"),
            ("server: production", "`server`"),
            ("realms: {acme: {}}", "the entry `acme`"),
            ("realms: {'t-*': {}}", "the entry `t-*`"),
        ],
    )
    def test_a_duplicate_definition_names_both_places(self, content, what):
        column = 10 if "realms" in content else 1
        with pytest.raises(SpecError) as caught:
            ztrust_mail.load_spec(put(a=f"version: 1\n\n{content}", b=content))
        (found,) = caught.value.findings
        assert said([found]) == [f"b.yaml:1:{column}: {what} is already defined at a.yaml:3:{column} [defined-twice]"]
        assert found.hint == "keep one of them"

    def test_a_third_time_names_the_first_place_too(self):
        with pytest.raises(SpecError) as caught:
            ztrust_mail.load_spec(put(a="version: 1\nrealms: {r: {}}", b="realms: {r: {}}", c="realms: {r: {}}"))
        assert [str(f.location) for f in caught.value.findings] == ["b.yaml:1:10", "c.yaml:1:10"]
        assert all("a.yaml:2:10" in f.message for f in caught.value.findings)

    def test_names_that_differ_in_case_are_different_entries(self):
        spec = ztrust_mail.load_spec(put(a="version: 1\nrealms: {acme: {}}", b="realms: {ACME: {}}"))
        assert [e.name for e in spec.entries] == ["acme", "ACME"]
        assert [f.rule for f in spec.warnings] == ["odd-name"]

    def test_all_problems_of_all_files_are_reported_at_once_in_order(self):
        paths = put(
            b="version: 1\nrealms: {r: {sender: {name: [1]}}}",
            a=f"defaults: {{relay: {{host: 'x:1', prot: 25, port: 0}}}}\nrealms: {{q: {{{SOUND}, expect: {{}}}}}}",
            c="realms: [",
        )
        with pytest.raises(SpecError) as caught:
            ztrust_mail.load_spec(paths)
        places = [str(f.location) for f in caught.value.findings]
        assert places == ["a.yaml:1:26", "a.yaml:1:33", "a.yaml:1:49", "a.yaml:2:72", "b.yaml:2:29", "c.yaml:1:10"]
        assert [f.rule for f in caught.value.findings] == [
            "bad-value", "unknown-key", "out-of-range", "expect-without-glob", "wrong-type", "yaml-syntax",
        ]  # fmt: skip
        assert list(caught.value.findings) == [f for f in ztrust_mail.validate(paths)[1] if f.rule != "missing-field"]

    def test_a_missing_version_is_reported_at_the_first_file(self):
        findings = ztrust_mail.validate(put(a=f"realms: {{r: {{{SOUND}}}}}", b="realms: {}"))[1]
        assert said(findings) == ["a.yaml:1:1: the spec has no version [no-version]"]

    def test_an_ignored_toml_file_hides_no_other_problem(self, tmp_path):
        (tmp_path / "a.yaml").write_text(f"realms: {{r: {{{SOUND}}}}}")
        (tmp_path / "b.toml").write_text("version = 1\n")
        findings = ztrust_mail.validate(tmp_path)[1]
        assert [(f.rule, f.severity) for f in findings] == [
            ("no-version", Severity.ERROR), ("unknown-file-type", Severity.WARNING),
        ]  # fmt: skip

    def test_an_ignored_toml_file_leaves_a_spec_valid(self, tmp_path):
        (tmp_path / "a.yaml").write_text(f"version: 1\nrealms: {{r: {{{SOUND}}}}}")
        (tmp_path / "b.toml").write_text("version = 1\n")
        spec = ztrust_mail.load_spec(tmp_path)
        assert [f.rule for f in spec.warnings] == ["unknown-file-type"]

    def test_the_version_is_not_missed_where_its_file_could_not_be_read(self):
        findings = ztrust_mail.validate(put(a="version: 1\nrealms: [", b=f"realms: {{r: {{{SOUND}}}}}"))[1]
        assert [f.rule for f in findings] == ["yaml-syntax"]

    def test_placeholders_are_not_unknown_where_the_file_of_the_variables_could_not_be_read(self):
        paths = put(a="version: 1\ndefaults: {vars: {x: y}", b="realms: {r: {sender: {name: '{x}'}}}")
        assert [f.rule for f in ztrust_mail.validate(paths)[1]] == ["yaml-syntax"]
        with pytest.raises(SpecError) as caught:
            ztrust_mail.load_spec(paths)
        assert [f.rule for f in caught.value.findings] == ["yaml-syntax"]

    def test_a_variable_whose_value_is_wrong_is_not_unknown_as_well(self):
        paths = put(
            a=f"version: 1\nrealms: {{r: {{{SOUND}, vars: {{x: null}}, reply_to: {{address: 'a@{{x}}.example'}}}}}}"
        )
        assert [f.rule for f in ztrust_mail.validate(paths)[1]] == ["null"]

    def test_a_field_is_not_missing_where_it_is_only_wrong(self):
        paths = put(a="version: 1\nrealms: {r: {sender: {address: [x]}, relay: {host: h.example}}}")
        assert [f.rule for f in ztrust_mail.validate(paths)[1]] == ["wrong-type"]

    def test_a_path_may_be_an_object_and_stand_alone(self):
        (path,) = put(a=f"version: 1\nrealms: {{r: {{{SOUND}}}}}")
        wanted = ztrust_mail.load_spec([path])
        assert wanted == ztrust_mail.load_spec(path) == ztrust_mail.load_spec(Path(path))
        assert wanted == ztrust_mail.load_spec([Path(path)])

    def test_no_file_at_all_is_reported(self, folder):
        (folder / "empty").mkdir()
        with pytest.raises(SpecError) as caught:
            ztrust_mail.load_spec(["empty", "nosuch.yaml"])
        assert [(str(f.location), f.rule) for f in caught.value.findings] == [
            ("empty", "empty-folder"),
            ("nosuch.yaml", "no-such-file"),
        ]


ENTRY = {"sender": {"address": "a@b.example"}, "relay": {"host": "h.example", "port": 587}}


class TestADict:
    def test_a_dict_is_a_spec_without_lines(self):
        spec = ztrust_mail.load_spec({"version": 1, "realms": {"acme": ENTRY}})
        assert spec.paths == ("<dict>",)
        assert spec.entries[0].location == Location("<dict>", key="realms.acme")
        assert ztrust_mail.explain(spec, "acme").fields["relay.port"] == 587

    def test_problems_of_a_dict_are_reported_without_lines(self):
        with pytest.raises(SpecError) as caught:
            ztrust_mail.load_spec({"realms": {"acme": {**ENTRY, "relay": {"host": None}, "x": object()}}})
        assert {(str(f.location), f.rule) for f in caught.value.findings} == {
            ("<dict>: realms.acme.relay.host", "null"),
            ("<dict>", "not-json"),
        }

    def test_the_error_names_the_place_of_a_problem_but_no_key_below_a_login(self):
        with pytest.raises(SpecError) as caught:
            ztrust_mail.load_spec({"version": 1, "realms": {"acme": {"sender": {"adress": "a@b.example"}}}})
        assert str(caught.value).startswith("the spec has 1 problem: <dict>: realms.acme.sender.adress: unknown key")
        auth = {"username": "u", "s3cret-pw": {"x": 1}}
        _, findings = ztrust_mail.validate({"version": 1, "realms": {"acme": {"relay": {"auth": auth}}}})
        assert "<dict>: realms.acme.relay.auth" in {str(f.location) for f in findings}
        assert "s3cret-pw" not in str(findings)

    def test_a_missing_version_has_no_line_either(self):
        assert said(ztrust_mail.validate({"realms": {"acme": ENTRY}})[1]) == [
            "<dict>: the spec has no version [no-version]"
        ]

    def test_findings_of_a_dict_name_realms_instead_of_lines(self):
        spec = {"version": 1, "realms": {"acme": {}, "globex": {}, "t-*": {}}}
        findings = ztrust_mail.validate(spec)[1]
        assert [(f.realm, f.field) for f in findings] == [
            (name, field) for name in spec["realms"] for field in ("sender.address", "relay.host")
        ]

    def test_loading_a_dict_does_not_change_it(self):
        given = {"version": 1, "realms": {"acme": {"sender": {"name": 5, "x": 1}, "relay": {"auth": {"password": {}}}}}}
        before = repr(given)
        assert ztrust_mail.validate(given)[1]
        assert repr(given) == before


def test_warnings_come_with_the_spec():
    spec = lint.load_spec({"version": 1}, {})
    assert [f.rule for f in spec.warnings] == ["no-realms"]


@pytest.mark.parametrize(
    ("name", "group", "inside"),
    [
        ("relay.auth", "relay.auth", True),
        ("relay.auth.username", "relay.auth", True),
        ("relay.authority", "relay.auth", False),
        ("relay", "relay.auth", False),
        ("extra.a", "extra", True),
        ("extra.a.b", "extra.a", False),
        ("extra.a", "extra.a", True),
    ],
)
def test_a_field_is_within_its_groups_and_an_extra_attribute_is_no_group(name, group, inside):
    assert is_within(name, group) is inside
