"""Onboards the realms of many requests at once: one read of the server, one run, a separate outcome per request."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

from ztrust_mail import api
from ztrust_mail.api.run import with_policy
from ztrust_mail.core.errors import ExitStatus, ZtrustMailError
from ztrust_mail.core.findings import has_errors
from ztrust_mail.core.text import first_and_more
from ztrust_mail.fleet.execute import (
    WorkCall,
    end_of,
    end_of_error,
    has_lost_server,
    require_journal,
    result_of,
    until_window,
    with_reasons,
)
from ztrust_mail.fleet.mail_marks import MailMark, MailMarks
from ztrust_mail.fleet.work import OnboardRealms, fit_to, read_content
from ztrust_mail.gateways.capabilities import Operation, require
from ztrust_mail.journal.requests import Postponed, RequestEnd, RequestState, StoredRequest
from ztrust_mail.planning.compare import SecretMode
from ztrust_mail.planning.plan import Plan, Status
from ztrust_mail.planning.safety import Reason, parse_allow
from ztrust_mail.specfile.resolve import Desired

if TYPE_CHECKING:
    from ztrust_mail.api import Ensured
    from ztrust_mail.applying.outcome import RealmOutcome, Result
    from ztrust_mail.diagnose.mail_test import MailTestRun

LONGEST_PAUSE: Final = timedelta(seconds=30)
"""The maximum interval between checks for a realm that does not exist yet."""

Ends = Mapping[int, RequestEnd | Postponed]
"""The outcome of each request, by its number."""


@dataclass(frozen=True)
class Onboarding:
    """The realms of one request, with their desired settings."""

    request: StoredRequest
    work: OnboardRealms
    wanted: tuple[Desired, ...]

    @cached_property  # read once per realm of the batch
    def names(self) -> frozenset[str]:
        """The names of the realms."""
        return frozenset(one.realm for one in self.wanted)

    def part_of(self, plan: Plan) -> Plan:
        """Return the part of a common plan that concerns these realms."""
        return replace(plan, realms=tuple(one for one in plan.realms if one.realm in self.names))


def choose_batch(waiting: Sequence[StoredRequest]) -> list[StoredRequest]:
    """Return the requests to take next: the first one and, if it onboards realms, those after it that can join it.

    No two requests of a batch name the same realm. All use the same name for the server, because other names may have
    other variables and logins. A request left by a killed worker is processed alone, as it may have caused the kill.
    """
    batch, names = list(waiting[:1]), set[str]()
    if not waiting or not _may_join(waiting[0]):
        return batch
    names.update(_names_of(waiting[0]))
    for one in waiting[1:]:
        if not _may_join(one) or one.name != waiting[0].name:
            break
        if names.isdisjoint(new := _names_of(one)):
            batch.append(one)
        names.update(new)
    return batch


def _may_join(request: StoredRequest) -> bool:
    is_new = request.kind == OnboardRealms.kind and request.state is RequestState.WAITING
    return is_new and bool(request.content)  # long content is left out of the list; process it alone


def _names_of(request: StoredRequest) -> Collection[str]:
    try:
        work = read_content(request.kind, request.content, request.tool_version)
    except ZtrustMailError:  # reported when the request is processed
        return ()
    return [*work.entries] if isinstance(work, OnboardRealms) else ()


@dataclass
class Batch:
    """Requests that are onboarded together. ``ends`` has the outcomes known so far."""

    call: WorkCall
    requests: Sequence[StoredRequest]
    ends: dict[int, RequestEnd | Postponed] = field(default_factory=dict)

    def run(self) -> Ends:
        """Onboard all realms that exist, and return how each request ended. Raises :class:`ZtrustMailError`."""
        if not self._accepted:
            return self.ends
        # allow everything: each request has been judged on its own, or will be in _plan
        options = self.call.options(frozenset(Reason))
        options = replace(options, request=min(self._accepted), is_cancelled=self._is_cancelled)
        done = api.run_plan(self.call.session, self._plan, options)
        if done.verdict.refusal:
            raise done.verdict.refusal
        result = result_of(done, "apply")
        require_journal(result)
        tests = self._test(result)
        for one in self._accepted.values():
            number = one.request.number
            if number not in self.ends or (not self._has_ended(number) and self.call.is_cancelled(number)):
                self.ends[number] = self._end_of(one, result, tests)
        return self.ends

    def _has_ended(self, number: int) -> bool:
        return isinstance(self.ends.get(number), RequestEnd)

    def _is_cancelled(self, realm: str) -> bool:
        """Tell whether the request that names a realm was cancelled."""
        return self.call.is_cancelled(self._numbers[realm])

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {realm: number for number, one in self._accepted.items() for realm in one.names}

    def _end_of(self, one: Onboarding, result: Result, tests: MailTestRun | None) -> RequestEnd | Postponed:
        part = self._ensured_of(one, result, tests)
        untested = [realm.realm for realm in part.realms if self._is_mail_due(realm)]
        if self.call.is_cancelled(one.request.number):
            if left := _describe_left(one, part, untested):
                cancelled = replace(part, result=replace(part.result, interrupted=True))
                return replace(end_of(cancelled), state=RequestState.CANCELLED, summary=f"cancelled; {left}")
        elif result.interrupted or (untested and self.call.cancel.is_set()):
            return Postponed("the worker was stopped")
        if has_lost_server(part):
            return Postponed("the server went down", is_server_down=True)
        return end_of(part)

    @cached_property
    def _accepted(self) -> dict[int, Onboarding]:
        """The requests that can be planned; the others have ended or wait again."""
        found = {}
        for request in self.requests:
            try:
                one = self._read(request)
                if closed := until_window(self.call.session, one.work.allow):
                    self.ends[request.number] = closed
                else:
                    found[request.number] = one
            except ZtrustMailError as e:
                self.ends[request.number] = end_of_error(request.kind, e)
        return found

    def _read(self, request: StoredRequest) -> Onboarding:
        work = read_content(request.kind, request.content, request.tool_version)
        assert isinstance(work, OnboardRealms)
        spec = fit_to(work.load(), self.call.session.server)
        if work.test:
            require(self.call.session.gateway, Operation.TEST)  # before anything is written
            self._marks.add(request, work.entries)
        return Onboarding(request, work, tuple(api.explain(spec, realm) for realm in work.entries))

    def _plan(self) -> Plan:
        """Return the plan of all existing realms whose requests may be written."""
        from ztrust_mail.planning.planners.from_spec import plan_wanted

        session = self.call.session
        wanted = [one for onboarding in self._accepted.values() for one in onboarding.wanted]
        with session.journal_state_in_background(one.realm for one in wanted) as memory:
            plan = plan_wanted(wanted, session.gateway, session.planning_context(SecretMode.AUTO, memory))
        plan = with_policy(plan, session.policy)
        left = set[str]()
        for one in self._accepted.values():
            left |= self._find_permitted(one, one.part_of(plan))
        plan = replace(plan, realms=tuple(one for one in plan.realms if one.realm in left))
        self._marks.plan(one.realm for one in plan.changed if not one.wanted.disabled)
        return plan

    def _find_permitted(self, one: Onboarding, part: Plan) -> set[str]:
        """Return the realms of a request to write now. If it is refused or has to wait, store that outcome."""
        number = one.request.number
        self.ends.pop(number, None)
        if refusal := api.judge(part, parse_allow(one.work.allow)).refusal:
            self.ends[number] = end_of_error(one.request.kind, with_reasons(refusal, part))
            return set()
        if part.changed and (closed := until_window(self.call.session, one.work.allow)):
            self.ends[number] = closed  # the window closed while the lock was waited for
            return set()
        missing = [realm.realm for realm in part.realms if realm.status is Status.MISSING]
        if missing and (pause := self._pause_of(one)):
            self.ends[number] = Postponed(f"waits for the realm {missing[0]}", pause)
            return {realm.realm for realm in part.realms} - {*missing}
        return {realm.realm for realm in part.realms}

    def _pause_of(self, one: Onboarding) -> timedelta | None:
        """Return how long to wait before the next check for a realm, None if the time is up."""
        age = self._now - one.request.submitted
        left = timedelta(seconds=one.work.wait_for_realm) - age
        if left <= timedelta() or age < timedelta():  # or the clock was set back
            return None
        return min(max(age / 2, timedelta(seconds=1)), left, LONGEST_PAUSE)

    @cached_property  # one query for all requests that wait for a realm
    def _now(self) -> datetime:
        return self.call.session.journal.requests.now()

    @cached_property
    def _marks(self) -> MailMarks:
        return MailMarks(self.call.session.journal.requests, self.call.is_cancelled)

    def _is_mail_due(self, one: RealmOutcome) -> bool:
        """Tell whether a realm has the settings of its request, and the test mail that follows was not begun yet."""
        is_right = one.status in (Status.APPLIED, Status.IN_SYNC) and not one.plan.wanted.disabled
        return is_right and self._marks.of(one.realm) is MailMark.DUE

    def _test(self, result: Result) -> MailTestRun | None:
        """Have the server send the test mails that are due, those that an earlier attempt left among them."""
        from ztrust_mail.diagnose.mail_test import send_stored

        due = [one.realm for one in result.realms if self._is_mail_due(one) and not self._is_cancelled(one.realm)]
        if not due or self.call.cancel.is_set():
            return None
        return send_stored(self.call.session.gateway, due, cancel=self.call.cancel, record=self._marks)

    def _ensured_of(self, one: Onboarding, result: Result, tests: MailTestRun | None) -> Ensured:
        """Return what a common run did to the realms of one request."""
        from ztrust_mail.api import Ensured

        realms = tuple(realm for realm in result.realms if realm.realm in one.names)
        outcomes = tuple(test for test in tests.outcomes if test.realm in one.names) if tests else ()
        before = {realm.realm for realm in realms} - {test.realm for test in outcomes}
        found = [finding for realm in sorted(before) if (finding := self._marks.recall(realm))]
        own = replace(
            result,
            plan=one.part_of(result.plan),
            realms=realms,
            interrupted=False,
            own_findings=(*result.own_findings, *found),
            exit_statuses=(*result.exit_statuses, *([ExitStatus.DIFFERS] if has_errors(found) else [])),
        )
        return Ensured(own, replace(tests, outcomes=outcomes) if tests and outcomes else None)


def _describe_left(one: Onboarding, part: Ensured, untested: Sequence[str]) -> str:
    """Return what a cancelled request has done and what it has left, an empty text if it has left nothing."""
    done = {realm.realm for realm in part.realms if realm.status not in (Status.SKIPPED, Status.MISSING)}
    left = sorted(one.names - done)
    if not left and not untested:
        return ""
    parts = {"written, and not undone": part.written, "not written": left, "no test mail sent for": untested}
    return "; ".join(f"{what}: {first_and_more(names)}" for what, names in parts.items() if names)
