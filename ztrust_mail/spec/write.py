"""Writes entries as a YAML spec that reads back as it was."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from ztrust_mail.sensitive import SecretKind, SecretRef
from ztrust_mail.spec.fields import EXTRA, RECIPIENTS, message_of
from ztrust_mail.spec.yaml_text import dump_yaml
from ztrust_mail.text import printable

Leaf = str | int | bool | SecretRef
Leaves = dict[str, Leaf]
"""One entry, flat: field → what the spec says."""

Node = Leaf | list[str] | dict[str, "Node"]

_HIDDEN = re.compile(r"^(.*\{env: '?SMTP_(?:PASSWORD|CLIENT_SECRET)_.*)$", re.MULTILINE)


def to_yaml(
    realms: Mapping[str, Leaves | None],
    defaults: Leaves,
    head: str = "",
    *,
    because: str = "the server hides the value",
) -> str:
    """Return a spec with these entries; None stands for a realm that shall have no e-mail.

    References that stand in for a secret get a comment that says why, ``because``.
    """
    body: dict[str, Node] = {"version": 1}
    if defaults:
        body["defaults"] = _nested(defaults)
    body["realms"] = {name: {"disabled": True} if e is None else _nested(e) for name, e in realms.items()}
    text = _HIDDEN.sub(rf"\1  # {because}: put it into this variable", dump_yaml(body, flow=None))
    return "".join(f"# {printable(line)}\n" for line in head.splitlines()) + text


def _nested(leaves: Leaves) -> Node:
    root: dict[str, Node] = {}
    for name, value in leaves.items():
        message = message_of(name)
        keys = name.split(".", 3 if message else 1 if name.startswith(f"{EXTRA}.") else -1)
        node = root
        for key in keys[:-1]:
            node = cast("dict[str, Node]", node.setdefault(key, {}))
        listed = name == RECIPIENTS and isinstance(value, str)
        node[keys[-1]] = (
            str(value).split(", ") if listed else _reference(value) if isinstance(value, SecretRef) else value
        )
    return root


def _reference(ref: SecretRef) -> Node:
    whole = ref.kind in (SecretKind.COMMAND, SecretKind.KEYRING)
    return {ref.kind.value: list(ref.argument) if whole else ref.argument[0]}
