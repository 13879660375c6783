"""Does the requests of ztrust-mail in Celery workers: a task for each server. README.md says how to run it."""

import os

from celery import Celery

from ztrust_mail import fleet

LOOK_EVERY = 10.0
"""Seconds after which beat looks for requests that no task was sent for."""

app = Celery("mail", broker=os.environ.get("CELERY_BROKER_URL", "redis://127.0.0.1:6379/0"))
app.conf.update(
    task_acks_late=True,  # a task that was cut off is delivered again, which is harmless: see README.md
    task_reject_on_worker_lost=True,  # also one whose process was killed
    worker_prefetch_multiplier=1,  # no server waits behind another while a process is idle
    task_ignore_result=True,  # how requests ended is in the journal
    beat_schedule={"drain-all": {"task": "mail.drain_all", "schedule": LOOK_EVERY, "options": {"expires": LOOK_EVERY}}},
)


@app.task(name="mail.drain")
def drain(server: str) -> None:
    """Do all requests for a server that are due. Ends at once where another task works on that server."""
    fleet.drain(server)


@app.task(name="mail.drain_all")
def drain_all() -> None:
    """Send a task for each server with requests that are due: new ones, put back ones, and those of killed workers."""
    with fleet.open_engine() as engine:
        for one in engine.journal.requests.busy_servers():
            drain.apply_async((one.server,), expires=LOOK_EVERY)


def submit(work: fleet.Work, server: str, *, key: str = "") -> fleet.StoredRequest:
    """Store a request and send a task for it. If the program dies in between, beat sends the task."""
    request = fleet.submit(work, server, key=key)
    drain.delay(request.server)
    return request
