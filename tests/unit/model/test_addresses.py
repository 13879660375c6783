"""The rule for sender addresses says what a real Keycloak 26.7.4 was seen to say."""

import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztrust_mail.model.addresses import address_problem, ascii_domain, lookalike_problem
from ztrust_mail.model.fields import Kind
from ztrust_mail.model.values import BadValue, parse
from ztrust_mail.sandbox.admin_api import smtp_settings

SEEN = json.loads((Path(__file__).parents[2] / "contract" / "addresses.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("entry", SEEN, ids=lambda e: f"{e['address'][:30]!a}{'-utf8' if e['utf8'] else ''}")
def test_an_address_is_judged_as_by_the_real_server(entry: dict[str, object]) -> None:
    for rule in (address_problem, smtp_settings.address_problem):
        problem = rule(str(entry["address"]), utf8=bool(entry["utf8"]))
        assert (problem is None) is entry["accepted"]


@pytest.mark.parametrize("entry", SEEN, ids=lambda e: f"{e['address'][:30]!a}{'-utf8' if e['utf8'] else ''}")
def test_a_spec_accepts_the_addresses_of_the_real_server_except_lookalike_domains(entry: dict[str, object]) -> None:
    """A spec is stricter than the server in that, and in what holds for all of its texts."""
    address = str(entry["address"])
    try:
        parse(Kind.ADDRESS, address, utf8=bool(entry["utf8"]))
        problem = ""
    except BadValue as bad:
        problem = bad.problem
    stricter = lookalike_problem(address.rpartition("@")[2]) or re.search("control char|plain addr", problem)
    assert (problem == "") is (entry["accepted"] and not stricter)


INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff\ufe0f\U000e0100\u034f\u180e\u115f\u3164\u2800"
LOOKALIKES = (
    "\u2024\uff61\u3002\uff0e\uff45\uff21\uff11\uff0d\u2010\u2011\u2212\u2044\u2215\u212a\u017f\ufb03\u2160\u0589\u02d7"
)


@pytest.mark.parametrize("character", INVISIBLE + LOOKALIKES, ids=lambda c: f"U+{ord(c):04X}")
@pytest.mark.parametrize("kind", [Kind.ADDRESS, Kind.ADDRESSES, Kind.HOST, Kind.URL])
def test_a_domain_that_looks_like_another_one_is_refused_and_the_character_named(kind: Kind, character: str) -> None:
    shapes = {Kind.HOST: "{}", Kind.URL: "https://{}/token"}
    for domain in (f"ex{character}ample.com", f"{character}example.com", f"example.com{character}"):
        with pytest.raises(BadValue) as refusal:
            parse(kind, shapes.get(kind, "a@{}").format(domain))
        if not (kind is Kind.URL and "https URL" in refusal.value.problem):  # some are no URL to anybody
            assert f"U+{ord(character):04X}" in refusal.value.problem
            assert "xn--" in refusal.value.hint


@given(st.text())
def test_an_accepted_domain_is_normalised_and_has_no_invisible_characters(domain: str) -> None:
    if lookalike_problem(domain) is None and not domain.isascii():
        assert unicodedata.normalize("NFKC", domain) == domain
        assert not {unicodedata.category(c) for c in domain if not c.isascii()} & {"Cc", "Cf", "Cn", "Co", "Zs", "Zl"}


@pytest.mark.parametrize("domain", ["\u1100\u1161.example", "\u09c7\u09be.example"])
def test_decomposed_letters_that_are_not_accents_are_refused(domain: str) -> None:
    assert f"U+{ord(domain[0]):04X}" in str(lookalike_problem(domain))


def test_a_combining_accent_is_refused_and_named() -> None:
    assert "U+0308 (COMBINING DIAERESIS)" in str(lookalike_problem("bu\u0308cher.example"))
    assert lookalike_problem("b\u00fccher.example") is None


@pytest.mark.parametrize(
    "domain", ["example.com", "bücher.example", "例子.广告", "straße.example", "l·l.example", "א.example", "Ä.example"]
)
def test_domains_of_other_scripts_are_accepted(domain: str) -> None:
    assert lookalike_problem(domain) is None
    assert parse(Kind.ADDRESS, f"a@{domain}") == f"a@{domain}"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("plain", "no @"),
        ("@b.example", "nothing before the @"),
        ("a@", "nothing after the @"),
        ("a@b_c.example", "underscore"),
        ("ä@b.example", "relay.utf8"),
        ("a" * 65 + "@b.example", "64"),
        ("a@" + "b" * 300, "255"),
        ("a@[300]", "IP address"),
        ("a@-b.example", "hyphen"),
        ("a@" + "ü" * 60, "too long"),
        ("a@" + ".".join(["ü" * 20] * 10), "longer than 255"),
        (".a@b.example", "before the @"),
    ],
)
def test_the_reason_is_reported_in_words(address: str, words: str) -> None:
    assert words in str(address_problem(address, utf8=False))


def test_an_international_domain_has_an_ascii_form_and_other_text_stays() -> None:
    assert ascii_domain("a@bücher.example") == "a@xn--bcher-kva.example"
    assert ascii_domain("ä@b.example") == "ä@b.example"
    assert ascii_domain("no address") == "no address"
