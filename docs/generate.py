"""Writes the generated parts of the reference pages anew: ``python docs/generate.py``.

A generated part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``. Its sources are the schemas, the
tables of the code, the registry of rules, and the commands themselves.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import click

from ztrust_mail.cli.app import app
from ztrust_mail.cli.parameters import Argument, DisplayOption, display_options
from ztrust_mail.convert import FORMATS
from ztrust_mail.core.data import schema_text
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.rules import COMMANDS, GROUPS, Rule, registry
from ztrust_mail.dialects import DIALECTS
from ztrust_mail.dialects.dialect import BodyFormat, Dialect
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.model.fields import (
    DEFAULT_PORTS,
    EXPIRES,
    EXTRA,
    FIELDS,
    HOST,
    MESSAGES,
    PASSWORD,
    PORT,
    PRESET,
    Field,
    Kind,
    field_of,
    in_token,
)
from ztrust_mail.providers.example import example_presets, example_spec
from ztrust_mail.providers.presets import Preset, ProviderKind, SenderRule, UsernameRule, all_presets
from ztrust_mail.providers.replies import known_replies
from ztrust_mail.settings import PREFIX

DOCS = Path(__file__).parent
EXAMPLES = DOCS.parent / "examples" / "presets"
WIDTH = 120

STATUSES: Mapping[ExitStatus, str] = {
    ExitStatus.OK: "in sync, or done",
    ExitStatus.DIFFERS: "differs, drifted, declined, a test or a probe failed, or `convert` wrote an incomplete spec",
    ExitStatus.USAGE: "wrong usage, invalid spec or settings; or the result or a report could not be written",
    ExitStatus.UNREACHABLE: "the server is unreachable, or refuses the account altogether",
    ExitStatus.PARTIAL: "some realms failed, are missing or unreadable, or are against the policy already, or "
    "`convert` could not read some files; the rest is done and reported",
    ExitStatus.UNSAFE: "refused: unsafe until `--allow` names each reason; against the policy; or locked by a run",
    ExitStatus.BUG: "internal error",
    ExitStatus.INTERRUPTED: "interrupted",
}

WITHOUT_VARIABLE = ("profile", "labels", "vars", "limits", "queue")
"""Keys of a server that no environment variable can set."""

Schema = Mapping[str, Any]


# Exit statuses and rules


def exit_statuses() -> str:
    """Return the table of exit statuses."""
    rows = [(str(int(status)), f"`{status.name.lower()}`", STATUSES[status]) for status in sorted(ExitStatus)]
    order = ", ".join(str(int(status)) for status in ExitStatus)
    return f"{_table(('status', 'in reports', 'meaning'), rows)}\nThe first that applies of {order}.\n"


def rules() -> str:
    """Return the catalogue: a list of groups, then per group a section per rule."""
    groups: dict[str, list[Rule]] = {group: [] for group in GROUPS}
    for rule in registry().values():
        if rule.id not in COMMANDS:
            groups[rule.group].append(rule)
    parts = ["".join(f"- [{GROUPS[group]}](#{GROUPS[group].lower().replace(' ', '-')})\n" for group in groups)]
    for group, several in groups.items():
        parts.append(f"## {GROUPS[group]}\n")
        parts += [f"### {rule.id}\n\n**{rule.title}** ({rule.severity})\n\n{_fill(rule.help)}" for rule in several]
    return "\n".join(parts)


# The spec


def fields() -> str:
    """Return the table of the fields of a spec."""
    heads = ("field", "type", "default", "Keycloak's attribute", "in its console", "since")
    return _table(heads, [_field_row(field) for field in _spec_keys()])


def _spec_keys() -> Iterator[Field]:
    """Yield the fields and what else a level of a spec may set, in the order of the page."""
    for field in FIELDS.values():
        if field.name == HOST:
            yield Field(PRESET, Kind.TEXT)
        yield field
        if field.name == PASSWORD:
            yield Field(EXPIRES, Kind.TEXT)
    yield from (Field(f"{MESSAGES}.LOCALE.KEY", Kind.MESSAGE), field_of(f"{EXTRA}.NAME"))


_NAMES = {"LOCALE": "en", "KEY": "emailTestSubject", "NAME": "x-relay-hint"}


def _field_row(field: Field) -> tuple[str, ...]:
    link = f"[`{field.name}`](#{field.name.replace('.', '').lower()})"
    row, node = KEYCLOAK.row(field.name), _node(field)
    natives = row.natives if row else ("NAME",) if field.name.startswith(EXTRA) else ()
    since = ", ".join(".".join(map(str, version)) for version in row.since) if row else ""
    return (link, _type(field, node), _default(field, node), _codes(natives), row.label if row else "", since)


def _default(field: Field, node: Schema) -> str:
    if field.mandatory:
        return "mandatory"
    if field.name == PORT:
        return ", ".join(f"{port} (`{security}`)" for security, port in DEFAULT_PORTS.items())
    return f"`{json.dumps(node['default']).strip(chr(34))}`" if "default" in node else ""


def _type(field: Field, node: Schema) -> str:
    if "enum" in node:
        return _codes(node["enum"])
    return field.kind.value.removeprefix("a ").removeprefix("an ")


def field_details() -> str:
    """Return a section per field."""
    return "\n".join(_details(field) for field in _spec_keys())


def _details(field: Field) -> str:
    node = _node(field)
    text = f"{node['description']} {node['removal'].replace('false:', '`false`:')}".strip()
    head = f"### `{field.name}`\n\n"
    if in_token(field.name):
        return head + _fill(f"{text} See the [example](#login-by-oauth-20-xoauth2).")
    example = node["examples"][0] if "examples" in node else node.get("type") == "boolean" or node["default"]
    path = [_NAMES.get(key, key) for key in field.path]
    return f"{head}{_fill(text)}\n```yaml\n{_yaml(path, example)}\n```\n"


def _yaml(path: Sequence[str], value: object) -> str:
    """Return a value as YAML in flow style, below the keys that lead to it."""
    first, *rest = path
    shown = _flow(value)
    for key in reversed(rest):
        shown = f"{{{key}: {shown}}}"
    return f"{first}: {shown}"


def _flow(value: object) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_flow(one)}' for key, one in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    plain = isinstance(value, str) and re.fullmatch(r"(?!\d+$)[\w/][\w@./:-]*( [\w./-]+)*", value)
    return str(value) if plain else json.dumps(value)


def _node(field: Field) -> Schema:
    """Return the schema of a field, with ``removal``: what ``false`` means, if it is permitted."""
    schema = json.loads(schema_text("spec"))
    node: Schema = schema["$defs"]["entry"]
    for key in field.path:
        node = _resolved(schema, node)
        node = node["properties"][key] if key in node.get("properties", {}) else node["additionalProperties"]
    return _resolved(schema, node)


def _resolved(schema: Schema, node: Schema) -> Schema:
    """Return a schema with its reference followed and without the alternative ``false``."""
    if "$ref" in node:
        node = {**schema["$defs"][node["$ref"].rpartition("/")[2]], **node}
    kinds: Sequence[Schema] = node.get("anyOf", ())
    removals = [kind["description"] for kind in kinds if kind.get("const", True) is False]
    return {**(kinds[0] if removals else node), "removal": removals[0] if removals else ""}


def file_keys() -> str:
    """Return the table of the keys of a spec file."""
    schema = json.loads(schema_text("spec"))
    rows = [(f"`{name}`", _resolved(schema, node)["description"]) for name, node in schema["properties"].items()]
    rows.append(("`x-…`", schema["patternProperties"]["^x-"]["description"]))
    return _table(("key of the file", "meaning"), rows)


def entry_keys() -> str:
    """Return the table of the keys of an entry that are no fields."""
    schema = json.loads(schema_text("spec"))
    entry = schema["$defs"]["entry"]["properties"]
    keys = ("disabled", "expect.min", "vars", "servers", "overlay")
    of_servers = (_resolved(schema, entry["servers"]), entry["overlay"])
    nodes = (entry["disabled"], entry["expect"]["properties"]["min"], _resolved(schema, entry["vars"]), *of_servers)
    rows = [(f"`{key}`", node["description"]) for key, node in zip(keys, nodes, strict=True)]
    return _table(("key of an entry", "meaning"), rows)


# The settings


def server_keys() -> str:
    """Return the table of the keys of a server in the settings."""
    properties = json.loads(schema_text("settings"))["$defs"]["server"]["properties"]
    rows = []
    for key, node in properties.items():
        variable = "" if key in WITHOUT_VARIABLE else f"`{PREFIX}{key.upper()}`"
        rows.append((f"`{key}`", variable, _values(node), _shown_default(node), node["description"]))
    return _table(("key", "variable", "value", "default", "meaning"), rows)


def settings_keys(table: str) -> Callable[[], str]:
    """Return a function that renders the keys of a table of the settings."""

    def render() -> str:
        schema = json.loads(schema_text("settings"))
        node = (schema["properties"] | schema["$defs"])[table]
        rows = [
            (f"`{key}`", _values(one), _shown_default(one), one["description"])
            for key, one in _leaves(node["properties"])
        ]
        return f"{_fill(node['description'])}\n{_table(('key', 'value', 'default', 'meaning'), rows)}"

    return render


def _leaves(properties: Mapping[str, Schema], prefix: str = "") -> Iterator[tuple[str, Schema]]:
    for key, node in properties.items():
        yield f"{prefix}{key}", node
        yield from _leaves(node.get("properties", {}), f"{prefix}{key}.")


def _values(node: Schema) -> str:
    if "enum" in node:
        return _codes(node["enum"])
    if "minimum" in node and "maximum" in node:
        return f"{node['minimum']} to {node['maximum']}"
    if "anyOf" in node:
        return " or ".join(dict.fromkeys(_values(kind) for kind in node["anyOf"]))
    words = {"string": "text", "boolean": "`true` or `false`", "array": "list of texts", "integer": "whole number"}
    return words.get(node.get("type", ""), "table")


def _shown_default(node: Schema) -> str:
    return f"`{json.dumps(node['default']).strip(chr(34))}`" if node.get("default") not in (None, []) else ""


# The formats of convert

TOOLS: Mapping[str, str] = {
    "spec": "a [spec](spec.md)",
    "realm-export": "a file or folder as `kc.sh export` writes it",
    "keycloak-config-cli": "its files, in YAML or JSON, with variables such as `$(env:NAME)`",
    "terraform": "`keycloak_realm` resources (`.tf` needs the extra `convert`), a state, `terraform show -json`",
    "ansible": "`keycloak_realm` tasks",
    "kubernetes": "resources of Crossplane's provider and of Keycloak operators; written as `KeycloakRealmImport`",
}
"""What the formats of ``convert`` are that belong to no [product](products.md)."""


def conversions() -> str:
    """Return the table of the formats of ``convert``."""
    products: dict[str, list[str]] = {}
    for name, dialect in DIALECTS.items():
        products.setdefault(_body(dialect), []).append(name)
    rows = [(f"`{name}`", TOOLS[name]) for name in FORMATS if name not in DIALECTS]
    rows += [(_codes(names), body) for body, names in products.items()]
    return _table(("format", "what it is"), rows)


def _body(dialect: Dialect) -> str:
    if dialect.body_format is BodyFormat.FORM:
        return "a sheet to type from: the form's fields in its order, with warnings, a source and boxes to tick"
    is_keycloak = dialect.attribute_names.keys() == KEYCLOAK.attribute_names.keys()
    return "one `smtpServer` map" if is_keycloak else "the body that the product's API takes"


# Mail providers

_KINDS = {
    ProviderKind.SERVICE: "service",
    ProviderKind.MAILBOX: "mailbox",
    ProviderKind.DEVELOPMENT: "for development",
}
_USERNAMES = {
    UsernameRule.ADDRESS: "the whole address",
    UsernameRule.ISSUED: "as shown by the provider",
    UsernameRule.TOKEN: "the secret itself",
    UsernameRule.NONE: "no login",
}
_SENDERS = {SenderRule.LOGIN: "the login's", SenderRule.VERIFIED: "verified ones", SenderRule.ANY: "any"}


def presets() -> str:
    """Return the table of presets."""
    heads = ("preset", "kind", "host", "port", "user name", "secret", "From addresses")
    return _table(heads, [_preset_row(preset) for preset in all_presets()])


def _preset_row(preset: Preset) -> tuple[str, ...]:
    name = f"{preset.name}-REGION" if preset.needs_region else preset.name
    login = preset.login
    username = f"`{login.username}`" if login.username else _USERNAMES[login.username_rule]
    return (
        f"[`{name}`](../examples/presets/{_file_name(preset)})",
        _KINDS[preset.kind],
        f"`{preset.host}`",
        f"{preset.port} `{preset.security}`",
        username,
        login.secret,
        _SENDERS[preset.sender],
    )


def _file_name(preset: Preset) -> str:
    names = (one.name for one in example_presets())
    return f"{next(name for name in names if name == preset.name or name.startswith(f'{preset.name}-'))}.yaml"


def replies() -> str:
    """Return the table of the reply book."""
    heads = ("provider", "reply", "means", "next step", "source")
    rows = []
    for one in known_replies():
        texts = " or ".join(f'"{text}"' for text in one.texts)
        reply = " ".join(filter(None, [", ".join(map(str, one.codes)), one.enhanced, texts]))
        source = f"[{one.read}]({one.source})"
        rows.append((_codes(one.providers) or "any", reply, one.cause, one.next_step, source))
    return _table(heads, rows)


# The commands


def commands() -> str:
    """Return the options of every command, and a section per command with what its ``--help`` says."""
    context = click.Context(app, info_name="ztrust-mail", terminal_width=WIDTH, help_option_names=["-h", "--help"])
    common = _table(("option before or after any command", "meaning"), _options(display_options(), context))
    parts = [common]
    for name in COMMANDS:
        command = app.get_command(context, name)
        assert command is not None
        parts.append(_command(command, click.Context(command, context, name, terminal_width=WIDTH)))
    return "\n".join(parts)


def _command(command: click.Command, context: click.Context) -> str:
    usage = " ".join(["ztrust-mail", str(command.name), *command.collect_usage_pieces(context)])
    parts = [f"## {command.name}\n", f"```text\n{usage}\n```\n", *map(_paragraph, _paragraphs(command.help or ""))]
    rows = [(f"`{one.shown}`", one.explained) for one in command.params if isinstance(one, Argument)]
    rows += _options((one for one in command.get_params(context) if not isinstance(one, DisplayOption)), context)
    return "\n".join([*parts, _table(("argument or option", "meaning"), rows)])


def _options(several: Iterable[click.Parameter], context: click.Context) -> list[tuple[str, str]]:
    records = (one.get_help_record(context) for one in several if isinstance(one, click.Option))
    return [(f"`{record[0]}`", " ".join(record[1].split())) for record in records if record]


def _paragraphs(text: str) -> list[str]:
    return inspect.cleandoc(text).split("\n\n")


def _paragraph(text: str) -> str:
    if text.startswith("\b"):
        return f"```text\n{text[2:]}\n```\n"
    return _fill(text)


# Pages


PARTS: Mapping[str, Callable[[], str]] = {
    "rules": rules,
    "exit statuses": exit_statuses,
    "fields": fields,
    "field details": field_details,
    "keys of the file": file_keys,
    "keys of an entry": entry_keys,
    "keys of a server": server_keys,
    "keys of allow": settings_keys("allow"),
    "keys of policy": settings_keys("policy"),
    "keys of journal": settings_keys("journal"),
    "keys of lint": settings_keys("lint"),
    "keys of fleet": settings_keys("fleet"),
    "keys of a schedule": settings_keys("schedule"),
    "formats of convert": conversions,
    "presets": presets,
    "replies": replies,
    "commands": commands,
}
_PART = re.compile(r"(<!-- generated: ([\w ]+) -->\n).*?(?=<!-- end -->)", re.DOTALL)


def renew(page: str) -> str:
    """Return a page with its generated parts written anew."""
    return _PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n", page)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _fill(text: str) -> str:
    return "\n".join([*wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False), ""])


def examples() -> Iterator[tuple[Path, str]]:
    """Yield the path and the content of every example of a preset."""
    for preset in example_presets():
        yield EXAMPLES / f"{preset.name}.yaml", example_spec(preset)


def main() -> None:
    """Write every page of the documentation, and every example of a preset, that changes, and print its name."""
    pages = ((path, renew(path.read_text(encoding="utf-8"))) for path in sorted(DOCS.glob("*.md")))
    for path, new in (*pages, *examples()):
        if not path.exists() or path.read_text(encoding="utf-8") != new:
            path.parent.mkdir(exist_ok=True)
            path.write_text(new, encoding="utf-8")
            sys.stdout.write(f"wrote {path.name}\n")


if __name__ == "__main__":
    main()
