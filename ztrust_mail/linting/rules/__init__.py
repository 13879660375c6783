"""All lint rules by id: a module for each group of them."""

from collections.abc import Mapping
from types import ModuleType

from ztrust_mail.core.findings import Severity
from ztrust_mail.linting.rule import LintRule
from ztrust_mail.linting.rules import login, provider, relay, sender, server, spec

_MODULES: tuple[ModuleType, ...] = (spec, relay, login, sender, provider, server)

UNUSED = LintRule("unused-ignore", Severity.WARNING)
"""The rule of comments that ignore nothing: :mod:`ztrust_mail.linting.lint` applies it."""

GONE = LintRule("baseline-outdated", Severity.NOTE)
"""The rule of a baseline's findings that are fixed: :mod:`ztrust_mail.linting.baseline` applies it."""

RULES: Mapping[str, LintRule] = {
    rule.rule: rule
    for rule in (
        *(one for module in _MODULES for one in vars(module).values() if isinstance(one, LintRule)),
        UNUSED,
        GONE,
    )
}
