"""What a sandbox is started with, and the faults that can be switched on while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SandboxOptions:
    """How the sandbox is to behave; everything has a sensible default.

    ``version`` chooses the Keycloak whose behaviour is imitated. ``base_path`` is ``/auth`` for the old ones.
    ``token_lifetime`` is in seconds. ``ca_bundle`` is a PEM file whose certificates the test call trusts beside
    the system's. ``list_breaks_after``, ``list_forbidden`` and ``slow_reads`` start the sandbox with that fault on,
    see :class:`Faults`.
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
    """What a busy server answers to the next requests in place of the API's own: ``times`` counts down to 0.

    ``method`` and ``path``, a part of the path, choose the requests; empty ones choose all. ``retry_after`` is what
    the header of that name says, seconds or a date; left out when empty.
    """

    status: int = 503
    times: int = 1
    method: str = ""
    path: str = ""
    retry_after: str = ""

    def fits(self, method: str, path: str) -> bool:
        """Tell whether a request is to be refused."""
        return self.times > 0 and self.method in ("", method) and self.path in path


@dataclass
class Faults:
    """Switches for what goes wrong on real servers; set them at any time while the sandbox runs.

    ``list_breaks_after``: the list of realms answers 200 and breaks off after that many realms.
    ``list_forbidden``: the list answers 403 to everybody. ``slow_reads``: seconds every GET of realms takes.
    ``failing_realms``: reading or writing these answers 500. ``unavailable``: every request answers 503.
    ``busy``: the next requests that fit one of these are refused for now, see :class:`Busy`.
    ``before_write``: called with the realm's name just before a PUT takes effect, to edit behind the writer's back.
    """

    list_breaks_after: int | None = None
    list_forbidden: bool = False
    slow_reads: float = 0.0
    failing_realms: set[str] = field(default_factory=set)
    unavailable: bool = False
    busy: list[Busy] = field(default_factory=list)
    before_write: Callable[[str], None] | None = None
