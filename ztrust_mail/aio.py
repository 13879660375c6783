"""The library's functions for ``async`` callers; each runs in a thread.

The signatures are those of :mod:`ztrust_mail.api`. A cancelled call tells its thread to stop, which ``apply`` and
``ensure`` do after the writes in progress, and waits for the thread to end.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import partial, wraps
from typing import TYPE_CHECKING, Literal, ParamSpec, TypedDict, TypeVar, Unpack, cast

from ztrust_mail import api
from ztrust_mail.api.keywords import LoginKeywords, hide
from ztrust_mail.api.onboarding import Ensured, EnsureKeywords
from ztrust_mail.api.session import Session
from ztrust_mail.api.spec_types import EntryDict
from ztrust_mail.api.write import ApplyKeywords
from ztrust_mail.secrets.sources import GivenSecrets, Secrets
from ztrust_mail.settings import PROCESS, Variables
from ztrust_mail.specfile.entries import Spec

if TYPE_CHECKING:
    from ztrust_mail.applying.outcome import Result
    from ztrust_mail.fleet import StoredRequest, Work
    from ztrust_mail.planning.plan import Plan
    from ztrust_mail.planning.saved.write import SavedPlan

P = ParamSpec("P")
R = TypeVar("R")
_AsyncVerb = Callable[P, Coroutine[None, None, R]]


async def _run(function: Callable[[], R], cancel: threading.Event | None = None) -> R:
    """Run a function in a thread and return its result. A cancellation sets ``cancel`` and waits for the thread."""
    context = contextvars.copy_context()
    # not a task, as from to_thread: asyncio.run would cancel it at its end without waiting for the thread
    work = asyncio.get_running_loop().run_in_executor(None, partial(context.run, function))
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError as e:
            cancelled = e
            if cancel:
                cancel.set()
    if cancelled:
        work.exception()  # it counts as seen
        raise cancelled
    return work.result()


def _in_thread(function: Callable[P, R]) -> _AsyncVerb[P, R]:
    @wraps(function)
    async def run(*arguments: P.args, **keywords: P.kwargs) -> R:
        return await _run(partial(function, *arguments, **keywords))

    return run


async def apply(plan: Plan, session: Session, **keywords: Unpack[ApplyKeywords]) -> Result:
    """Apply a plan like :func:`ztrust_mail.apply`; a cancellation skips the realms that have not been started."""
    cancel = keywords["cancel"] = keywords.get("cancel") or threading.Event()
    return await _run(lambda: api.apply(plan, session, **keywords), cancel)


async def ensure(
    server: str | Session,
    realms: Mapping[str, EntryDict],
    *,
    test: bool | Literal["always"] = True,
    wait_for_realm: float = 30.0,
    **keywords: Unpack[EnsureKeywords],
) -> Ensured:
    """Give realms these e-mail settings, as :func:`ztrust_mail.ensure` does; a cancellation ends all waiting."""
    hidden = cast("EnsureKeywords", hide(keywords))
    del keywords
    cancel = hidden["cancel"] = hidden.get("cancel") or threading.Event()
    return await _run(lambda: api.ensure(server, realms, test=test, wait_for_realm=wait_for_realm, **hidden), cancel)


class ConnectKeywords(LoginKeywords, total=False):
    """The keyword arguments of :func:`connect`, which are those of :func:`ztrust_mail.connect`."""

    spec: Spec | None
    plan: SavedPlan | None
    config_path: str | None
    environ: Variables
    secrets: Secrets | GivenSecrets | None


@asynccontextmanager
async def connect(server: str | None = None, **keywords: Unpack[ConnectKeywords]) -> AsyncIterator[Session]:
    """Open a session as :func:`ztrust_mail.connect` does, and close it at the end of the ``async with`` block."""
    hidden = cast("ConnectKeywords", hide(keywords))
    del keywords
    session = await _run(lambda: api.connect(server, **hidden))
    try:
        yield session
    finally:
        await _run(session.close)


class SubmitKeywords(TypedDict, total=False):
    """The keyword arguments of :func:`submit`, which are those of :func:`ztrust_mail.fleet.submit`."""

    key: str
    message: str
    config_path: str | None
    environ: Variables


async def submit(work: Work, server: str | None = None, **keywords: Unpack[SubmitKeywords]) -> StoredRequest:
    """Store a request for a server, as :func:`ztrust_mail.fleet.submit` does.

    Whether a submit that is cancelled was stored is unknown: give a ``key``, and submit it again.
    """
    from ztrust_mail import fleet

    return await _run(lambda: fleet.submit(work, server, **keywords))


async def status(number: int, *, config_path: str | None = None, environ: Variables = PROCESS) -> StoredRequest:
    """Return the current state of a request, like :func:`ztrust_mail.fleet.status`."""
    from ztrust_mail import fleet

    return await _run(lambda: fleet.status(number, config_path=config_path, environ=environ))


async def cancel(number: int, *, config_path: str | None = None, environ: Variables = PROCESS) -> StoredRequest:
    """Cancel a request, as :func:`ztrust_mail.fleet.cancel` does."""
    from ztrust_mail import fleet

    return await _run(lambda: fleet.cancel(number, config_path=config_path, environ=environ))


async def retry(number: int, *, config_path: str | None = None, environ: Variables = PROCESS) -> StoredRequest:
    """Queue a failed, dead or cancelled request again, as :func:`ztrust_mail.fleet.retry` does."""
    from ztrust_mail import fleet

    return await _run(lambda: fleet.retry(number, config_path=config_path, environ=environ))


check = _in_thread(api.check)
compare = _in_thread(api.compare)
dangers = _in_thread(api.dangers)
diff = _in_thread(api.diff)
doctor = _in_thread(api.doctor)
drift = _in_thread(api.drift)
explain = _in_thread(api.explain)
find_unfinished = _in_thread(api.find_unfinished)
fit_spec = _in_thread(api.fit_spec)
forget = _in_thread(api.forget)
history = _in_thread(api.history)
leftovers = _in_thread(api.leftovers)
lint = _in_thread(api.lint)
load_plan = _in_thread(api.load_plan)
load_spec = _in_thread(api.load_spec)
plan = _in_thread(api.plan)
plan_saved = _in_thread(api.plan_saved)
presets = _in_thread(api.presets)
probe = _in_thread(api.probe)
prunable = _in_thread(api.prunable)
prune = _in_thread(api.prune)
pull = _in_thread(api.pull)
refuse = _in_thread(api.refuse)
revert_plan = _in_thread(api.revert_plan)
rotate_plan = _in_thread(api.rotate_plan)
run_to_revert = _in_thread(api.run_to_revert)
save_plan = _in_thread(api.save_plan)
servers = _in_thread(api.servers)
settle = _in_thread(api.settle)
test = _in_thread(api.test)
validate = _in_thread(api.validate)
write_probe_jobs = _in_thread(api.write_probe_jobs)
