"""The sweep that submits the checks of schedules, by a clock of the test."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.fleets import entry
from support.journals import change

from ztrust_mail.core.errors import JournalError
from ztrust_mail.fleet import DrainOptions, Engine
from ztrust_mail.fleet.schedules import LONGEST_MISSED, ScheduleSweep
from ztrust_mail.journal.journal import Journal
from ztrust_mail.journal.requests import RequestEnd, RequestState, StoredRequest

NOW = datetime(2026, 11, 29, 10, 0, tzinfo=UTC)
SPEC = """\
version: 1
realms:
  acme: {sender: {address: no-reply@acme.example}, relay: {host: smtp.example.com}}
"""
SERVERS = "\n".join(
    entry(name, f"https://{name}.example.com", f'stage = "{stage}"')
    for name, stage in (("dev", "dev"), ("eu-1", "prod"), ("eu-2", "prod"))
)


def schedule(name: str, cron: str = "0 3 * * *", more: str = 'servers = ["dev"]', drift: str = "mail.yaml") -> str:
    return f'[schedules.{name}]\ndrift = "{drift}"\ncron = "{cron}"\n{more}\n'


@dataclass
class Rig:
    """A folder with settings and a spec, and a sweep whose time is ``now``."""

    journal: Journal
    folder: Path
    now: datetime = NOW
    sweep: ScheduleSweep = field(init=False)

    def __post_init__(self) -> None:
        self.restart()
        self.write("mail.yaml", SPEC)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def configure(self, *parts: str) -> None:
        self.write("settings.toml", "\n".join((SERVERS, *parts)))

    def restart(self) -> None:
        """Begin with a sweep that remembers nothing, as another worker does."""
        options = DrainOptions(str(self.folder / "settings.toml"), {})
        self.sweep = ScheduleSweep(Engine(self.journal, options), lambda: self.now)

    def requests(self) -> list[StoredRequest]:
        return self.journal.requests.newest()[::-1]

    def submitted(self) -> list[tuple[str, str]]:
        return [(one.name, one.key) for one in self.requests()]


@pytest.fixture
def rig(journal: Journal, tmp_path: Path) -> Rig:
    return Rig(journal, tmp_path)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The warnings of the worker."""
    caplog.set_level(logging.WARNING, "ztrust_mail.worker")
    return caplog


def end_all(journal: Journal) -> None:
    """Let all requests end."""
    for one in journal.requests.list_unfinished():
        [taken] = journal.requests.take([one])
        journal.requests.store([(taken, RequestEnd(RequestState.DONE))])


def test_a_schedule_that_is_due_submits_a_check_with_its_spec_and_a_key_of_name_and_time(rig):
    rig.configure(schedule("nightly"))
    rig.sweep()
    [request] = rig.requests()
    assert (request.kind, request.name, request.key) == ("drift", "dev", "schedule nightly 2026-11-29T03:00Z")
    assert (request.server, request.message) == ("https://dev.example.com", "schedule nightly")
    [spec] = json.loads(rig.journal.requests.get(request.number).content)["spec"].values()
    assert spec["realms"].keys() == {"acme"}


def test_the_time_in_the_key_is_in_utc_whatever_the_zone_of_the_schedule(rig):
    rig.configure(schedule("nightly", more='timezone = "Asia/Tokyo"\nservers = ["dev"]'))
    rig.sweep()
    assert rig.submitted() == [("dev", "schedule nightly 2026-11-28T18:00Z")]


def test_a_schedule_is_submitted_once_by_all_workers_also_after_the_request_has_ended(rig):
    rig.configure(schedule("nightly"))
    rig.sweep()
    rig.sweep()
    end_all(rig.journal)
    rig.restart()
    rig.sweep()
    assert len(rig.requests()) == 1


def test_the_next_time_is_submitted_when_it_is_due_and_not_before(rig):
    rig.configure(schedule("nightly"))
    rig.sweep()
    end_all(rig.journal)
    rig.now = datetime(2026, 11, 30, 2, 59, 59, tzinfo=UTC)
    rig.sweep()
    assert len(rig.requests()) == 1
    rig.now += timedelta(seconds=1)
    rig.sweep()
    assert rig.submitted()[1] == ("dev", "schedule nightly 2026-11-30T03:00Z")


def test_of_missed_times_only_the_newest_is_submitted(rig):
    rig.configure(schedule("nightly"))
    rig.sweep()
    end_all(rig.journal)
    rig.now += timedelta(days=5)
    rig.sweep()
    assert [key for _, key in rig.submitted()[1:]] == ["schedule nightly 2026-12-04T03:00Z"]


@pytest.mark.parametrize(("late", "count"), [(timedelta(minutes=-1), 1), (timedelta(), 0)])
def test_a_time_that_was_missed_by_a_week_is_left_out(rig, late, count):
    rig.configure(schedule("yearly", "0 3 1 1 *"))
    rig.now = datetime(2026, 1, 1, 3, 0, tzinfo=UTC) + LONGEST_MISSED + late
    rig.sweep()
    assert len(rig.requests()) == count


def test_a_time_whose_request_may_have_been_pruned_is_not_submitted_again(rig):
    rig.configure(schedule("weekly", "0 3 * * SUN"), "[fleet]\nkeep_days = 2")
    rig.sweep()
    end_all(rig.journal)
    assert rig.journal.requests.prune(timedelta()) == 1
    rig.restart()
    rig.now = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
    rig.sweep()
    assert rig.requests() == []


def test_a_check_is_submitted_for_each_server_of_the_selection(rig):
    rig.configure(schedule("prod", more='labels = ["stage=prod"]'), schedule("all", more=""))
    rig.sweep()
    assert [(name, key.split()[1]) for name, key in rig.submitted()] == [
        ("eu-1", "prod"), ("eu-2", "prod"), ("dev", "all"), ("eu-1", "all"), ("eu-2", "all"),
    ]  # fmt: skip


def test_the_spec_is_not_read_when_all_is_submitted(rig, log):
    rig.configure(schedule("nightly", more=""))
    rig.sweep()
    (rig.folder / "mail.yaml").unlink()
    rig.sweep()
    rig.restart()
    rig.sweep()
    assert len(rig.requests()) == 3
    assert log.messages == []


def test_a_server_that_is_added_to_the_settings_is_checked_without_a_restart(rig):
    rig.configure(schedule("nightly", more=""))
    rig.sweep()
    rig.configure(schedule("nightly", more=""), entry("us-1", "https://us-1.example.com", 'stage = "prod"'))
    rig.sweep()
    assert [name for name, _ in rig.submitted()] == ["dev", "eu-1", "eu-2", "us-1"]


def test_a_schedule_that_is_removed_or_never_due_submits_nothing(rig):
    rig.configure(schedule("leap", "0 3 30 2 *"))
    rig.sweep()
    rig.configure()
    rig.sweep()
    assert rig.requests() == []


def test_while_the_check_of_an_earlier_time_waits_no_second_one_is_stored(rig):
    rig.configure(schedule("nightly", more=""), schedule("nightly-two"))
    rig.sweep()
    [first, *_] = rig.journal.requests.list_unfinished()
    [taken] = rig.journal.requests.take([first])
    rig.journal.requests.store([(taken, RequestEnd(RequestState.DONE))])
    rig.now += timedelta(days=1)
    rig.sweep()
    assert rig.submitted()[4:] == [("dev", "schedule nightly 2026-11-30T03:00Z")]
    end_all(rig.journal)
    rig.sweep()
    assert len(rig.requests()) == 5


def test_a_broken_spec_is_logged_once_for_each_time_and_does_not_stop_other_schedules(rig, log):
    rig.write("broken.yaml", "version: 1\nrealms: {acme: {relay: {port: many}}}\n")
    rig.configure(schedule("broken", drift="broken.yaml", more=""), schedule("nightly"))
    for _ in range(3):
        rig.sweep()
    assert rig.submitted() == [("dev", "schedule nightly 2026-11-29T03:00Z")]
    [message] = log.messages
    assert message.startswith("schedule `broken` cannot run: the spec has ")
    assert "broken.yaml:2" in message
    rig.now += timedelta(days=1)
    rig.sweep()
    assert len(log.messages) == 2


def test_a_spec_that_is_corrected_is_submitted_at_the_next_sweep(rig, log):
    rig.configure(schedule("late", drift="later.yaml"))
    rig.sweep()
    assert "later.yaml" in log.messages[0]
    rig.write("later.yaml", SPEC)
    rig.sweep()
    assert rig.submitted() == [("dev", "schedule late 2026-11-29T03:00Z")]


@pytest.mark.parametrize(
    "more",
    ['labels = ["stage=qa"]', 'servers = ["qa-*"]', 'servers = ["dve"]', 'servers = ["dev"]\nlabels = ["stage=prod"]'],
)
def test_a_selection_that_fits_no_server_is_logged_once_and_does_not_stop_other_schedules(rig, log, more):
    rig.configure(schedule("nobody", more=more), schedule("nightly"))
    rig.sweep()
    rig.sweep()
    assert len(rig.requests()) == 1
    [message] = log.messages
    assert message.startswith("schedule `nobody` cannot run: no server ")


def test_a_broken_entry_is_logged_by_its_name_and_the_other_servers_are_checked(rig, log):
    rig.configure(schedule("nightly", more=""), entry("bad", "nonsense", 'stage = "lab"'))
    rig.sweep()
    rig.sweep()
    assert [name for name, _ in rig.submitted()] == ["dev", "eu-1", "eu-2"]
    [message] = log.messages
    assert message.startswith("schedule `nightly` cannot run on `bad`: ")


def test_a_server_that_the_spec_does_not_fit_is_logged_by_its_name_and_the_others_are_checked(rig, log):
    rig.write("mail.yaml", SPEC.replace("version: 1", "version: 1\nserver: [dev, eu-2]"))
    rig.configure(schedule("nightly", more=""))
    rig.sweep()
    rig.sweep()
    assert [name for name, _ in rig.submitted()] == ["dev", "eu-2"]
    [message] = log.messages
    assert message.startswith("schedule `nightly` cannot run on `eu-1`: the spec is meant for ")


def test_settings_that_cannot_be_read_are_logged_once_and_again_after_they_were_corrected(rig, log):
    rig.configure(schedule("nightly"))
    for text in ("[schedules", "[schedules", SERVERS, "[schedules"):
        rig.write("settings.toml", text)
        rig.sweep()
    assert len(log.messages) == 2
    assert all(one.startswith("schedules are paused: cannot read the settings: ") for one in log.messages)
    assert rig.requests() == []


def test_schedules_and_servers_of_a_file_in_the_working_folder_do_not_count(journal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mail.yaml").write_text(SPEC, encoding="utf-8")
    (tmp_path / "ztrust-mail.toml").write_text(f"{SERVERS}\n{schedule('nightly')}", encoding="utf-8")
    ScheduleSweep(Engine(journal, DrainOptions(None, {})), lambda: NOW)()
    assert journal.requests.newest() == []


def test_a_schedule_does_not_know_the_servers_of_a_file_in_the_working_folder(journal, tmp_path, monkeypatch, log):
    (tmp_path / "mail.yaml").write_text(SPEC, encoding="utf-8")
    own = tmp_path / "config" / "ztrust-mail" / "ztrust-mail.toml"
    own.parent.mkdir(parents=True)
    text = schedule("every", more="", drift=str(tmp_path / "mail.yaml")) + schedule("one", more='servers = ["added"]')
    own.write_text(f"{entry('dev', 'https://dev.example.com', '')}\n{text}", encoding="utf-8")
    (tmp_path / "ztrust-mail.toml").write_text(entry("added", "https://added.example.com", ""), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    ScheduleSweep(Engine(journal, DrainOptions(None, {})), lambda: NOW)()
    assert [one.name for one in journal.requests.newest()] == ["dev"]
    assert [message.partition(" in ")[0] for message in log.messages] == [
        "schedule `one` cannot run: no server `added`"
    ]


def test_a_damaged_request_of_a_schedule_stops_neither_it_nor_others(rig, journal_url):
    rig.configure(schedule("nightly"))
    rig.sweep()
    change(journal_url, "UPDATE journal_requests SET submitted = 'infinity'")
    rig.configure(schedule("nightly"), schedule("other"))
    rig.restart()
    rig.sweep()
    assert rig.submitted() == [("dev", "schedule other 2026-11-29T03:00Z")], "the damaged one is not submitted twice"
    rig.journal.requests.end_damaged("https://dev.example.com")
    rig.now += timedelta(days=1)
    rig.sweep()
    assert ("dev", "schedule nightly 2026-11-30T03:00Z") in rig.submitted()


def test_a_journal_that_fails_ends_the_sweep_with_its_error(rig, journal_url):
    rig.configure(schedule("nightly"))
    change(journal_url, "DROP TABLE journal_requests")
    with pytest.raises(JournalError):
        rig.sweep()


def test_without_a_clock_of_its_own_the_sweep_goes_by_that_of_the_journal(rig):
    rig.configure(schedule("each-minute", "* * * * *"))
    before = rig.journal.requests.now().replace(second=0, microsecond=0)
    ScheduleSweep(Engine(rig.journal, DrainOptions(str(rig.folder / "settings.toml"), {})))()
    [(_, key)] = rig.submitted()
    assert datetime.strptime(key.split()[2], "%Y-%m-%dT%H:%M%z") >= before
