"""Loads a spec, and fits it to a server, with the warnings of the rules about a spec as a whole."""

from collections.abc import Mapping
from dataclasses import replace

from ztrust_mail.linting.check import find_in_whole
from ztrust_mail.linting.ignores import drop_ignored
from ztrust_mail.linting.rules.spec import note_not_inherited
from ztrust_mail.linting.selection import LintOptions, choose_rules
from ztrust_mail.specfile import load
from ztrust_mail.specfile.entries import Spec, Target
from ztrust_mail.specfile.load import Given
from ztrust_mail.specfile.problems import NO_TEXTS, Texts


def load_spec(given: Given, native_names: Mapping[str, str], texts: Texts = NO_TEXTS) -> Spec:
    """Return the spec in files, folders or a dict. Raises :class:`SpecError`, as :func:`load.load` does."""
    loaded = load.load(given, native_names, texts)
    found, _ = drop_ignored(find_in_whole(loaded.spec, (), choose_rules(LintOptions())), loaded.spec.ignores)
    return replace(loaded.spec, warnings=tuple(loaded.findings(found)))


def fit_spec(spec: Spec, target: Target) -> Spec:
    """Return the spec as one server has it. Raises :class:`SpecError`, as :func:`load.fit` does."""
    fitted = load.fit(spec, target)
    notes = note_not_inherited(fitted, [entry for entry in fitted.entries if entry.limit])
    found, _ = drop_ignored(dict.fromkeys((*fitted.warnings, *notes)), spec.ignores)
    return replace(fitted, warnings=tuple(found))
