"""Loads specs, fits them to a server (its name, its labels, its variables), and explains what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from ztrust_mail import settings as config
from ztrust_mail.api.session import Session
from ztrust_mail.api.spec_types import SpecDict
from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.findings import Finding, warning
from ztrust_mail.core.text import did_you_mean, quoted
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.linting import lint
from ztrust_mail.providers.presets import Preset, all_presets, look_up
from ztrust_mail.settings.server_entry import BUILT_IN, MAX_LENGTH, VARIABLE_NAME, VARIABLE_VALUE
from ztrust_mail.specfile.entries import Spec, Target
from ztrust_mail.specfile.load import Paths
from ztrust_mail.specfile.placeholders import NAME_SERVER
from ztrust_mail.specfile.problems import Texts
from ztrust_mail.specfile.resolve import Desired, match


def load_spec(
    given: Paths | SpecDict,
    *,
    variables: Mapping[str, str] | None = None,
    config_path: str | None = None,
    environ: config.Variables = config.PROCESS,
) -> Spec:
    """Return the spec in a file, files, a folder or a dict.

    ``variables`` are values of placeholders; they take precedence over those of a server and of the spec.
    ``config_path`` and ``environ`` are those of :func:`ztrust_mail.connect`: the settings are read where the spec has a
    placeholder that only a server may have a variable for. A type checker finds a misspelt key of a dict; data that
    comes from elsewhere has to be cast to ``SpecDict``.

    Raises :class:`SpecError` with all problems of all files, :class:`UsageError` for a bad variable.
    """
    return lint.load_spec(given, KEYCLOAK.attribute_names, texts_of(variables, config_path, environ))


def fit_spec(
    spec: Spec,
    server: Session | str,
    *,
    config_path: str | None = None,
    environ: config.Variables = config.PROCESS,
) -> Spec:
    """Return the spec as resolved for one server: its entries with overlays, and its variables filled in.

    ``server`` is a session, or the name of a server in the settings. Functions that take a spec and a session do this
    themselves. Raises :class:`SpecError` if the server has no text for a placeholder or two overlays conflict.
    """
    if not isinstance(server, str):
        return lint.fit_spec(spec, target_of(server.server))
    chosen = config.choose_server(config.load(config_path, environ), server, spec.servers, environ)
    fitted = lint.fit_spec(spec, target_of(chosen))
    return replace(fitted, warnings=(*fitted.warnings, *chosen.findings))


def explain(spec: Spec, realm: str) -> Desired:
    """Return the settings of one realm with the place where each value is defined; offline.

    Raises :class:`UsageError` if no entry covers the realm, and if the spec has entries for certain servers and
    is not fitted to one by :func:`fit_spec`.
    """
    require_server(spec)
    matching = match(spec, [realm])
    if realm not in matching.entries:
        hint = did_you_mean(realm, [e.name for e in spec.entries]) or "add an entry, or a glob that matches it"
        if elsewhere := next((e for e in spec.written if e.name == realm and e.limit), None):
            hint = f"the one at {elsewhere.location} is for other servers: {elsewhere.limit}"
        raise UsageError(f"no entry of the spec covers the realm {quoted(realm)}", hint)
    return matching.resolve(spec, realm)


def require_server(spec: Spec) -> None:
    """Raise :class:`UsageError` if no server was chosen and a realm's settings depend on it."""
    if spec.is_limited and spec.target is None:
        message = "the spec has entries for certain servers, so a realm's settings depend on the server"
        raise UsageError(message, NAME_SERVER)


def presets(name: str | None = None) -> tuple[Preset, ...]:
    """Return the mail providers that a spec can name as ``relay.preset``, or only the one with a name; offline.

    Raises :class:`UsageError` for an unknown name.
    """
    return all_presets() if name is None else (look_up(name),)


def find_unknown_servers(spec: Spec, config_path: str | None, environ: config.Variables) -> Iterator[Finding]:
    """Yield a warning for each limit that matches no server in the settings, or names an unknown one."""
    settings = config.load(config_path, environ)
    entries = {**settings.untrusted.servers, **settings.servers}
    tables = {name: entry.get("labels") for name, entry in entries.items()}
    targets = [
        Target(name, {key: str(text) for key, text in table.items()} if isinstance(table, Mapping) else {})
        for name, table in tables.items()
    ]
    limits = {str(entry.limit): entry for entry in reversed(spec.written) if entry.limit}
    for entry in limits.values() if targets else ():
        assert entry.limit is not None
        unknown = next((name for name in entry.limit.exact_names if name not in entries), "")
        if unknown or not any(entry.limit.fits(target) for target in targets):
            meant = quoted(unknown or str(entry.limit))
            message = f"{entry.phrase} is for {meant}, and the settings have no such server"
            hint = did_you_mean(unknown, entries) if unknown else ""
            yield warning("unknown-server", message, hint or "correct `servers`, or add the server", entry.location)


def target_of(server: config.Server) -> Target:
    """Return the facts about a server that a spec may use."""
    return Target(server.name, server.labels, server.vars)


def texts_of(variables: Mapping[str, str] | None, config_path: str | None, environ: config.Variables) -> Texts:
    """Return the texts of placeholders from options, and a way to those of servers. Raises :class:`UsageError`."""

    def of_servers() -> frozenset[str]:
        settings = config.load(config_path, environ)
        entries = (*settings.servers.values(), *settings.untrusted.servers.values())
        tables = (entry.get("vars") for entry in entries)
        return frozenset(name for table in tables if isinstance(table, Mapping) for name in table)

    environ = config.Environment(environ)  # else an exception would hold the variables as locals of this function
    return Texts(_check_variables(variables or {}), of_servers)


def _check_variables(variables: Mapping[str, str]) -> Mapping[str, str]:
    """Return variables with names and texts that a spec may have. Raises :class:`UsageError`."""
    for name, text in variables.items():
        if not re.fullmatch(VARIABLE_NAME, name) or name in BUILT_IN:
            hint = "write lower-case letters, digits and _, beginning with a letter"
            if name in BUILT_IN:
                hint = "{server} is the name of the server: choose it by --server; {realm} is the realm's own"
            raise UsageError(f"{quoted(name)} cannot be the name of a variable", hint)
        if not re.fullmatch(VARIABLE_VALUE, text) or not 0 < len(text) <= MAX_LENGTH:
            hint = f"give a text of 1 to {MAX_LENGTH} characters without line breaks"
            raise UsageError(f"the variable {quoted(name)} has a text that a spec cannot have", hint)
    return dict(variables)
