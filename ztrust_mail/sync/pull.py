"""From live settings to a spec that plans to nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ztrust_mail.dialects.base import Dialect
from ztrust_mail.errors import ExitStatus, RealmError
from ztrust_mail.findings import Finding, Severity, has_errors
from ztrust_mail.gateways.base import LiveRealm
from ztrust_mail.sensitive import SecretKind, SecretRef
from ztrust_mail.spec import placeholders
from ztrust_mail.spec.fields import (
    DEFAULT_PORTS,
    EXTRA,
    FIELDS,
    HOST,
    LOGIN,
    PASSWORD,
    PORT,
    SECURITY,
    TOKEN,
    USERNAME,
    FieldMap,
    FieldValue,
    Kind,
    Login,
    Masked,
    Raw,
    Security,
    field_of,
)
from ztrust_mail.spec.model import in_token
from ztrust_mail.spec.values import BadValue, parse
from ztrust_mail.spec.write import Leaf, Leaves
from ztrust_mail.sync.plan import finding_of
from ztrust_mail.text import quoted

_LONGEST_STEM = 200  # of a variable's name; a realm's name may have 255 characters
_NEEDED_BY_LOGIN: Mapping[Login, tuple[str, ...]] = {
    Login.NONE: (),
    Login.BASIC: (USERNAME, PASSWORD),
    Login.TOKEN: (USERNAME, f"{TOKEN}.url", f"{TOKEN}.client_id", f"{TOKEN}.client_secret"),
}


@dataclass(frozen=True)
class Pulled:
    """Live settings as spec entries: per realm its fields, or None for a realm without e-mail."""

    realms: Mapping[str, Leaves | None]
    defaults: Leaves = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def exit_status(self) -> ExitStatus:
        """PARTIAL where a realm had to be left out."""
        return ExitStatus.PARTIAL if has_errors(self.findings) else ExitStatus.OK


def pull(dialect: Dialect, reading: Mapping[str, LiveRealm | RealmError], *, factor: bool = False) -> Pulled:
    """Return entries for the realms read; with ``factor`` equal values are lifted into the defaults.

    A hidden secret becomes ``{env: SMTP_PASSWORD_REALM}``. What a spec cannot say is told as a warning,
    since a plan will show it as a change; a realm that cannot be an entry at all is left out with an error.
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
    defaults = _factored(realms) if factor else {}
    return Pulled(realms, defaults, tuple(findings))


def _entry(dialect: Dialect, live: LiveRealm) -> tuple[Leaves | None, list[Finding]]:
    fields = dict(dialect.decode(live.attributes))
    findings: list[Finding] = []

    def tell(severity: Severity, name: str, message: str, hint: str) -> None:
        findings.append(Finding(severity, "not-a-spec", message, hint, realm=live.realm, field=name))

    left_out = _unsayable(fields)
    for name in left_out:
        message = f"{quoted(name)} is {quoted(fields.pop(name))} on the server, which a spec cannot say"
        becomes = "keeps it as it is" if name.startswith(f"{EXTRA}.") else "will show it as a change"
        tell(Severity.WARNING, name, message, f"left out: a plan {becomes}")
    for name in _dormant(fields):
        del fields[name]
        message = f"`{name}` is stored on the server though it is not used"
        tell(Severity.WARNING, name, message, "left out: a plan will show its removal")
    mandatory = [row.name for row in FIELDS.values() if row.mandatory]
    for name in (*mandatory, *_NEEDED_BY_LOGIN[_login(fields)]) if live.attributes else ():
        if name not in fields:
            message = f"the realm has no `{name}`, which an entry needs"
            tell(Severity.ERROR, name, message, "left out: correct the realm by hand, or write an entry for it")
    if not _can_be_named(live.realm):
        tell(Severity.ERROR, "", "the realm's name cannot stand in a spec", "left out: rename the realm")
    return _leaves(fields, left_out) if live.attributes else None, findings


def _login(fields: FieldMap) -> Login:
    return Login(str(fields.get(LOGIN, Login.NONE)))


def _can_be_named(realm: str) -> bool:
    return not any(c in realm for c in "*?/") and realm not in (".", "..") and _is_text(realm)


def _is_text(text: str) -> bool:
    """Tell whether a spec can hold the text: not blank, no control characters, not too long, real Unicode."""
    try:
        parse(Kind.TEXT, text)
        text.encode()
    except ValueError:
        return False
    return True


def _unsayable(fields: FieldMap) -> list[str]:
    utf8 = fields.get("relay.utf8") is True
    return [name for name, value in fields.items() if isinstance(value, Raw) or not _parses(name, value, utf8)]


def _parses(name: str, value: FieldValue, utf8: bool) -> bool:
    if not isinstance(value, str) or name in (SECURITY, LOGIN):
        return True
    if not _is_text(name.removeprefix(f"{EXTRA}.")) or not _is_text(str(_leaf(name, value))):
        return False
    try:
        return parse(field_of(name).kind, value, utf8=utf8) == value
    except BadValue:
        return False


def _dormant(fields: FieldMap) -> list[str]:
    """Return the parts of a login that the server does not use in its mode of login."""
    login = _login(fields)
    unused = {Login.NONE: (USERNAME, PASSWORD), Login.TOKEN: (PASSWORD,)}.get(login, ())
    names = [n for n in fields if n in unused or (in_token(n) and login is not Login.TOKEN)]
    if "reply_to.name" in fields and "reply_to.address" not in fields:
        names.append("reply_to.name")
    return names


def _leaves(fields: FieldMap, left_out: Collection[str]) -> Leaves:
    """Return the fields as a spec says them; what absence means to the server is said, a spec's own differs."""
    implied: FieldMap = {SECURITY: Security.NONE, PORT: DEFAULT_PORTS[Security.NONE]}
    complete = {n: v for n, v in implied.items() if n not in left_out} | dict(fields)
    order = {name: n for n, name in enumerate(FIELDS)}
    names = sorted((n for n in complete if n != LOGIN), key=lambda n: (order.get(n, len(order)), n))
    return {name: _leaf(name, complete[name]) for name in names}


def _leaf(name: str, value: FieldValue) -> Leaf:
    if isinstance(value, Masked):
        return SecretRef(SecretKind.ENV, ("",))
    if isinstance(value, bool | int | SecretRef):
        return value
    return placeholders.escape(str(value)) if field_of(name).placeholders else str(value)


def _name_secrets(realms: Mapping[str, Leaves | None]) -> None:
    """Give every hidden secret a variable of its own, named after its realm."""
    taken: set[str] = set()
    for realm, leaves in realms.items():
        for name, value in leaves.items() if leaves else ():
            if isinstance(value, SecretRef) and value.kind is SecretKind.ENV and leaves is not None:
                stem = f"{_stem(name)}{placeholders.as_env_name(realm)}"[:_LONGEST_STEM]
                free = next(n for n in _numbered(stem) if n not in taken)
                taken.add(free)
                leaves[name] = SecretRef(SecretKind.ENV, (free,))


def _stem(name: str) -> str:
    return "SMTP_PASSWORD_" if name == PASSWORD else "SMTP_CLIENT_SECRET_"


def _numbered(stem: str) -> Iterable[str]:
    yield stem
    for n in range(2, 100_000):
        yield f"{stem}_{n}"


def _factored(realms: Mapping[str, Leaves | None]) -> Leaves:
    """Take the values that all realms share out of them and return them as defaults.

    Login, port and security are lifted only together with the host, since an entry that sets a host
    inherits none of them; a port only together with the security it goes with.
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
    """Write variables that only differ by their realm as ``SMTP_PASSWORD_{realm}``."""
    for name in (PASSWORD, "relay.auth.token.client_secret"):
        plain = {realm: f"{_stem(name)}{placeholders.as_env_name(realm)}" for realm in entries}
        if all(leaves.get(name) == SecretRef(SecretKind.ENV, (plain[r],)) for r, leaves in entries.items()):
            for leaves in entries.values():
                leaves[name] = SecretRef(SecretKind.ENV, (f"{_stem(name)}{{realm}}",))
