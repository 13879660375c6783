"""The JSON walker: places, one value at a time, and syntax errors that quote nothing."""

from __future__ import annotations

import json

import pytest

from ztrust_mail.core.data import JsonSyntaxError, JsonWalker

SECRET = "hunter2"


def walk(text: str) -> JsonWalker:
    return JsonWalker(text, json.JSONDecoder())


def read_items(walker: JsonWalker) -> list[object]:
    return [walker.decode() for _ in walker.items("]")]


def test_the_keys_of_an_object_have_their_places() -> None:
    walker = walk(' {"a" : 1,\n "b":[2]}')
    found = [(key.name, key.start, key.end, walker.pos, walker.decode()) for key in walker.object_keys()]
    assert found == [("a", 2, 5, 8, 1), ("b", 12, 15, 16, [2])]
    walker.finish()


def test_the_items_of_a_list_have_their_places() -> None:
    walker = walk("[1, [2] ,{}]")
    assert [(start, walker.decode()) for start in walker.items("]")] == [(1, 1), (4, [2]), (9, {})]
    assert walker.skip_space() == ""


def test_a_hook_may_ask_where_its_value_starts() -> None:
    starts: list[int] = []
    walker = JsonWalker("[1, 22]", json.JSONDecoder(parse_int=lambda _: starts.append(walker.pos)))
    for _ in walker.items("]"):
        walker.decode()
    assert starts == [1, 4]


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        (f'["{SECRET}" 1]', 11, "a `,` or `]` is missing before this"),
        ("[1,]", 2, "a comma is not allowed before `]`"),
        ("[1", 2, "a `,` or `]` is missing before this"),
        ("[0587]", 1, "this is not a JSON value"),
        (f'["{SECRET}]', 1, "the quotes opened here are not closed on the same line"),
        (f'["{SECRET}\\q"]', 9, "this escape is not known to JSON"),
        (f'[{{"{SECRET}": 1 2}}]', 15, "this is not valid JSON"),
        (f'[["{SECRET}\n"]]', 10, "the quotes opened here are not closed on the same line"),
        ("[// x\n1]", 1, "JSON has no comments"),
        ("[", 1, "the text ends before the document does"),
    ],
)
def test_a_syntax_error_has_its_place_and_does_not_quote_the_text(text: str, offset: int, message: str) -> None:
    with pytest.raises(JsonSyntaxError) as caught:
        read_items(walk(text))
    assert (caught.value.offset, caught.value.message) == (offset, message)
    assert caught.value.hint
    assert SECRET not in caught.value.message + caught.value.hint
    assert caught.value.__context__ is None


def test_text_after_the_document_is_refused() -> None:
    walker = walk("{} x")
    walker.decode()
    with pytest.raises(JsonSyntaxError, match="the document has ended before this"):
        walker.finish()


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    with pytest.raises(JsonSyntaxError):
        walk("[" * 200_000).decode()
