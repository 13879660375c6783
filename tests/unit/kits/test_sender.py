"""The check ``sender`` on a real name server with records of every kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from support.dns_server import Records, dns_server, silent_dns_server

import ztrust_mail
from ztrust_mail.core.errors import ExitStatus, UsageError
from ztrust_mail.kits.dmarc import find_organisation
from ztrust_mail.kits.dns_client import DnsClient, parse_resolver
from ztrust_mail.kits.result import CheckFact, CheckRun

MAILGUN = "smtp.mailgun.org"
MANY = {f"i{n}.many.example": [f'TXT "v=spf1 ip4:192.0.2.{n} -all"'] for n in range(11)}

ZONES: Mapping[str, Records] = {
    **{top: {} for top in ("com", "example", "org")},
    "good.example": {
        "good.example": ['TXT "v=spf1 include:spf.good.example ~all"', 'TXT "other"', "MX 10 mx.good.example."],
        "spf.good.example": ['TXT "v=spf1 include:mailgun.org a:relay.good.example ip4:192.0.2.0/24 -all"'],
        "_dmarc.good.example": ['TXT "v=DMARC1; p=reject; sp=quarantine; rua=mailto:d@good.example"'],
        "sub.good.example": ['TXT "v=spf1 redirect=spf.good.example"', "A 192.0.2.9"],
        "relay.good.example": ["A 198.51.100.1"],
        "listed.good.example": ["A 192.0.2.77"],
        "other.good.example": ["A 203.0.113.1"],
    },
    "mailgun.org": {"mailgun.org": ['TXT "v=spf1 ip4:198.51.100.0/24 ~all"'], MAILGUN: ["A 198.51.100.7"]},
    "many.example": {"many.example": [f'TXT "v=spf1 {" ".join(f"include:{n}" for n in MANY)} -all"'], **MANY},
    "odd.example": {
        "two.odd.example": ['TXT "v=spf1 -all"', 'TXT "v=spf1 ~all"'],
        "blank.odd.example": ['TXT " v=spf1 -all"'],
        "syntax.odd.example": ['TXT "v=spf1 ip4:999.1.1.1 -all"'],
        "denied.odd.example": ['TXT "v=spf1 -include:mailgun.org ?ip4:203.0.113.1 -all"'],
        "open.odd.example": ['TXT "v=spf1 +all"'],
        "void.odd.example": ['TXT "v=spf1 a:n1.odd.example a:n2.odd.example a:n3.odd.example -all"'],
        "circle.odd.example": ['TXT "v=spf1 include:circle2.odd.example -all"'],
        "circle2.odd.example": ['TXT "v=spf1 include:circle.odd.example -all"'],
        "gone.odd.example": ['TXT "v=spf1 include:nowhere.odd.example -all"'],
        "broken.odd.example": ['TXT "v=spf1 include:x.failing.example -all"'],
        "alias.odd.example": ["CNAME alias2.odd.example."],
        "alias2.odd.example": ["CNAME alias3.odd.example."],
        "alias3.odd.example": ['TXT "v=spf1 -all"', "A 192.0.2.3"],
        "exp.odd.example": ['TXT "v=spf1 -all exp=why.odd.example"'],
        "why.odd.example": ['TXT "because"'],
        "none.odd.example": ["A 192.0.2.1"],
        "nullmx.odd.example": ["MX 0 ."],
    },
    "none.example": {"none.example": ["A 192.0.2.1"], "_dmarc.none.example": ['TXT "v=DMARC1; p=none; aspf=s"']},
    "bad-dmarc.example": {
        "bad-dmarc.example": ["A 192.0.2.1"],
        "_dmarc.bad-dmarc.example": ['TXT "v=DMARC1; p=reject"', 'TXT "v=DMARC1; p=none"'],
        "a.bad-dmarc.example": ["A 192.0.2.1"],
        "_dmarc.a.bad-dmarc.example": ['TXT "v=DMARC1; p=perhaps"'],
        "b.bad-dmarc.example": ["A 192.0.2.1"],
        "_dmarc.b.bad-dmarc.example": ['TXT " v=DMARC1; p=none"'],
    },
    "suffix.example": {
        "_dmarc.suffix.example": ['TXT "v=DMARC1; p=none; psd=y"'],
        "_dmarc.stop.org.suffix.example": ['TXT "v=DMARC1; p=none; psd=n"'],
    },
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    with dns_server(tmp_path_factory.mktemp("dns"), ZONES, ["failing.example"]) as address:
        yield address


def settings(sender: str, host: str = MAILGUN, **more: object) -> dict[str, object]:
    return {"sender": {"address": f"no-reply@{sender}"}, "relay": {"host": host}, **more}


def check(server: tuple[str, int], *, deadline: float = 20.0, **realms: object) -> CheckRun:
    spec = ztrust_mail.load_spec({"version": 1, "realms": realms})
    options = ztrust_mail.CheckOptions(ztrust_mail.ProbeOptions(deadline), f"{server[0]}:{server[1]}")
    return ztrust_mail.check("sender", spec=spec, options=options, environ={})


def facts(run: CheckRun) -> dict[str, CheckFact]:
    return {one.name: one for one in run.subjects[0].facts}


def told(run: CheckRun, name: str) -> tuple[str, str]:
    fact = facts(run)[name]
    return fact.status.value, fact.rule


def test_a_sender_whose_records_include_the_provider_is_fine(server) -> None:
    run = check(server, acme=settings("good.example", reply_to={"address": "help@good.example"}))
    assert {name: one.status.value for name, one in facts(run).items()} == {
        "SPF": "ok",
        "relay in SPF": "ok",
        "DMARC": "ok",
        "alignment": "ok",
        "replies": "ok",
        "bounces": "ok",
        "DKIM": "not-tested",
    }
    assert facts(run)["SPF"].detail == "3 of 10 look-ups, others softfail"
    assert facts(run)["relay in SPF"].detail == "includes `mailgun.org`"
    assert (run.exit_status, run.findings) == (ExitStatus.OK, ())


def test_a_redirect_counts_as_an_include_and_a_subdomain_has_the_policy_of_its_parent(server) -> None:
    run = check(server, acme=settings("sub.good.example"))
    assert told(run, "relay in SPF") == ("ok", "")
    assert facts(run)["DMARC"].detail == "policy quarantine, by a parent domain"
    assert facts(run)["bounces"].detail == "its own address, without MX"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("relay.good.example", "ok"),
        ("listed.good.example", "ok"),
        ("192.0.2.5", "ok"),
        ("other.good.example", "not-tested"),
        ("203.0.113.1", "not-tested"),
    ],
)
def test_a_relay_without_a_preset_is_looked_for_and_never_guessed(server, host: str, status: str) -> None:
    run = check(server, acme=settings("good.example", host))
    assert told(run, "relay in SPF") == (status, "")
    assert run.exit_status is ExitStatus.OK


def test_a_provider_that_is_not_included_is_a_warning(server) -> None:
    run = check(server, acme=settings("good.example", "smtp.gmail.com"))
    assert told(run, "relay in SPF") == ("warning", "spf-relay")
    assert "include:_spf.google.com" in run.findings[0].hint
    assert run.exit_status is ExitStatus.OK


@pytest.mark.parametrize(("host", "found"), [(MAILGUN, ("warning", "spf-relay")), ("203.0.113.1", ("not-tested", ""))])
def test_terms_that_forbid_a_relay_do_not_list_it(server, host: str, found: tuple[str, str]) -> None:
    assert told(check(server, acme=settings("denied.odd.example", host)), "relay in SPF") == found


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        ("many.example", "needs more than 10 DNS look-ups"),
        ("two.odd.example", "several SPF records"),
        ("blank.odd.example", "begins with a blank"),
        ("syntax.odd.example", "syntax error"),
        ("void.odd.example", "more than 2 look-ups of the SPF record find nothing"),
        ("circle.odd.example", "includes itself"),
        ("gone.odd.example", "includes a domain that has none"),
    ],
)
def test_a_record_that_receivers_refuse_is_an_error(server, domain: str, words: str) -> None:
    run = check(server, acme=settings(domain))
    assert told(run, "SPF") == ("failed", "spf-broken")
    assert words in facts(run)["SPF"].detail
    assert run.exit_status is ExitStatus.DIFFERS
    assert {f.realm for f in run.findings} == {"acme"}


def test_an_open_record_and_none_at_all_are_warnings(server) -> None:
    assert told(check(server, acme=settings("open.odd.example")), "SPF") == ("warning", "spf-open")
    run = check(server, acme=settings("none.odd.example"))
    assert told(run, "SPF") == ("warning", "spf-missing")
    assert told(run, "DMARC") == ("warning", "dmarc-missing")
    assert run.exit_status is ExitStatus.OK


def test_a_chain_of_aliases_and_an_explanation_are_followed(server) -> None:
    assert facts(check(server, acme=settings("alias.odd.example")))["SPF"].detail == "0 of 10 look-ups, others fail"
    assert told(check(server, acme=settings("exp.odd.example")), "SPF") == ("ok", "")


def test_a_failure_of_dns_is_not_taken_for_an_absent_record(server) -> None:
    for domain in ("failing.example", "broken.odd.example"):
        run = check(server, acme=settings(domain))
        assert told(run, "SPF") == ("not-tested", "dns-failed")
        assert run.exit_status is ExitStatus.PARTIAL
    assert run.realms[0].status.value in ("not-tested", "warning")


def test_a_name_server_that_never_answers_is_not_asked_for_every_domain() -> None:
    with silent_dns_server() as silent:
        run = check(silent.address, deadline=0.2, **{f"t{n}": settings(f"t{n}.example") for n in range(40)})
        assert 0 < silent.count_queries() < 40
    assert {one.status.value for one in run.realms} == {"not-tested"}
    assert {f.rule for f in run.findings} == {"dns-failed"}
    assert run.exit_status is ExitStatus.PARTIAL


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        ("bad-dmarc.example", "several DMARC records"),
        ("a.bad-dmarc.example", "syntax error"),
        ("b.bad-dmarc.example", "begins with a blank"),
    ],
)
def test_a_policy_that_receivers_ignore_is_an_error(server, domain: str, words: str) -> None:
    run = check(server, acme=settings(domain))
    assert told(run, "DMARC") == ("failed", "dmarc-broken")
    assert words in facts(run)["DMARC"].detail


def test_a_from_domain_that_does_not_exist_is_an_error(server) -> None:
    run = check(server, acme=settings("missing.odd.example"))
    assert told(run, "DMARC") == ("failed", "sender-domain")
    assert told(run, "bounces") == ("warning", "mail-domain")


@pytest.mark.parametrize(
    ("sender", "envelope", "status"),
    [
        ("good.example", "b@sub.good.example", ("ok", "")),
        ("good.example", "b@none.example", ("warning", "dmarc-alignment")),
        ("none.example", "b@bounce.none.example", ("warning", "dmarc-alignment")),
        ("none.odd.example", "b@good.example", ("not-tested", "")),
    ],
)
def test_alignment_goes_by_organisation_unless_the_record_is_strict(server, sender, envelope, status) -> None:
    assert told(check(server, acme=settings(sender, envelope_from=envelope)), "alignment") == status


def test_the_organisation_is_found_by_walking_up_the_tree(server) -> None:
    client = DnsClient(server)
    assert find_organisation(client, "a.b.org.suffix.example") == "org.suffix.example"
    assert find_organisation(client, "a.stop.org.suffix.example") == "stop.org.suffix.example"
    assert find_organisation(client, "x.sub.good.example") == "good.example"
    assert find_organisation(client, "x.odd.example") == "x.odd.example"
    assert find_organisation(client, ".".join("abcdefghijk") + ".good.example") == "good.example"


def test_replies_to_a_domain_that_takes_no_mail_are_an_error(server) -> None:
    for domain, words in (("nullmx.odd.example", "null MX"), ("missing.odd.example", "does not exist")):
        run = check(server, acme=settings("good.example", reply_to={"address": f"a@{domain}"}))
        assert told(run, "replies") == ("failed", "mail-domain")
        assert words in facts(run)["replies"].detail
        assert run.exit_status is ExitStatus.DIFFERS


def test_realms_with_the_same_addresses_are_one_subject(server) -> None:
    run = check(server, a=settings("good.example"), b=settings("good.example"), c={"disabled": True})
    assert [one.realms for one in run.subjects] == [("a", "b")]
    assert [one.status.value for one in run.realms] == ["ok", "ok", "skipped"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", None), ("192.0.2.1", ("192.0.2.1", 53)), ("192.0.2.1:5353", ("192.0.2.1", 5353)), ("[::1]:53", ("::1", 53)),
     ("::1", ("::1", 53))],
)  # fmt: skip
def test_a_resolver_is_an_address_with_or_without_a_port(text: str, expected: tuple[str, int] | None) -> None:
    assert parse_resolver(text) == expected


@pytest.mark.parametrize("text", ["dns.example", "192.0.2.1:0", "192.0.2.1:x", "192.0.2.1:", "[::1", "1:2:3:99999"])
def test_a_resolver_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no address of a name server"):
        parse_resolver(text)
