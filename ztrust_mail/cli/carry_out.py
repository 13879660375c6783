"""What every writing command does with a plan: hold the server, settle, show, judge, ask, write, report."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, Self

from ztrust_mail import api
from ztrust_mail.cli.options import Writing
from ztrust_mail.cli.output import Output
from ztrust_mail.cli.progress import Progress
from ztrust_mail.cli.review import agreed, judged, must_be_answerable, show
from ztrust_mail.errors import UsageError
from ztrust_mail.findings import Finding
from ztrust_mail.reports import json, text
from ztrust_mail.reports.lines import Line, line
from ztrust_mail.spec.fields import Duration, Kind
from ztrust_mail.spec.model import Spec
from ztrust_mail.spec.values import BadValue, parse
from ztrust_mail.sync.connection import Connection
from ztrust_mail.sync.plan import Plan, all_findings
from ztrust_mail.sync.safety import parse_allow
from ztrust_mail.sync.waves import Waves


@dataclass(frozen=True)
class Orders:
    """How a plan is to be carried out, as the options said. ``wait`` is in seconds.

    ``plan_digest`` is that of a saved plan, for the journal.
    """

    command: str
    yes: bool = False
    allow: Sequence[str] = ()
    waves: Waves = field(default_factory=Waves)
    wait: float = 0.0
    plan_digest: str = ""

    @classmethod
    def of(cls, command: str, writing: Writing) -> Self:
        """Return the orders that options give. Raises :class:`~ztrust_mail.errors.UsageError`."""
        parse_allow(writing.allow)
        waves = Waves(writing.canary, writing.wave, writing.stop_after)
        return cls(command, writing.yes, writing.allow, waves, _seconds(writing.wait) if writing.wait else 0.0)


def _seconds(text: str) -> float:
    try:
        time = parse(Kind.DURATION, text)
    except BadValue as bad:
        raise UsageError(f"--wait {bad.problem}", bad.hint) from None
    assert isinstance(time, Duration)  # what a duration is parsed to
    return time.milliseconds / 1000


def _interrupt_on_termination() -> None:
    """Handle SIGTERM (a cancelled job) and SIGHUP (a closed terminal) as Ctrl-C: the writes under way finish.

    A SIGHUP that is ignored, as under nohup, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


@dataclass(frozen=True)
class Ending:
    """What a command adds to its result."""

    lines: Sequence[Line] = ()
    findings: Sequence[Finding] = ()


def carry_out(
    output: Output,
    connection: Connection,
    make: Callable[[], Plan],
    orders: Orders,
    *,
    spec: Spec | None = None,
    ending: Callable[[], Ending] = Ending,
) -> NoReturn:
    """Make the plan while no other run may touch the server, show it, and apply it when it is safe and agreed to.

    ``ending`` is asked after the writes, or where there is nothing to write.
    """
    from ztrust_mail.gateways.verbs import Verb, need

    must_be_answerable(orders.command, yes=orders.yes)
    output.connected(connection)
    need(connection.gateway, Verb.APPLY)
    if orders.waves.canary:
        need(connection.gateway, Verb.CANARY)
    _interrupt_on_termination()
    with connection.exclusively(wait=orders.wait):
        output.note([one.finding for one in api.settle(connection)])
        made = make()
        show(output, made)
        judgement = judged(output, made, orders.allow)
        if judgement.refused:
            output.finish(text.plan(made), judgement.report(orders.command))
        if not made.changed:
            end = ending()
            output.finish([*text.plan(made), *end.lines], judgement.report(orders.command).with_findings(end.findings))
        orders.waves.check(made.changed)
        output.show(text.plan(made))
        if not orders.yes and not agreed(made):
            output.tell([line("Declined: nothing was written.")])
            output.finish((), judgement.report(orders.command))
        with Progress(len(made.changed)) as progress:
            done = api.apply(
                made,
                connection,
                spec=spec,
                allow=orders.allow,
                waves=orders.waves,
                progress=progress,
                command=orders.command,
                plan_digest=orders.plan_digest,
            )
        end = ending()
    told = set(all_findings(done.plan))
    output.tell(text.findings(done.findings))
    output.tell(text.findings(f for r in done.realms for f in r.findings if f not in told))
    output.finish([*text.result(done), *end.lines], json.of_result(done, end.findings))
