"""Writes YAML in which nothing can steer a terminal or reorder a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ztrust_mail.text import escaped, printable

if TYPE_CHECKING:
    from yaml import SafeDumper
    from yaml.nodes import ScalarNode


def dump_yaml(data: object, *, flow: bool | None = False) -> str:
    """Return data as YAML in the order given; text with invisible characters is double-quoted and escaped.

    ``flow`` None writes mappings and lists without further ones inside on one line.
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    Dumper.add_representer(str, _represent_text)
    text: str = yaml.dump(
        data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1_000_000, default_flow_style=flow, indent=2
    )
    return escaped(text)


def _represent_text(dumper: SafeDumper, text: str) -> ScalarNode:
    style = None if printable(text) == text else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
