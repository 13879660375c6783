"""Coordinates the servers of a run: a limited number at once, writes only after confirmation, and in stages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from queue import SimpleQueue

Stage = tuple[str, str]
"""A label's name and its value."""


class Permission(Enum):
    """Whether a server may be written."""

    YES = "yes"
    NO = "no"
    INTERRUPTED = "interrupted"


class Turns:
    """Synchronises the threads of all servers with the main thread. Servers are identified by name.

    The main thread waits only on a queue, which a signal may interrupt safely at any point.
    """

    def __init__(self, names: list[str], parallel: int) -> None:
        self.cancel = threading.Event()
        self.is_following = False
        """Whether the command is waiting for workers."""
        self._names = names
        self._slots = threading.Semaphore(parallel)
        self._changed = threading.Condition()
        self._asking: set[str] = set()
        self._answers: dict[str, Permission] = {}
        self._done: set[str] = set()
        self._news: SimpleQueue[bool] = SimpleQueue()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one of the slots for servers in progress. Raises :class:`KeyboardInterrupt` if interrupted before."""
        self._slots.acquire()
        try:
            if self.cancel.is_set():
                raise KeyboardInterrupt
            yield
        finally:
            self._slots.release()

    @contextmanager
    def without_slot(self) -> Iterator[None]:
        """Release this server's slot to others while it only waits for workers."""
        self._slots.release()
        self.is_following = True
        try:
            yield
        finally:
            self._slots.acquire()

    def wait_for_answer(self, name: str) -> bool:
        """Wait for the answer, and return whether a server may be written. Releases its slot meanwhile.

        Raises :class:`KeyboardInterrupt` if interrupted before.
        """
        self._slots.release()
        try:
            with self._changed:
                self._asking.add(name)
                self._news.put(False)
                self._changed.wait_for(lambda: self.cancel.is_set() or name in self._answers)
                if self.cancel.is_set():  # even if the answer was already yes
                    self._answers[name] = Permission.INTERRUPTED
                answer = self._answers[name]
        finally:
            self._slots.acquire()
        if answer is Permission.INTERRUPTED:
            raise KeyboardInterrupt
        return answer is Permission.YES

    def finish(self, name: str, keep: Callable[[], None] = lambda: None) -> bool:
        """Mark a server as done. If it was not done before, call ``keep`` and return True."""
        with self._changed:
            if name in self._done:
                return False
            keep()
            self._done.add(name)
            self._news.put(False)
            return True

    def answer(self, name: str, answer: Permission) -> None:
        """Give a server the answer it waits for, now or later."""
        with self._changed:
            self._answers.setdefault(name, answer)
            self._changed.notify_all()

    def asking(self) -> list[str]:
        """Return the servers waiting for an answer."""
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
        """Tell whether every server is done or waiting for an answer."""
        return all(one in self._done or one in self._asking for one in self._names)

    def are_done(self, names: Sequence[str]) -> bool:
        """Tell whether all of these servers are done."""
        return self._done.issuperset(names)

    def wait_for_news(self) -> bool:
        """Wait until a server is done or asks, or a signal arrives; return whether it was a signal."""
        return self._news.get()

    def note_signal(self) -> None:
        """End a wait for news. Safe to call from a signal handler."""
        self._news.put(True)

    def interrupt(self) -> None:
        """Let writes in progress finish, and start nothing else."""
        self.cancel.set()
        with self._changed:
            self._changed.notify_all()
        self._slots.release(len(self._names))  # servers waiting for a slot end immediately

    def may_be_abandoned(self, name: str) -> bool:
        """Tell whether it is safe not to wait for a server: it is neither done nor being written."""
        is_written = name in self._asking and self._answers.get(name) is Permission.YES
        return name not in self._done and not is_written
