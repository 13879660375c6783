"""The verbs for callers on an event loop."""

from __future__ import annotations

import asyncio
import inspect
import threading

import pytest
from support.mail_settings import NO_LOGIN

import ztrust_mail
from ztrust_mail import aio, fleet
from ztrust_mail.core.errors import RealmMissing, UsageError
from ztrust_mail.journal.records import Outcome

LOGIN = {"environ": {}, "username": "admin", "password": "admin"}
SPEC = {"version": 1, "realms": {"acme": NO_LOGIN, "globex": NO_LOGIN}}


def test_every_verb_of_the_library_is_there():
    verbs = [name for name in ztrust_mail.__all__ if inspect.isfunction(getattr(ztrust_mail, name))]
    for name in set(verbs) - {"unfinished"}:
        first, same = (next(iter(inspect.signature(getattr(home, name)).parameters)) for home in (ztrust_mail, aio))
        assert first == same
        assert inspect.iscoroutinefunction(getattr(aio, name)) or name == "connect"
    assert ztrust_mail.aio is aio


def test_the_verbs_work_together_on_an_event_loop(ztrust_sandbox):
    async def work() -> tuple[object, ...]:
        spec = await aio.load_spec(SPEC)
        async with aio.connect(ztrust_sandbox.url, **LOGIN) as session:
            result = await aio.apply(await aio.plan(spec, session), session)
            found = await asyncio.gather(aio.drift(spec, session), aio.doctor(session), aio.history(session))
            ensured = await aio.ensure(session, {"acme": NO_LOGIN})
        return (result, *found[:2], ensured, len(found[2]))

    *results, runs = asyncio.run(work())
    for result in results:
        result.raise_for_status()
    assert runs == 1
    assert len(ztrust_sandbox.smtp("globex")) > 0


def test_errors_are_those_of_the_library(ztrust_sandbox):
    with pytest.raises(UsageError):
        asyncio.run(aio.ensure(ztrust_sandbox.url, {}, **LOGIN))
    with pytest.raises(RealmMissing):
        asyncio.run(aio.ensure(ztrust_sandbox.url, {"late": NO_LOGIN}, wait_for_realm=0.0, **LOGIN))


def test_a_cancellation_waits_for_the_write_under_way_and_skips_the_rest(ztrust_sandbox):
    cancel = threading.Event()

    async def work() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task

        def stop(realm: str) -> None:
            loop.call_soon_threadsafe(task.cancel)
            assert cancel.wait(30)

        ztrust_sandbox.faults.before_write = stop
        async with aio.connect(ztrust_sandbox.url, **{**LOGIN, "environ": {"ZTRUST_MAIL_CONNECTIONS": "1"}}) as session:
            await aio.apply(await aio.plan(await aio.load_spec(SPEC), session), session, cancel=cancel)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work())
    assert ztrust_sandbox.smtp("acme")["host"] == "smtp.example.com"
    assert ztrust_sandbox.smtp("globex") == {}
    with ztrust_mail.connect(ztrust_sandbox.url, **LOGIN) as session:
        assert [one.run.outcome for one in ztrust_mail.history(session)] == [Outcome.INTERRUPTED]


def test_the_end_of_the_event_loop_waits_for_the_write_under_way_before_the_session_is_closed(
    ztrust_sandbox, monkeypatch
):
    is_writing, go_on, done = threading.Event(), threading.Event(), []
    close = ztrust_mail.Session.close
    monkeypatch.setattr(ztrust_mail.Session, "close", lambda session: (done.append("closed"), close(session)))

    class Cancel(threading.Event):
        def set(self) -> None:
            super().set()
            self.pass_turns(10)

        def pass_turns(self, count: int) -> None:
            if count:
                asyncio.get_running_loop().call_soon(self.pass_turns, count - 1)
            else:
                go_on.set()

    def write(realm: str) -> None:
        is_writing.set()
        assert go_on.wait(30)
        done.append("written")

    async def work() -> None:
        async with aio.connect(ztrust_sandbox.url, **{**LOGIN, "environ": {"ZTRUST_MAIL_CONNECTIONS": "1"}}) as session:
            try:
                await aio.apply(await aio.plan(await aio.load_spec(SPEC), session), session, cancel=Cancel())
            finally:
                done.append("ended")

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.to_thread(is_writing.wait)
        assert not task.done()  # and nobody waits for it

    ztrust_sandbox.faults.before_write = write
    asyncio.run(main())
    assert done == ["written", "ended", "closed"]


def test_a_cancellation_ends_the_wait_for_a_realm(ztrust_sandbox):
    class Reporting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            loop.call_soon_threadsafe(task.cancel)
            return super().wait(30)

    async def work() -> None:
        nonlocal loop, task
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        await aio.ensure(ztrust_sandbox.url, {"late": NO_LOGIN}, cancel=Reporting(), **LOGIN)

    loop = task = None
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work())
    assert not [request for request in ztrust_sandbox.requests if request.method == "PUT"]


def test_an_error_on_an_event_loop_shows_no_secret():
    async def work() -> None:
        async with aio.connect("https://id.example", environ={}, username="admin", password="s3cret-login", realm="."):
            pass

    with pytest.raises(ztrust_mail.ConfigError) as refused:
        asyncio.run(work())
    trace, seen = refused.value.__traceback__, ""
    while trace:
        if "/ztrust_mail/" in trace.tb_frame.f_code.co_filename:
            seen += repr(trace.tb_frame.f_locals)
        trace = trace.tb_next
    assert "hidden" in seen
    assert "s3cret-login" not in seen


def test_requests_are_submitted_looked_at_cancelled_and_retried_from_an_event_loop(ztrust_sandbox):
    environ = dict(ztrust_sandbox.environ)

    async def work():
        order = fleet.OnboardRealms({"acme": NO_LOGIN})
        first = await aio.submit(order, key="order 4711", message="ticket 12", environ=environ)
        again = await aio.submit(order, key="order 4711", environ=environ)
        cancelled, seen = await aio.cancel(first.number, environ=environ), await aio.status(1, environ=environ)
        return first, again, cancelled, seen, await aio.retry(1, environ=environ)

    first, again, cancelled, seen, retried = asyncio.run(work())
    assert (first.number, first.message, first.state) == (1, "ticket 12", fleet.RequestState.WAITING)
    assert again == first
    assert cancelled.state is fleet.RequestState.CANCELLED
    assert seen == cancelled
    assert (retried.number, retried.state) == (1, fleet.RequestState.WAITING)


def test_the_package_has_the_requests_to_workers_without_an_import_of_their_own():
    assert ztrust_mail.fleet is fleet
