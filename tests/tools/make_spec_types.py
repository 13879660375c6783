"""Prints ``ztrust_mail/api/spec_types.py``: the spec as typed dicts, made of ``schemas/spec.schema.json``.

python tests/tools/make_spec_types.py > ztrust_mail/api/spec_types.py
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

SCHEMA = Path(__file__).parents[2] / "schemas" / "spec.schema.json"
HEAD = '''"""The spec as typed dicts, so that a type checker finds a misspelt key and a wrong type.

Made of ``schemas/spec.schema.json`` by ``tests/tools/make_spec_types.py``; do not edit.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict
'''
SIMPLE = {"string": "str", "integer": "int", "boolean": "bool"}
Schema = Mapping[str, object]


class Generator:
    """Collects the source of one class per kind of mapping, those that others use first."""

    def __init__(self, schema: Mapping[str, Schema]) -> None:
        self._definitions = schema["$defs"]
        self.classes: dict[str, str] = {}

    def type_of(self, schema: Schema, name: str) -> str:
        """Return the annotation of a value; ``name`` is that of the class for a mapping with known keys."""
        if reference := schema.get("$ref"):
            key = str(reference).rpartition("/")[2]
            return self.type_of(self._definitions[key], class_name(key))
        if options := schema.get("anyOf"):
            return " | ".join(dict.fromkeys(self.type_of(option, name) for option in options))
        if "const" in schema:
            return f"Literal[{schema['const']!r}]"
        if "enum" in schema:
            return f"Literal[{', '.join(json.dumps(value) for value in schema['enum'])}]"
        if "properties" in schema:
            self._add_class(schema, name)
            return name
        if schema.get("type") == "object":
            return f"Mapping[str, {self.type_of(schema['additionalProperties'], name)}]"
        if schema.get("type") == "array":
            return f"Sequence[{self.type_of(schema['items'], name)}]"
        return SIMPLE[str(schema["type"])]

    def _add_class(self, schema: Schema, name: str) -> None:
        fields = {key: self.type_of(value, class_name(key)) for key, value in schema["properties"].items()}
        lines = [f"    {key}: {kind}" for key, kind in fields.items() if key.isidentifier()]
        text = str(schema.get("description") or f"{schema['title']}.").partition(". ")[0].rstrip(".")
        head = f'class {name}(TypedDict, total=False):\n    """{text}."""\n'
        self.classes.setdefault(name, "\n".join([head, *lines]) + "\n")


def class_name(key: str) -> str:
    """Return ``ReplyToDict`` for ``reply_to``."""
    return "".join(part.capitalize() for part in key.split("_")) + "Dict"


def generate() -> str:
    """Return the source of the module."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    generator = Generator(schema)
    generator.type_of(schema, "SpecDict")
    return "\n\n".join([HEAD, *generator.classes.values()])


if __name__ == "__main__":
    print(generate(), end="")
