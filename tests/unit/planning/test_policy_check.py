"""What a policy in the settings forbids a spec, and that a spec has no way round it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.mail_settings import BASIC, ENTRIES, TOKEN, field_maps, hosts, one_realm

from ztrust_mail import explain
from ztrust_mail.core.errors import SpecError
from ztrust_mail.core.findings import Finding, Location, Severity
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.model.fields import ABSENT, FieldValue, Raw, Security
from ztrust_mail.planning.policy_check import violations
from ztrust_mail.settings import load
from ztrust_mail.settings.policy import Policy, read_policy
from ztrust_mail.specfile.entries import Entry
from ztrust_mail.specfile.resolve import Desired, desired_from_journal

SETTINGS = "/etc/mail/ztrust-mail.toml"


def wanted(entry: Mapping[str, object], realm: str = "acme") -> Desired:
    return explain(one_realm(entry, realm), realm)


def holding(**fields: FieldValue) -> Desired:
    """Return fields that need not come from a spec; ``__`` in a name stands for a dot."""
    named = {name.replace("__", "."): value for name, value in fields.items()}
    return Desired("acme", Entry("acme", Location("the journal")), named)


def rules(policy: Policy, one: Desired) -> list[tuple[str, str | None]]:
    return [(finding.rule, finding.field) for finding in violations(policy, one)]


def only(policy: Policy, one: Desired) -> Finding:
    (finding,) = violations(policy, one)
    return finding


# What is told


def test_a_violation_names_the_allowed_values_and_the_file_with_the_policy() -> None:
    policy = Policy(relays=("smtp.example.com", "*.sendgrid.net"), path=SETTINGS)
    desired = wanted({**BASIC, "relay": {"host": "smtp.evil.example"}})
    finding = only(policy, desired)
    assert (finding.severity, finding.rule) == (Severity.ERROR, "policy-relay")
    assert (finding.realm, finding.field) == ("acme", "relay.host")
    assert finding.location == desired.origins["relay.host"]
    assert finding.message == "`relay.host` is `smtp.evil.example`, which the policy does not allow"
    assert finding.hint == (
        "allowed: `smtp.example.com`, `*.sendgrid.net`; "
        "the policy is defined in /etc/mail/ztrust-mail.toml, not in the spec"
    )


def test_a_policy_made_in_code_has_no_file_to_name() -> None:
    assert (
        only(Policy(relays=()), wanted(BASIC)).hint
        == "allowed: none; the policy is defined in the settings, not in the spec"
    )


def test_all_violations_of_a_realm_are_reported_at_once() -> None:
    policy = Policy(relays=(), sender_domains=(), reply_domains=(), minimum_security="tls", secrets={}, path=SETTINGS)
    assert rules(policy, wanted({**BASIC, "envelope_from": "bounces@acme.example"})) == [
        ("policy-relay", "relay.host"),
        ("policy-sender", "sender.address"),
        ("policy-sender", "envelope_from"),
        ("policy-sender", "reply_to.address"),
        ("policy-security", "relay.security"),
        ("policy-secret", "relay.auth.password"),
    ]


@pytest.mark.parametrize("kind", ENTRIES)
def test_a_policy_with_nothing_set_forbids_nothing(kind: str) -> None:
    assert violations(Policy(path=SETTINGS), wanted(ENTRIES[kind])) == ()


def test_a_disabled_realm_violates_nothing_nor_does_one_whose_spec_is_wrong() -> None:
    policy = Policy(relays=(), sender_domains=(), minimum_security="tls", secrets={})
    assert violations(policy, wanted({"disabled": True})) == ()
    broken = wanted({"sender": {"address": "{realm}"}, "relay": {"host": "h.example"}})
    assert broken.findings
    assert violations(policy, broken) == ()


def test_values_are_judged_after_their_placeholders() -> None:
    entry = {
        "sender": {"address": "no-reply@{realm.slug}.example.com"},
        "relay": {
            "host": "{realm.slug}.relays.example",
            "auth": {"username": "u", "password": {"env": "SMTP_{realm}"}},
        },
    }
    policy = Policy(
        relays=("acme.relays.example",),
        sender_domains=("acme.example.com",),
        secrets={SecretKind.ENV: ("SMTP_ACME",)},
    )
    assert violations(policy, wanted(entry)) == ()
    assert rules(policy, wanted(entry, "globex")) == [
        ("policy-relay", "relay.host"),
        ("policy-sender", "sender.address"),
        ("policy-secret", "relay.auth.password"),
    ]


# Relays


@pytest.mark.parametrize(
    ("pattern", "host", "fits"),
    [
        ("smtp.example.com", "smtp.example.com", True),
        ("smtp.example.com", "SMTP.Example.COM", True),
        ("smtp.example.com", "smtp.example.com.", True),
        ("smtp.example.com", "smtp.example.com.evil.example", False),
        ("smtp.example.com", "xsmtp.example.com", False),
        ("smtp.example.com", "smtp-example.com", False),
        ("*.example.com", "smtp.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "evilexample.com", False),
        ("smtp-?.example.com", "smtp-1.example.com", True),
        ("smtp-?.example.com", "smtp-12.example.com", False),
        ("*", "anything.example", True),
        ("*", "::1", True),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.10", False),
        ("10.0.0.*", "10.0.0.7", True),
        ("10.0.0.*", "10.0.1.7", False),
        ("10.0.0.*", "10.0.0.example", False),
        ("10.0.0.*", "10.0.0.x.evil.example", False),
        ("*.*.*.*", "smtp.evil.example.com", False),
        ("2001:db8::1", "2001:DB8:0:0::1", True),
        ("2001:db8::1", "2001:db8::2", False),
        ("*.example.com", "10.0.0.1", False),
    ],
)
def test_a_relay_is_allowed_where_it_fits_a_pattern(pattern: str, host: str, fits: bool) -> None:
    policy = read_policy(Path(SETTINGS), {"relays": ["other.example", pattern]})
    found = rules(policy, wanted({**BASIC, "relay": {"host": host}}))
    assert found == ([] if fits else [("policy-relay", "relay.host")])


@given(field_maps, hosts)
def test_a_host_is_allowed_by_its_own_name_and_by_no_other(fields: dict[str, FieldValue], other: str) -> None:
    host = str(fields["relay.host"])
    assume(other != host)
    one = holding(relay__host=host)
    assert violations(Policy(relays=(host.lower(),)), one) == ()
    assert rules(Policy(relays=(other.lower(),)), one) == [("policy-relay", "relay.host")]


@given(hosts.filter(lambda host: ":" not in host), st.text(st.sampled_from("ab.-1"), max_size=20))
def test_a_pattern_with_a_star_lets_in_nothing_but_what_ends_with_its_domain(domain: str, before: str) -> None:
    allowed = not violations(Policy(relays=(f"*.{domain}",)), holding(relay__host=before + domain))
    assert allowed == (before + domain).endswith(f".{domain}")


def test_a_relay_that_is_no_name_is_not_allowed_by_a_pattern() -> None:
    assert rules(Policy(relays=("*",)), holding(relay__host=Raw("x"))) == [("policy-relay", "relay.host")]


# The host that a token comes from


def with_token(url: str) -> Desired:
    return wanted(
        {**BASIC, "relay": {"host": "smtp.example.com", "auth": {"username": "u", "token": TOKEN | {"url": url}}}}
    )


def test_the_host_of_a_token_is_judged_by_the_relays_or_by_a_list_of_its_own() -> None:
    desired = with_token("https://login.example.com/token")
    field = "relay.auth.token.url"
    assert rules(Policy(relays=("smtp.example.com",)), desired) == [("policy-relay", field)]
    assert rules(Policy(relays=("*.example.com",)), desired) == []
    assert rules(Policy(relays=("smtp.example.com",), token_hosts=("login.example.com",)), desired) == []
    assert rules(Policy(relays=("*",), token_hosts=()), desired) == [("policy-relay", field)]
    assert rules(Policy(token_hosts=("login.example.com",)), desired) == []


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("https://login.example.com/token", True),
        ("https://LOGIN.example.com./token", True),
        ("https://login.example.com:8443/token?x=1#y", True),
        ("https://evil.example/login.example.com", False),
        ("https://evil.example?login.example.com", False),
        ("https://evil.example#.login.example.com", False),
        ("https://login.example.com.evil.example/", False),
        ("https://[2001:DB8::1]/token", False),
    ],
)
def test_the_policy_checks_only_the_host_of_a_tokens_url(url: str, fits: bool) -> None:
    found = rules(Policy(token_hosts=("login.example.com",)), with_token(url))
    assert found == ([] if fits else [("policy-relay", "relay.auth.token.url")])


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example\\.login.example.com/",
        "https://evil.example\\@x.login.example.com/",
        "https://evil.example@x.login.example.com/",
        "https://evil.exämple.login.example.com/",
        "https://[.login.example.com",
        "x.login.example.com",
        "https://",
    ],
)
def test_a_url_whose_host_parsers_may_disagree_about_is_not_allowed(url: str) -> None:
    policy = Policy(token_hosts=("*.login.example.com", "*"))
    assert rules(policy, holding(relay__auth__token__url=url)) == [("policy-relay", "relay.auth.token.url")]


def test_an_ipv6_address_of_a_token_is_compared_in_its_short_form() -> None:
    policy = Policy(token_hosts=("2001:db8::1",))
    assert violations(policy, with_token("https://[2001:DB8:0::1]:8443/token")) == ()


# Senders


@pytest.mark.parametrize(
    ("pattern", "address", "fits"),
    [
        ("example.com", "no-reply@example.com", True),
        ("example.com", "no-reply@EXAMPLE.com", True),
        ("example.com", "no-reply@mail.example.com", False),
        ("*.example.com", "no-reply@mail.example.com", True),
        ("*.example.com", "no-reply@example.com", False),
        ("example.com", '"no-reply@example.com"@evil.example', False),
        ("example.com", '"x@evil.example"@example.com', True),
        ("xn--bcher-kva.example", "no-reply@bücher.example", True),
        ("xn--bcher-kva.example", "no-reply@xn--bcher-kva.example", True),
        ("example.com", "no-reply@еxample.com", False),
        ("example.com", "no-reply@[127.0.0.1]", False),
        ("*", "no-reply@[127.0.0.1]", True),
    ],
)
@pytest.mark.parametrize("field", ["sender.address", "envelope_from"])
def test_a_sender_is_allowed_where_its_domain_fits(field: str, pattern: str, address: str, fits: bool) -> None:
    entry = {**BASIC, "sender": {"address": address}} if field == "sender.address" else {**BASIC, field: address}
    policy = read_policy(Path(SETTINGS), {"sender_domains": ["acme.example", pattern]})
    desired = wanted(entry)
    assert desired.fields[field] == address
    assert rules(policy, desired) == ([] if fits else [("policy-sender", field)])


def test_replies_may_go_anywhere_unless_a_list_of_their_own_says_otherwise() -> None:
    entry = {**BASIC, "reply_to": {"address": "help@other.example"}}
    assert rules(Policy(sender_domains=("acme.example",)), wanted(entry)) == []
    assert rules(Policy(reply_domains=("acme.example",)), wanted(entry)) == [("policy-sender", "reply_to.address")]
    assert rules(Policy(reply_domains=("*.example",)), wanted(entry)) == []


@pytest.mark.parametrize("domain", ["example\u3002com", "ex\u00adample.com", "\uff45xample.com", "exam\u200bple.com"])
def test_a_domain_that_only_looks_allowed_is_not_wherever_it_comes_from(domain: str) -> None:
    policy = Policy(("example.com", "*"), sender_domains=("example.com", "*"), reply_domains=("*",))
    for field in ("sender__address", "envelope_from", "reply_to__address"):
        assert rules(policy, holding(**{field: f"a@{domain}"})) == [("policy-sender", field.replace("__", "."))]
    assert rules(policy, holding(relay__host=domain)) == [("policy-relay", "relay.host")]


def test_an_address_without_an_ascii_form_is_not_allowed_by_a_pattern() -> None:
    policy = Policy(sender_domains=("*",))
    assert rules(policy, holding(sender__address="x@" + "ü" * 70)) == [("policy-sender", "sender.address")]


# Security


@pytest.mark.parametrize(
    ("least", "refused"),
    [("", []), ("starttls", [Security.NONE]), ("tls", [Security.NONE, Security.STARTTLS])],
)
def test_a_weaker_security_than_the_policys_is_refused(least: str, refused: list[Security]) -> None:
    for security in Security:
        entry = {**BASIC, "relay": {"host": "h.example", "security": security.value}}
        found = rules(Policy(minimum_security=least), wanted(entry))
        assert found == ([("policy-security", "relay.security")] if security in refused else [])


def test_a_default_security_that_is_too_weak_is_refused() -> None:
    finding = only(Policy(minimum_security="tls"), wanted(BASIC))
    assert finding.message == "`relay.security` is `starttls`, which is weaker than the policy requires"
    assert finding.hint.startswith("write tls; ")
    assert finding.location is None
    none = wanted({**BASIC, "relay": {"host": "h.example", "security": "none"}})
    assert only(Policy(minimum_security="starttls"), none).hint.startswith("write starttls or tls; ")


def test_unreadable_security_is_refused() -> None:
    one = holding(relay__security=Raw("starttls=true ssl=true"))
    assert rules(Policy(minimum_security="starttls"), one) == [("policy-security", "relay.security")]


def test_absent_security_counts_as_none_where_there_is_a_relay() -> None:
    bare = {"relay.host": "h.example", "sender.address": "a@acme.example"}
    policy = Policy(minimum_security="starttls")
    assert rules(policy, desired_from_journal("acme", bare)) == [("policy-security", "relay.security")]
    assert rules(policy, desired_from_journal("acme", {"extra.x": "1"})) == []


# Secrets


def secret(kind: SecretKind, *argument: str, base: str = "") -> Desired:
    return holding(relay__auth__password=SecretRef(kind, argument, base))


def allows(one: Desired, **secrets: list[str]) -> bool:
    found = violations(read_policy(Path(SETTINGS), {"secrets": secrets}), one)
    assert all((f.rule, f.field) == ("policy-secret", "relay.auth.password") for f in found)
    return not found


REFERENCES = {kind: ("smtp.key",) * (kind.form.parts or 1) for kind in SecretKind} | {
    SecretKind.ENV: ("SMTP_PASSWORD",),
    SecretKind.FILE: ("/run/secrets/smtp",),
    SecretKind.COMMAND: ("/opt/mail/get", "smtp"),
    SecretKind.KEYRING: ("mail-prod", "smtp"),
}


@pytest.mark.parametrize("kind", SecretKind)
def test_a_kind_that_is_not_listed_is_forbidden_and_so_is_an_empty_list(kind: SecretKind) -> None:
    one = secret(kind, *REFERENCES[kind])
    assert not allows(one)
    assert not allows(one, **{kind.value: []})
    assert not allows(one, **{other.value: [""] for other in SecretKind if other is not kind})
    assert allows(one, **{kind.value: [""]})
    assert allows(one, **{kind.value: ["zzz", ""]})
    assert not allows(one, **{kind.value: ["zzz"]})


@pytest.mark.parametrize(
    ("kind", "prefix", "first", "fits"),
    [
        (SecretKind.ENV, "SMTP_", "SMTP_PASSWORD", True),
        (SecretKind.ENV, "SMTP_", "smtp_password", False),
        (SecretKind.ENV, "SMTP_", "MY_SMTP_PASSWORD", False),
        (SecretKind.ENV, "SMTP", "SMTPX", True),
        (SecretKind.KEYRING, "mail", "mail-prod", True),
        (SecretKind.KEYRING, "mail", "email", False),
        (SecretKind.KEYCLOAK_VAULT, "smtp.", "smtp.key", True),
        (SecretKind.KEYCLOAK_VAULT, "smtp.", "ldap", False),
        (SecretKind.COMMAND, "vault", "vault", True),
        (SecretKind.COMMAND, "vault", "vault-evil", False),
        (SecretKind.COMMAND, "vault", "vault/evil", False),
        (SecretKind.COMMAND, "vault", "/tmp/vault", False),
        (SecretKind.COMMAND, "/opt/mail", "/opt/mail/get", True),
        (SecretKind.COMMAND, "/opt/mail/", "/opt/mail/get", True),
        (SecretKind.COMMAND, "/opt/mail", "/opt/mailer", False),
        (SecretKind.COMMAND, "/opt/mail", "/opt/mail/../../bin/sh", False),
        (SecretKind.COMMAND, "/opt/mail/get", "/opt/mail/get", True),
    ],
)
def test_a_prefix_is_one_of_the_references_first_part(kind: SecretKind, prefix: str, first: str, fits: bool) -> None:
    rest = REFERENCES[kind][1:]
    assert allows(secret(kind, first, *rest), **{kind.value: [prefix]}) == fits


def test_the_service_of_a_keyring_counts_and_not_the_name() -> None:
    assert not allows(secret(SecretKind.KEYRING, "bank", "mail"), keyring=["mail"])


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        ("secrets/smtp", True),
        ("secrets/deeper/smtp", True),
        ("secrets", True),
        ("./secrets//smtp", True),
        ("secrets/../secrets/smtp", True),
        ("secrets2/smtp", False),
        ("secrets/../other", False),
        ("secrets/link-out/passwd", False),
        ("link-in", True),
        ("/etc/passwd", False),
        ("../secrets/smtp", False),
        ("secrets\0", False),
        ("", False),
    ],
)
def test_a_file_is_judged_by_where_it_really_lies(tmp_path: Path, path: str, fits: bool) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "link-out").symlink_to("/etc")
    (tmp_path / "link-in").symlink_to(folder / "smtp")
    one = secret(SecretKind.FILE, path, base=str(tmp_path))
    assert allows(one, file=[str(folder)]) == fits
    assert allows(one, file=[f"{folder}/"]) == fits


def test_a_folder_of_the_policy_may_be_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert allows(secret(SecretKind.FILE, "smtp", base=str(tmp_path / "real")), file=[str(tmp_path / "link")])


def test_the_root_allows_every_file() -> None:
    assert allows(secret(SecretKind.FILE, "/etc/passwd"), file=["/"])


@given(st.lists(st.sampled_from(["..", ".", "", "a", "keys", "keys2", "b"]), max_size=8))
def test_no_path_climbs_out_of_an_allowed_folder(segments: list[str]) -> None:
    folder = "/nowhere/keys"
    path = "/".join([folder, *segments])
    real = os.path.normpath(path)
    assert allows(secret(SecretKind.FILE, path), file=[folder]) == (real == folder or real.startswith(f"{folder}/"))
    if ".." in segments:
        assert not allows(secret(SecretKind.COMMAND, path), command=[folder])


def test_a_forbidden_secret_is_reported_with_its_reference_and_the_allowed_ones() -> None:
    policy = Policy(
        secrets={SecretKind.ENV: ("SMTP_", "MAIL_"), SecretKind.FILE: ("/run/secrets",), SecretKind.KEYRING: ()},
        path=SETTINGS,
    )
    finding = only(policy, secret(SecretKind.ENV, "PROD_DB_PASSWORD"))
    assert finding.message == "`relay.auth.password` comes from `env:PROD_DB_PASSWORD`, which the policy does not allow"
    assert finding.hint.startswith("allowed of env: names that begin with `SMTP_`, `MAIL_`; the policy is defined in ")
    command = only(policy, secret(SecretKind.COMMAND, "/bin/get", "S3cr3t-word"))
    assert command.hint.startswith("allowed kinds of reference: env, file; ")
    assert "S3cr3t" not in command.message
    assert only(Policy(secrets={}), secret(SecretKind.ENV, "X")).hint.startswith("allowed kinds of reference: none; ")


def test_a_tokens_secret_is_judged_like_a_password() -> None:
    found = rules(Policy(secrets={SecretKind.ENV: ("OTHER_",)}), with_token("https://login.example.com/token"))
    assert found == [("policy-secret", "relay.auth.token.client_secret")]


# No way round


@pytest.mark.parametrize("native", sorted(KEYCLOAK.attribute_names))
def test_an_extra_attribute_cannot_be_a_field_in_disguise(native: str) -> None:
    with pytest.raises(SpecError) as refusal:
        wanted({**BASIC, "extra": {native: "smtp.evil.example"}})
    assert [finding.rule for finding in refusal.value.findings] == ["reserved-extra"]


@pytest.mark.parametrize("native", sorted(KEYCLOAK.attribute_names))
def test_a_disguised_extra_attribute_is_refused_even_if_no_spec_has_been_read(native: str) -> None:
    desired = wanted(BASIC)
    disguised = replace(desired, fields={**desired.fields, f"extra.{native}": "smtp.evil.example"})
    assert rules(Policy(relays=("smtp.example.com",)), disguised) == [("policy-relay", f"extra.{native}")]
    removed = replace(desired, fields={**desired.fields, f"extra.{native}": ABSENT})
    assert violations(Policy(relays=("smtp.example.com",)), removed) == ()


def test_templates_are_allowed_unless_the_policy_says_otherwise() -> None:
    plain = {"sender": {"address": "a@acme.example"}, "relay": {"host": "h.example"}}
    one = wanted({**plain, "templates": {"theme": False, "messages": {"en": {"emailTestSubject": "x"}}}})
    assert rules(Policy(relays=("*",)), one) == []
    assert rules(Policy(templates=False), one) == [
        ("policy-templates", "templates.theme"),
        ("policy-templates", "templates.messages.en.emailTestSubject"),
    ]
    assert rules(Policy(templates=False), wanted(plain)) == []


def test_extra_attributes_that_no_server_knows_are_allowed() -> None:
    policy = Policy(relays=("smtp.example.com",), secrets={SecretKind.ENV: ("SMTP_",)})
    assert violations(policy, wanted(ENTRIES["extra"])) == ()


def test_the_documented_policy_stops_the_documented_pull_request(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "policy.md").read_text(encoding="utf-8")
    settings = tmp_path / "ztrust-mail.toml"
    settings.write_text(text.partition("```toml\n")[2].partition("```")[0], encoding="utf-8")
    policy = load(str(settings), {}).policy
    relay = {"host": "smtp.example.com", "security": "tls", "auth": {"username": "u", "password": {"env": "SMTP_X"}}}
    good = {"sender": {"address": "no-reply@acme.example.com"}, "relay": relay}
    assert violations(policy, wanted(good)) == ()
    evil = only(policy, wanted({**good, "relay": {**relay, "host": "smtp.evil.example"}}))
    told = f"{evil.message}; {evil.hint}".replace(str(settings), "/etc/ztrust-mail/ztrust-mail.toml")
    assert told in " ".join(text.split())
    database = wanted({**good, "relay": {**relay, "auth": {"username": "u", "password": {"env": "DATABASE_PASSWORD"}}}})
    assert rules(policy, database) == [("policy-secret", "relay.auth.password")]
