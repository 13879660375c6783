"""Secrets in foreign text: found in every usual spelling, and nothing else is lost."""

from __future__ import annotations

import base64
import html
import json
import quopri
import shlex
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from ztrust_mail.core.redaction import MAX_TEXT, QUOTES_A_SECRET, TOO_LONG, Redactor
from ztrust_mail.core.secret import Secret

ODD = 'it\'s <a> "pä ss" &+/%=\\ (1)!*~?>é'
PLAIN = "S3cr3t-w0rd"


def knowing(*secrets: str) -> Redactor:
    redactor = Redactor()
    redactor.add(map(Secret, secrets))
    return redactor


def every_character_escaped(secret: str) -> str:
    units = secret.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex().upper()}" for at in range(0, len(units), 2))


def uri_component(secret: str) -> str:
    """Return what JavaScript's encodeURIComponent makes of a secret."""
    return quote(secret, safe="!'()*~")


def base64_of(before: bytes, secret: str, *, url_safe: bool = False, padded: bool = True) -> str:
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    text = encode(before + secret.encode()).decode()
    return text if padded else text.rstrip("=")


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": lambda s: json.dumps(s)[1:-1],
    "JSON without ASCII": lambda s: json.dumps(s, ensure_ascii=False)[1:-1],
    "JSON with slashes": lambda s: json.dumps(s)[1:-1].replace("/", "\\/"),
    "JSON for HTML": lambda s: (
        json.dumps(s)[1:-1]
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("=", "\\u003d")
        .replace("'", "\\u0027")
        .replace("&", "\\u0026")
    ),
    "JSON in capitals": every_character_escaped,
    "JSON in small letters": lambda s: every_character_escaped(s).lower(),
    "JSON in JSON": lambda s: json.dumps(json.dumps(s))[1:-1],
    "HTML": html.escape,
    "HTML by numbers": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "HTML by hexadecimal numbers": lambda s: "".join(f"&#x{ord(c):x};" for c in s),
    "HTML as Java does it": lambda s: html.escape(s).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    "a URL": lambda s: quote(s, safe=""),
    "a URL's path": quote,
    "a form": quote_plus,
    "a form in small letters": lambda s: quote_plus(s).lower(),
    "encodeURIComponent": uri_component,
    "every byte percent-encoded": lambda s: "".join(f"%{byte:02x}" for byte in s.encode()),
    "a URL twice": lambda s: quote(quote(s, safe=""), safe=""),
    "HTML in a URL": lambda s: quote(html.escape(s), safe=""),
    "a URL in JSON in HTML": lambda s: html.escape(json.dumps(quote(s, safe=""))),
    "a shell's quotes": shlex.quote,
    "base64": lambda s: base64_of(b"", s),
    "SMTP AUTH PLAIN": lambda s: base64_of(b"\0user\0", s),
    "SMTP AUTH PLAIN with authzid": lambda s: base64_of(b"user\0user\0", s),
    "HTTP Basic": lambda s: base64_of(b"ab:", s),
    "base64 without padding": lambda s: base64_of(b"\0u\0", s, padded=False),
    "base64 for URLs": lambda s: base64_of(b"", s, url_safe=True, padded=False),
    "base64 in a URL": lambda s: quote(base64_of(b"\0u\0", s), safe=""),
    "hexadecimal": lambda s: s.encode().hex(),
    "hexadecimal with colons": lambda s: s.encode().hex(":").upper(),
    "a list of bytes": lambda s: ", ".join(f"0x{byte:02x}" for byte in s.encode()),
    "octal": lambda s: "".join(f"\\{byte:03o}" for byte in s.encode()),
    "escaped bytes": lambda s: "".join(f"\\x{byte:02x}" for byte in s.encode()),
    "Python's repr of bytes": lambda s: repr(s.encode()),
    "escapes of eight digits": lambda s: "".join(f"\\U{ord(c):08x}" for c in s),
    "escapes in braces": lambda s: "".join(f"\\u{{{ord(c):x}}}" for c in s),
    "quoted-printable": lambda s: quopri.encodestring(s.encode(), quotetabs=True).decode(),
    "quoted-printable in lines": lambda s: "=\r\n".join(f"={byte:02X}" for byte in s.encode()),
    "base64 in lines": lambda s: base64.encodebytes(b"x" * 50 + s.encode()).decode(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    "secret", [ODD, PLAIN, "pass", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16") * 4]
)
def test_a_secret_is_found_in_every_spelling(secret: str, spelling: str) -> None:
    quoted = SPELLINGS[spelling](secret)
    shown = knowing("another", secret).redact(f"bad value [{quoted}] of port 25")
    assert quoted not in shown
    assert secret not in shown
    assert shown == QUOTES_A_SECRET or (shown.startswith("bad value [") and "…" in shown)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("secret", [ODD, PLAIN])
def test_a_text_without_the_secret_is_shown_as_it_is(secret: str, spelling: str) -> None:
    text = f"bad value [{SPELLINGS[spelling]('another word')}] of port 25"
    assert knowing(secret).redact(text) == text


def test_a_secret_and_its_encoded_form_in_one_text_are_both_masked() -> None:
    assert knowing(PLAIN).redact(f"{PLAIN} {base64_of(b'', PLAIN)}") == QUOTES_A_SECRET


@pytest.mark.parametrize("secret", ["a%41b&amp;c\\u0041d", "50%25 &lt;x", "\\\\\\x41xyz", "%%%%%", "\"'\"'"])
@pytest.mark.parametrize("spelling", ["as it is", "JSON", "HTML", "a URL", "a URL twice", "base64"])
def test_a_secret_that_looks_encoded_itself_is_found(secret: str, spelling: str) -> None:
    quoted = SPELLINGS[spelling](secret)
    assert quoted not in knowing(secret).redact(f"no: {quoted}.")


def test_a_text_of_too_many_layers_is_not_shown() -> None:
    text = PLAIN[0].encode().hex()
    assert knowing(PLAIN).redact(f"%{'25' * 40}{text}{PLAIN[1:]}") == QUOTES_A_SECRET


def test_short_secrets_are_masked_without_hiding_the_whole_text() -> None:
    assert knowing("x", "ab").redact("the box abides: dGhl %78 &amp;") in (
        QUOTES_A_SECRET,
        "the bo… …ides: dGhl %78 &amp;",
    )
    assert knowing("x").redact("the box") == "the bo…"
    assert knowing("'", '"').redact("say hello") == "say hello"


def test_escapes_that_encode_no_character_are_ignored() -> None:
    text = r"\xff \377 \U00110000 \u{ffffff} =FF 0x"
    assert knowing(PLAIN).redact(text) == text


def test_a_text_that_is_too_long_to_search_is_not_shown() -> None:
    assert knowing(PLAIN).redact("x" * MAX_TEXT) == "x" * MAX_TEXT
    assert knowing(PLAIN).redact("x" * (MAX_TEXT + 1)) == TOO_LONG


def test_the_longer_of_two_overlapping_secrets_is_masked_first() -> None:
    assert knowing("cd", "abcdef").redact("<abcdef>") == "<…>"


def test_a_mask_is_no_secret_and_only_secrets_are_remembered() -> None:
    redactor = Redactor()
    redactor.add([Secret("**********"), Secret(""), "smtp.example.com", None])
    assert redactor.redact("********** at smtp.example.com") == "********** at smtp.example.com"


def test_a_secret_with_a_lone_surrogate_is_found_too() -> None:
    assert knowing("half-\udce9-word").redact("no: half-\udce9-word.") == "no: …."


def test_the_repr_of_a_redactor_shows_no_secret() -> None:
    redactor = knowing(PLAIN)
    assert PLAIN not in repr(redactor)
    assert PLAIN not in repr(list(vars(redactor)["_known"].values()))
