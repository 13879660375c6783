"""The rule for sender addresses says what a real Keycloak 26.7.4 was seen to say."""

import json
from pathlib import Path

import pytest

from ztrust_mail.spec.addresses import address_problem, ascii_domain

SEEN = json.loads((Path(__file__).parents[1] / "contract" / "addresses.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("entry", SEEN, ids=lambda e: f"{e['address'][:30]!a}{'-utf8' if e['utf8'] else ''}")
def test_an_address_is_judged_as_by_the_real_server(entry: dict[str, object]) -> None:
    problem = address_problem(str(entry["address"]), utf8=bool(entry["utf8"]))
    assert (problem is None) is entry["accepted"]


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
def test_the_reason_is_told_in_words(address: str, words: str) -> None:
    assert words in str(address_problem(address, utf8=False))


def test_an_international_domain_has_an_ascii_form_and_other_text_stays() -> None:
    assert ascii_domain("a@bücher.example") == "a@xn--bcher-kva.example"
    assert ascii_domain("ä@b.example") == "ä@b.example"
    assert ascii_domain("no address") == "no address"
