"""Every kind of secret reference is in each file that lists the kinds; the message names the file to change."""

import json
from pathlib import Path
from typing import get_type_hints

import pytest

from ztrust_mail.api.spec_types import SecretDict
from ztrust_mail.core.rules import find_rule
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.specfile.export import reference_node

ROOT = Path(__file__).parents[3]


def schema(name: str) -> object:
    return json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text("utf-8"))


def find_keys(node: object, key: str) -> list[object]:
    """Return what stands under a key anywhere in a schema."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    own = [node[key]] if isinstance(node, dict) and key in node else []
    return [*own, *(found for child in children for found in find_keys(child, key))]


def test_every_kind_is_in_the_schema_of_plans() -> None:
    kinds = [found["enum"] for found in find_keys(schema("plan"), "secret") if isinstance(found, dict)]
    assert kinds == [[*SecretKind]], "schemas/plan.schema.json: the enum of `secret`"


def test_every_kind_is_in_the_schema_of_settings() -> None:
    (found,) = [node for node in find_keys(schema("settings"), "secrets") if isinstance(node, dict)]
    assert list(found["properties"]) == [*SecretKind], "schemas/settings.schema.json: policy.secrets"


def test_every_kind_is_in_the_schema_and_the_types_of_specs() -> None:
    (found,) = [node for node in find_keys(schema("spec"), "secret") if isinstance(node, dict)]
    assert list(found["properties"]) == [*SecretKind], "schemas/spec.schema.json: secret"
    hint = "python tests/tools/make_spec_types.py > ztrust_mail/api/spec_types.py"
    assert list(get_type_hints(SecretDict)) == [*SecretKind], hint


@pytest.mark.parametrize("kind", SecretKind)
def test_the_form_of_every_kind_is_that_of_the_schema(kind: SecretKind) -> None:
    (found,) = [node for node in find_keys(schema("spec"), "secret") if isinstance(node, dict)]
    assert (found["properties"][kind]["type"] == "string") is kind.form.is_text
    parts = kind.form.parts or 1
    node = reference_node(SecretRef(kind, ("a",) * parts))
    assert node == {kind.value: "a" if kind.form.is_text else ["a"] * parts}


@pytest.mark.parametrize("kind", SecretKind)
def test_every_kind_is_in_the_texts_that_list_the_kinds(kind: SecretKind) -> None:
    assert f"`{{{kind}: {kind.form.hint}}}`" in find_rule("bad-reference").help, "ztrust_mail/data/rules.toml"
    assert f"| `{{{kind}: " in (ROOT / "docs" / "spec.md").read_text("utf-8"), "docs/spec.md: the table of references"
