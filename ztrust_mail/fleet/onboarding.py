"""Onboards the realms of many requests at once: one read of the server, one run, a separate outcome per request."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

from ztrust_mail import api
from ztrust_mail.api.run import with_policy
from ztrust_mail.core.errors import ZtrustMailError
from ztrust_mail.core.findings import Finding, Severity
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
from ztrust_mail.fleet.work import OnboardRealms, fit_to, read_content
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
        options = replace(self.call.options(frozenset(Reason)), request=min(self._accepted))
        done = api.run_plan(self.call.session, self._plan, options)
        if done.verdict.refusal:
            raise done.verdict.refusal
        result = result_of(done, "apply")
        require_journal(result)
        tests = self._test(result)
        for one in self._accepted.values():
            if one.request.number not in self.ends:
                ensured = _ensured_of(one, result, tests)
                self.ends[one.request.number] = self._end_of(ensured)
        return self.ends

    def _end_of(self, ensured: Ensured) -> RequestEnd | Postponed:
        if ensured.result.interrupted:
            return Postponed("the worker was stopped")
        if has_lost_server(ensured):
            return Postponed("the server went down", is_server_down=True)
        return end_of(ensured)

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
        return replace(plan, realms=tuple(one for one in plan.realms if one.realm in left))

    def _find_permitted(self, one: Onboarding, part: Plan) -> set[str]:
        """Return the realms of a request to write now. If it is refused or has to wait, store that outcome."""
        number = one.request.number
        self.ends.pop(number, None)
        if refusal := api.judge(part, parse_allow(one.work.allow)).refusal:
            self.ends[number] = end_of_error(one.request.kind, with_reasons(refusal, part))
            return set()
        missing = [realm.realm for realm in part.realms if realm.status is Status.MISSING]
        if missing and (pause := self._pause_of(one)):
            self.ends[number] = Postponed(f"waits for the realm {missing[0]}", pause)
            return {realm.realm for realm in part.realms} - {*missing}
        return {realm.realm for realm in part.realms}

    def _pause_of(self, one: Onboarding) -> timedelta | None:
        """Return how long to wait before the next check for a realm, None if the time is up."""
        age = self.call.session.journal.requests.now() - one.request.submitted
        left = timedelta(seconds=one.work.wait_for_realm) - age
        if left <= timedelta() or age < timedelta():  # or the clock was set back
            return None
        return min(max(age / 2, timedelta(seconds=1)), left, LONGEST_PAUSE)

    def _test(self, result: Result) -> MailTestRun | None:
        """Have the server send a test mail for each realm that was written and whose request asks for tests."""
        asked = {realm for one in self._accepted.values() if one.work.test for realm in one.names}
        names = [one.realm for one in result.realms if one.realm in asked and _was_given_mail(one)]
        return api.test(self.call.session, names, probe=False) if names and not self.call.cancel.is_set() else None


def _was_given_mail(one: RealmOutcome) -> bool:
    return one.status is Status.APPLIED and not one.plan.wanted.disabled


def _ensured_of(one: Onboarding, result: Result, tests: MailTestRun | None) -> Ensured:
    """Return the part of a common run's result that concerns one request."""
    from ztrust_mail.api import Ensured

    realms = tuple(realm for realm in result.realms if realm.realm in one.names)
    found = (*result.own_findings, *_note_untested(one, realms))
    own = replace(result, plan=one.part_of(result.plan), realms=realms, own_findings=found)
    outcomes = tuple(test for test in tests.outcomes if test.realm in one.names) if tests else ()
    return Ensured(own, replace(tests, outcomes=outcomes) if tests and outcomes else None)


def _note_untested(one: Onboarding, realms: Sequence[RealmOutcome]) -> Iterator[Finding]:
    """Yield a note for realms that a killed worker may have written: no test mail is sent for them now."""
    names = [realm.realm for realm in realms if realm.status is Status.IN_SYNC and not realm.plan.wanted.disabled]
    if names and one.work.test and one.request.attempts > 1:
        message = f"no test mail was sent for {first_and_more(names)}: an earlier worker ended before it could report"
        hint = "check the mailbox; test again if no mail arrived"
        yield Finding(Severity.NOTE, "test-unknown", message, hint)
