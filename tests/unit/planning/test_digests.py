"""What specs and live settings are told apart by."""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.connecting import FakeGateway, make_plan
from support.mail_settings import NO_LOGIN, STORED, one_realm, realms

from ztrust_mail import load_spec, validate
from ztrust_mail.core.data import of_bytes, of_json
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.planning.plan import of_attributes, of_plan, of_spec

SPEC = b"version: 1\nrealms:\n  acme: {sender: {address: a@acme.example}, relay: {host: smtp.example.com}}\n"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("data", [SPEC, b"\xef\xbb\xbf" + SPEC, SPEC.replace(b"\n", b"\r\n")], ids=["", "BOM", "CRLF"])
def test_the_digest_of_a_spec_file_is_that_of_its_bytes_as_they_are(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "acme.yaml"
    file.write_bytes(data)
    assert load_spec(file).digests == {str(file): sha256(data)}


def test_every_file_of_a_folder_has_a_digest_in_the_order_read(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_bytes(SPEC)
    (tmp_path / "a.json").write_bytes(b'{"x-note": 1}')
    assert list(load_spec(tmp_path).digests.items()) == [
        (str(tmp_path / "a.json"), sha256(b'{"x-note": 1}')),
        (str(tmp_path / "b.yaml"), sha256(SPEC)),
    ]


def test_a_file_given_twice_has_one_digest(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(SPEC)
    spec = load_spec([str(tmp_path / "a.yaml"), str(tmp_path / "." / "a.yaml"), str(tmp_path)])
    assert spec.digests == {str(tmp_path / "a.yaml"): sha256(SPEC)}


def test_standard_input_has_a_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SPEC)))
    assert load_spec("-").digests == {"-": sha256(SPEC)}


def test_a_spec_with_problems_has_digests_too(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"version: 1\nrealms: {acme: {bogus: 1}}\n")
    assert validate(file)[0].digests == {str(file): sha256(file.read_bytes())}


def test_the_digest_of_a_dict_is_that_of_its_data_whatever_the_order_of_keys() -> None:
    one, same = {"version": 1, "realms": {"acme": NO_LOGIN}}, {"realms": {"acme": NO_LOGIN}, "version": 1}
    assert load_spec(one).digests == load_spec(same).digests == {"<dict>": of_json(one)}


def test_the_digest_of_a_spec_depends_on_its_content_and_not_on_its_path(tmp_path: Path) -> None:
    folders = [tmp_path / "here", tmp_path / "there"]
    for folder in folders:
        folder.mkdir()
        (folder / "a.yaml").write_bytes(SPEC)
    here, there = (of_spec(load_spec(folder)) for folder in folders)
    assert here == there
    (folders[1] / "a.yaml").write_bytes(SPEC + b"# moved on\n")
    assert of_spec(load_spec(folders[1])) != here
    assert of_spec(one_realm(NO_LOGIN)) != of_spec(realms({"acme": NO_LOGIN, "globex": NO_LOGIN}))


def test_digests_are_sha_256_in_hex_over_canonical_json() -> None:
    assert of_bytes(b"x") == sha256(b"x")
    assert of_json({"b": [1, None, True], "a": "ü\ud800"}) == sha256(b'{"a":"\\u00fc\\ud800","b":[1,null,true]}')


@given(attributes=st.dictionaries(st.text(), st.text()), name=st.text(), text=st.text())
def test_the_digest_of_attributes_changes_with_any_difference(attributes: dict[str, str], name: str, text: str) -> None:
    backwards = dict(reversed(attributes.items()))
    assert of_attributes(attributes) == of_attributes(backwards)
    other = attributes | {name: text}
    assert (of_attributes(attributes) == of_attributes(other)) is (attributes == other)


def test_a_secret_shown_in_clear_leaves_no_trace_in_the_digest_of_masked_attributes() -> None:
    shown = [{**STORED, "authTokenClientSecret": secret} for secret in ("one", "another")]
    digests = {of_attributes(KEYCLOAK.mask_secrets(attributes)) for attributes in shown}
    assert len(digests) == 1


def test_the_digest_of_a_plan_depends_on_realms_values_and_live_state() -> None:
    def digest(entry: dict[str, object], **stored: dict[str, str]) -> str:
        return of_plan(make_plan(realms(dict.fromkeys(stored, entry)), FakeGateway(stored)), KEYCLOAK)

    same = digest(NO_LOGIN, a={}, b={})
    assert digest(NO_LOGIN, a={}, b={}) == same
    others = [digest(NO_LOGIN, a={}), digest(NO_LOGIN, a={}, b={"x": "1"}), digest({"disabled": True}, a={"x": "1"})]
    assert len({same, *others}) == 4
