"""Schedules of drift: what the settings say, and when one was due last."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from support.fleets import entry
from support.settings_files import found, named

from ztrust_mail import settings as config
from ztrust_mail.core.errors import ConfigError, UsageError
from ztrust_mail.settings import Schedule, Settings, load
from ztrust_mail.settings.fleet import SCHEDULE_KEYS, ServerSelection
from ztrust_mail.settings.inventory import resolve_selection
from ztrust_mail.settings.limits import parse_cron, zone_of
from ztrust_mail.settings.server_entry import NAME, VARIABLE_VALUE

SERVERS = "\n".join(
    entry(name, f"https://{name}.example.com", f'stage = "{stage}"')
    for name, stage in (("prod", "prod"), ("eu-1", "prod"), ("eu-2", "test"))
)
BERLIN = "Europe/Berlin"


def schedule(**keys: str) -> str:
    """Return a settings file with one schedule named ``nightly``."""
    keys = {"drift": '["specs/"]', "cron": '"0 3 * * *"'} | keys
    return "[schedules.nightly]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


def at(cron: str, timezone: str = "UTC") -> Schedule:
    """Return a schedule for these times."""
    return Schedule("nightly", ("/srv/specs",), (), (), cron, timezone)


def utc(*parts: int) -> datetime:
    """Return a time in UTC."""
    year, month, day, *rest = parts
    return datetime(year, month, day, *rest, tzinfo=UTC)


# What the settings say


def test_every_key_of_a_schedule_is_read(tmp_path: Path) -> None:
    keys = {"drift": '["specs/", "/srv/a.yaml"]', "servers": '["prod", "eu-*"]', "labels": '["stage=prod"]'}
    settings = named(tmp_path, schedule(**keys, cron='" 0 3  * * *"', timezone=f'"{BERLIN}"'))
    drift = (str(tmp_path / "specs"), "/srv/a.yaml")
    expected = Schedule("nightly", drift, ("prod", "eu-*"), ("stage=prod",), "0 3 * * *", BERLIN)
    assert settings.schedules == (expected,)


def test_specs_start_from_the_settings_files_folder_and_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "named.toml").write_text(schedule(drift='"missing/mail.yaml"'), encoding="utf-8")
    (one,) = load(str(folder / "named.toml"), {}).schedules
    assert one.drift == (str(folder / "missing" / "mail.yaml"),)
    assert (one.timezone, one.servers, one.labels) == ("UTC", (), ())


def test_schedules_are_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = schedule() + "".join(schedule().replace("nightly", name) for name in ("weekly", "daily"))
    assert [one.name for one in named(tmp_path, text).schedules] == ["nightly", "weekly", "daily"]


@pytest.mark.parametrize("text", ["", "[schedules]\n"])
def test_without_a_table_there_are_no_schedules(tmp_path: Path, text: str) -> None:
    assert named(tmp_path, text).schedules == ()


@pytest.mark.parametrize(
    ("keys", "selection", "names"),
    [
        ({}, ServerSelection(every=True), ["prod", "eu-1", "eu-2"]),
        ({"servers": '["eu-*"]'}, ServerSelection(("eu-*",)), ["eu-1", "eu-2"]),
        ({"labels": '["stage=prod"]'}, ServerSelection(labels=("stage=prod",)), ["prod", "eu-1"]),
        (
            {"servers": '["eu-*"]', "labels": '["stage=prod"]'},
            ServerSelection(("eu-*",), ("stage=prod",)),
            ["eu-1"],
        ),
    ],
)
def test_a_schedule_selects_servers_as_the_options_do(
    tmp_path: Path, keys: dict[str, str], selection: ServerSelection, names: list[str]
) -> None:
    settings = named(tmp_path, SERVERS + schedule(**keys))
    assert settings.schedules[0].selection == selection
    assert [one.name for one in resolve_selection(settings, selection, {})] == names


def with_an_untrusted_server(user_folder: Path, **keys: str) -> Settings:
    """Return the user's settings, to which a file in the working folder adds the server ``eu-9``."""
    (user_folder / config.FILE_NAME).write_text(SERVERS + schedule(**keys), encoding="utf-8")
    return found(entry("eu-9", "https://eu-9.example.com", 'stage = "prod"'))


@pytest.mark.parametrize("keys", [{}, {"servers": '["*"]'}, {"labels": '["stage=prod"]'}])
def test_no_schedule_selects_a_server_of_an_untrusted_file(user_folder: Path, keys: dict[str, str]) -> None:
    settings = with_an_untrusted_server(user_folder, **keys)
    (one,) = settings.schedules
    assert "eu-9" not in [server.name for server in resolve_selection(settings.trusted, one.selection, {})]


def test_a_schedule_may_name_a_server_that_does_not_exist_until_it_runs(tmp_path: Path) -> None:
    settings = named(tmp_path, SERVERS + schedule(servers='["us-*"]'))
    with pytest.raises(UsageError, match=r"no server matches `us-\*`"):
        resolve_selection(settings, settings.schedules[0].selection, {})


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[schedules]\nnightly = 1\n", "`schedules.nightly` is not a table", "[schedules.nightly]"),
        ('[schedules]\ndrift = "specs/"\n', "`schedules.drift` is not a table", "[schedules.nightly]"),
        ('[schedules."a b"]\n', "`a b` is not a name for a schedule", "lower-case letters"),
        ("[schedules.Nightly]\n", "`Nightly` is not a name for a schedule", "lower-case letters"),
        (schedule(specs='"a"'), "unknown key `schedules.nightly.specs`", "known here: drift, servers, labels, cron"),
        (schedule(time_zone='"UTC"'), "unknown key `schedules.nightly.time_zone`", "did you mean `timezone`?"),
        ('[schedules.nightly]\ncron = "0 3 * * *"\n', "`schedules.nightly` has no `drift`", 'drift = ["specs/"]'),
        ('[schedules.nightly]\ndrift = "a"\n', "`schedules.nightly` has no `cron`", 'cron = "0 3 * * *"'),
        (schedule(drift="[]"), "`schedules.nightly.drift` is empty", 'drift = ["specs/"]'),
        (schedule(drift='""'), "`schedules.nightly.drift` is empty", 'drift = ["specs/"]'),
        (schedule(drift='["a", 1]'), "`schedules.nightly.drift` must be a list of texts", '"one", "another"'),
        (schedule(drift='"a\\u0000b"'), "`schedules.nightly.drift` contains `a\\x00b`", "remove it"),
        (schedule(servers="[]"), "`schedules.nightly.servers` is empty", "leave it out"),
        (schedule(servers='"prod"'), "`schedules.nightly.servers` must be a list", "schema settings"),
        (
            schedule(servers='["https://a:p4ss@id.example.com"]'),
            "`schedules.nightly.servers` contains the URL `…@id.example.com`",
            "the name of a server",
        ),
        (schedule(labels="[]"), "`schedules.nightly.labels` is empty", "leave it out"),
        (schedule(labels='["stage"]'), "`schedules.nightly.labels`: `stage` is not a label", "NAME=VALUE"),
        (
            schedule(labels='["stage=a", "stage=b"]'),
            "`schedules.nightly.labels`: the label `stage` is given with two values",
            "give one",
        ),
        (schedule(cron='"0 3 * *"'), "`schedules.nightly.cron` is not a cron expression: `0 3 * *`", "weekday"),
        (schedule(cron='"0 0 31 2 *"'), "`schedules.nightly.cron` is not a cron expression: `0 0 31 2 *`", "weekday"),
        (schedule(cron='"@daily"'), "`schedules.nightly.cron` is not a cron expression: `@daily`", "weekday"),
        (schedule(timezone='"CEST"'), "`schedules.nightly.timezone` is unknown: `CEST`", "Europe/Berlin"),
        (schedule(timezone='"../../etc/passwd"'), "`schedules.nightly.timezone` is unknown", "Europe/Berlin"),
    ],
)
def test_a_bad_schedule_is_refused_with_its_place(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        named(tmp_path, text)
    assert refusal.value.message.startswith(f"{tmp_path / 'named.toml'}: ")
    assert message in refusal.value.message
    assert hint in refusal.value.hint


def test_the_schema_has_the_same_keys_and_patterns() -> None:
    text = resources.files("ztrust_mail").joinpath("schemas/settings.schema.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    one, window = (schema["$defs"][name]["properties"] for name in ("schedule", "window"))
    assert one.keys() == SCHEDULE_KEYS.keys()
    assert schema["properties"]["schedules"]["propertyNames"]["pattern"] == NAME
    patterns = [*(kind.get("items", kind)["pattern"] for kind in one["drift"]["anyOf"])]
    patterns += [one["servers"]["items"]["pattern"], one["labels"]["items"]["allOf"][1]["pattern"]]
    assert patterns == [VARIABLE_VALUE] * 4
    assert one["cron"]["pattern"] == window["cron"]["pattern"]


# When it was due last


@pytest.mark.parametrize(
    ("cron", "now", "due"),
    [
        ("0 3 * * *", utc(2026, 1, 31, 2, 59, 59), utc(2026, 1, 30, 3)),
        ("0 3 * * *", utc(2026, 1, 31, 3), utc(2026, 1, 31, 3)),
        ("0 3 * * *", utc(2026, 1, 31, 3, 0, 0, 1), utc(2026, 1, 31, 3)),
        ("0 3 * * *", utc(2026, 1, 31, 23), utc(2026, 1, 31, 3)),
        ("* * * * *", utc(2026, 1, 31, 3, 7, 59), utc(2026, 1, 31, 3, 7)),
        ("*/15 * * * *", utc(2026, 1, 1, 0, 14), utc(2026, 1, 1)),
        ("0 0 * * SUN", utc(2026, 1, 31), utc(2026, 1, 25)),
        ("0 0 L * *", utc(2026, 3, 1), utc(2026, 2, 28)),
        ("0 0 1 1 *", utc(2026, 12, 31), utc(2026, 1, 1)),
    ],
)
def test_a_schedule_was_due_at_the_newest_time_up_to_now(cron: str, now: datetime, due: datetime) -> None:
    assert at(cron).last_due(now) == due


def test_a_schedule_is_due_by_the_clock_of_its_own_time_zone() -> None:
    berlin = at("0 3 * * *", BERLIN)
    assert berlin.last_due(utc(2026, 1, 31, 2)) == utc(2026, 1, 31, 2)
    assert berlin.last_due(utc(2026, 7, 31, 1)) == utc(2026, 7, 31, 1)
    assert berlin.last_due(utc(2026, 7, 31, 0, 59)) == utc(2026, 7, 30, 1)


def test_the_time_is_in_utc_whatever_the_zone_of_now() -> None:
    due = at("0 3 * * *", BERLIN).last_due(datetime(2026, 1, 31, 12, tzinfo=ZoneInfo("Asia/Tokyo")))
    assert due is not None
    assert (due, due.tzinfo) == (utc(2026, 1, 31, 2), UTC)


def test_a_time_that_summer_time_skips_is_due_right_after_the_skip() -> None:
    berlin = at("30 2 * * *", BERLIN)
    assert berlin.last_due(utc(2026, 3, 29, 0, 59)) == utc(2026, 3, 28, 1, 30)
    assert berlin.last_due(utc(2026, 3, 29, 1)) == utc(2026, 3, 29, 1)
    assert berlin.last_due(utc(2026, 3, 30)) == utc(2026, 3, 29, 1)


@pytest.mark.parametrize("minute", [0, 15, 45])
def test_a_time_in_the_hour_that_comes_twice_is_due_the_first_time_only(minute: int) -> None:
    berlin = at("30 2 * * *", BERLIN)
    assert berlin.last_due(utc(2026, 10, 25, 0, 29)) == utc(2026, 10, 24, 0, 30)
    assert berlin.last_due(utc(2026, 10, 25, 0, 30)) == utc(2026, 10, 25, 0, 30)
    assert berlin.last_due(utc(2026, 10, 25, 1, minute)) == utc(2026, 10, 25, 0, 30)
    second = datetime(2026, 10, 25, 2, minute, tzinfo=ZoneInfo(BERLIN), fold=1)
    assert berlin.last_due(second) == utc(2026, 10, 25, 0, 30)


def test_an_hourly_time_is_due_in_both_hours_of_the_end_of_summer_time() -> None:
    hourly = at("0 * * * *", BERLIN)
    assert [hourly.last_due(utc(2026, 10, 25, hour, 5)) for hour in range(3)] == [
        utc(2026, 10, 25, hour) for hour in range(3)
    ]


@pytest.mark.parametrize("cron", ["30 2 * * *", "*/20 * * * *", "0 0 * * *", "15 1-3 * * *", "45 23 * * SAT"])
@pytest.mark.parametrize("zone", [BERLIN, "America/Santiago", "Asia/Beirut"])
def test_the_times_are_those_that_windows_open_at(cron: str, zone: str) -> None:
    begin, end = utc(2026, 3, 1), utc(2026, 4, 15)
    opened = []
    for one in parse_cron(cron, (begin - timedelta(days=8)).astimezone(zone_of(zone))):
        if (time := one.astimezone(UTC)) > end:
            break
        opened.append(time)
    for hours in range(0, 45 * 24, 5):
        now = begin + timedelta(hours=hours, minutes=hours % 60)
        assert at(cron, zone).last_due(now) == max(time for time in opened if time <= now), now


def test_what_was_not_due_in_the_last_400_days_was_not_due() -> None:
    leap = at("0 0 29 2 *")
    assert leap.last_due(utc(2024, 2, 29) + timedelta(days=400)) == utc(2024, 2, 29)
    assert leap.last_due(utc(2024, 2, 29, 0, 1) + timedelta(days=400)) is None
    never = at("0 0 */31 * MON#5")  # the first of a month as its fifth Monday
    assert never.last_due(utc(2026, 1, 1)) is None
