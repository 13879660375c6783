"""From levels to one realm's settings: inheritance sentence by sentence, globs, placeholders, defaults."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ztrust_mail
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import glob_matches
from ztrust_mail.model.fields import ABSENT, FIELDS, Duration, Login, Security
from ztrust_mail.specfile.resolve import Desired, Matching, match, resolve_entry

ENV = {"env": "KEY"}
LOGIN = {"username": "u", "password": ENV}
TOKEN = {"url": "https://a.example", "client_id": "c", "client_secret": {"env": "SECRET"}, "scope": "s"}
BASE = {"sender": {"address": "a@b.example"}, "relay": {"host": "h.example"}}


def spec_of(defaults: dict, realms: dict):
    return ztrust_mail.load_spec({"version": 1, "defaults": defaults, "realms": realms})


def resolved(defaults: dict, entry: dict, realm: str = "acme") -> Desired:
    return ztrust_mail.explain(spec_of(defaults, {realm: entry}), realm)


def relay(**settings: object) -> dict:
    return {**BASE, "relay": {"host": "h.example", **settings}}


def fields(defaults: dict, entry: dict, realm: str = "acme") -> dict[str, object]:
    wanted = resolved(defaults, entry, realm)
    assert wanted.findings == ()
    return dict(wanted.fields)


def failed(defaults: dict, entry: dict, realm: str = "acme") -> list[Finding]:
    wanted = resolved(defaults, entry, realm)
    assert wanted.findings
    assert wanted.fields == {}
    assert wanted.origins == {}
    assert {f.realm for f in wanted.findings} == {realm}
    return list(wanted.findings)


class TestInheritance:
    def test_an_entry_takes_the_defaults_and_overrides_leaf_by_leaf(self):
        defaults = {**relay(port=2525), "sender": {"address": "a@b.example", "name": "Default"}}
        values = fields(defaults, {"sender": {"name": "Acme"}})
        assert (values["sender.address"], values["sender.name"]) == ("a@b.example", "Acme")
        assert (values["relay.host"], values["relay.port"]) == ("h.example", 2525)

    def test_without_defaults_an_entry_stands_alone(self):
        spec = ztrust_mail.load_spec({"version": 1, "realms": {"acme": BASE}})
        assert ztrust_mail.explain(spec, "acme").fields["relay.host"] == "h.example"

    @pytest.mark.parametrize("host", ["other.example", "h.example"])
    def test_a_level_that_names_a_host_inherits_neither_login_port_nor_security(self, host):
        values = fields(relay(port=4465, security="tls", auth=LOGIN, debug=True), {"relay": {"host": host}})
        assert values["relay.host"] == host
        assert values["relay.auth"] is Login.NONE
        assert not any(name.startswith("relay.auth.") for name in values)
        assert (values["relay.port"], values["relay.security"]) == (587, Security.STARTTLS)
        assert values["relay.debug"] is True

    def test_a_level_that_names_a_host_keeps_the_login_port_and_security_of_its_own(self):
        own = {"host": "o.example", "port": 26, "security": "none", "auth": {"username": "o", "password": {"env": "O"}}}
        values = fields(relay(port=4465, security="tls", auth={"username": "u", "token": TOKEN}), {"relay": own})
        assert (values["relay.port"], values["relay.security"]) == (26, Security.NONE)
        assert values["relay.auth"] is Login.BASIC
        assert values["relay.auth.username"] == "o"
        assert values["relay.auth.password"] == SecretRef(SecretKind.ENV, ("O",))
        assert not any("token" in name for name in values)

    def test_half_a_login_is_not_completed_from_a_level_with_another_host(self):
        entry = {"relay": {"host": "o.example", "auth": {"username": "o"}}}
        (found,) = failed(relay(auth=LOGIN), entry)
        assert (found.rule, found.field) == ("missing-field", "relay.auth.password")

    def test_security_without_a_port_drops_an_inherited_port(self):
        values = fields(relay(port=2525), {"relay": {"security": "tls"}})
        assert (values["relay.port"], values["relay.security"]) == (465, Security.TLS)

    def test_security_with_a_port_keeps_its_own(self):
        values = fields(relay(port=2525), {"relay": {"security": "tls", "port": 4465}})
        assert (values["relay.port"], values["relay.security"]) == (4465, Security.TLS)

    def test_a_port_alone_keeps_the_inherited_security_and_login(self):
        values = fields(relay(security="tls", auth=LOGIN), {"relay": {"port": 4465}})
        assert (values["relay.port"], values["relay.security"]) == (4465, Security.TLS)
        assert values["relay.auth"] is Login.BASIC

    def test_security_alone_keeps_the_inherited_login(self):
        assert fields(relay(auth=LOGIN), {"relay": {"security": "tls"}})["relay.auth"] is Login.BASIC

    def test_a_password_replaces_an_inherited_token(self):
        values = fields(relay(auth={"username": "u", "token": TOKEN}), {"relay": {"auth": {"password": ENV}}})
        assert values["relay.auth"] is Login.BASIC
        assert values["relay.auth.username"] == "u"
        assert not any("token" in name for name in values)

    def test_a_token_replaces_an_inherited_password(self):
        values = fields(relay(auth=LOGIN), {"relay": {"auth": {"token": TOKEN}}})
        assert values["relay.auth"] is Login.TOKEN
        assert "relay.auth.password" not in values

    def test_a_token_is_replaced_as_a_whole(self):
        own = {"url": "https://b.example", "client_id": "d", "client_secret": {"env": "OTHER"}}
        values = fields(relay(auth={"username": "u", "token": TOKEN}), {"relay": {"auth": {"token": own}}})
        assert values["relay.auth.token.client_id"] == "d"
        assert "relay.auth.token.scope" not in values

    @pytest.mark.parametrize("own", [{"file": "p.txt"}, {"keyring": ["a", "b"]}, {"env": "OTHER"}])
    def test_a_secret_reference_is_replaced_as_a_whole(self, own):
        password = fields(relay(auth=LOGIN), {"relay": {"auth": {"password": own}}})["relay.auth.password"]
        ((kind, _),) = own.items()
        assert password.kind.value == kind
        assert "KEY" not in password.argument

    def test_a_user_alone_keeps_the_inherited_secret(self):
        for below in (LOGIN, {"username": "u", "token": TOKEN}):
            values = fields(relay(auth=below), {"relay": {"auth": {"username": "other"}}})
            assert values["relay.auth.username"] == "other"
            assert values["relay.auth"] is (Login.BASIC if below is LOGIN else Login.TOKEN)

    @pytest.mark.parametrize(
        ("removal", "gone"),
        [
            ({"reply_to": False}, {"reply_to.address", "reply_to.name"}),
            ({"reply_to": {"name": False}}, {"reply_to.name"}),
            ({"envelope_from": False}, {"envelope_from"}),
            ({"sender": {"name": False}}, {"sender.name"}),
            ({"relay": {"auth": False}}, {"relay.auth.username", "relay.auth.password"}),
            ({"relay": {"timeouts": False}}, {"relay.timeouts.read", "relay.timeouts.write"}),
            ({"relay": {"timeouts": {"read": False}}}, {"relay.timeouts.read"}),
        ],
    )
    def test_false_removes_what_is_inherited(self, removal, gone):
        defaults = {
            "sender": {"address": "a@b.example", "name": "A"},
            "reply_to": {"address": "r@b.example", "name": "R"},
            "envelope_from": "e@b.example",
            "relay": {"host": "h.example", "auth": LOGIN, "timeouts": {"read": "1s", "write": "2s"}},
        }
        before, after = fields(defaults, {}), fields(defaults, removal)
        assert before.keys() - after.keys() == gone
        assert {n: v for n, v in before.items() if n not in gone | {"relay.auth"}} == {
            n: v for n, v in after.items() if n != "relay.auth"
        }
        assert (after["relay.auth"] is Login.NONE) is ("relay.auth.username" in gone)

    def test_false_for_a_port_means_the_usual_one(self):
        assert fields(relay(port=2525, security="tls"), {"relay": {"port": False}})["relay.port"] == 465

    def test_false_for_an_extra_attribute_says_that_it_must_not_be_there(self):
        values = fields({**BASE, "extra": {"a": "x", "a.b": "y", "c": "z"}}, {"extra": {"a": False, "new": False}})
        assert (values["extra.a"], values["extra.new"]) == (ABSENT, ABSENT)
        assert (values["extra.a.b"], values["extra.c"]) == ("y", "z")

    def test_an_entry_can_set_a_field_that_the_defaults_remove(self):
        defaults = {**BASE, "reply_to": False, "extra": {"k": False}}
        values = fields(defaults, {"reply_to": {"address": "r@b.example"}, "extra": {"k": "v"}})
        assert (values["reply_to.address"], values["extra.k"]) == ("r@b.example", "v")
        assert fields(defaults, {})["extra.k"] is ABSENT

    def test_removing_a_field_that_is_not_inherited_changes_nothing(self):
        assert fields(BASE, {"reply_to": False, "relay": {"auth": False, "timeouts": False}}) == fields(BASE, {})

    def test_an_exact_entry_does_not_inherit_from_a_glob(self):
        spec = spec_of(BASE, {"a*": {"sender": {"name": "Glob"}, "vars": {"x": "y"}}, "acme": {}, "abc*": {}})
        assert "sender.name" not in ztrust_mail.explain(spec, "acme").fields
        assert ztrust_mail.explain(spec, "axme").fields["sender.name"] == "Glob"
        assert "sender.name" not in ztrust_mail.explain(spec, "abcd").fields

    def test_a_variable_of_an_entry_wins_over_the_defaults(self):
        defaults = {**BASE, "vars": {"x": "d", "y": "e"}, "sender": {"address": "{x}{y}@b.example"}}
        assert fields(defaults, {"vars": {"x": "own"}})["sender.address"] == "owne@b.example"

    @pytest.mark.parametrize("name", ["sender.address", "relay.host"])
    def test_a_mandatory_field_is_judged_after_merging_and_for_each_realm(self, name):
        defaults = {group: {k: v for k, v in inner.items() if f"{group}.{k}" != name} for group, inner in BASE.items()}
        (found,) = failed(defaults, {})
        assert (found.rule, found.field, found.severity) == ("missing-field", name, Severity.ERROR)
        assert found.message == f"`{name}` is missing"
        assert found.hint == f"set `{name}` in the entry or in the defaults"
        assert fields(defaults, BASE)[name]

    @pytest.mark.parametrize(
        ("auth", "lacking"),
        [
            ({"username": "u"}, "relay.auth.password"),
            ({"password": ENV}, "relay.auth.username"),
            ({"token": TOKEN}, "relay.auth.username"),
        ],
    )
    def test_half_a_login_is_incomplete(self, auth, lacking):
        assert [(f.rule, f.field) for f in failed(BASE, {"relay": {"auth": auth}})] == [("missing-field", lacking)]

    def test_a_reply_to_name_needs_an_address(self):
        assert [f.field for f in failed(BASE, {"reply_to": {"name": "R"}})] == ["reply_to.address"]


class TestWhatIsMeantWhenNothingIsSaid:
    @pytest.mark.parametrize(
        ("said", "port", "security"),
        [
            ({}, 587, Security.STARTTLS),
            ({"security": "starttls"}, 587, Security.STARTTLS),
            ({"security": "tls"}, 465, Security.TLS),
            ({"security": "none"}, 25, Security.NONE),
            ({"port": 2525}, 2525, Security.STARTTLS),
        ],
    )
    def test_security_is_starttls_and_the_port_follows_from_it(self, said, port, security):
        values = fields(BASE, {"relay": said})
        assert (values["relay.port"], values["relay.security"]) == (port, security)

    @pytest.mark.parametrize(
        ("auth", "login"),
        [
            ({}, Login.NONE),
            (False, Login.NONE),
            (LOGIN, Login.BASIC),
            ({"username": "u", "token": TOKEN}, Login.TOKEN),
        ],
    )
    def test_the_kind_of_login_follows_from_the_secret(self, auth, login):
        assert fields(BASE, {"relay": {"auth": auth}})["relay.auth"] is login

    def test_nothing_else_is_added(self):
        assert fields(BASE, {}).keys() == {
            "sender.address",
            "relay.host",
            "relay.port",
            "relay.security",
            "relay.auth",
        }

    def test_every_value_has_its_origin_and_a_default_of_ours_has_none(self):
        wanted = resolved(BASE, {"relay": {"timeouts": {"read": "5s"}}})
        assert wanted.fields["relay.timeouts.read"] == Duration(5000)
        assert wanted.fields.keys() - wanted.origins.keys() == {"relay.port", "relay.security", "relay.auth"}

    def test_fields_come_in_the_order_people_read_them(self):
        wanted = fields(
            relay(auth=LOGIN, debug=True, utf8=True), {"extra": {"z": "1", "a": "2"}, "envelope_from": "e@b.example"}
        )
        known = [*FIELDS, "relay.auth", "extra.z", "extra.a"]
        assert list(wanted) == sorted(wanted, key=known.index)

    def test_a_disabled_realm_wants_nothing_whatever_the_defaults_say(self):
        wanted = resolved({"sender": {"name": "only"}}, {"disabled": True})
        assert wanted.disabled
        assert (wanted.fields, wanted.findings) == ({}, ())
        assert wanted.origins.keys() == {"disabled"}


PLACES = {
    "sender.address": ({"sender": {"address": "{v}@b.example"}}, "eu@b.example"),
    "sender.name": ({"sender": {"name": "{v} {realm}"}}, "eu acme"),
    "reply_to.address": ({"reply_to": {"address": "{v}@b.example"}}, "eu@b.example"),
    "reply_to.name": ({"reply_to": {"address": "a@b.example", "name": "{v}"}}, "eu"),
    "envelope_from": ({"envelope_from": "{v}@{realm.slug}.example"}, "eu@acme.example"),
    "relay.host": ({"relay": {"host": "{v}.{realm}.example"}}, "eu.acme.example"),
    "relay.auth.username": ({"relay": {"auth": {"username": "{v}", "password": ENV}}}, "eu"),
    "extra.k": ({"extra": {"k": "{v}"}}, "eu"),
    "notify.recipients": ({"notify": {"recipients": ["{v}@b.example", "b@b.example"]}}, "eu@b.example, b@b.example"),
    "templates.theme": ({"templates": {"theme": "{v}-{realm.slug}"}}, "eu-acme"),
    "relay.auth.password": (
        {"relay": {"auth": {"username": "u", "password": {"env": "P_{v}_{realm}"}}}},
        SecretRef(SecretKind.ENV, ("P_EU_ACME",)),
    ),
    "relay.auth.token.client_secret": (
        {"relay": {"auth": {"username": "u", "token": {**TOKEN, "client_secret": {"env": "{v}"}}}}},
        SecretRef(SecretKind.ENV, ("EU",)),
    ),
}


class TestPlaceholders:
    @pytest.mark.parametrize("name", PLACES)
    def test_placeholders_are_expanded_in_the_documented_fields(self, name):
        entry, value = PLACES[name]
        assert fields({**BASE, "vars": {"v": "eu"}}, entry)[name] == value

    def test_the_documented_fields_with_placeholders_are_all(self):
        assert PLACES.keys() - {"extra.k"} == {name for name, row in FIELDS.items() if row.placeholders}

    def test_placeholders_are_not_expanded_in_other_fields(self):
        token = {"url": "https://a.example/{v}", "client_id": "{v}", "client_secret": ENV, "scope": "{realm"}
        values = fields({**BASE, "vars": {"v": "eu"}}, {"relay": {"auth": {"username": "u", "token": token}}})
        assert values["relay.auth.token.url"] == "https://a.example/{v}"
        assert values["relay.auth.token.client_id"] == "{v}"
        assert values["relay.auth.token.scope"] == "{realm"

    @pytest.mark.parametrize(
        "reference",
        [{"command": ["pass", "{realm}", "{x", "{{"]}, {"keyring": ["{realm}", "}"]}],
    )
    def test_in_a_command_or_keyring_a_brace_is_a_brace(self, reference):
        ((kind, argument),) = reference.items()
        password = fields(BASE, {"relay": {"auth": {"username": "u", "password": reference}}})["relay.auth.password"]
        assert password == SecretRef(SecretKind(kind), tuple(argument))

    @pytest.mark.parametrize(
        ("realm", "variable"),
        [("acme", "P_ACME"), ("acme-corp.eu", "P_ACME_CORP_EU"), ("Straße 1", "P_STRASSE_1"), ("日本", "P___")],
    )
    def test_in_a_variables_name_the_realm_is_upper_case(self, realm, variable):
        auth = {"username": "u", "password": {"env": "P_{realm}"}}
        assert fields(BASE, {"relay": {"auth": auth}}, realm)["relay.auth.password"].argument == (variable,)

    def test_a_variables_name_cannot_begin_with_a_digit(self):
        (found,) = failed(BASE, {"relay": {"auth": {"username": "u", "password": {"env": "{realm}"}}}}, "1a")
        assert found.message == "`relay.auth.password` does not name a variable"

    def test_in_a_files_name_the_realm_is_one_segment(self):
        auth = {"username": "u", "password": {"file": "s/{realm}/{x}.txt"}}
        password = fields({**BASE, "vars": {"x": "a.b"}}, {"relay": {"auth": auth}}, "Acme Corp")["relay.auth.password"]
        assert password.argument == ("s/Acme Corp/a.b.txt",)
        assert password.base

    @pytest.mark.parametrize("value", ["..", ".", "/etc", "../x", "a/../../b", "a\\b", "..\\.."])
    def test_no_variable_leads_out_of_its_segment(self, value):
        auth = {"username": "u", "password": {"file": "s/{x}/p.txt"}}
        (found,) = failed({**BASE, "vars": {"x": value}}, {"relay": {"auth": auth}})
        assert found.rule == "bad-value"
        assert "would lead to another folder" in found.message

    @pytest.mark.parametrize("realm", ["..", ".", "a/b", "a\\b", "a\0b"])
    def test_no_realm_of_the_server_leads_out_of_its_segment_either(self, realm):
        auth = {"username": "u", "password": {"file": "s/{realm}/p.txt"}}
        spec = spec_of(BASE, {"*": {"relay": {"auth": auth}}})
        wanted = resolve_entry(spec, spec.entries[0], realm)
        assert [f.rule for f in wanted.findings] == ["bad-value"]
        assert wanted.fields == {}

    @pytest.mark.parametrize("realm", ["a\r\nBcc: x", "a\u202eb", "a\x1b[m"])
    def test_a_realms_name_of_the_server_brings_no_control_character_in(self, realm):
        spec = spec_of({**BASE, "sender": {"address": "a@b.example", "name": "{realm}"}}, {"*": {}})
        (found,) = resolve_entry(spec, spec.entries[0], realm).findings
        assert "control character" in found.message

    def test_a_long_name_does_not_make_a_field_too_long_unnoticed(self):
        (found,) = failed({**BASE, "sender": {"address": "a@b.example", "name": "{realm}{realm}"}}, {}, "x" * 200)
        assert found.message == "`sender.name` has 400 characters, over the limit of 255"

    def test_an_address_is_judged_once_it_is_filled_in(self):
        (found,) = failed({**BASE, "sender": {"address": "{realm}@b.example"}}, {}, "no way")
        assert (found.rule, found.field) == ("bad-value", "sender.address")
        assert "`no way@b.example`" in found.message

    def test_a_non_ascii_address_needs_utf8_at_any_level(self):
        entry = {"sender": {"address": "büro@b.example"}}
        assert "relay.utf8" in failed(BASE, entry)[0].message
        assert fields(relay(utf8=True), entry)["sender.address"] == "büro@b.example"
        assert failed(relay(utf8=True), {**entry, "relay": {"utf8": False}})

    def test_all_fields_that_are_wrong_are_reported(self):
        defaults = {"sender": {"address": "{realm}", "name": "{realm.slug}"}, "relay": {"host": "{realm}:25"}}
        assert [f.field for f in failed(defaults, {}, "日本")] == ["sender.address", "sender.name", "relay.host"]

    def test_double_braces_are_braces(self):
        assert fields({**BASE, "extra": {"k": "{{realm}} {{"}}, {})["extra.k"] == "{realm} {"


class Counting(str):
    """Text that counts how often one of its characters is looked at."""

    looks = 0

    def __getitem__(self, key):
        Counting.looks += 1
        return super().__getitem__(key)


class TestGlobs:
    @pytest.mark.parametrize(
        ("pattern", "name", "fits"),
        [
            ("*", "", True),
            ("*", "acme", True),
            ("", "", True),
            ("", "a", False),
            ("?", "", False),
            ("?", "a", True),
            ("?", "ab", False),
            ("a*", "a", True),
            ("a*c", "abc", True),
            ("a*c", "ac", True),
            ("a*c", "abcd", False),
            ("*a*", "bab", True),
            ("a?c*", "abcdef", True),
            ("**a**", "a", True),
            ("*?", "", False),
            ("*?*", "a", True),
            ("tenant-*", "Tenant-1", False),
            ("*ab", "aab", True),
            ("*aab*", "aaaab", True),
            ("a.c", "abc", False),
            ("[ab]*", "a", False),
            ("[ab]*", "[ab]c", True),
            ("{a,b}*", "a", False),
            ("!a*", "b", False),
            ("a\\*", "a*", False),
            ("tenant-?", "tenant-é", True),
        ],
    )
    def test_only_star_and_question_mark_mean_more_than_themselves(self, pattern, name, fits):
        assert glob_matches(pattern, name) is fits

    @given(st.text("ab*?", max_size=8), st.text("ab", max_size=10))
    def test_globs_match_like_fnmatch(self, pattern, name):
        assert glob_matches(pattern, name) == bool(re.match(fnmatch.translate(pattern), name))

    @pytest.mark.parametrize("pattern", ["*a" * 100 + "b", "*" * 200 + "b", "*" + "a" * 200 + "b", "*aaaa" * 40 + "b"])
    def test_no_pattern_takes_more_steps_than_its_length_times_the_names(self, pattern):
        Counting.looks = 0
        name = Counting("a" * 253 + "bc")
        assert not glob_matches(Counting(pattern), name)
        assert 0 < Counting.looks <= 4 * (len(pattern) + 1) * (len(name) + 1)

    def test_many_stars_cost_no_more_than_a_few_steps_for_each_character(self):
        Counting.looks = 0
        assert not glob_matches(Counting("*a" * 100 + "b"), Counting("a" * 10_000))
        assert Counting.looks < 8 * 10_000

    def matched(self, realms: dict, live: list[str]) -> Matching:
        return match(spec_of(BASE, realms), live)

    def names(self, matching: Matching) -> dict[str, str]:
        return {realm: entry.name for realm, entry in matching.entries.items()}

    def test_a_glob_covers_every_realm_without_its_own_entry(self):
        found = self.matched({"t-*": {}, "t-1": {}}, ["t-2", "t-1", "t-3", "other"])
        assert self.names(found) == {"t-2": "t-*", "t-3": "t-*", "t-1": "t-1"}
        assert found.uncovered == ("other",)
        assert [(g.entry.name, g.count) for g in found.globs] == [("t-*", 2)]
        assert found.findings == ()

    def test_an_exact_entry_is_there_also_when_the_server_does_not_show_the_realm(self):
        assert self.names(self.matched({"acme": {}}, [])) == {"acme": "acme"}

    def test_realms_come_in_the_order_of_the_spec_and_by_name_within_a_glob(self):
        found = self.matched({"z": {}, "b*": {}, "a": {}}, ["b2", "a", "b1", "b1", "z"])
        assert list(found.entries) == ["z", "b1", "b2", "a"]

    def test_master_is_covered_only_by_its_exact_name(self):
        assert self.names(self.matched({"*": {}}, ["master", "Master"])) == {"Master": "*"}
        assert self.matched({"*": {}, "m?ster": {}}, ["master"]).uncovered == ("master",)
        assert self.names(self.matched({"*": {}, "master": {}}, ["master"])) == {"master": "master"}

    @pytest.mark.parametrize(
        ("globs", "winner"),
        [
            (["*", "tenant-*"], "tenant-*"),
            (["tenant-*", "tenant-eu-*"], "tenant-eu-*"),
            (["*-1", "tenant-*"], "tenant-*"),
            (["tenant-??-1", "tenant-*"], "tenant-??-1"),
        ],
    )
    def test_more_literal_characters_win_in_either_order(self, globs, winner):
        for order in (globs, globs[::-1]):
            assert self.names(self.matched({g: {} for g in order}, ["tenant-eu-1"]))["tenant-eu-1"] == winner

    def test_a_tie_fails_that_realm_alone(self):
        found = self.matched({"a*": {}, "*b": {}, "c*": {}}, ["ab", "a1", "2b", "c"])
        assert found.ties.keys() == {"ab"}
        tie = found.ties["ab"]
        assert (tie.rule, tie.severity, tie.realm) == ("glob-tie", Severity.ERROR, "ab")
        assert tie.message == "`a*` and `*b` match the realm equally well"
        assert tie.hint == "give `ab` an entry of its own"
        assert self.names(found).keys() == {"ab", "a1", "2b", "c"}
        assert found.findings == ()

    def test_a_realm_that_ties_counts_for_each_of_its_globs(self):
        found = self.matched({"t?": {}, "?1": {"expect": {"min": 1}}, "?9": {}}, ["t1", "t2"])
        assert [(g.entry.name, g.count) for g in found.globs] == [("t?", 2), ("?1", 1), ("?9", 0)]
        assert [f.message for f in found.findings] == ["`?9` matches no realm"]

    def test_a_glob_whose_realms_fit_better_elsewhere_is_reported_so(self):
        found = match(spec_of({}, {"t-*": {}, "t-1*": {}, "t-2": {}, "m*": {}}), ["t-1", "t-12", "t-2", "master"])
        assert [(f.message, f.rule) for f in found.findings] == [
            ("`t-*` applies to no realm: each realm that it matches has a more specific entry", "no-match"),
            ("`m*` matches no realm", "no-match"),
        ]

    def test_explain_shows_a_tie_of_globs(self):
        wanted = ztrust_mail.explain(spec_of(BASE, {"a*": {}, "*b": {}}), "ab")
        assert [f.rule for f in wanted.findings] == ["glob-tie"]
        assert wanted.fields == {}

    def test_an_exact_entry_settles_a_tie_of_globs(self):
        assert self.matched({"a*": {}, "*b": {}, "ab": {}}, ["ab"]).ties == {}

    @pytest.mark.parametrize(
        ("least", "live", "rule", "severity"),
        [
            (0, [], "no-match", Severity.WARNING),
            (1, [], "too-few-realms", Severity.ERROR),
            (3, ["t-1", "t-2"], "too-few-realms", Severity.ERROR),
        ],
    )
    def test_too_few_matches_are_reported(self, least, live, rule, severity):
        found = self.matched({"t-*": {"expect": {"min": least}}}, live)
        assert [(f.rule, f.severity) for f in found.findings] == [(rule, severity)]
        assert "`t-*` matches" in found.findings[0].message
        assert found.findings[0].hint

    def test_a_glob_with_enough_matches_is_accepted(self):
        assert self.matched({"t-*": {"expect": {"min": 2}}}, ["t-1", "t-2"]).findings == ()

    def test_a_realm_with_an_entry_of_its_own_does_not_count_as_matched(self):
        found = self.matched({"t-*": {"expect": {"min": 1}}, "t-1": {}}, ["t-1"])
        assert [f.rule for f in found.findings] == ["too-few-realms"]

    def test_a_disabled_glob_counts_like_any_other(self):
        found = self.matched({"t-*": {"disabled": True}}, ["t-1"])
        assert found.entries["t-1"].disabled
        assert [g.count for g in found.globs] == [1]


def test_a_tie_of_many_globs_names_some_of_them():
    spec = spec_of(BASE, {"r" + "*" * n: {} for n in range(1, 101)})
    (tie,) = match(spec, ["realm"]).ties.values()
    assert tie.message == "`r*` and `r**` and `r***` and 97 more globs match the realm equally well"
