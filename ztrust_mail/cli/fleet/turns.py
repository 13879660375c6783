"""When each server of a run may go on: so many at once, writes after the answer, and stage by stage."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum


class Answer(Enum):
    """Whether a server may be written."""

    YES = "yes"
    NO = "no"
    INTERRUPTED = "interrupted"


class Turns:
    """What the threads of all servers and the main thread tell each other. Servers are known by name."""

    def __init__(self, names: list[str], parallel: int) -> None:
        self.cancel = threading.Event()
        self._names = names
        self._slots = threading.Semaphore(parallel)
        self._changed = threading.Condition()
        self._asking: set[str] = set()
        self._answers: dict[str, Answer] = {}
        self._done: set[str] = set()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Work on a server as one of so many at once. Raises :class:`KeyboardInterrupt` if interrupted before."""
        self._slots.acquire()
        try:
            if self.cancel.is_set():
                raise KeyboardInterrupt
            yield
        finally:
            self._slots.release()

    def wait_for_answer(self, name: str) -> bool:
        """Return whether a server may be written, once that is known; meanwhile, another server has its slot.

        Raises :class:`KeyboardInterrupt` if interrupted before.
        """
        self._slots.release()
        try:
            with self._changed:
                self._asking.add(name)
                self._changed.notify_all()
                self._changed.wait_for(lambda: self.cancel.is_set() or name in self._answers)
                answer = self._answers.setdefault(name, Answer.INTERRUPTED)
        finally:
            self._slots.acquire()
        if answer is Answer.INTERRUPTED:
            raise KeyboardInterrupt
        return answer is Answer.YES

    def finish(self, name: str, keep: Callable[[], None] = lambda: None) -> bool:
        """Note that a server is done, and call ``keep`` if it was not done before. Returns whether that is so."""
        with self._changed:
            if name in self._done:
                return False
            keep()
            self._done.add(name)
            self._changed.notify_all()
            return True

    def answer(self, name: str, answer: Answer) -> None:
        """Let a server go on that waits for an answer."""
        with self._changed:
            self._answers.setdefault(name, answer)
            self._changed.notify_all()

    def asking(self) -> list[str]:
        """Return the servers that wait for an answer."""
        with self._changed:
            return [name for name in self._names if name in self._asking and name not in self._answers]

    def is_done(self, name: str) -> bool:
        """Tell whether a server is done."""
        return name in self._done

    @property
    def number_done(self) -> int:
        """How many servers are done."""
        return len(self._done)

    def wait_until_asked(self) -> None:
        """Wait until every server is done or waits for an answer."""
        with self._changed:
            self._changed.wait_for(lambda: all(one in self._done or one in self._asking for one in self._names))

    def wait_until_done(self, names: list[str]) -> None:
        """Wait until servers are done."""
        with self._changed:
            self._changed.wait_for(lambda: self._done.issuperset(names))

    def interrupt(self) -> None:
        """Let writes under way finish, and begin nothing else."""
        self.cancel.set()
        with self._changed:
            self._changed.notify_all()
        self._slots.release(len(self._names))  # those that wait for a slot end at once

    def may_be_abandoned(self, name: str) -> bool:
        """Tell whether nothing is lost where a server is not waited for: it is neither done nor being written."""
        return name not in self._done and self._answers.get(name) is not Answer.YES
