"""Fields as JSON and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mail_settings import field_maps

from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.model.fields import ABSENT, Duration, Login, Masked, Raw, Security
from ztrust_mail.model.serialize import from_json, to_json

RANDOM = settings(max_examples=200, deadline=None, derandomize=True)
references = st.builds(SecretRef, st.sampled_from(SecretKind), st.lists(st.text()).map(tuple), st.text())
values = (
    st.text()
    | st.booleans()
    | st.integers()
    | st.sampled_from([*Security, *Login, ABSENT, Masked()])
    | st.integers().map(Duration)
    | st.text().map(Raw)
    | references
)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["secret", "raw", "login", "x"]) | st.text(), inner)
    ),
    max_leaves=10,
)


def same(one: dict, other: dict) -> bool:
    """Whether two maps hold the same, types and order included: True is not 1, a word no security mode."""
    return [(n, type(v), v) for n, v in one.items()] == [(n, type(v), v) for n, v in other.items()]


@RANDOM
@given(fields=st.dictionaries(st.text(), values))
def test_fields_come_back_from_json_as_they_were(fields):
    assert same(from_json(json.loads(json.dumps(to_json(fields)))), fields)


@RANDOM
@given(fields=field_maps)
def test_the_fields_of_a_spec_come_back_from_json_as_they_were(fields):
    assert same(from_json(json.loads(json.dumps(to_json(fields)))), fields)


@RANDOM
@given(data=st.dictionaries(st.text(), junk))
def test_any_json_is_read_as_field_values_or_refused(data):
    try:
        fields = from_json(data)
    except ValueError:
        return
    assert same(from_json(to_json(fields)), fields)


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.5,
        [],
        ["text"],
        {},
        {"unknown": 1},
        {"security": "starttls", "login": "basic"},
        {"security": "ssl"},
        {"security": True},
        {"login": "kerberos"},
        {"milliseconds": "10"},
        {"milliseconds": True},
        {"milliseconds": 1.5},
        {"raw": 1},
        {"secret": "env", "argument": ["X"]},
        {"secret": "env", "argument": ["X"], "base": "", "more": 1},
        {"secret": "vault", "argument": ["X"], "base": ""},
        {"secret": "env", "argument": "X", "base": ""},
        {"secret": "env", "argument": [1], "base": ""},
        {"secret": "env", "argument": ["X"], "base": None},
        {"secret": ["env"], "argument": ["X"], "base": ""},
    ],
)
def test_json_that_is_not_a_field_value_is_refused(value):
    with pytest.raises(ValueError, match=r"\w"):
        from_json({"relay.port": value})


def test_a_reference_says_where_a_secret_comes_from_and_a_mask_that_there_is_one():
    reference = SecretRef(SecretKind.KEYRING, ("smtp", "no-reply"))
    assert to_json({"relay.auth.password": reference, "x": Masked()}) == {
        "relay.auth.password": {"secret": "keyring", "argument": ["smtp", "no-reply"], "base": ""},
        "x": {"masked": True},
    }
