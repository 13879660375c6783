"""When each server of a run may go on: so many at once, writes after the answer, and stage by stage."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from queue import SimpleQueue


class Permission(Enum):
    """Whether a server may be written."""

    YES = "yes"
    NO = "no"
    INTERRUPTED = "interrupted"


class Turns:
    """What the threads of all servers and the main thread tell each other. Servers are known by name.

    The main thread waits at a queue alone, which a signal may interrupt at any point without harm.
    """

    def __init__(self, names: list[str], parallel: int) -> None:
        self.cancel = threading.Event()
        self.is_following = False
        """Whether the command has begun to wait for what workers do."""
        self._names = names
        self._slots = threading.Semaphore(parallel)
        self._changed = threading.Condition()
        self._asking: set[str] = set()
        self._answers: dict[str, Permission] = {}
        self._done: set[str] = set()
        self._news: SimpleQueue[bool] = SimpleQueue()

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

    @contextmanager
    def without_slot(self) -> Iterator[None]:
        """Let another server have the slot of this one, which only waits for what workers do."""
        self._slots.release()
        self.is_following = True
        try:
            yield
        finally:
            self._slots.acquire()

    def wait_for_answer(self, name: str) -> bool:
        """Return whether a server may be written, once that is known; meanwhile, another server has its slot.

        Raises :class:`KeyboardInterrupt` if interrupted before.
        """
        self._slots.release()
        try:
            with self._changed:
                self._asking.add(name)
                self._news.put(False)
                self._changed.wait_for(lambda: self.cancel.is_set() or name in self._answers)
                if self.cancel.is_set():  # also where the answer was yes beforehand
                    self._answers[name] = Permission.INTERRUPTED
                answer = self._answers[name]
        finally:
            self._slots.acquire()
        if answer is Permission.INTERRUPTED:
            raise KeyboardInterrupt
        return answer is Permission.YES

    def finish(self, name: str, keep: Callable[[], None] = lambda: None) -> bool:
        """Note that a server is done, and call ``keep`` if it was not done before. Returns whether that is so."""
        with self._changed:
            if name in self._done:
                return False
            keep()
            self._done.add(name)
            self._news.put(False)
            return True

    def answer(self, name: str, answer: Permission) -> None:
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

    def are_all_asked(self) -> bool:
        """Tell whether every server is done or waits for an answer."""
        return all(one in self._done or one in self._asking for one in self._names)

    def are_done(self, names: Sequence[str]) -> bool:
        """Tell whether servers are done."""
        return self._done.issuperset(names)

    def wait_for_news(self) -> bool:
        """Wait until a server is done or asks, or a signal came; return whether it was a signal."""
        return self._news.get()

    def note_signal(self) -> None:
        """End a wait for news. May be called by the handler of a signal, in whatever the thread was interrupted."""
        self._news.put(True)

    def interrupt(self) -> None:
        """Let writes under way finish, and begin nothing else."""
        self.cancel.set()
        with self._changed:
            self._changed.notify_all()
        self._slots.release(len(self._names))  # those that wait for a slot end at once

    def may_be_abandoned(self, name: str) -> bool:
        """Tell whether nothing is lost where a server is not waited for: it is neither done nor being written."""
        is_written = name in self._asking and self._answers.get(name) is Permission.YES
        return name not in self._done and not is_written
