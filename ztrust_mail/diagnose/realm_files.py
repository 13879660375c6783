"""What a careful admin asks of realm files before the first plan, in place of what is asked of a server."""

from __future__ import annotations

from collections.abc import Sequence

from ztrust_mail.config import Server, folder_of
from ztrust_mail.diagnose.doctor import Check, Examination, share
from ztrust_mail.errors import ExitStatus, ServerError
from ztrust_mail.files import is_read_only
from ztrust_mail.gateways.realm_files import TITLE, RealmFilesGateway
from ztrust_mail.gateways.realm_folder import Inventory, Place, take_stock
from ztrust_mail.gateways.verbs import abilities
from ztrust_mail.spec.resolve import glob_matches
from ztrust_mail.text import counted, printable


def examine_files(server: Server, globs: Sequence[str] = ()) -> Examination:
    """Tell which realms the files hold, what stands in the way of each, and which files were passed over."""
    checks, worst = _checked(folder_of(server.url), globs)
    return Examination(server.url, tuple(checks), worst, TITLE, abilities(RealmFilesGateway.capabilities))


def _checked(target: str, globs: Sequence[str]) -> tuple[list[Check], ExitStatus]:
    try:
        stock = take_stock(target)
    except ServerError as e:
        return [Check("find realm files", False, e.message, e.hint)], e.exit_status
    found = f"{counted(len(stock.realms), 'realm')} in {printable(target)}"
    checks = [Check("find realm files", True, found), *_rights(stock, globs)]
    if stock.passed_over:
        detail = f"{counted(len(stock.passed_over), 'file')} without a realm, such as {printable(stock.passed_over[0])}"
        checks.append(Check("leave other files alone", True, detail))
    checks.append(Check("send test mails", None, "only a server can: import the files, then run test against it"))
    return checks, ExitStatus.worst(ExitStatus.PARTIAL for check in checks if check.answer is False)


def _rights(stock: Inventory, globs: Sequence[str]) -> list[Check]:
    chosen = {n: p for n, p in stock.realms.items() if not globs or any(glob_matches(g, n) for g in globs)}
    if not chosen:
        return [Check("read e-mail settings", False, "no realm matches", "check --realm")]
    places = {name: place for name, place in chosen.items() if isinstance(place, Place)}
    troubles = [place for place in chosen.values() if not isinstance(place, Place)]
    why = f"{troubles[0].message}; {troubles[0].hint}" if troubles else ""
    writable = [name for name, place in places.items() if not is_read_only(place.path)]
    return [
        share("read e-mail settings", list(places), list(chosen), why),
        share("write e-mail settings", writable, list(chosen), "let each file and its folder be written"),
    ]
