"""The registry of rules agrees with the ids in the source, and its texts are complete."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from pkgutil import iter_modules

import pytest
from support.rule_ids import scan

import ztrust_mail
from ztrust_mail.cli import commands
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.rules import COMMANDS, GROUPS, Rule, find_rule, registry
from ztrust_mail.planning.safety import Reason

ROOT = Path(__file__).parents[3]
PACKAGE = Path(ztrust_mail.__file__).parent
FOUND = scan(PACKAGE)
REASONS = {reason.value for reason in Reason}


def test_no_id_stands_in_two_groups() -> None:
    groups = tomllib.loads((PACKAGE / "data" / "rules.toml").read_text("utf-8"))
    ids = [name for rows in groups.values() for name in rows]
    assert [name for name, number in Counter(ids).items() if number > 1] == []


PASSED_ON = {
    "self.command": "the command's name",
    "*why": "the rule in a saved plan",
    "one.reason.value": "the reason why a plan is dangerous",
    "shown.command": "the command's name",
    "printable(str(one['rule']))": "the rule in the report that a worker stored",
    "KINDS[kind].command": "the name of the command that does the same as a request",
}
"""Expressions whose value is no text in the source, and what it is."""


def test_every_rule_in_the_source_is_registered() -> None:
    missing = {rule: places[0] for rule, places in FOUND.ids.items() if rule not in registry()}
    assert missing == {}


def test_every_registered_rule_is_used_in_the_source() -> None:
    assert sorted(registry().keys() - FOUND.ids.keys() - REASONS - set(COMMANDS)) == []


def test_no_rule_in_the_source_escapes_the_scan() -> None:
    assert [one for one in FOUND.unresolved if one.partition(": ")[2] not in PASSED_ON] == []
    assert len(FOUND.ids) > 150


def test_the_reasons_to_refuse_a_plan_and_the_commands_are_rules_too() -> None:
    assert REASONS | set(COMMANDS) <= registry().keys()


def test_every_module_of_a_command_is_in_the_list_of_commands_and_the_other_way_round() -> None:
    modules = {name for _, name, _ in iter_modules(commands.__path__)}
    assert modules == {*COMMANDS} - {"help", "version"}, "ztrust_mail/core/rules.py: COMMANDS"


@pytest.mark.parametrize("rule", registry().values(), ids=lambda rule: str(rule.id))
def test_a_rule_has_a_title_of_one_line_and_help_of_a_few_sentences(rule: Rule) -> None:
    assert rule.group in GROUPS
    assert 0 < len(rule.title) <= 80
    assert not rule.title.endswith(".")
    assert rule.help.endswith(".")
    assert 2 <= rule.help.count(". ") + 1 <= 6


@pytest.mark.parametrize("given", ["unknown-key", "[unknown-key]", " unknown-key "])
def test_a_rule_is_found_as_findings_show_it(given: str) -> None:
    assert find_rule(given).id == "unknown-key"


@pytest.mark.parametrize(
    ("given", "hint"),
    [("unkown-key", "did you mean `unknown-key`?"), ("UNKNOWN_KEY", "did you mean `unknown-key`?"),
     ("xyz", "all ids: ztrust-mail rule")],
)  # fmt: skip
def test_an_unknown_rule_is_refused_with_the_nearest_one(given: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"unknown rule `{given}`") as refused:
        find_rule(given)
    assert refused.value.hint == hint
