"""Mishaps on order: the process is killed at a chosen call, an answer is lost, the journal's disk is full."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ztrust_mail import Session
from ztrust_mail.core.errors import JournalError, ServerUnreachable


class Killed(BaseException):
    """Stands for kill -9: whoever catches it would run on after its own end."""


class Kind(Enum):
    """What befalls a call."""

    KILLED = "killed"
    """The process ends there; no later call does anything."""
    FAILS = "fails"
    """The server or the journal is out of reach, for the server's part just once."""


CALLS = ("gateway.read", "gateway.write", "journal.begin", "journal.record", "journal.finish")
"""The calls by which a run touches the world."""


@dataclass(frozen=True)
class Mishap:
    """What befalls the ``nth`` call of one kind, counted from 0; ``after`` its work is done, else before."""

    call: str
    nth: int = 0
    after: bool = False
    kind: Kind = Kind.KILLED

    def befall(self, connection: Session) -> Trap:
        """Lie in wait on a connection."""
        trap = Trap(self)
        for call in CALLS:
            owner, method = call.split(".")
            target = getattr(connection, owner)
            setattr(target, method, trap.around(call, getattr(target, method)))
        return trap

    def error(self) -> BaseException:
        """Return what the call raises."""
        if self.kind is Kind.KILLED:
            return Killed()
        if self.call.startswith("gateway"):
            return ServerUnreachable("the connection broke off", rule="reset")
        return JournalError("no space is left", rule="journal")


@dataclass
class Trap:
    """A mishap that lies in wait, until it has ``struck`` or is ``disarmed``."""

    mishap: Mishap
    struck: bool = False
    disarmed: bool = False
    _seen: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def around(self, call: str, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method that does what the original does, unless it is struck."""

        def wrapped(*arguments: Any, **named: Any) -> Any:
            due = not self.disarmed and self._is_due(call)
            if due and not self.mishap.after:
                self._strike()
            done = original(*arguments, **named)
            if due and self.mishap.after:
                self._strike()
            return done

        return wrapped

    def _is_due(self, call: str) -> bool:
        mine = call == self.mishap.call
        with self._lock:
            if self.struck and (self.mishap.kind is Kind.KILLED or (mine and call.startswith("journal"))):
                raise self.mishap.error()
            self._seen += mine
            return mine and self._seen == self.mishap.nth + 1

    def _strike(self) -> None:
        self.struck = True
        raise self.mishap.error()
