"""The fields of work as the content of requests, in JSON, and back. Anybody who may write the database may write it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field, fields
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, get_args

from ztrust_mail.core.data import JsonLike
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.secrets.sources import RUN_SECRETS
from ztrust_mail.specfile.load import SpecFiles

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from ztrust_mail.applying.options import Waves

SECOND: Final = {"format": 2}
"""The metadata of fields that the content has since the second version, where they are set."""

FailOnWord: TypeAlias = Literal["any", "critical"]
UncoveredWord: TypeAlias = Literal["note", "fail"]

WORDS: Final = {"fail_on": get_args(FailOnWord), "uncovered": get_args(UncoveredWord)}
"""The fields of work that are one of several words."""

Content: TypeAlias = Mapping[str, JsonLike]


def _spec_of(data: JsonLike) -> SpecFiles:
    if not isinstance(data, Mapping) or not all(isinstance(one, Mapping) for one in data.values()):
        raise ValueError
    return SpecFiles(cast("Mapping[str, Mapping[str, object]]", data), RUN_SECRETS)


def version_of(one: Field[Any]) -> int:
    """Return since which version of the content a field exists."""
    version: int = one.metadata.get("format", 1)
    return version


def find_written(work: DataclassInstance) -> Iterator[Field[Any]]:
    """Yield the fields that the content of work has: those of its first version, and later ones that are set."""
    for one in fields(work):
        value = getattr(work, one.name)
        is_unset = not value if one.default == () else value == one.default
        if version_of(one) == 1 or not is_unset:
            yield one


def fields_to_json(work: DataclassInstance, but: str = "") -> dict[str, JsonLike]:
    """Return the fields that the content of work has as JSON data, without one that is written in another way."""
    return {one.name: _to_json(getattr(work, one.name)) for one in find_written(work) if one.name != but}


def check_names(kind: type[DataclassInstance], content: Content) -> None:
    """Raise :class:`ValueError` for content with other fields than work of a kind has; later ones may be missing."""
    known = {one.name: version_of(one) for one in fields(kind)}
    if not {name for name, version in known.items() if version == 1} <= set(content) <= set(known):
        raise ValueError


def parse_fields(kind: type[DataclassInstance], content: Content) -> dict[str, Any]:
    """Return the fields in the content of work of a kind. Raises :class:`ValueError` for anything else."""
    check_names(kind, content)
    return {name: _PARSERS.get(name, texts_in)(value) for name, value in content.items()}


def _to_json(value: object) -> JsonLike:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        return [str(one) for one in value]
    return dict(value) if isinstance(value, Mapping) else dict(vars(value))


def _waves_of(data: JsonLike) -> Waves | None:
    from ztrust_mail.applying.options import Waves

    if data is None:
        return None
    values = _any_mapping(data)
    canary, size, stop_after, per_credential = (values[one.name] for one in fields(Waves))
    if not (isinstance(size, int) and isinstance(stop_after, int) and isinstance(per_credential, bool)):
        raise ValueError
    return Waves(_text(canary), size, stop_after, per_credential)


def _variables_of(data: JsonLike) -> dict[str, str]:
    return {name: _text(value) for name, value in _any_mapping(data).items()}


def _mode_of(data: JsonLike) -> str:
    return SecretMode(_text(data)).value


def _any_mapping(data: JsonLike) -> Content:
    if not isinstance(data, Mapping):
        raise ValueError
    return data


def mapping_of(data: JsonLike) -> dict[str, JsonLike]:
    """Return a mapping. Raises :class:`ValueError` for anything else."""
    return dict(_any_mapping(data))


def _text(data: JsonLike) -> str:
    if not isinstance(data, str):
        raise ValueError
    return data


def _flag(data: JsonLike) -> bool:
    if not isinstance(data, bool):
        raise ValueError
    return data


def _word_of(name: str, data: JsonLike) -> str:
    if data not in WORDS[name]:
        raise ValueError
    return _text(data)


def texts_in(data: JsonLike) -> tuple[str, ...]:
    """Return a list of texts. Raises :class:`ValueError` for anything else."""
    if not isinstance(data, list):
        raise ValueError
    return tuple(_text(one) for one in data)


_PARSERS: Final[Mapping[str, Callable[[JsonLike], Any]]] = {
    "spec": _spec_of,
    "variables": _variables_of,
    "waves": _waves_of,
    "secrets": _mode_of,
    "plan": _text,
    "relay": _text,
    "user": _text,
    "fail_on": partial(_word_of, "fail_on"),
    "uncovered": partial(_word_of, "uncovered"),
    "probe": _flag,
    "ehlo_name": _text,
}
"""How the parts of work are read; all others are lists of texts. Each raises :class:`ValueError`."""
