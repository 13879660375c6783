"""Mishaps on order: the process is killed at a chosen call, an answer is lost, the journal's disk is full."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ztrust_mail import Connection
from ztrust_mail.errors import JournalError, ServerUnreachable


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


@dataclass
class Mishap:
    """What befalls the ``nth`` call of one kind, counted from 0; ``after`` its work is done, else before."""

    call: str
    nth: int
    after: bool = False
    kind: Kind = Kind.KILLED
    struck: bool = False
    over: bool = False
    _seen: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def befall(self, connection: Connection) -> None:
        """Lie in wait on a connection."""
        for call in CALLS:
            owner, method = call.split(".")
            target = getattr(connection, owner)
            setattr(target, method, self._around(call, getattr(target, method)))

    def _around(self, call: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            due = not self.over and self._is_due(call)
            if due and not self.after:
                self._strike(call)
            done = original(*arguments, **named)
            if due and self.after:
                self._strike(call)
            return done

        return wrapped

    def _is_due(self, call: str) -> bool:
        with self._lock:
            if self.struck and (self.kind is Kind.KILLED or (call.startswith("journal") and call == self.call)):
                raise self._error(call)
            mine = call == self.call and not self.struck
            self._seen += mine
            return mine and self._seen == self.nth + 1

    def _strike(self, call: str) -> None:
        self.struck = True
        raise self._error(call)

    def _error(self, call: str) -> BaseException:
        if self.kind is Kind.KILLED:
            return Killed()
        if call.startswith("gateway"):
            return ServerUnreachable("the connection broke off", rule="reset")
        return JournalError("no space is left", rule="journal")
