"""Loads a spec with the warnings of the rules about a spec as a whole."""

from collections.abc import Mapping
from dataclasses import replace

from ztrust_mail.linting.check import find_in_whole
from ztrust_mail.linting.ignores import drop_ignored
from ztrust_mail.linting.selection import LintOptions, choose_rules
from ztrust_mail.specfile import load
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.load import Given


def load_spec(given: Given, native_names: Mapping[str, str]) -> Spec:
    """Return the spec in files, folders or a dict. Raises :class:`SpecError`, as :func:`load.load` does."""
    loaded = load.load(given, native_names)
    found, _ = drop_ignored(find_in_whole(loaded.spec, (), choose_rules(LintOptions())), loaded.spec.ignores)
    return replace(loaded.spec, warnings=tuple(loaded.findings(found)))
