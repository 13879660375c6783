"""The points of a request at which tests stop its worker."""

from __future__ import annotations

from typing import Any

from support.fault_proxy import Fault
from support.stopping import Point

from ztrust_mail.journal.records import Step

_JOURNAL = "ztrust_mail.journal.journal"
_REQUESTS = "ztrust_mail.journal.requests"
_LEASE = "ztrust_mail.journal.lease"
_RUN = "ztrust_mail.applying.apply"
_GATEWAY = "ztrust_mail.gateways.keycloak.gateway"
_DRAIN = "ztrust_mail.fleet.drain"
_WORKER = "ztrust_mail.fleet.worker"
_QUEUE = "ztrust_mail.fleet.queue"
_ENGINE = "ztrust_mail.fleet.engine"


def _of_requests(lease: Any, *_: object) -> bool:
    return bool(lease.server.startswith("requests of "))


def _of_server(lease: Any, *_: object) -> bool:
    return not _of_requests(lease)


def _about_to_write(_journal: object, _run: int, updates: Any) -> bool:
    return any(update.step is Step.WRITING for update in updates)


def _read_back(_journal: object, _run: int, updates: Any) -> bool:
    return any(update.step is Step.VERIFIED for update in updates)


EVERY_REQUEST = {
    "job-fetched": Point(_WORKER, "Worker._drain"),
    "before-lease-on-requests": Point(_LEASE, "Lease.acquire", fits=_of_requests),
    "lease-on-requests": Point(_LEASE, "Lease.acquire", after=True, fits=_of_requests),
    "before-taken": Point(_REQUESTS, "RequestTable.take"),
    "taken": Point(_REQUESTS, "RequestTable.take", after=True),
    "connected": Point(_DRAIN, "Drain._connect", after=True),
    "before-ended": Point(_REQUESTS, "RequestTable.store"),
    "ended": Point(_REQUESTS, "RequestTable.store", after=True),
    "drained": Point(_WORKER, "Worker._drain", after=True),
}
"""What every request comes to."""

READING = {"server-read": Point(_GATEWAY, "KeycloakGateway.read", after=True)}

WRITING = {
    "lease-on-server": Point(_LEASE, "Lease.acquire", after=True, fits=_of_server),
    "settled": Point("ztrust_mail.applying.resume", "settle", after=True),
    **READING,
    "before-begun": Point(_JOURNAL, "Journal.begin"),
    "begun": Point(_JOURNAL, "Journal.begin", after=True),
    "before-mark": Point(_JOURNAL, "Journal.record", fits=_about_to_write),
    "mark": Point(_JOURNAL, "Journal.record", after=True, fits=_about_to_write),
    "before-put-1": Point(_GATEWAY, "KeycloakGateway.write"),
    "put-1": Point(_GATEWAY, "KeycloakGateway.write", after=True),
    "before-put-2": Point(_GATEWAY, "KeycloakGateway.write", nth=2),
    "put-2": Point(_GATEWAY, "KeycloakGateway.write", after=True, nth=2),
    "put-3": Point(_GATEWAY, "KeycloakGateway.write", after=True, nth=3),
    "before-read-back": Point(_RUN, "read_back"),
    "read-back": Point(_RUN, "read_back", after=True),
    "read-back-recorded": Point(_JOURNAL, "Journal.record", after=True, fits=_read_back),
    "before-finished": Point(_JOURNAL, "Journal.finish"),
    "finished": Point(_JOURNAL, "Journal.finish", after=True),
}
"""What a request comes to in addition that writes three realms, one after the other."""

MAILING = {
    "before-mail": Point(_GATEWAY, "KeycloakGateway.test"),
    "mail": Point(_GATEWAY, "KeycloakGateway.test", after=True),
}

_MARKS = "ztrust_mail.fleet.mail_marks"

ONBOARDING = {
    "before-due": Point(_MARKS, "MailMarks.plan"),
    "due": Point(_MARKS, "MailMarks.plan", after=True),
    "before-mail-mark": Point(_MARKS, "MailMarks.begin"),
    "before-mail": MAILING["before-mail"],
    "mail": MAILING["mail"],
    "mail-recorded": Point(_MARKS, "MailMarks.end", after=True),
    "before-mail-2": Point(_GATEWAY, "KeycloakGateway.test", nth=2),
    "mail-3": Point(_GATEWAY, "KeycloakGateway.test", after=True, nth=3),
}
"""What onboarding requests come to in addition that have three test mails sent, one after the other."""

SUBMITTING = {
    "before-stored": Point(_REQUESTS, "RequestTable._insert"),
    "stored": Point(_REQUESTS, "RequestTable._insert", after=True),
    "before-commit": Point(_QUEUE, "WorkerEngine._wake", after=True),
    "committed": Point(_ENGINE, "Engine.submit", after=True),
}

LOOKING = {
    "before-look": Point(_DRAIN, "Drain._has_work"),
    "found-nothing-more": Point(_DRAIN, "Drain._has_work", after=True, nth=2),
}
"""When a drain looks for requests: at its beginning, and when all that it found are done."""

POINTS = {**EVERY_REQUEST, **WRITING, **MAILING, **ONBOARDING, **SUBMITTING, **LOOKING}

HELD = {"put-lost": Fault.HANG, "put-unanswered": Fault.DELAY}
"""What the network does to the second write, during which the worker is stopped."""
