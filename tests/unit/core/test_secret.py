"""A secret does not show, wherever it is put; a reference shows where it comes from and no more."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable

import pytest

from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.settings import Server
from ztrust_mail.transport.token import Token

HIDDEN = "S3cr3t-w0rd"


@dataclasses.dataclass
class Holder:
    """Anything that holds a secret."""

    password: Secret


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        ascii,
        lambda s: f"{s}",
        lambda s: f"{s!r}",
        lambda s: f"{s!s:>40}",
        lambda s: f"{s:.3}",
        lambda s: format(s, ">30"),
        lambda s: "{}{!r}".format(s, s),  # noqa: UP032  # str.format is what is tried
        lambda s: "%s %r %a" % (s, s, s),  # noqa: UP031  # so is the old operator
        lambda s: repr([s, {"k": s}, (s,)]),
        lambda s: repr(Holder(s)),
        lambda s: pprint.pformat({"k": s}),
        lambda s: repr(Server("https://x", client_secret=s, password=s, token=s)),
        lambda s: repr(Token(value=s, renew_at=0.0, claims={})),
        lambda s: "".join(dir(s)),
    ],
)
def test_a_secret_is_not_shown(show: Callable[[Secret], str]) -> None:
    shown = show(Secret(HIDDEN))
    assert shown
    assert HIDDEN not in shown
    assert HIDDEN[:3] not in shown


def test_only_reveal_gives_a_secret_out() -> None:
    assert Secret(HIDDEN).reveal() == HIDDEN


def test_a_secret_is_not_logged() -> None:
    stream = io.StringIO()
    logger = logging.Logger("of-this-test")
    logger.addHandler(logging.StreamHandler(stream))
    logger.error("%s %r", Secret(HIDDEN), Secret(HIDDEN))
    logger.error("%(k)s", {"k": Secret(HIDDEN)})
    assert stream.getvalue() == "Secret(…) Secret(…)\nSecret(…)\n"


@pytest.mark.parametrize(
    "take",
    [
        pickle.dumps,
        lambda s: pickle.dumps(s, protocol=0),
        lambda s: pickle.dumps({"k": [s]}),
        copy.copy,
        copy.deepcopy,
        lambda s: copy.deepcopy(Holder(s)),
        lambda s: dataclasses.asdict(Holder(s)),
        json.dumps,
        lambda s: json.dumps({"k": s}),
        vars,
        hash,
        lambda s: s.__getstate__(),
        lambda s: s.__reduce_ex__(2),
        iter,
        len,
        bytes,
    ],
)
def test_a_secret_is_neither_copied_nor_serialised(take: Callable[[Secret], object]) -> None:
    with pytest.raises(TypeError) as refusal:
        take(Secret(HIDDEN))
    assert HIDDEN not in str(refusal.value)


def test_a_traceback_with_local_variables_does_not_show_a_secret() -> None:
    def use(secret: Secret) -> None:
        holder = Holder(secret)
        raise RuntimeError(f"{holder} with {secret}")

    with pytest.raises(RuntimeError) as failure:
        use(Secret(HIDDEN))
    told = "".join(traceback.TracebackException.from_exception(failure.value, capture_locals=True).format())
    assert "holder = " in told
    assert HIDDEN not in told


def test_a_secret_has_no_attribute_under_a_plain_name() -> None:
    assert not hasattr(Secret(HIDDEN), "value")
    assert not hasattr(Secret(HIDDEN), "__dict__")


def test_secrets_compare_by_value_and_with_nothing_else() -> None:
    assert Secret(HIDDEN) == Secret(HIDDEN)
    assert Secret(HIDDEN) != Secret("other")
    assert Secret(HIDDEN) != HIDDEN


@pytest.mark.parametrize(
    ("kind", "argument", "shown"),
    [
        (SecretKind.ENV, ("SMTP_PASSWORD",), "env:SMTP_PASSWORD"),
        (SecretKind.FILE, ("keys/smtp",), "file:keys/smtp"),
        (SecretKind.KEYRING, ("mail", "acme"), "keyring:mail/acme"),
        (SecretKind.KEYCLOAK_VAULT, ("smtp",), "keycloak_vault:smtp"),
        (SecretKind.COMMAND, ("pass", "show", HIDDEN), "command:pass"),
    ],
)
def test_a_reference_is_shown_without_a_commands_arguments(
    kind: SecretKind, argument: tuple[str, ...], shown: str
) -> None:
    ref = SecretRef(kind, argument, "/specs")
    assert str(ref) == shown
    assert repr(ref) == f"SecretRef({shown})"


def test_equal_references_are_one_key() -> None:
    first, second = (SecretRef(SecretKind.FILE, ("a",), base) for base in ("/x", "/y"))
    assert len({first, second, SecretRef(SecretKind.FILE, ("a",), "/x")}) == 2
