"""Onboards realms with one idempotent call, for tenant onboarding services."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Unpack, cast

from ztrust_mail.api import read
from ztrust_mail.api.keywords import LoginKeywords, Sealed, check_login, hide
from ztrust_mail.api.run import run_plan
from ztrust_mail.api.session import Session, connect
from ztrust_mail.api.spec_types import DefaultsDict, EntryDict, SpecDict
from ztrust_mail.api.specs import load_spec
from ztrust_mail.core.errors import ExitStatus, RealmMissing, UsageError, ZtrustMailError
from ztrust_mail.core.findings import Finding
from ztrust_mail.core.results import ResultMethods, flatten
from ztrust_mail.core.text import is_glob, quoted
from ztrust_mail.planning.plan import Plan, Status
from ztrust_mail.secrets.sources import GivenSecrets, Secrets
from ztrust_mail.settings import PROCESS, Variables
from ztrust_mail.specfile.entries import Spec

if TYPE_CHECKING:
    from ztrust_mail.applying.outcome import RealmOutcome, Result
    from ztrust_mail.diagnose.mail_test import MailTestRun
    from ztrust_mail.gateways.gateway import Gateway

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 4.0
"""Seconds between two reads of a realm that does not exist yet; each pause is twice as long as the one before."""

WAIT_FOR_LOCK = 60.0
TEST_AGAIN = 'the settings are stored: correct the relay or the settings, then call ensure(..., test="always")'


class EnsureKeywords(LoginKeywords, total=False):
    """The keyword arguments of :func:`ensure` besides a login.

    ``defaults`` are settings that all realms start from. ``allow`` names dangers that are intended. ``wait`` is how
    many seconds to wait for another run on this server, 60 by default. Setting ``cancel`` ends that wait and the one
    for a realm, lets writes in progress finish, and skips the rest. ``message`` is recorded in the journal. The others
    are those of :func:`connect`.
    """

    defaults: DefaultsDict
    allow: Iterable[str]
    wait: float
    cancel: threading.Event
    message: str
    config_path: str
    environ: Variables
    secrets: Secrets | GivenSecrets


@dataclass(frozen=True, repr=False)
class Ensured(ResultMethods):
    """The result of :func:`ensure`. ``tests`` is None if no test mail was requested or needed."""

    result: Result
    tests: MailTestRun | None = None

    @property
    def realms(self) -> tuple[RealmOutcome, ...]:
        """The outcome of each realm, in the order given."""
        return self.result.realms

    @property
    def written(self) -> tuple[str, ...]:
        """The names of the realms that were written; the others were in sync."""
        return tuple(realm.realm for realm in self.realms if realm.status is Status.APPLIED)

    @property
    def tested(self) -> tuple[str, ...]:
        """The names of the realms that a test mail was sent for."""
        return tuple(test.realm for test in self.tests.realms) if self.tests else ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, those of the test mails last."""
        return flatten(self.result.findings, [self.tests.findings if self.tests else ()])

    @property
    def summary(self) -> str:
        """The server, how many realms are in which state, and how the test mails ended."""
        return f"{self.result.summary}{f'; test mails: {self.tests.summary}' if self.tests else ''}"

    @property
    def exit_status(self) -> ExitStatus:
        """The worse of the statuses of the apply and of the test mails."""
        return ExitStatus.worst([self.result.exit_status, self.tests.exit_status if self.tests else ExitStatus.OK])

    def find_failure(self) -> ZtrustMailError | None:
        """Return the error of the apply, or else of the test mails, with all findings; None if nothing failed."""
        error = self.result.find_failure()
        if error is None and self.tests and (error := self.tests.find_failure()):
            error.hint = f"{error.hint}; {TEST_AGAIN}" if error.hint else TEST_AGAIN
        if error:
            error.findings, error.exit_status = self.findings, self.exit_status
        return error


def ensure(
    server: str | Session,
    realms: Mapping[str, EntryDict],
    *,
    test: bool | Literal["always"] = True,
    wait_for_realm: float = 30.0,
    **keywords: Unpack[EnsureKeywords],
) -> Ensured:
    """Apply e-mail settings to realms, replacing their current ones, and return the result.

    ``server`` is a URL, the name of a server in the settings, or an open session. Waits up to ``wait_for_realm``
    seconds for realms that do not exist yet; then writes all realms that exist, even if others do not. With ``test``,
    the server sends a test mail for each realm that was written, with ``"always"`` for all. ``keywords`` are those of
    :class:`EnsureKeywords`. Several threads and processes may call this concurrently, even for the same realms.

    Raises if anything failed: :class:`RealmMissing` after the wait, :class:`SecretError`, :class:`MailTestFailed`,
    :class:`ResultError` if realms failed for several reasons, :class:`Unsafe` for a danger that is not allowed, and
    what :func:`load_spec`, :func:`connect` and :func:`apply` raise. The error's ``findings`` have all details.
    """
    hidden = hide(keywords)
    del keywords  # else an exception would hold the secrets as a local of this function
    login = {key: value for key, value in hidden.items() if key not in _OWN}
    own = cast("EnsureKeywords", {key: value for key, value in hidden.items() if key in _OWN})
    check_login(login, "ensure")
    spec = _spec_of(realms, own)
    with _open(server, spec, login, own) as session:
        ensured = _Ensuring(session, spec, own.get("cancel") or threading.Event(), test).run(wait_for_realm, own)
    ensured.raise_for_status()
    return ensured


_OWN = EnsureKeywords.__annotations__.keys() - LoginKeywords.__annotations__.keys()
_OF_CONNECTION = ("config_path", "environ", "secrets")


def _spec_of(realms: Mapping[str, EntryDict], own: EnsureKeywords) -> Spec:
    if not realms:
        raise UsageError("ensure was called without a realm", "give {realm: settings}")
    if globs := [name for name in realms if is_glob(name)]:
        raise UsageError(f"ensure takes realm names, but {quoted(globs[0])} is a glob", "use plan and apply for globs")
    spec: SpecDict = {"version": 1, "defaults": own.get("defaults", {}), "realms": realms}
    return load_spec(spec)


@contextmanager
def _open(server: str | Session, spec: Spec, login: Sealed, own: EnsureKeywords) -> Iterator[Session]:
    """Yield the caller's session, or one that is closed afterwards."""
    if isinstance(server, Session):
        if extra := [*login, *(key for key in _OF_CONNECTION if key in own)]:
            raise UsageError(
                f"an open session takes no `{extra[0]}`", "give it to connect, or name the server by its URL"
            )
        yield server
        return
    session = connect(
        server,
        spec=spec,
        config_path=own.get("config_path"),
        environ=own.get("environ", PROCESS),
        secrets=own.get("secrets"),
        **cast("LoginKeywords", login),
    )
    with session:
        yield session


@dataclass(frozen=True)
class _Ensuring:
    session: Session
    spec: Spec
    cancel: threading.Event
    test: bool | Literal["always"]

    def run(self, seconds: float, own: EnsureKeywords) -> Ensured:
        """Wait, write and test, as far as each is necessary."""
        from ztrust_mail.gateways.capabilities import Operation, require

        if self.test:
            require(self.session.gateway, Operation.TEST)  # before anything is written
        plan = self._plan()
        if absent := [realm.realm for realm in plan.realms if realm.status is Status.MISSING]:
            wait_for_realms(self.session.gateway, absent, seconds, self.cancel)
            plan = self._plan()
        result = self._apply(plan, own)
        names = self._to_test(result)
        # A probe would take a service up to 20 seconds for a relay that only the server reaches.
        return Ensured(result, read.test(self.session, names, probe=False) if names else None)

    def _plan(self) -> Plan:
        return read.plan(self.spec, self.session)

    def _apply(self, plan: Plan, own: EnsureKeywords) -> Result:
        from ztrust_mail.applying.options import ApplyOptions
        from ztrust_mail.applying.outcome import Result
        from ztrust_mail.planning.safety import parse_allow

        if not plan.changed or self.cancel.is_set():
            return replace(Result.of_unchanged(plan, "apply"), interrupted=self.cancel.is_set())
        options = ApplyOptions(
            allow=parse_allow(own.get("allow", ())),
            wait=own.get("wait", WAIT_FOR_LOCK),
            cancel=self.cancel,
            message=own.get("message", ""),
        )
        done = run_plan(self.session, self._plan, options)  # another thread may have written it meanwhile
        if done.verdict.refusal:
            raise done.verdict.refusal
        result = done.result or Result.of_unchanged(done.plan, "apply")
        return replace(result, own_findings=(*done.settled, *result.own_findings))

    def _to_test(self, result: Result) -> list[str]:
        due = (Status.APPLIED, Status.IN_SYNC) if self.test == "always" else (Status.APPLIED,)
        if not self.test or self.cancel.is_set():
            return []
        return [realm.realm for realm in result.realms if realm.status in due and not realm.plan.wanted.disabled]


def wait_for_realms(gateway: Gateway, names: Sequence[str], seconds: float, cancel: threading.Event) -> None:
    """Return when all these realms exist, ``cancel`` is set or the time is over."""
    deadline, pause = time.monotonic() + seconds, FIRST_PAUSE
    while names and (left := deadline - time.monotonic()) > 0 and not cancel.wait(min(pause, left)):
        pause = min(2 * pause, LONGEST_PAUSE)
        reading = gateway.read(names, everything=False)
        names = [name for name in names if isinstance(reading.realms[name], RealmMissing)]
