"""The log of a worker: a line on standard error for each event, without tracebacks and texts of libraries."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from pathlib import Path
from typing import Final

from ztrust_mail.core.text import printable

OURS: Final = "ztrust_mail"
_QUEUE: Final = "procrastinate"
_PACKAGE: Final = str(Path(__file__).parents[2])
_WORDS: Final = {logging.WARNING: "warning: ", logging.ERROR: "error: ", logging.CRITICAL: "error: "}


class _LineHandler(logging.Handler):
    """Writes a record as one printable line; of an exception only its type, and where in our code it was raised."""

    def emit(self, record: logging.LogRecord) -> None:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        word = _WORDS.get(record.levelno, "")
        lines = [f"{moment} {word}{printable(self._message(record))}"]
        frames = traceback.extract_tb(record.exc_info[2]) if record.exc_info else []
        lines += [f"  {one.filename}:{one.lineno} in {one.name}" for one in frames if _PACKAGE in one.filename]
        print("\n".join(lines), file=sys.stderr, flush=True)

    def _message(self, record: logging.LogRecord) -> str:
        if record.name.partition(".")[0] == OURS:
            return record.getMessage()
        kind = record.exc_info[0] if record.exc_info else None
        return f"the queue reports {kind.__name__ if kind else 'a problem'} in {record.name}"


def log_lines(*, verbose: bool = False) -> None:
    """Write the events of this package to standard error from now on, and problems of the queue; nothing else."""
    handler = _LineHandler()
    for name, level in ((OURS, logging.DEBUG if verbose else logging.INFO), (_QUEUE, logging.WARNING)):
        log = logging.getLogger(name)
        log.setLevel(level)
        log.handlers = [handler]
        log.propagate = False
    logging.getLogger().addHandler(logging.NullHandler())  # else warnings of other libraries go to standard error
