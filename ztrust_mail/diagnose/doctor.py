"""Checks a server before the first plan: connection, version, roles and test address, with what to do about each no."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

from ztrust_mail.core.errors import ExitStatus, RealmError, ServerError
from ztrust_mail.core.files import is_read_only
from ztrust_mail.core.findings import Finding, error
from ztrust_mail.core.results import ResultMethods
from ztrust_mail.core.text import MASTER, did_you_mean, is_glob, is_selected, pluralise, printable, quoted
from ztrust_mail.dialects.row import Version
from ztrust_mail.gateways.capabilities import Support, describe_operations
from ztrust_mail.gateways.exports.gateway import TITLE, ExportedRealm, Inventory, RealmFilesGateway, take_stock
from ztrust_mail.gateways.gateway import Account, Gateway, RealmCounter
from ztrust_mail.planning.planners.from_spec import suggest_names
from ztrust_mail.settings import Server, folder_of

LOGIN = "reach and log in"
"""The first question: after a no there are no others."""

READ, WRITE = "read e-mail settings", "write e-mail settings"

NO_MATCH = "no realm matches"

MAX_EXAMPLES = 3
"""The most realms that a message names."""

SLOW_WITH_MANY_REALMS = ((26, 7, 1), (26, 7, 2))
"""Releases that need 10 to 49 s to read one realm when there are some 250 realms (measured on 26.7.1)."""


@dataclass(frozen=True)
class RealmGroup:
    """Realms with the same problem. The message and the hint name each of several realms as ``{realm}``."""

    realms: tuple[str, ...]
    message: str
    hint: str


@dataclass(frozen=True)
class Check:
    """A check and its answer, None if unknown. ``groups`` has the realms for which the answer is no."""

    question: str
    answer: bool | None
    detail: str
    hint: str = ""
    groups: tuple[RealmGroup, ...] = ()


@dataclass(frozen=True, repr=False)
class DoctorReport(ResultMethods):
    """All checks in order, and what can be done with the product."""

    url: str
    checks: tuple[Check, ...]
    exit_status: ExitStatus
    title: str
    abilities: tuple[Support, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The failed checks as errors."""
        failed = (check for check in self.checks if check.answer is False)
        return tuple(error("doctor", f"{c.question}: {c.detail}", c.hint) for c in failed)

    @property
    def summary(self) -> str:
        """The server and how many checks failed."""
        return f"{self.url}: {pluralise(len(self.checks), 'check')}, {len(self.findings):,} failed"


def examine(
    server: Server, gateway: Gateway, realms: Sequence[str] = (), progress: RealmCounter | None = None
) -> DoctorReport:
    """Check connection, account, version, roles and the address for test mails.

    ``realms`` are globs that limit the check of roles. The right to write is checked by a test mail without a sender:
    it needs the same role, and the server refuses to send it.
    """
    checks, worst = _check_server(gateway, realms, progress)
    return DoctorReport(server.url, tuple(checks), worst, gateway.title, describe_operations(gateway.capabilities))


def _check_server(
    gateway: Gateway, realms: Sequence[str], progress: RealmCounter | None
) -> tuple[list[Check], ExitStatus]:
    try:
        gateway.login()
        account = gateway.account()
    except ServerError as e:
        return [Check(LOGIN, False, e.message, e.hint)], e.exit_status
    checks = [_login_check(gateway, account)]
    try:
        if any(row.since for row in gateway.dialect.rows):
            checks.append(_version_check(gateway.version()))
        checks.extend(_role_checks(gateway, realms, progress))
        if gateway.capabilities.test:
            checks.append(_address_check(account))
    except ServerError as e:
        checks.append(Check("work with the admin API", False, e.message, e.hint))
        return checks, e.exit_status
    return checks, ExitStatus.worst(ExitStatus.PARTIAL for check in checks if check.answer is False)


def _login_check(gateway: Gateway, account: Account) -> Check:
    if gateway.capabilities.list_realms:
        return Check(LOGIN, True, account.phrase)
    detail = f"a token of {account.phrase}; nothing was sent: only a request for a realm shows whether it works"
    return Check(LOGIN, None, detail)


def _version_check(version: Version) -> Check:
    shown = ".".join(map(str, version))
    if not version:
        detail = "this account may not see it, so fields that are too new for the server are written without a warning"
        return Check("server version", None, detail)
    if version in SLOW_WITH_MANY_REALMS:
        hint = "update, or raise timeout to 60s: with some 250 realms one answer takes 10 to 49 s"
        return Check("server version", False, f"{shown}, known to be very slow with many realms", hint)
    return Check("server version", True, shown)


def _role_checks(gateway: Gateway, globs: Sequence[str], progress: RealmCounter | None) -> Iterator[Check]:
    if not gateway.capabilities.read:
        yield Check(WRITE, None, "cannot be checked without a write; `ztrust-mail test REALM` tries the token")
        return
    exact = [name for name in globs if not is_glob(name)]
    reading = suggest_names(gateway, gateway.read(exact, everything=True), exact)
    names = [name for name in sorted(reading.realms) if is_selected(name, globs)]
    if not names and not gateway.capabilities.list_realms:
        yield Check(READ, None, f"{gateway.title} gives no list of its realms", "name realms with --realm")
        return
    if globs and not names and reading.realms:
        yield Check(READ, False, NO_MATCH, did_you_mean(globs[0], reading.realms) or "check --realm")
        return
    unreadable = {name: live for name in names if isinstance(live := reading.realms[name], RealmError)}
    hint = "give the account the role view-realm (to plan) or manage-realm (to apply) in some realm"
    yield share_check(READ, names, {name: (e.message, e.hint) for name, e in unreadable.items()}, hint)
    readable = [name for name in names if name not in unreadable]
    may = _ask_each(gateway, readable, progress)
    if None in may.values():
        yield Check(WRITE, None, "cannot be checked without a write")
        return
    barred = [name for name in readable if not may[name]]
    problem = "this account may not write them", f"give it the role manage-realm there: {_setup_command(barred)}"
    yield share_check(WRITE, readable, dict.fromkeys(barred, problem), "make its realms readable first")


def _ask_each(gateway: Gateway, realms: Sequence[str], progress: RealmCounter | None) -> Mapping[str, bool | None]:
    """Return whether the account may write each of the realms."""
    numbers = count(1)

    def ask(realm: str) -> bool | None:
        may = gateway.may_write(realm)
        if progress:
            progress(next(numbers), len(realms))
        return may

    with ThreadPoolExecutor(gateway.connections) as pool:
        return dict(zip(realms, pool.map(ask, realms), strict=True))


def _setup_command(realms: Sequence[str]) -> str:
    """Return the command that prints how to grant an account its roles; for many realms it names none of them."""
    named = realms if len(realms) <= MAX_EXAMPLES else ["REALM"]
    return " ".join(["ztrust-mail doctor --setup-commands", *(f"--realm {shlex.quote(realm)}" for realm in named)])


def share_check(question: str, names: Sequence[str], problems: Mapping[str, tuple[str, str]], hint: str) -> Check:
    """Return a check that is a yes when no realm has a problem, and otherwise groups the realms by their problems.

    ``problems`` has message and hint of each realm that has one. ``hint`` is for the case that there is no realm.
    """
    if not names:
        return Check(question, False, "this account sees no realm", hint)
    if not problems:
        return Check(question, True, f"in {pluralise(len(names), 'realm')}")
    found: dict[tuple[str, str], list[str]] = {}
    for name, (message, advice) in problems.items():
        pattern = message.replace(quoted(name), "`{realm}`"), advice.replace(quoted(name), "`{realm}`")
        found.setdefault(pattern, []).append(name)
    groups = [
        RealmGroup(tuple(realms), *(problems[realms[0]] if len(realms) == 1 else pattern))
        for pattern, realms in sorted(found.items(), key=lambda group: -len(group[1]))
    ]
    return Check(
        question,
        False,
        f"in {len(names) - len(problems):,} of {pluralise(len(names), 'realm')}",
        groups=tuple(groups),
    )


def _address_check(account: Account) -> Check:
    question, whose = "address for test mails", account.phrase
    if account.email:
        return Check(question, True, account.email)
    hint = f"set the e-mail address of {whose}; the server sends test mails only there"
    if account.email is None:
        return Check(question, None, f"not visible for {whose}", hint)
    return Check(question, False, f"{whose} has none", hint)


def setup_commands(server: Server, realms: Sequence[str]) -> list[str]:
    """Return the kcadm lines that create a service account with the least roles for these realms.

    The account gets view-realm and manage-realm, and an address for test mails. In master, each realm has a client
    ``REALM-realm`` with its roles; another realm has only ``realm-management``, for itself. No line has a secret.
    """
    client, home = "ztrust-mail", shlex.quote(server.realm)
    lines = [
        f"kcadm.sh config credentials --server {shlex.quote(server.url)} --realm {home} --user ADMIN",
        f"kcadm.sh create clients -r {home} -s clientId={client} -s serviceAccountsEnabled=true"
        " -s publicClient=false -s standardFlowEnabled=false -s directAccessGrantsEnabled=false",
    ]
    for realm in realms:
        roles = "--rolename view-realm --rolename manage-realm"
        owner = shlex.quote(f"{realm}-realm" if server.realm == MASTER else "realm-management")
        lines.append(f"kcadm.sh add-roles -r {home} --uusername service-account-{client} --cclientid {owner} {roles}")
    user = f"$(kcadm.sh get users -r {home} -q username=service-account-{client} --fields id --format csv --noquotes)"
    key = f"$(kcadm.sh get clients -r {home} -q clientId={client} --fields id --format csv --noquotes)"
    lines += [
        f'kcadm.sh update "users/{user}" -r {home} -s email=ADDRESS_FOR_TEST_MAILS',
        f'kcadm.sh create "clients/{key}/client-secret" -r {home} -o',
    ]
    return lines


def examine_files(server: Server, globs: Sequence[str] = ()) -> DoctorReport:
    """Check which realms the files have, whether they can be read and written, and which files are ignored."""
    checks, worst = _check_files(folder_of(server.url), globs)
    return DoctorReport(server.url, tuple(checks), worst, TITLE, describe_operations(RealmFilesGateway.capabilities))


def _check_files(target: str, globs: Sequence[str]) -> tuple[list[Check], ExitStatus]:
    try:
        stock = take_stock(target)
    except ServerError as e:
        return [Check("find realm files", False, e.message, e.hint)], e.exit_status
    found = f"{pluralise(len(stock.realms), 'realm')} in {printable(target)}"
    checks = [Check("find realm files", True, found), *_file_rights(stock, globs)]
    if stock.passed_over:
        detail = (
            f"{pluralise(len(stock.passed_over), 'file')} without a realm, such as {printable(stock.passed_over[0])}"
        )
        checks.append(Check("ignore other files", True, detail))
    checks.append(
        Check("send test mails", None, "only a server can; import the files, then run `ztrust-mail test` there")
    )
    return checks, ExitStatus.worst(ExitStatus.PARTIAL for check in checks if check.answer is False)


def _file_rights(stock: Inventory, globs: Sequence[str]) -> list[Check]:
    chosen = {name: place for name, place in stock.realms.items() if is_selected(name, globs)}
    if not chosen:
        meant = did_you_mean(globs[0], stock.realms) if globs else ""
        return [Check(READ, False, NO_MATCH, meant or "check --realm")]
    places = {name: place for name, place in chosen.items() if isinstance(place, ExportedRealm)}
    unreadable = {n: (place.message, place.hint) for n, place in chosen.items() if isinstance(place, RealmError)}
    problem = "the file or its folder is read-only", "make the file and its folder writable"
    locked = {name: problem for name, place in places.items() if is_read_only(place.path)}
    return [
        share_check(READ, list(chosen), unreadable, ""),
        share_check(WRITE, list(places), locked, "make its files readable first"),
    ]
