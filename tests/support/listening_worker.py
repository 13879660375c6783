"""A running ``ztrust-mail worker --listen``, as a probe and Prometheus see it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families
from support.processes import PATIENCE, wait_until


@dataclass(frozen=True)
class ListeningWorker:
    """A process that writes to a log and answers on a port of 127.0.0.1."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def health(self) -> tuple[int, str]:
        """Return status and text of an answer, 0 while nobody listens."""
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.port}/health")
        except httpx.TransportError:
            return 0, ""
        return answer.status_code, answer.text

    def metric(self, name: str, **labels: str) -> float | None:
        """Return the value of a metric, None where there is none with these labels."""
        families = text_string_to_metric_families(httpx.get(f"http://127.0.0.1:{self.port}/metrics").text)
        found = [one for family in families for one in family.samples if one.name == name]
        return next((one.value for one in found if labels.items() <= one.labels.items()), None)

    def wait_until(self, is_true: Callable[[], bool]) -> None:
        """Wait for something that the worker does."""
        wait_until(is_true, self.process, self.log)

    def stop(self) -> int:
        """Ask the worker to stop, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)
