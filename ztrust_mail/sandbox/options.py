"""The options of a sandbox, and the faults that can be switched on while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SandboxOptions:
    """How the sandbox behaves; everything has a default.

    ``version`` is the version of Keycloak to imitate. ``base_path`` is ``/auth`` for old versions. ``token_lifetime``
    is in seconds. ``ca_bundle`` is a PEM file whose certificates the test call trusts in addition to the system's.
    ``list_breaks_after``, ``list_forbidden`` and ``slow_reads`` switch that fault on at the start, see :class:`Faults`.
    """

    port: int = 0
    base_path: str = ""
    version: str = "26.7.4"
    realms: tuple[str, ...] = ("acme", "globex")
    admin_user: str = "admin"
    admin_password: str = field(default="admin", repr=False)
    admin_email: str | None = "admin@sandbox.example"
    token_lifetime: float = 60.0
    ca_bundle: str | None = None
    list_breaks_after: int | None = None
    list_forbidden: bool = False
    slow_reads: float = 0.0


@dataclass
class Busy:
    """The response of a busy server to the next requests, instead of the API's: ``times`` counts down to 0.

    ``method`` and ``path``, a part of the path, select the requests; empty ones select all. ``retry_after`` is the
    value of the header of that name, seconds or a date; without a value the header is left out.
    """

    status: int = 503
    times: int = 1
    method: str = ""
    path: str = ""
    retry_after: str = ""

    def fits(self, method: str, path: str) -> bool:
        """Return whether a request is refused."""
        return self.times > 0 and self.method in ("", method) and self.path in path


@dataclass
class Faults:
    """Switches for failures of real servers; set them at any time while the sandbox runs.

    ``list_breaks_after``: the list of realms answers 200 and is cut off after that many realms.
    ``list_forbidden``: the list answers 403 to every account. ``slow_reads``: seconds that every GET of realms takes.
    ``failing_realms``: reading or writing these answers 500. ``unavailable``: every request answers 503.
    ``busy``: the next requests that match one of these are refused for now, see :class:`Busy`.
    ``before_write``: called with the realm's name just before a PUT takes effect, for an edit by another client.
    """

    list_breaks_after: int | None = None
    list_forbidden: bool = False
    slow_reads: float = 0.0
    failing_realms: set[str] = field(default_factory=set)
    unavailable: bool = False
    busy: list[Busy] = field(default_factory=list)
    before_write: Callable[[str], None] | None = None
