"""The registry of rule ids: what each id in a finding or an error means, and what to do about it.

The texts are in ``data/rules.toml``. A test compares the registry with the ids in the source.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.findings import Severity
from ztrust_mail.core.text import did_you_mean, quoted

GROUPS: Mapping[str, str] = {
    "files": "Reading files",
    "spec": "What a spec says",
    "relay": "Lint of relays",
    "login": "Lint of logins",
    "sender": "Lint of senders",
    "provider": "Lint of mail providers",
    "live": "Lint of servers",
    "lint": "Ignores and baselines of lint",
    "product": "Limits of a product",
    "secrets": "Secrets",
    "settings": "Settings",
    "server": "The server and its answers",
    "exports": "Realm files",
    "plan": "Plans",
    "safety": "Refused plans and policy",
    "apply": "Applying",
    "saved": "Saved plans",
    "journal": "The journal",
    "fleet": "Requests and workers",
    "revert": "Reverting",
    "rotate": "Rotating secrets",
    "drift": "Drift",
    "test": "Test mails",
    "probe": "Probing relays",
    "check": "Checks before a switch",
    "convert": "Converting and pulling",
    "program": "The command line",
}
"""The heading of each group of rules."""

COMMANDS = (
    "validate",
    "lint",
    "explain",
    "plan",
    "show",
    "apply",
    "requests",
    "history",
    "diff",
    "compare",
    "revert",
    "rotate",
    "drift",
    "test",
    "probe",
    "check",
    "pull",
    "convert",
    "init",
    "presets",
    "doctor",
    "servers",
    "worker",
    "rule",
    "docs",
    "schema",
    "completion",
    "sandbox",
    "demo",
    "help",
    "version",
)
"""All commands in the order of the help; each but the last two is also the name of its module in ``cli/commands``.

An error without an id of its own is reported under the name of its command.
"""


@dataclass(frozen=True)
class Rule:
    """What an id means. ``severity`` is the usual one; a finding may have another."""

    id: str
    group: str
    severity: Severity
    title: str
    help: str


@cache
def registry() -> Mapping[str, Rule]:
    """Return all rules by id, in the order of their groups."""
    text = (resources.files("ztrust_mail") / "data" / "rules.toml").read_text("utf-8")
    groups: Mapping[str, Mapping[str, Mapping[str, str]]] = tomllib.loads(text)
    rules = [
        Rule(name, group, Severity(row["severity"]), row["title"], " ".join(row["help"].split()))
        for group, rows in groups.items()
        for name, row in rows.items()
    ]
    return {rule.id: rule for rule in (*rules, *map(_command_rule, COMMANDS))}


def find_rule(id: str) -> Rule:
    """Return a rule, given with or without the brackets in which findings show it.

    Raises :class:`UsageError` for an unknown id.
    """
    name = id.strip().removeprefix("[").removesuffix("]")
    if rule := registry().get(name):
        return rule
    hint = did_you_mean(name, registry()) or "all ids: ztrust-mail rule"
    raise UsageError(f"unknown rule {quoted(name)}", hint)


def _command_rule(command: str) -> Rule:
    text = (
        f"An error without an id of its own ended `{command}`. Usually an argument, the settings or a file is wrong; "
    )
    text += f"the message and the hint say which. See `ztrust-mail {command} --help`."
    return Rule(command, "program", Severity.ERROR, f"the command {command} cannot be carried out", text)
