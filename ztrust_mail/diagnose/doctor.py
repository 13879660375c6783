"""Checks a server before the first plan: connection, version, roles and test address, with what to do about each no."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ztrust_mail.core.errors import ExitStatus, RealmError, ServerError
from ztrust_mail.core.files import is_read_only
from ztrust_mail.core.globs import MASTER, is_selected
from ztrust_mail.core.text import first_and_more, pluralise, printable, quoted
from ztrust_mail.dialects.row import Version
from ztrust_mail.gateways.capabilities import Support, describe_operations
from ztrust_mail.gateways.exports.gateway import TITLE, ExportedRealm, Inventory, RealmFilesGateway, take_stock
from ztrust_mail.gateways.gateway import Account, Gateway, Reading
from ztrust_mail.settings import Server, folder_of

SLOW_WITH_MANY_REALMS = ((26, 7, 1), (26, 7, 2))
"""Releases that need 10 to 49 s to read one realm when there are some 250 realms (measured on 26.7.1)."""


@dataclass(frozen=True)
class Check:
    """One question and its answer; None means that the answer is unknown."""

    question: str
    answer: bool | None
    detail: str
    hint: str = ""


@dataclass(frozen=True)
class DoctorReport:
    """All checks in order, and what can be done with the product."""

    url: str
    checks: tuple[Check, ...]
    exit_status: ExitStatus
    title: str
    abilities: tuple[Support, ...]


def examine(server: Server, gateway: Gateway, realms: Sequence[str] = ()) -> DoctorReport:
    """Check connection, account, version, roles and the address for test mails.

    ``realms`` are globs that limit the check of roles. The right to write is checked by a test mail without a sender:
    it needs the same role, and the server refuses to send it.
    """
    checks, worst = _check_server(gateway, realms)
    return DoctorReport(server.url, tuple(checks), worst, gateway.title, describe_operations(gateway.capabilities))


def _check_server(gateway: Gateway, realms: Sequence[str]) -> tuple[list[Check], ExitStatus]:
    try:
        gateway.login()
        account = gateway.account()
    except ServerError as e:
        return [Check("reach and log in", False, e.message, e.hint)], e.exit_status
    checks = [_login_check(gateway, account)]
    try:
        if any(row.since for row in gateway.dialect.rows):
            checks.append(_version_check(gateway.version()))
        checks.extend(_role_checks(gateway, realms))
        if gateway.capabilities.test:
            checks.append(_address_check(account))
    except ServerError as e:
        checks.append(Check("work with the admin API", False, e.message, e.hint))
        return checks, e.exit_status
    return checks, ExitStatus.worst(ExitStatus.PARTIAL for check in checks if check.answer is False)


def _login_check(gateway: Gateway, account: Account) -> Check:
    if gateway.capabilities.list_realms:
        return Check("reach and log in", True, account.phrase)
    detail = f"a token of {account.phrase}; nothing was sent: only a request for a realm shows whether it works"
    return Check("reach and log in", None, detail)


def _version_check(version: Version) -> Check:
    shown = ".".join(map(str, version))
    if not version:
        detail = "this account may not see it, so fields that are too new for the server are written without a warning"
        return Check("server version", None, detail)
    if version in SLOW_WITH_MANY_REALMS:
        hint = "update, or raise timeout to 60s: with some 250 realms one answer takes 10 to 49 s"
        return Check("server version", False, f"{shown}, known to be very slow with many realms", hint)
    return Check("server version", True, shown)


def _role_checks(gateway: Gateway, globs: Sequence[str]) -> Iterator[Check]:
    if not gateway.capabilities.read:
        yield Check(
            "write e-mail settings", None, "cannot be checked without a write; `ztrust-mail test REALM` tries the token"
        )
        return
    reading = gateway.read([glob for glob in globs if "*" not in glob and "?" not in glob], everything=True)
    names = [name for name in sorted(reading.realms) if is_selected(name, globs)]
    if not names and not gateway.capabilities.list_realms:
        hint = "name realms with --realm"
        yield Check("read e-mail settings", None, f"{gateway.title} gives no list of its realms", hint)
        return
    readable = [name for name in names if not isinstance(reading.realms[name], RealmError)]
    yield share_check("read e-mail settings", readable, names, _reading_hint(gateway, reading))
    question = "write e-mail settings"
    with ThreadPoolExecutor(gateway.connections) as pool:
        may = dict(zip(readable, pool.map(gateway.may_write, readable), strict=True))
    if None in may.values():
        yield Check(question, None, "cannot be checked without a write")
        return
    hint = "give the account the role manage-realm there; `ztrust-mail doctor --setup-commands` prints how"
    yield share_check(question, [name for name in readable if may[name]], names, hint)


def _reading_hint(gateway: Gateway, reading: Reading) -> str:
    if gateway.capabilities.list_realms:
        return "give the account the role view-realm (to plan) or manage-realm (to apply) there"
    return next((live.hint for live in reading.realms.values() if isinstance(live, RealmError)), "")


def share_check(question: str, fine: Sequence[str], names: Sequence[str], hint: str) -> Check:
    """Return a check that is a yes when all realms are fine, and otherwise names those that are not."""
    lacking = [name for name in names if name not in fine]
    if not names:
        return Check(question, False, "this account sees no realm", hint)
    if lacking:
        shown = first_and_more([quoted(name) for name in lacking], 5)
        return Check(question, False, f"{len(fine)} of {pluralise(len(names), 'realm')}; not {shown}", hint)
    return Check(question, True, f"in {pluralise(len(names), 'realm')}")


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
    client, home = "ztrust-mail", _shell(server.realm)
    lines = [
        f"kcadm.sh config credentials --server {_shell(server.url)} --realm {home} --user ADMIN",
        f"kcadm.sh create clients -r {home} -s clientId={client} -s serviceAccountsEnabled=true"
        " -s publicClient=false -s standardFlowEnabled=false -s directAccessGrantsEnabled=false",
    ]
    for realm in realms:
        roles = "--rolename view-realm --rolename manage-realm"
        owner = _shell(f"{realm}-realm" if server.realm == MASTER else "realm-management")
        lines.append(f"kcadm.sh add-roles -r {home} --uusername service-account-{client} --cclientid {owner} {roles}")
    user = f"$(kcadm.sh get users -r {home} -q username=service-account-{client} --fields id --format csv --noquotes)"
    key = f"$(kcadm.sh get clients -r {home} -q clientId={client} --fields id --format csv --noquotes)"
    lines += [
        f'kcadm.sh update "users/{user}" -r {home} -s email=ADDRESS_FOR_TEST_MAILS',
        f'kcadm.sh create "clients/{key}/client-secret" -r {home} -o',
    ]
    return lines


def _shell(text: str) -> str:
    import shlex

    return shlex.quote(text)


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
        return [Check("read e-mail settings", False, "no realm matches", "check --realm")]
    places = {name: place for name, place in chosen.items() if isinstance(place, ExportedRealm)}
    troubles = [place for place in chosen.values() if not isinstance(place, ExportedRealm)]
    why = f"{troubles[0].message}; {troubles[0].hint}" if troubles else ""
    writable = [name for name, place in places.items() if not is_read_only(place.path)]
    return [
        share_check("read e-mail settings", list(places), list(chosen), why),
        share_check("write e-mail settings", writable, list(chosen), "make each file and its folder writable"),
    ]
