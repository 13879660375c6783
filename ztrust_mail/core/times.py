"""Times: in UTC, and as text for people and for files."""

from __future__ import annotations

from datetime import UTC, datetime


def as_utc(time: datetime) -> datetime:
    """Return a time in UTC. A time without a zone is taken as UTC."""
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def to_minute(time: datetime) -> str:
    """Return a time for people: ``2026-01-31 12:00 UTC``."""
    return f"{as_utc(time):%Y-%m-%d %H:%M} UTC"


def to_second(time: datetime) -> str:
    """Return a time for people: ``2026-01-31 12:00:00 UTC``."""
    return f"{as_utc(time):%Y-%m-%d %H:%M:%S} UTC"


def to_iso(time: datetime) -> str:
    """Return a time for files and reports: ``2026-01-31T12:00:00Z``."""
    return f"{as_utc(time):%Y-%m-%dT%H:%M:%SZ}"
