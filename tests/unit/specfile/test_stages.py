"""Specs for several servers: limits, overlays, and variables of servers and options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import pytest

from ztrust_mail.api.spec_types import SpecDict
from ztrust_mail.core.errors import SpecError, UsageError
from ztrust_mail.core.findings import Finding
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.linting.lint import fit_spec, load_spec
from ztrust_mail.model.fields import HOST, PASSWORD, PORT, REPLY_TO_ADDRESS, SECURITY, SENDER_NAME, Security
from ztrust_mail.planning.plan import of_spec
from ztrust_mail.specfile.entries import Spec, Target
from ztrust_mail.specfile.load import validate
from ztrust_mail.specfile.problems import Texts
from ztrust_mail.specfile.resolve import Desired, match, resolve_entry

DEV = Target("dev", {"stage": "dev"}, {"domain": "dev.example"})
PROD = Target("prod", {"stage": "prod", "region": "eu"}, {"domain": "example.com"})
OF_SERVERS = Texts(of_servers=lambda: ["domain"])

BASE = """
version: 1
defaults:
  sender: {address: no-reply@example.com, name: Example}
  relay: {host: smtp.example.com, auth: {username: apikey, password: {env: SMTP_PASSWORD}}}
realms:
  acme: {reply_to: {address: help@acme.example}}
  globex: {}
"""


@pytest.fixture(name="files")
def files_fixture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(**texts: str) -> list[str]:
        for name, text in texts.items():
            (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        return [f"{name}.yaml" for name in texts]

    return write


def read(files: list[str], given: Mapping[str, str] | None = None) -> Spec:
    return load_spec(files, KEYCLOAK.attribute_names, Texts(given or {}, OF_SERVERS.of_servers))


def problems(files: list[str], target: Target | None = None) -> list[Finding]:
    checked = validate(files, KEYCLOAK.attribute_names, OF_SERVERS)
    return (checked.fit_to(target) if target else checked).findings()


def wanted(spec: Spec, target: Target, realm: str = "acme") -> Desired:
    fitted = fit_spec(spec, target)
    return resolve_entry(fitted, match(fitted, [realm]).entries[realm], realm)


def overlay(realms: str, head: str = "servers: prod\noverlay: true") -> str:
    return f"version: 1\n{head}\nrealms:\n  {realms}\n"


VARIABLES = """
version: 1
defaults:
  vars: {domain: defaults.example}
  sender: {address: "no-reply@{domain}"}
  relay: {host: "smtp.{domain}", auth: {username: "{server}", password: {env: "SMTP_{server}_{domain}"}}}
realms:
  acme: {vars: {domain: entry.example}}
  globex: {}
"""


@pytest.mark.parametrize(
    ("realm", "target", "given", "domain"),
    [
        ("globex", Target("dev"), {}, "defaults.example"),
        ("acme", Target("dev"), {}, "entry.example"),
        ("acme", DEV, {}, "dev.example"),
        ("acme", DEV, {"domain": "option.example"}, "option.example"),
    ],
)
def test_an_option_wins_over_the_server_the_server_over_the_entry_and_the_entry_over_the_defaults(
    files, realm, target, given, domain
):
    found = wanted(read(files(mail=VARIABLES), given), target, realm)
    assert found.fields[HOST] == f"smtp.{domain}"
    assert str(found.fields[PASSWORD]) == f"env:SMTP_DEV_{domain.upper().replace('.', '_')}"


def test_a_spec_keeps_a_variable_that_has_the_name_server(files):
    spec = read(files(mail=VARIABLES.replace("vars: {domain: d", "vars: {server: own, domain: d")))
    assert wanted(spec, DEV).fields["relay.auth.username"] == "own"


def test_the_sources_of_placeholders_and_overlays_are_named(files):
    spec = read(files(mail=VARIABLES, prod=overlay("acme: {relay: {port: 2525}}")), {"domain": "option.example"})
    found = wanted(spec, PROD)
    assert found.describe_origin(HOST) == "mail.yaml:6:17, {domain}: --var"
    assert found.describe_origin("relay.auth.username").endswith("{server}: the name of the server")
    assert found.describe_origin(PORT) == "prod.yaml:5:24, overlay"
    assert wanted(read(files(mail=VARIABLES)), DEV).describe_origin(HOST).endswith("{domain}: server `dev`")
    assert wanted(read(files(mail=VARIABLES)), Target("x")).describe_origin(HOST).endswith("{domain}: mail.yaml:8:25")


UNKNOWN = BASE.replace("smtp.example.com", '"smtp.{domain}"')


def test_a_variable_that_only_a_server_has_is_open_offline_and_a_typo_is_not(files):
    assert problems(files(mail=UNKNOWN)) == []
    [typo] = problems(files(mail=UNKNOWN.replace("{domain}", "{dmain}")))
    assert (typo.rule, str(typo.location)) == ("bad-placeholder", "mail.yaml:5:17")
    with pytest.raises(SpecError):
        load_spec(files(mail=UNKNOWN), KEYCLOAK.attribute_names)  # no server has such a variable


def test_a_variable_that_is_missing_on_one_server_names_server_variable_and_place(files):
    spec = read(files(mail=UNKNOWN))
    assert wanted(spec, DEV).fields[HOST] == "smtp.dev.example"
    with pytest.raises(SpecError) as caught:
        fit_spec(spec, Target("stage"))
    [found] = caught.value.findings
    assert (
        found.message == "`relay.host` has the unknown placeholder `{domain}`: server `stage` has no variable `domain`"
    )
    assert "[servers.stage.vars]" in found.hint
    assert str(found.location) == "mail.yaml:5:17"


def test_a_bad_value_of_a_server_is_found_on_that_server(files):
    bad = Target("dev", variables={"domain": "not a host"})
    assert [one.rule for one in problems(files(mail=UNKNOWN), bad)] == ["bad-value"]


def test_a_value_that_depends_on_the_server_is_not_resolved_without_one(files):
    spec = read(files(mail=UNKNOWN))
    assert [one.rule for one in resolve_entry(spec, spec.entries[0], "acme").findings] == ["needs-server"]


def test_the_name_of_the_server_needs_a_server_with_a_name(files):
    spec = read(files(mail=BASE.replace("smtp.example.com", '"smtp.{server}.example"')))
    assert problems(["mail.yaml"]) == []
    with pytest.raises(SpecError, match=r"given by its URL"):
        fit_spec(spec, Target())


def test_a_variable_of_an_option_that_nothing_uses_is_reported(files):
    spec = read(files(mail=VARIABLES), {"domian": "x"})
    assert [(one.rule, one.hint) for one in spec.warnings] == [("unused-variable", "did you mean `domain`?")]


def test_the_digest_has_what_was_filled_in_and_a_spec_without_such_a_thing_keeps_its_digest(files):
    plain, varying = read(files(mail=BASE)), read(files(other=VARIABLES))
    assert of_spec(fit_spec(plain, DEV)) == of_spec(plain)
    assert len({of_spec(fit_spec(varying, target)) for target in (DEV, PROD, Target("dev"))}) == 3
    assert fit_spec(varying, DEV).filled == {"server": "dev", "domain": "dev.example"}


@pytest.mark.parametrize(
    ("servers", "on"),
    [
        ("prod", {"prod"}),
        ("[prod, stage]", {"prod"}),
        ('"*"', {"prod", "dev"}),
        ("{stage: prod}", {"prod"}),
        ("{stage: [dev, prod]}", {"prod", "dev"}),
        ('{stage: "p*", region: eu}', {"prod"}),
        ("{stage: dev, region: eu}", set()),
    ],
)
def test_an_entry_is_limited_to_servers_by_names_globs_or_labels(files, servers, on):
    spec = read(files(mail=BASE.replace("globex: {}", f"globex: {{servers: {servers}}}")))
    assert {target.name for target in (DEV, PROD) if "globex" in match(fit_spec(spec, target), []).entries} == on
    assert [entry.name for entry in fit_spec(spec, PROD).entries if entry.name == "acme"] == ["acme"]


def test_servers_at_the_top_of_a_file_limit_all_of_it_and_an_entry_replaces_them(files):
    more = "version: 1\nservers: prod\nrealms:\n  umbrella: {}\n  initech: {servers: dev}\n"
    spec = read(files(mail=BASE, more=more))
    assert [entry.name for entry in fit_spec(spec, PROD).entries] == ["acme", "globex", "umbrella"]
    assert [entry.name for entry in fit_spec(spec, DEV).entries] == ["acme", "globex", "initech"]


def test_a_server_without_a_name_is_refused_where_entries_are_for_certain_servers(files):
    spec = read(files(mail=BASE.replace("globex: {}", "globex: {servers: prod}")))
    with pytest.raises(UsageError, match="without a name"):
        fit_spec(spec, Target())


def test_each_group_of_servers_may_have_its_own_definition_of_an_entry_and_its_own_defaults(files):
    one = "version: 1\nservers: {stage: dev}\n" + BASE.partition("version: 1\n")[2]
    spec = read(files(dev=one, prod=one.replace("stage: dev", "stage: prod").replace("smtp.", "mail.")))
    assert wanted(spec, DEV).fields[HOST] == "smtp.example.com"
    assert wanted(spec, PROD).fields[HOST] == "mail.example.com"
    assert fit_spec(spec, Target("odd", {"stage": "none"})).entries == ()


def test_a_second_definition_without_overlay_is_an_error_that_names_both_places(files):
    [found] = problems(files(mail=BASE, more="version: 1\nservers: prod\nrealms: {acme: {}}\n"))
    assert found.message == "the entry `acme` is already defined at mail.yaml:7:3"
    assert "overlay" in found.hint
    two = [f"version: 1\nservers: {limit}\nrealms: {{umbrella: {{}}}}\n" for limit in ("[prod, dev]", '"p*"')]
    assert [one.rule for one in problems(files(mail=BASE, a=two[0], b=two[1]))] == ["defined-twice"]


def test_two_definitions_that_meet_by_their_labels_are_found_on_that_server(files):
    two = [f"version: 1\nservers: {{{limit}}}\nrealms: {{umbrella: {{}}}}\n" for limit in ("stage: prod", "region: eu")]
    paths = files(mail=BASE, a=two[0], b=two[1])
    assert problems(paths) == []
    assert [one.rule for one in problems(paths, PROD)] == ["defined-twice"]
    assert problems(paths, DEV) == []


def test_an_overlay_changes_single_values_on_its_servers_only(files):
    spec = read(files(mail=BASE, prod=overlay("acme: {sender: {name: Acme}, reply_to: false}")))
    assert wanted(spec, PROD).fields[SENDER_NAME] == "Acme"
    assert REPLY_TO_ADDRESS not in wanted(spec, PROD).fields
    assert wanted(spec, PROD).fields[HOST] == "smtp.example.com"
    assert wanted(spec, DEV).fields[SENDER_NAME] == "Example"
    assert wanted(spec, DEV).fields[REPLY_TO_ADDRESS] == "help@acme.example"
    assert [one.location.path for one in wanted(spec, PROD).entry.overlays] == ["prod.yaml"]


def test_the_defaults_have_overlays_too(files):
    prod = "version: 1\nservers: prod\noverlay: true\ndefaults: {sender: {name: Live}}\n"
    spec = read(files(mail=BASE, prod=prod))
    assert (wanted(spec, PROD).fields[SENDER_NAME], wanted(spec, DEV).fields[SENDER_NAME]) == ("Live", "Example")
    assert wanted(spec, PROD).describe_origin(SENDER_NAME) == "prod.yaml:4:27, overlay"


def test_an_overlay_with_another_host_gets_neither_login_port_nor_security_of_the_entry(files):
    entry = "relay: {host: a.example, port: 2525, security: none, auth: {username: u, password: {env: P}}}"
    base = BASE.replace("acme: {reply_to", f"acme: {{{entry}, reply_to")
    spec = read(files(mail=base, prod=overlay("acme: {relay: {host: b.example}}")))
    found = wanted(spec, PROD).fields
    assert (found[HOST], found[PORT], found[SECURITY]) == ("b.example", 587, Security.STARTTLS)
    assert PASSWORD not in found
    assert [
        one.message for one in fit_spec(spec, PROD).warnings if one.location and one.location.path == "prod.yaml"
    ] == [
        "the overlay of the entry `acme` sets `relay.host`, so it does not inherit `relay.auth` and `relay.port` and "
        "`relay.security` of the entry (mail.yaml:7:80)"
    ]


def test_an_overlay_can_disable_a_realm_and_enable_one_and_change_the_number_expected(files):
    base = BASE.replace("globex: {}", 'globex: {disabled: true}\n  "t-*": {expect: {min: 10}}')
    prod = overlay(
        'acme: {disabled: true}\n  globex: {disabled: false, sender: {name: G}}\n  "t-*": {expect: {min: 0}}'
    )
    fitted = fit_spec(read(files(mail=base, prod=prod)), PROD)
    assert {entry.name: entry.disabled for entry in fitted.entries} == {"acme": True, "globex": False, "t-*": False}
    assert {entry.name: entry.expect_min for entry in fitted.entries}["t-*"] == 0
    assert {entry.name: entry.expect_min for entry in fit_spec(read(["mail.yaml", "prod.yaml"]), DEV).entries}[
        "t-*"
    ] == 10


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (overlay("acme: {}", head="overlay: true"), "overlay-without-servers"),
        (overlay("umbrella: {}"), "overlay-without-entry"),
        (overlay("acme: {disabled: true, sender: {name: A}}"), "disabled-with-keys"),
        (overlay("acme: {}", head="servers: https://id.example.com\noverlay: true"), "bad-value"),
        (overlay("acme: {}", head="servers: {stage: false}\noverlay: true"), "wrong-type"),
        (overlay("acme: {}", head="servers: []\noverlay: true"), "empty"),
        (overlay("acme: {}", head="servers: {}\noverlay: true"), "empty"),
        (overlay("acme: {}", head="servers: prod\noverlay: yes"), "wrong-type"),
    ],
)
def test_a_wrong_overlay_is_refused_offline(files, text, rule):
    assert rule in [one.rule for one in problems(files(mail=BASE, prod=text))]


def test_an_overlay_of_an_entry_of_other_servers_is_an_error_on_its_own(files):
    base = BASE.replace("globex: {}", "globex: {servers: dev}")
    paths = files(mail=base, prod=overlay("globex: {sender: {name: G}}", 'servers: "*"\noverlay: true'))
    assert problems(paths) == []
    [found] = problems(paths, PROD)
    assert (found.rule, str(found.location)) == ("overlay-without-entry", "prod.yaml:5:3")
    assert "for server `prod`" in found.message


def test_an_overlay_of_a_disabled_entry_says_that_it_has_no_effect(files):
    base = BASE.replace("globex: {}", "globex: {disabled: true}")
    [found] = problems(files(mail=base, prod=overlay("globex: {sender: {name: G}}")), PROD)
    assert found.rule == "overlay-of-disabled"


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        ("sender: {name: A}", "sender: {name: B}", "`sender.name`"),
        ("reply_to: false", "reply_to: {address: a@b.example}", "`reply_to.address`"),
        ("relay: {host: a.example}", "relay: {auth: {username: u, password: {env: P}}}", "drops it"),
        ("relay: {security: tls}", "relay: {port: 2525}", "`relay.port`"),
        ("vars: {a: x}", "vars: {a: y}", "the variable `a`"),
        ("disabled: true", "sender: {name: B}", "`disabled`"),
    ],
)
def test_two_overlays_whose_order_would_matter_are_an_error_with_both_places(files, one, other, what):
    paths = files(
        mail=BASE, a=overlay(f"acme: {{{one}}}"), b=overlay(f"acme: {{{other}}}", 'servers: "p*"\noverlay: true')
    )
    for found in (problems(paths), problems(paths, PROD)):
        [conflict] = [finding for finding in found if finding.rule == "overlay-conflict"]
        assert what in conflict.message
        assert "a.yaml:" in conflict.message
        assert str(conflict.location).startswith("b.yaml:")


def test_overlays_that_conflict_by_their_labels_are_found_on_that_server(files):
    heads = ("servers: {stage: prod}\noverlay: true", "servers: {region: eu}\noverlay: true")
    paths = files(mail=BASE, **{f"o{n}": overlay(f"acme: {{sender: {{name: {n}}}}}", h) for n, h in enumerate(heads)})
    assert (problems(paths), problems(paths, DEV)) == ([], [])
    assert [one.rule for one in problems(paths, PROD)] == ["overlay-conflict"]
    with pytest.raises(SpecError):
        fit_spec(read(paths), PROD)


def test_two_overlays_of_different_fields_are_both_applied(files):
    spec = read(files(mail=BASE, a=overlay("acme: {sender: {name: A}}"), b=overlay("acme: {relay: {port: 2525}}")))
    found = wanted(spec, PROD).fields
    assert (found[SENDER_NAME], found[PORT]) == ("A", 2525)


def test_a_glob_has_overlays_by_its_own_name_only(files):
    base = BASE.replace("globex: {}", '"t-*": {}')
    spec = read(files(mail=base, prod=overlay('"t-*": {sender: {name: T}}')))
    assert wanted(spec, PROD, "t-1").fields[SENDER_NAME] == "T"
    assert [one.rule for one in problems(files(mail=base, prod=overlay('"t-1": {}')))] == ["overlay-without-entry"]


def test_a_spec_without_servers_is_the_same_on_every_server():
    data = {"version": 1, "realms": {"acme": {"sender": {"address": "a@b.example"}, "relay": {"host": "h.example"}}}}
    spec = load_spec(cast(SpecDict, data), KEYCLOAK.attribute_names)
    assert fit_spec(spec, PROD).entries == spec.entries == fit_spec(spec, Target()).entries
