"""Loads specs as the options of a command say: with the variables of ``--var`` and the settings of ``--config``."""

from collections.abc import Mapping, Sequence

from ztrust_mail import api
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.text import quoted
from ztrust_mail.specfile.entries import Spec


def load_spec(specs: Sequence[str], given: Sequence[str], config: str | None) -> Spec:
    """Return the spec in files; ``given`` are the values of ``--var``. Raises as :func:`ztrust_mail.load_spec` does."""
    return api.load_spec(specs, variables=parse_variables(given), config_path=config)


def load_optional_spec(specs: Sequence[str], given: Sequence[str], config: str | None) -> Spec | None:
    """Return the spec in the files of ``--spec``, None without any."""
    if specs:
        return load_spec(specs, given, config)
    if given:
        raise UsageError("--var needs a spec", "name the spec too, or leave --var out")
    return None


def parse_variables(given: Sequence[str]) -> Mapping[str, str]:
    """Return the variables in values of ``--var``. Raises :class:`UsageError`."""
    found: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise UsageError(
                f"--var {quoted(one)} has no `=`", "write --var NAME=VALUE, such as --var domain=example.com"
            )
        if found.setdefault(name, value) != value:
            raise UsageError(f"--var {quoted(name)} was given twice, with different texts", "keep one of them")
    return found
