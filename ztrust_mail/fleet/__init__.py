"""Requests on many servers: stored in the journal, and done by workers.

A service submits what is to be done, and workers do it, server by server::

    from ztrust_mail import fleet

    request = fleet.submit(fleet.OnboardRealms({"acme": {...}}), "prod", key="order 4711")
    fleet.status(request.number).state

Whoever submits many requests opens an engine once: ``with fleet.open_engine() as engine: engine.submit(...)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ztrust_mail import settings as config
from ztrust_mail.core.errors import JournalError, UsageError, install_hint
from ztrust_mail.fleet.drain import Drain, DrainOptions, RetryPolicy
from ztrust_mail.fleet.engine import Engine
from ztrust_mail.fleet.work import (
    ApplySavedPlan,
    ApplySpec,
    CheckDrift,
    OnboardRealms,
    RotateSecrets,
    TestSpec,
    TestStored,
    Work,
)
from ztrust_mail.journal.database import location_of
from ztrust_mail.journal.errors import RULE
from ztrust_mail.journal.journal import open_journal
from ztrust_mail.journal.requests import RequestState, StoredRequest

if TYPE_CHECKING:
    from ztrust_mail.core.secret import Secret

__all__ = [
    "ApplySavedPlan",
    "ApplySpec",
    "CheckDrift",
    "Drain",
    "DrainOptions",
    "Engine",
    "OnboardRealms",
    "RequestState",
    "RetryPolicy",
    "RotateSecrets",
    "StoredRequest",
    "TestSpec",
    "TestStored",
    "Work",
    "cancel",
    "drain",
    "open_engine",
    "retry",
    "status",
    "submit",
]


def open_engine(
    config_path: str | None = None,
    environ: config.Variables = config.PROCESS,
    *,
    options: DrainOptions | None = None,
) -> Engine:
    """Return the engine on the journal that settings and environment name; a context manager.

    With a journal in PostgreSQL it wakes workers; with one in a file, only :meth:`Engine.drain` does the work.
    Raises :class:`ConfigError`, :class:`JournalError`.
    """
    environ = config.Environment(environ)
    url = config.journal_url(config.load(config_path, environ), environ)
    options = options or DrainOptions(config_path, environ)
    engine = Engine if location_of(url).url is None else _engine_with_workers()
    journal = open_journal(url, writable=True, timing=options.lease)
    assert journal is not None  # a writable one is created
    try:
        return engine(journal, options)
    except BaseException:
        journal.close()
        raise


def _engine_with_workers() -> type[Engine]:
    try:
        from ztrust_mail.fleet.queue import WorkerEngine
    except ImportError:
        raise UsageError(
            "requests for workers need Procrastinate, which is not installed", install_hint("fleet"), RULE
        ) from None
    return WorkerEngine


def require_workers(url: Secret | None) -> None:
    """Raise :class:`JournalError` where no worker can be waked, since the journal is in a file."""
    if location_of(url).url is None:
        message = "workers need a journal in PostgreSQL, and this one is in a file"
        hint = "set journal.url in the settings, or ZTRUST_MAIL_JOURNAL, to postgresql://user@host/database"
        raise JournalError(message, hint, "no-workers")


def submit(
    work: Work,
    server: str | None = None,
    *,
    key: str = "",
    message: str = "",
    config_path: str | None = None,
    environ: config.Variables = config.PROCESS,
) -> StoredRequest:
    """Store a request for a server, and wake a worker for it; return the request.

    ``server`` is the name of a server in the settings or a URL. ``key`` makes the call repeatable: of requests with the
    same key for one server only the first is done, however often it is submitted, until it is pruned. Without a key, a
    request that is the same as one that waits or runs is that one. ``message`` is recorded in the journal.

    Sends nothing to the server, and resolves no secret. Raises :class:`ConfigError`, :class:`SpecError`,
    :class:`UsageError` for work that no worker could do, :class:`JournalError`; nothing was stored then.
    """
    environ = config.Environment(environ)
    chosen = config.choose_server(config.load(config_path, environ), server, (), environ)
    with open_engine(config_path, environ) as engine:
        return engine.submit(work, chosen, key=key, message=message)


def status(number: int, *, config_path: str | None = None, environ: config.Variables = config.PROCESS) -> StoredRequest:
    """Return a request as it is now. Raises :class:`UsageError` if there is none with this number."""
    with open_engine(config_path, environ) as engine:
        return engine.status(number)


def cancel(number: int, *, config_path: str | None = None, environ: config.Variables = config.PROCESS) -> StoredRequest:
    """Cancel a request: at once if it waits, else its worker stops between two realms. Returns it."""
    with open_engine(config_path, environ) as engine:
        return engine.cancel(number)


def retry(number: int, *, config_path: str | None = None, environ: config.Variables = config.PROCESS) -> StoredRequest:
    """Let a request that failed, was given up or cancelled wait again, and return it."""
    with open_engine(config_path, environ) as engine:
        return engine.retry(number)


def drain(
    server: str | None = None, *, config_path: str | None = None, environ: config.Variables = config.PROCESS
) -> int:
    """Do all requests for a server that are due, in this process; return how many ended.

    For those who run workers of their own. May be called at any time and as often as one likes: only one drain at a
    time works on a server, and what a killed one has left is taken up when its lease of 60 s has expired.
    """
    environ = config.Environment(environ)
    chosen = config.choose_server(config.load(config_path, environ), server, (), environ)
    with open_engine(config_path, environ) as engine:
        return engine.drain(chosen.url)
