"""Where the work is done, and how long requests to workers are kept."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest
from support.settings_files import named

from ztrust_mail.core.errors import ConfigError
from ztrust_mail.settings import FleetSettings
from ztrust_mail.settings.fleet import FLEET_KEYS, MAX_KEEP_DAYS, RUN_BY


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", FleetSettings(run_by_workers=False, keep_days=90)),
        ("[fleet]\n", FleetSettings()),
        ('[fleet]\nrun_by = "here"\n', FleetSettings()),
        ('[fleet]\nrun_by = "workers"\n', FleetSettings(run_by_workers=True)),
        ('[fleet]\nrun_by = "workers"\nkeep_days = 1\n', FleetSettings(run_by_workers=True, keep_days=1)),
        ("[fleet]\nkeep_days = 3650\n", FleetSettings(keep_days=3650)),
    ],
)
def test_the_fleets_keys_are_read(tmp_path: Path, text: str, expected: FleetSettings) -> None:
    assert named(tmp_path, text).fleet == expected


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[fleet]\nrunby = 1\n", "unknown key `fleet.runby`", "did you mean `run_by`?"),
        ("[fleet]\nrun_by = true\n", "`fleet.run_by` must be text", "schema settings"),
        ('[fleet]\nrun_by = "worker"\n', "`fleet.run_by` is `worker`", "did you mean `workers`?"),
        ('[fleet]\nrun_by = "cloud"\n', "`fleet.run_by` is `cloud`", "write here or workers"),
        ("[fleet]\nkeep_days = 0\n", "`fleet.keep_days` is 0", "from 1 to 3650"),
        ("[fleet]\nkeep_days = 3651\n", "`fleet.keep_days` is 3651", "from 1 to 3650"),
        ('[fleet]\nkeep_days = "90"\n', "`fleet.keep_days` must be a whole number", "schema settings"),
    ],
)
def test_a_bad_key_of_the_fleet_is_refused_with_its_place(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        named(tmp_path, text)
    assert refusal.value.message.startswith(f"{tmp_path / 'named.toml'}: ")
    assert message in refusal.value.message
    assert hint in refusal.value.hint


def test_the_schema_has_the_same_keys_defaults_and_bounds() -> None:
    text = resources.files("ztrust_mail").joinpath("schemas/settings.schema.json").read_text(encoding="utf-8")
    keys = json.loads(text)["properties"]["fleet"]["properties"]
    plain = FleetSettings()
    assert keys.keys() == FLEET_KEYS.keys()
    assert (keys["run_by"]["enum"], keys["run_by"]["default"]) == ([*RUN_BY], RUN_BY[plain.run_by_workers])
    days = keys["keep_days"]
    assert (days["minimum"], days["maximum"], days["default"]) == (1, MAX_KEEP_DAYS, plain.keep_days)
