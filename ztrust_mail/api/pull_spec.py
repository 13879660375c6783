"""From live settings to a spec that plans to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ztrust_mail.core.errors import ExitStatus, RealmError
from ztrust_mail.core.findings import Finding, Severity, has_errors
from ztrust_mail.core.results import ResultMethods
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import pluralise, quoted
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.gateways.gateway import LiveRealm
from ztrust_mail.model.fields import (
    EXTRA,
    HOST,
    LOGIN,
    PASSWORD,
    PORT,
    SECURITY,
    TOKEN_CLIENT_SECRET,
    field_of,
    in_token,
)
from ztrust_mail.model.values import may_hold_login
from ztrust_mail.planning.plan import finding_of
from ztrust_mail.specfile import placeholders
from ztrust_mail.specfile.export import (
    Leaves,
    is_valid_entry_name,
    missing_fields,
    secret_stem,
    to_entry,
    unrepresentable,
    unused_login_fields,
    variables_for,
)


@dataclass(frozen=True, repr=False)
class Pulled(ResultMethods):
    """Live settings as spec entries: per realm its fields, or None for a realm without e-mail."""

    realms: Mapping[str, Leaves | None]
    defaults: Leaves = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def summary(self) -> str:
        """How many realms are entries, and how many findings there are."""
        return f"{pluralise(len(self.realms), 'realm')}, {pluralise(len(self.findings), 'finding')}"

    @property
    def exit_status(self) -> ExitStatus:
        """PARTIAL if a realm had to be left out."""
        return ExitStatus.PARTIAL if has_errors(self.findings) else ExitStatus.OK


def pull(dialect: Dialect, reading: Mapping[str, LiveRealm | RealmError], *, factor: bool = False) -> Pulled:
    """Return entries for the realms read; with ``factor`` equal values are moved into the defaults.

    A masked secret becomes ``{env: SMTP_PASSWORD_REALM}``. Settings that a spec cannot express cause a warning, since a
    plan will show them as changes. A realm that cannot be an entry is left out with an error.
    """
    realms: dict[str, Leaves | None] = {}
    findings: list[Finding] = []
    for realm, live in reading.items():
        if isinstance(live, RealmError):
            findings.append(finding_of(live, realm))
            continue
        leaves, problems = _entry(dialect, live)
        findings.extend(problems)
        if not has_errors(problems):
            realms[realm] = leaves
    _name_secrets(realms)
    defaults = _extract_defaults(realms) if factor else {}
    return Pulled(realms, defaults, tuple(findings))


def _entry(dialect: Dialect, live: LiveRealm) -> tuple[Leaves | None, list[Finding]]:
    fields = dict(dialect.decode(live.attributes))
    findings: list[Finding] = []

    def add(severity: Severity, name: str, message: str, hint: str) -> None:
        findings.append(Finding(severity, "not-a-spec", message, hint, realm=live.realm, field=name))

    left_out = unrepresentable(fields)
    for name in left_out:
        value = fields.pop(name)
        shown = "text" if may_hold_login(field_of(name).kind, str(value)) else quoted(value)
        message = f"{quoted(name)} is {shown} on the server, which a spec cannot express"
        becomes = "does not change it" if name.startswith(f"{EXTRA}.") else "will show it as a change"
        add(Severity.WARNING, name, message, f"left out: a plan {becomes}")
    for name in unused_login_fields(fields):
        del fields[name]
        message = f"`{name}` is stored on the server but not used"
        add(Severity.WARNING, name, message, "left out: a plan will show its removal")
    for name in missing_fields(fields) if live.attributes else ():
        message = f"the realm has no `{name}`, which an entry needs"
        add(Severity.ERROR, name, message, "left out: correct the realm on the server, or write an entry for it")
    if not is_valid_entry_name(live.realm):
        add(Severity.ERROR, "", "the name of the realm is not valid in a spec", "left out: rename the realm")
    return to_entry(fields, left_out) if live.attributes else None, findings


def _name_secrets(realms: Mapping[str, Leaves | None]) -> None:
    """Replace every masked secret by a reference to a variable named after its realm."""
    hidden = [
        (realm, name)
        for realm, leaves in realms.items()
        for name, value in (leaves or {}).items()
        if isinstance(value, SecretRef) and value.kind is SecretKind.ENV
    ]
    for (realm, name), variable in variables_for(hidden).items():
        if (leaves := realms[realm]) is not None:
            leaves[name] = SecretRef(SecretKind.ENV, (variable,))


def _extract_defaults(realms: Mapping[str, Leaves | None]) -> Leaves:
    """Move values shared by all realms out of them, and return them as defaults.

    Login, port and security are moved only together with the host, since an entry that sets a host
    inherits none of them; a port only together with its security.
    """
    entries = {realm: leaves for realm, leaves in realms.items() if leaves is not None}
    if len(entries) < 2:
        return {}
    _share_variables(entries)
    first = next(iter(entries.values()))
    common = {n: v for n, v in first.items() if all(leaves.get(n) == v for leaves in entries.values())}
    if HOST not in common:
        common = {n: v for n, v in common.items() if n not in (PORT, SECURITY) and not n.startswith(f"{LOGIN}.")}
    if SECURITY not in common:
        common.pop(PORT, None)
    if not all(n in common for leaves in entries.values() for n in leaves if in_token(n)):
        common = {n: v for n, v in common.items() if not in_token(n)}
    for leaves in entries.values():
        for name in common:
            del leaves[name]
    return common


def _share_variables(entries: Mapping[str, Leaves]) -> None:
    """Replace variables that differ only by their realm by ``SMTP_PASSWORD_{realm}``."""
    for name in (PASSWORD, TOKEN_CLIENT_SECRET):
        plain = {realm: f"{secret_stem(name)}{placeholders.as_env_name(realm)}" for realm in entries}
        if all(leaves.get(name) == SecretRef(SecretKind.ENV, (plain[r],)) for r, leaves in entries.items()):
            for leaves in entries.values():
                leaves[name] = SecretRef(SecretKind.ENV, (f"{secret_stem(name)}{{realm}}",))
