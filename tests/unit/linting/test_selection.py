"""Which rules count: words of the command line and of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from ztrust_mail import settings as config
from ztrust_mail.core.errors import ConfigError, UsageError
from ztrust_mail.core.rules import registry
from ztrust_mail.linting.rules import RULES
from ztrust_mail.linting.selection import LintOptions, choose_rules
from ztrust_mail.settings import LintSettings

USUAL = {name for name, rule in RULES.items() if rule.on}


def chosen(select: str = "", ignore: str = "", settings: LintSettings | None = None) -> frozenset[str]:
    options = LintOptions(tuple(filter(None, [select])), tuple(filter(None, [ignore])))
    return choose_rules(options, settings or LintSettings()).rules


def test_every_lint_rule_is_registered_with_the_same_severity() -> None:
    assert {name: rule.severity for name, rule in RULES.items()} == {name: registry()[name].severity for name in RULES}


def test_rules_that_are_on_by_default_count_where_nothing_is_said() -> None:
    assert chosen() == USUAL
    assert set(RULES) - USUAL == {"no-envelope-from"}


@pytest.mark.parametrize(
    ("select", "ignore", "rules"),
    [
        ("port-25", "", {"port-25"}),
        ("port-25, [odd-name]", "", {"port-25", "odd-name"}),
        ("all", "", set(RULES)),
        ("default,no-envelope-from", "", USUAL | {"no-envelope-from"}),
        ("login", "personal-account", {"oauth-no-scope", "auth-expires"}),
        ("", "live", {name for name in USUAL if registry()[name].group != "live"}),
        ("", "all", set()),
    ],
)
def test_words_are_ids_groups_all_and_default(select: str, ignore: str, rules: set[str]) -> None:
    assert chosen(select, ignore) == rules


def test_the_options_take_the_place_of_what_the_settings_select_and_add_to_what_they_ignore() -> None:
    settings = LintSettings(("relay",), ("port-25",))
    assert chosen(settings=settings) == chosen("relay", "port-25")
    assert chosen("port-25,odd-name", "", settings) == {"odd-name"}


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("prot-25", "unknown lint rule or group `prot-25` in select", "did you mean `port-25`?"),
        ("Relay", "unknown lint rule or group `Relay` in select", "did you mean `relay`?"),
        ("bad-value", "`bad-value` is not a lint rule, so it cannot be selected or ignored", "fix what it reports"),
    ],
)
def test_a_word_that_is_no_lint_rule_is_refused(word: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        chosen(word)
    assert (refused.value.message, refused.value.hint) == (message, hint)


def loaded(folder: Path, content: str, monkeypatch: pytest.MonkeyPatch, own: str = "") -> LintSettings:
    monkeypatch.chdir(folder)
    (folder / "ztrust-mail.toml").write_text(content, encoding="utf-8")
    if own:
        path = config.places()[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(own, encoding="utf-8")
    return config.load(environ={}).lint


def test_the_file_in_the_working_folder_may_choose_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = loaded(tmp_path, '[lint]\nselect = ["relay"]\nignore = ["port-25"]\nexpiry_days = 7\n', monkeypatch)
    assert (found.select, found.ignore, found.limits.expiry) == (("relay",), ("port-25",), 7)


def test_the_users_own_rules_take_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = loaded(tmp_path, '[lint]\nignore = ["all"]\n', monkeypatch, '[lint]\nignore = ["port-25"]\n')
    assert found.ignore == ("port-25",)


@pytest.mark.parametrize("content", ["[lint]\nexpiry_days = -1", "[lint]\nselekt = []", '[lint]\nselect = "x"'])
def test_wrong_settings_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    with pytest.raises(ConfigError, match="lint"):
        loaded(tmp_path, content, monkeypatch)
