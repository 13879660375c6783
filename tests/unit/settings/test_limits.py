"""How fast requests may be sent to a server, and when its realms may be written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.settings_files import entry, found, named, refused

from ztrust_mail.settings import choose_server
from ztrust_mail.settings.limits import Limits, Window

URL = "https://id.example.com"
NIGHT = Window("0 22 * * SAT", timedelta(hours=6))
SATURDAY = datetime(2026, 1, 31, tzinfo=UTC)


def at(hours: float) -> datetime:
    """Return a time so many hours after the beginning of a Saturday."""
    return SATURDAY + timedelta(hours=hours)


@pytest.mark.parametrize("url", [URL, f"{URL}/"])
def test_the_limits_of_a_server_count_too_where_it_is_given_by_its_url(tmp_path: Path, url: str) -> None:
    own = named(tmp_path, entry(url=f'"{URL}"', limits="{windows = []}"))
    server = choose_server(own, url, environ={})
    assert (server.name, server.limits) == ("", Limits(windows=()))
    assert choose_server(own, "https://other.example.com", environ={}).limits == Limits()


def test_the_url_of_an_entry_with_a_profile_has_its_path(tmp_path: Path) -> None:
    text = entry(url=f'"{URL}"', gateway='"ztrust"', profile='"V1"', limits="{windows = []}")
    assert choose_server(named(tmp_path, text), f"{URL}/auth", environ={}).limits == Limits(windows=())


def test_a_server_has_the_limits_of_its_entry(tmp_path: Path) -> None:
    windows = '[{cron = " 0 22  * * SAT", duration = "6h"}, {cron = "0 1 * * *", duration = "90m", timezone = "UTC"}]'
    text = entry(url=f'"{URL}"', limits=f"{{requests_per_second = 2.5, windows = {windows}}}")
    limits = choose_server(named(tmp_path, text), environ={}).limits
    assert limits == Limits(2.5, (NIGHT, Window("0 1 * * *", timedelta(minutes=90))))
    assert list(map(str, limits.windows or ())) == ["0 22 * * SAT for 6h (UTC)", "0 1 * * * for 90m (UTC)"]


def test_connections_may_be_given_among_the_limits(tmp_path: Path) -> None:
    own = named(tmp_path, entry(url=f'"{URL}"', limits="{connections = 3}"))
    environ = {"ZTRUST_MAIL_CONNECTIONS": "5"}
    assert choose_server(own, "main", environ=environ).connections == 3
    assert choose_server(own, URL, environ=environ).connections == 3
    assert choose_server(own, "https://other.example.com", environ=environ).connections == 5


def test_connections_given_twice_are_refused_with_the_fix(tmp_path: Path) -> None:
    refusal = refused(named(tmp_path, entry(url=f'"{URL}"', connections="4", limits="{connections = 3}")))
    assert refusal.message == "`servers.main.connections` and `servers.main.limits.connections` are the same limit"
    assert refusal.hint == "remove one of the two"


def test_an_untrusted_entry_may_limit_itself() -> None:
    settings = found(entry(url=f'"{URL}"', limits="{windows = []}"))
    environ = {"ZTRUST_MAIL_URL": URL, "ZTRUST_MAIL_PASSWORD": "p"}
    assert choose_server(settings, environ=environ).limits == Limits(windows=())


@pytest.mark.parametrize(
    ("hours", "is_open"),
    [(21.99, False), (22, True), (23, True), (27.99, True), (28, False), (28.001, False), (-2, False)],
)
def test_a_window_is_open_from_its_start_until_its_duration_is_over(hours: float, is_open: bool) -> None:
    assert NIGHT.is_open(at(hours)) is is_open
    assert Limits(windows=(NIGHT,)).is_open(at(hours)) is is_open


def test_a_window_opens_by_the_clock_of_its_own_time_zone() -> None:
    berlin = Window("0 22 * * *", timedelta(hours=1), "Europe/Berlin")
    assert berlin.next_opening(datetime(2026, 1, 31, tzinfo=UTC)) == datetime(2026, 1, 31, 21, tzinfo=UTC)
    assert berlin.next_opening(datetime(2026, 7, 31, tzinfo=UTC)) == datetime(2026, 7, 31, 20, tzinfo=UTC)


def test_a_window_that_opens_in_the_hour_that_summer_time_skips_opens_after_it() -> None:
    berlin = Window("30 2 * * *", timedelta(hours=1), "Europe/Berlin")
    assert berlin.is_open(datetime(2026, 3, 29, 1, 15, tzinfo=UTC))


def test_the_next_opening_is_the_earliest_of_all_windows() -> None:
    limits = Limits(windows=(NIGHT, Window("30 12 * * *", timedelta(hours=1))))
    assert limits.describe_closing(at(0)) == "the next window opens at 2026-01-31 12:30 UTC"
    assert Limits(windows=()).describe_closing(at(0)) == "no window ever opens"
    assert Limits().is_open(at(0))


@pytest.mark.parametrize(
    ("limits", "message", "hint"),
    [
        ("{connections = 0}", "`servers.main.limits.connections` is `0`", "from 1 to 64"),
        ("{connections = 65}", "`servers.main.limits.connections` is `65`", "from 1 to 64"),
        ("{connections = true}", "`servers.main.limits.connections` is `True`", "from 1 to 64"),
        ("{connections = '4'}", "`servers.main.limits.connections` is `4`", "from 1 to 64"),
        ("{conections = 4}", "unknown key `servers.main.limits.conections`", "did you mean `connections`?"),
        ("{window = []}", "unknown key `servers.main.limits.window`", "did you mean `windows`?"),
        ("{requests_per_second = 0}", "`servers.main.limits.requests_per_second` is `0`", "from 0.1 to 1,000"),
        ("{requests_per_second = nan}", "`servers.main.limits.requests_per_second` is `nan`", "from 0.1 to 1,000"),
        ("{windows = [{cron = '0 22 * * SAX', duration = '6h'}]}", "not a cron expression: `0 22 * * SAX`", "weekday"),
        ("{windows = [{cron = '0 0 31 2 *', duration = '6h'}]}", "not a cron expression: `0 0 31 2 *`", "weekday"),
        ("{windows = [{cron = '0 22 * * SAT', duration = '6d'}]}", "duration` is `6d`", "such as 90m or 6h"),
        (
            "{windows = [{cron = '0 22 * * SAT', duration = '6h', timezone = 'Mars/Olympus'}]}",
            "`servers.main.limits.windows.timezone` is unknown: `Mars/Olympus`",
            "Europe/Berlin",
        ),
        (
            "{windows = [{cron = '0 22 * * SAT', duration = '6h', timezone = '../../etc/passwd'}]}",
            "`servers.main.limits.windows.timezone` is unknown",
            "Europe/Berlin",
        ),
    ],
)
def test_a_bad_limit_is_refused_with_its_place(tmp_path: Path, limits: str, message: str, hint: str) -> None:
    refusal = refused(named(tmp_path, entry(url=f'"{URL}"', limits=limits)))
    assert message in refusal.message
    assert hint in refusal.hint
