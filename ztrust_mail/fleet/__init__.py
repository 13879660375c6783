"""Requests for many servers: stored in the journal and processed by workers.

A service submits work, and workers process it, server by server::

    from ztrust_mail import fleet

    request = fleet.submit(fleet.OnboardRealms({"acme": {...}}), "prod", key="order 4711")
    fleet.status(request.number).state

To submit many requests, open an engine once: ``with fleet.open_engine() as engine: engine.submit(...)``.
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
    """Return an engine, as a context manager, for the journal named by settings and environment.

    With a journal in PostgreSQL it wakes workers; with one in a file, only :meth:`Engine.drain` processes requests.
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
    """Raise :class:`JournalError` if the journal is in a file, so that there can be no workers."""
    if location_of(url).url is None:
        message = "workers need a journal in PostgreSQL, but this one is in a file"
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
    """Store a request for a server, wake a worker, and return the request.

    ``server`` is the name of a server in the settings or a URL. ``key`` makes the call idempotent: for each server, the
    first request with a given key is the only one, until it is pruned. Without a key, returns an identical request
    that is waiting or running, if there is one. ``message`` is recorded in the journal.

    Sends nothing to the server and resolves no secrets. Raises :class:`ConfigError`, :class:`SpecError`,
    :class:`JournalError`, and :class:`UsageError` for work that no worker could do; then nothing was stored. The one
    exception is a journal connection that breaks during the commit: submit again with the same ``key``.
    """
    environ = config.Environment(environ)
    chosen = config.choose_server(config.load(config_path, environ), server, (), environ)
    with open_engine(config_path, environ) as engine:
        return engine.submit(work, chosen, key=key, message=message)


def status(number: int, *, config_path: str | None = None, environ: config.Variables = config.PROCESS) -> StoredRequest:
    """Return the current state of a request. Raises :class:`UsageError` for an unknown number."""
    with open_engine(config_path, environ) as engine:
        return engine.status(number)


def cancel(number: int, *, config_path: str | None = None, environ: config.Variables = config.PROCESS) -> StoredRequest:
    """Cancel a waiting request, or stop a running one before its next realm. Returns the request."""
    with open_engine(config_path, environ) as engine:
        return engine.cancel(number)


def retry(number: int, *, config_path: str | None = None, environ: config.Variables = config.PROCESS) -> StoredRequest:
    """Queue a failed, dead or cancelled request again, and return it."""
    with open_engine(config_path, environ) as engine:
        return engine.retry(number)


def drain(
    server: str | None = None, *, config_path: str | None = None, environ: config.Variables = config.PROCESS
) -> int:
    """Process all due requests for a server in this process; return how many ended.

    Use this from your own workers, at any time and as often as you like. Only one drain at a time works on a server.
    Requests left over from a killed drain are resumed once its lease of 60 s has expired.
    """
    environ = config.Environment(environ)
    chosen = config.choose_server(config.load(config_path, environ), server, (), environ)
    with open_engine(config_path, environ) as engine:
        return engine.drain(chosen.url)
