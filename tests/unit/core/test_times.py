"""Times in UTC, and as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from ztrust_mail.core.times import as_utc, to_iso, to_minute, to_second

NOON = datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "time",
    [
        pytest.param(NOON, id="in UTC"),
        pytest.param(NOON.replace(tzinfo=None), id="without a zone"),
        pytest.param(NOON.astimezone(timezone(timedelta(hours=5, minutes=30))), id="in another zone"),
    ],
)
def test_a_time_is_shown_in_utc(time: datetime) -> None:
    assert as_utc(time) == NOON
    assert to_minute(time) == "2026-01-31 12:00 UTC"
    assert to_second(time) == "2026-01-31 12:00:05 UTC"
    assert to_iso(time) == "2026-01-31T12:00:05Z"
