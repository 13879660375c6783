"""Reads a saved plan and validates everything in it: the file is untrusted input."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn, cast

from ztrust_mail.core.data import JsonLike, load_schema, of_json
from ztrust_mail.core.errors import Unsafe, UsageError
from ztrust_mail.core.files import read_regular_file
from ztrust_mail.core.findings import Location
from ztrust_mail.core.text import SURROGATE, first_and_more, quoted
from ztrust_mail.gateways.gateway import Account
from ztrust_mail.model.serialize import FieldJson
from ztrust_mail.model.values import BadValue
from ztrust_mail.planning.compare import ChangeData, SecretMode
from ztrust_mail.planning.plan import Status
from ztrust_mail.planning.saved.validation import parse_settings
from ztrust_mail.planning.saved.write import APPLY, SCHEMA, SCHEMAS, LeftOut, PlannedRealm, SavedPlan
from ztrust_mail.specfile.entries import Entry
from ztrust_mail.specfile.resolve import Desired

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

MAX_BYTES = 64_000_000
_SHORTEST_DIGEST = 12
_TEXT = "<plan>"
SHOWN_KEYS = 5
_NEW = "make a new one: ztrust-mail plan SPEC... --out FILE"

Object = dict[str, JsonLike]


def load(path: str | os.PathLike[str], expect_digest: str | None = None) -> SavedPlan:
    """Return the plan saved in a file.

    ``expect_digest`` is the digest of the reviewed plan, or at least its first 12 characters. Raises
    :class:`UsageError` if the file is not a plan or contains settings that no spec can have, and :class:`Unsafe` if it
    was altered after it was saved or is not the expected plan.

    The digest in the file detects accidents and simple edits. It does not detect an attacker who computes it anew; only
    ``expect_digest`` does. Such an attacker can write any settings a spec can have to any realm of the server, within
    the settings' policy. The secrets within reach are those within reach of a spec: environment variables except
    ZTRUST_MAIL_*, the keyring, ``/run/secrets``, and the commands and folders that trusted settings permit. A file in a
    spec's folder is within reach only if that spec is there, unchanged, or if the plan is the expected one, because a
    plan can name any folder as its spec's: see ``check_specs``. What remains is a folder with a YAML or JSON file
    whose content the attacker knows, because that file can pass for a spec.
    """
    name = os.fspath(path)
    return from_text(_read(name), expect_digest, name)


def from_text(text: str | bytes, expect_digest: str | None = None, name: str = _TEXT) -> SavedPlan:
    """Return the plan in a text, as :func:`load` does; ``name`` is used in messages."""
    data = _parse(text, name)
    _check_schema(data, name)
    digest = of_json({key: value for key, value in data.items() if key != "digest"})
    if digest != data["digest"]:
        message = f"the plan {quoted(name, 255)} was altered after it was saved: its content has the digest {digest}"
        raise Unsafe(message, _NEW, "plan-altered")
    if expect_digest is not None:
        _check_expected(digest, expect_digest, name)
    try:
        saved = _to_plan(data, name, expected=expect_digest is not None)
    except BadValue as bad:
        _refuse(name, f"is not valid: {bad.problem}", bad.hint)
    return saved if name == _TEXT else replace(saved, path=name)


def _refuse(name: str, problem: str, hint: str = "") -> NoReturn:
    raise UsageError(f"the plan {quoted(name, 255)} {problem}", hint or _NEW, "bad-plan") from None


def _read(name: str) -> bytes:
    try:
        return read_regular_file(name, MAX_BYTES + 1)
    except FileNotFoundError:
        _refuse(name, "does not exist", "name a file made by: ztrust-mail plan SPEC... --out FILE")
    except OSError as e:
        _refuse(name, f"cannot be read: {e.strerror}", "name a file made by: ztrust-mail plan SPEC... --out FILE")


def _parse(text: str | bytes, name: str) -> Object:
    if len(text) > MAX_BYTES:
        _refuse(name, f"is larger than {MAX_BYTES // 10**6} MB")
    try:
        whole = text if isinstance(text, str) else text.decode("utf-8-sig")
    except UnicodeDecodeError:
        _refuse(name, "is not UTF-8 text")
    try:
        data = json.loads(
            whole,
            object_pairs_hook=_to_object,
            parse_float=_reject_number,
            parse_constant=_reject_number,
            parse_int=_to_int,
        )
    except json.JSONDecodeError as e:
        _refuse(name, f"is not JSON from line {e.lineno}, column {e.colno} on")
    except _DuplicateKey as e:
        _refuse(name, f"has the key {quoted(e.key)} twice in one object")
    except (ValueError, RecursionError):
        _refuse(name, "has numbers that no plan has, or is nested too deeply")
    if not isinstance(data, dict) or not isinstance(data.get("schema"), str):
        _refuse(name, "is not a saved plan")
    if (schema := data["schema"]) != SCHEMA:
        if schema.startswith(SCHEMAS):
            hint = "apply it with that version, or make a new one"
            _refuse(name, "was saved by another version of this program", hint)
        _refuse(name, "is not a saved plan")
    return data


class _DuplicateKey(ValueError):
    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key


def _to_object(pairs: Iterable[tuple[str, JsonLike]]) -> Object:
    found: Object = {}
    for key, value in pairs:
        if key in found:
            raise _DuplicateKey(key)
        found[key] = value
    return found


def _reject_number(text: str) -> NoReturn:
    raise ValueError(text)


def _to_int(text: str) -> int:
    if len(text) > 18:
        raise ValueError(text)
    return int(text)


def _check_schema(data: Object, name: str) -> None:
    """Refuse data that does not match the schema. The library's messages are not shown: they quote values."""
    from jsonschema import Draft202012Validator

    wrong = next(Draft202012Validator(load_schema("plan")).iter_errors(data), None)
    if wrong is not None:
        _refuse(name, f"does not match the schema: {_describe_place(wrong)} {_describe_problem(wrong)}")


def _describe_place(wrong: ValidationError) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in wrong.absolute_path]
    return quoted("".join(parts).removeprefix(".")) if parts else "the top level"


def _describe_problem(wrong: ValidationError) -> str:
    keys = wrong.instance if isinstance(wrong.instance, dict) else {}
    wanted, schema = wrong.validator_value, cast("Mapping[str, Object]", wrong.schema)
    if wrong.validator == "required" and isinstance(wanted, list):
        return f"lacks {', '.join(quoted(key) for key in wanted if key not in keys)}"
    if wrong.validator == "additionalProperties":
        unknown = [quoted(key) for key in keys if key not in schema["properties"]]
        return f"has unknown keys: {first_and_more(unknown, SHOWN_KEYS)}"
    return "has an invalid value"


def _check_expected(digest: str, expected: str, name: str) -> None:
    wanted = expected.strip().lower()
    if not re.fullmatch(rf"[0-9a-f]{{{_SHORTEST_DIGEST},64}}", wanted):
        hint = f"give the digest that `plan --out` printed, or at least its first {_SHORTEST_DIGEST} characters"
        raise UsageError(f"{quoted(expected)} is not the digest of a plan", hint, "bad-digest")
    if not digest.startswith(wanted):
        message = f"the plan {quoted(name, 255)} has the digest {digest}, but {wanted} was expected"
        raise Unsafe(message, "apply the plan that was reviewed, or review this one", "plan-other")


def _to_plan(data: Object, name: str, *, expected: bool) -> SavedPlan:
    """Return the plan in data that matches the schema. Raises :class:`BadValue`."""
    server, account = _object(data["server"]), _object(data["account"])
    specs, left_out = _objects(data["spec"]), _objects(data["left_out"])
    realms = tuple(_to_realm(one, name) for one in _objects(data["realms"]))
    _check_unique("realm", [*(one.realm for one in realms), *(_text(one, "realm") for one in left_out)])
    _check_unique("spec", [_text(one, "path") for one in specs])
    return SavedPlan(
        url=_text(server, "url"),
        account=Account(_text(account, "name"), _text(account, "realm"), None, _text(server, "issuer")),
        secrets=SecretMode(_text(data, "secrets")),
        realms=realms,
        digest=_text(data, "digest"),
        created=_text(data, "created"),
        tool_version=_text(data, "tool_version"),
        specs={_text(one, "path"): _text(one, "digest") for one in specs},
        folders=_texts(data["folders"]),
        left_out=tuple(_to_left_out(one) for one in left_out),
        uncovered=_texts(data["uncovered"]),
        in_sync=cast("int", data["in_sync"]),
        expected=expected,
        command=str(data.get("command", APPLY)),
        filled={name: str(text) for name, text in _object(data.get("filled", {})).items()},
    )


def _to_realm(data: Object, name: str) -> PlannedRealm:
    realm = _text(data, "realm")
    if realm in (".", "..") or SURROGATE.search(realm):
        raise BadValue(f"{quoted(realm)} is not a valid realm name")
    disabled = data["disabled"] is True
    try:
        fields = {} if disabled else parse_settings(cast("Mapping[str, FieldJson]", data["settings"]))
    except BadValue as bad:
        raise BadValue(f"the realm {quoted(realm)}: {bad.problem}", bad.hint) from None
    return PlannedRealm(
        realm,
        Desired(realm, Entry(_text(data, "entry"), Location(name), disabled=disabled), fields),
        _text(data, "live_digest"),
        _texts(data["hidden"]),
        tuple(cast("Sequence[ChangeData]", data["changes"])),
    )


def _to_left_out(data: Object) -> LeftOut:
    why = _text(data, "rule"), _text(data, "why"), _text(data, "hint")
    return LeftOut(_text(data, "realm"), Status(_text(data, "status")), *why)


def _check_unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BadValue(f"the {what} {quoted(name)} is listed twice")
        seen.add(name)


def _text(data: Object, key: str) -> str:
    return cast("str", data[key])


def _texts(data: JsonLike) -> tuple[str, ...]:
    return tuple(cast("Sequence[str]", data))


def _object(data: JsonLike) -> Object:
    return cast("Object", data)


def _objects(data: JsonLike) -> Sequence[Object]:
    return cast("Sequence[Object]", data)
