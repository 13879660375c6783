"""Replaces placeholders in text by a realm's name and the spec's variables: ``no-reply@{realm.slug}.example.com``."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice

from ztrust_mail.core.findings import Finding, Location, error
from ztrust_mail.core.secret import SecretRef
from ztrust_mail.core.text import did_you_mean, quoted
from ztrust_mail.model.fields import FieldValue
from ztrust_mail.model.values import BadValue
from ztrust_mail.specfile.entries import Entry, Setting, Spec, Target, Variable

BAD_PLACEHOLDER = "bad-placeholder"
UNQUOTED_PLACEHOLDER = "unquoted-placeholder"

SERVER = "server"
"""The placeholder for the server's name in the settings."""

NAME_SERVER = "name the server: --server NAME"
"""The hint if a value depends on the server and none was chosen."""

_LISTED = 30  # variables named in a hint
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class BadPlaceholder(BadValue):
    """Text with bad braces, which is wrong for every realm."""

    rule = BAD_PLACEHOLDER


class UnknownPlaceholder(BadPlaceholder):
    """Text with a placeholder that has no value; ``name`` may be a misplaced secret."""

    name = ""


def slug(realm: str) -> str:
    """Return the realm's name in lower case with every run of other characters as one ``-``."""
    return re.sub(r"[^a-z0-9]+", "-", realm.lower()).strip("-")


def builtin(realm: str) -> dict[str, str]:
    """Return the placeholders every realm has."""
    return {"realm": realm, "realm.slug": slug(realm)}


def expand(template: str, values: Mapping[str, str], fit: Callable[[str], str] = str, *, secret: bool = False) -> str:
    """Return the template with ``{name}`` replaced, ``{{`` and ``}}`` as plain braces.

    ``fit`` converts each inserted value for its place. Raises :class:`BadPlaceholder` for an unknown placeholder and
    for a single brace, :class:`BadValue` for a placeholder with an empty value. With ``secret``, the errors do not
    quote the template.
    """

    def replacement(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            if len(found[0]) == 1:
                raise BadPlaceholder(f"has a single {quoted(found[0])}", "write {{ or }} for a brace")
            return found[0][0]
        if name not in values:
            known = list(islice(values, _LISTED))
            hint = (
                did_you_mean(name, known)
                or f"known: {', '.join(known)}, and a server's variables; write {{{{ for a brace"
            )
            shown = "an unknown placeholder" if secret else f"the unknown placeholder {quoted('{' + name + '}')}"
            unknown = UnknownPlaceholder(f"has {shown}", hint)
            unknown.name = name
            raise unknown
        if not values[name]:
            raise _empty_value(name, values)
        return fit(values[name])

    return _PART.sub(replacement, template)


def insert_placeholders(text: str, realm: str) -> str:
    """Return a text in which ``{realm}`` or ``{realm.slug}`` replaces the realm's name or slug as a whole word."""
    found = _replace_word(text, realm, "{realm}")
    if found is not text:
        return found
    short, variable = _forms(realm)
    if "env:" in text:
        return _replace_word(text, variable, "{realm}")
    return _replace_word(text, short, "{realm.slug}") if short != realm else text


@lru_cache(maxsize=64)  # asked for once per text, realm by realm
def _forms(realm: str) -> tuple[str, str]:
    return slug(realm), as_env_name(realm)


def _replace_word(text: str, word: str, placeholder: str) -> str:
    parts, begin = [], 0
    at = text.find(word) if word else -1
    while at >= 0:
        end = at + len(word)
        if not text[at - 1 : at].isalnum() and not text[end : end + 1].isalnum():
            parts += [text[begin:at], placeholder]
            begin = end
        at = text.find(word, end)
    return "".join([*parts, text[begin:]]) if parts else text


def _empty_value(name: str, values: Mapping[str, str]) -> BadValue:
    """Return the error for a placeholder with an empty value, naming the realm whose name makes it empty."""
    whose, hint = "here", "give the variable a text, or leave it out"
    if name == "realm.slug":
        whose, hint = f"for the realm {quoted(values['realm'], 300)}", "give its own entry a value without it"
    return BadValue(f"uses {quoted('{' + name + '}')}, which is empty {whose}", hint)


def placeholders_of(value: FieldValue) -> Iterator[str]:
    """Yield the placeholders that a value of a spec uses, in a reference those of its name."""
    if isinstance(value, SecretRef):
        value = value.argument[0] if value.kind.form.placeholders else ""
    return names_in(value) if isinstance(value, str) and "{" in value else iter(())


def names_in(template: str) -> Iterator[str]:
    """Yield the placeholders a template uses."""
    return (found[1] for found in _PART.finditer(template) if found[1] is not None)


def escape(text: str) -> str:
    """Return a template that :func:`expand` turns into this text."""
    return text.replace("{", "{{").replace("}", "}}")


def as_env_name(value: str) -> str:
    """Return a value as a part of a variable's name: in upper case, with ``_`` for all but letters and digits."""
    return re.sub(r"[^A-Z0-9]", "_", value.upper())


def as_path_segment(value: str) -> str:
    """Return a value that fits into one segment of a path; raises :class:`BadValue` otherwise."""
    if value in (".", "..") or "/" in value or "\\" in value or "\0" in value:
        raise BadValue(f"puts {quoted(value)} into a path, which would lead to another folder", "use {realm.slug}")
    return value


def variables_of(spec: Spec, entry: Entry) -> Mapping[str, Variable]:
    """Return the variables of an entry: an option wins over the server, the server over the entry and the defaults."""
    target = spec.target or Target()
    named = {SERVER: Variable(target.name, Location(""), "the name of the server")} if target.name else {}
    of_server = {name: Variable(text, Location(""), target.phrase) for name, text in target.variables.items()}
    return {**named, **spec.defaults.variables, **entry.variables, **of_server, **spec.given}


def used_variables(
    places: Mapping[str, Setting], variables: Mapping[str, Variable]
) -> Mapping[str, Mapping[str, Variable]]:
    """Return the variables that the values of fields use, by field."""
    used = {}
    for name, setting in places.items():
        if found := [one for one in placeholders_of(setting.value) if one in variables]:
            used[name] = {one: variables[one] for one in found}
    return used


def explain_bad_value(spec: Spec, name: str, setting: Setting, bad: BadValue, realm: str) -> Finding:
    """Return the error of a value; if a placeholder has no value, it names the server."""
    unknown = bad.name if isinstance(bad, UnknownPlaceholder) else ""
    is_late = unknown in spec.late or unknown == SERVER
    if spec.target is None and is_late:
        message, hint = f"`{name}` uses {quoted('{' + unknown + '}')}, which depends on the server", NAME_SERVER
        return error("needs-server", message, hint, setting.location, realm, name)
    if spec.target is not None and is_late:
        message = f"`{name}` {bad.problem}: {spec.target.phrase} has no variable {quoted(unknown)}"
        where = f"[servers.{spec.target.name or 'NAME'}.vars]"
        hint = f"add it to {where} in the settings, to `vars` of the spec, or give --var {unknown}=VALUE"
        if unknown == SERVER:
            message = f"`{name}` {bad.problem}: this server was given by its URL, without a name"
            hint = "give it a name in the settings, and choose it by --server NAME"
        return error(bad.rule, message, hint, setting.location, realm, name)
    return error(bad.rule, f"`{name}` {bad.problem}", bad.hint, setting.location, realm, name)
