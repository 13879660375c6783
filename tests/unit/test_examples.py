"""The example specs are what they claim to be: each valid one validates, each invalid one says exactly why not."""

from __future__ import annotations

from pathlib import Path

import pytest

import ztrust_mail
from ztrust_mail.core.errors import SpecError
from ztrust_mail.core.findings import has_errors
from ztrust_mail.providers.example import example_presets, example_spec
from ztrust_mail.providers.presets import find_preset
from ztrust_mail.reports import style
from ztrust_mail.reports.text.lines import finding_lines

FOLDER = Path(__file__).parents[2] / "examples" / "specs"
VALID, INVALID = (
    sorted(str(p.relative_to(FOLDER)) for p in (FOLDER / kind).iterdir() if p.suffix != ".expected")
    for kind in ("valid", "invalid")
)


@pytest.fixture(autouse=True)
def _in_the_examples_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)


def said_of(path: str) -> str:
    return style.plain(finding_lines(ztrust_mail.validate([path])[1]))


def expected(path: str) -> str:
    beside = Path(path).with_suffix(".expected")
    return beside.read_text(encoding="utf-8") if beside.exists() else ""


@pytest.mark.parametrize("path", VALID)
def test_a_valid_example_gives_exactly_its_expected_warnings(path):
    assert said_of(path) == expected(path)
    assert not has_errors(ztrust_mail.validate([path])[1])
    assert ztrust_mail.load_spec(path).paths == (path,)


@pytest.mark.parametrize("path", INVALID)
def test_an_invalid_example_is_refused_with_exactly_its_expected_messages(path):
    assert said_of(path) == expected(path)
    assert has_errors(ztrust_mail.validate([path])[1])


@pytest.mark.parametrize("path", INVALID)
def test_every_message_names_its_place_and_what_to_do_next(path):
    for line in expected(path).splitlines():
        place, _, rest = line.partition(": error: ")
        assert place.startswith(f"{path}:")
        what, _, rule = rest.rpartition(" [")
        assert rule.rstrip("]").replace("-", "").isalpha()
        assert what
        assert "; " in what or "must be one of" in what, "no next step"
        assert not what.endswith((";", " "))


def test_every_file_of_expected_messages_belongs_to_an_example():
    stems = {Path(path).with_suffix("") for path in (*VALID, *INVALID)}
    beside = {p.relative_to(FOLDER).with_suffix("") for p in FOLDER.rglob("*.expected")}
    assert beside <= stems
    assert {Path(path).with_suffix("") for path in INVALID} <= beside


def test_no_message_about_an_example_shows_the_password_in_it():
    shown = "".join(p.read_text(encoding="utf-8") for p in FOLDER.rglob("*.expected"))
    assert "hunter" not in shown
    assert "12345678" not in shown


WRONG_IN_SINGLE_REALMS = {
    f"invalid/{name}.yaml"
    for name in (
        "climbing-path",
        "defined-by-defaults",
        "half-a-login",
        "missing-fields",
        "non-ascii-address",
        "wrong-after-expansion",
    )
}


@pytest.mark.parametrize("path", sorted(WRONG_IN_SINGLE_REALMS))
def test_problems_of_merged_levels_do_not_stop_the_spec_from_loading(path):
    assert ztrust_mail.load_spec(path).entries


@pytest.mark.parametrize("path", [path for path in INVALID if path not in WRONG_IN_SINGLE_REALMS])
def test_problems_of_a_file_stop_the_spec_from_loading(path):
    with pytest.raises(SpecError) as caught:
        ztrust_mail.load_spec(path)
    assert style.plain(finding_lines(caught.value.findings)) == expected(path)


PRESETS = sorted((FOLDER.parent / "presets").glob("*.yaml"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_the_example_of_a_preset_is_what_init_writes_and_is_valid_without_a_warning(path):
    preset = find_preset(path.stem)
    assert path.read_text(encoding="utf-8") == example_spec(preset), "write it anew: python docs/generate.py"
    assert said_of(str(path)) == ""
    assert ztrust_mail.explain(ztrust_mail.load_spec(path), "acme").fields["relay.host"] == preset.host


def test_every_preset_has_an_example():
    assert {path.stem for path in PRESETS} == {preset.name for preset in example_presets()}


def test_json_and_yaml_mean_the_same():
    specs = [ztrust_mail.load_spec(f"valid/everything.{kind}") for kind in ("yaml", "json")]
    fields = [{e.name: ztrust_mail.explain(spec, e.name).fields for e in spec.entries[:1]} for spec in specs]
    assert len(fields[0]["acme"]) > 15
    assert fields[0] == fields[1]
    assert specs[0].servers == specs[1].servers == ("staging", "production")
