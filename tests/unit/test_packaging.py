"""The files that fix versions agree with what setup.cfg promises."""

from __future__ import annotations

import os
import re
from datetime import date
from pathlib import Path

from support.distributions import ROOT, data_files, setup_cfg, user_extras

import ztrust_mail


def promised() -> dict[str, str]:
    """Return the lowest version that setup.cfg promises for each package, of every extra that a user installs."""
    config = setup_cfg()
    extras = [text for name, text in config["options.extras_require"].items() if name != "dev"]
    lines = "\n".join([config["options"]["install_requires"], *extras]).split()
    found = [
        re.fullmatch(r"([A-Za-z0-9-]+)(?:\[.*\])?>=([0-9.]+)(?:,<[0-9.]+)?", line)
        for line in lines
        if not line.startswith("%")
    ]
    return {match[1].lower(): match[2] for match in found if match}


def pinned(file: str) -> dict[str, str]:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return dict(line.lower().split("==") for line in lines if line and not line.lstrip().startswith("#"))


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:3])


def test_no_public_function_shares_its_name_with_a_room():
    """Importing a subpackage binds its name in the package, and so would replace a function of that name."""
    rooms = {path.name for path in (ROOT / "ztrust_mail").iterdir() if (path / "__init__.py").exists()}
    assert rooms & set(ztrust_mail.__all__) == set()


def test_the_minimum_environment_installs_exactly_the_lowest_promised_versions() -> None:
    assert len(promised()) > 15
    assert pinned("tests/constraints-min.txt") == promised()


def test_the_constraints_cover_every_requirement_within_its_promise() -> None:
    constraints = pinned("constraints.txt")
    lower = {
        name: constraints[name] for name, lowest in promised().items() if version(constraints[name]) < version(lowest)
    }
    assert lower == {}
    tools = {"build", "check-wheel-contents", "import-linter", "mypy", "ruff", "setuptools", "tox", "twine"}
    assert tools <= constraints.keys()


def test_every_extra_has_a_message_that_says_how_to_install_it_and_every_message_an_extra() -> None:
    code = "".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / "ztrust_mail").rglob("*.py")))
    named = {first or second for first, second in re.findall(r'install_hint\("(\w+)"\)|ztrust-mail\[(\w+)\]', code)}
    assert named == user_extras().keys()


def test_the_changelog_begins_with_this_version_and_its_date() -> None:
    """A version under development, such as 0.3.0.dev0, stands under "Unreleased"."""
    heading = re.search(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert heading
    if ".dev" in ztrust_mail.__version__:
        assert heading[1] == "Unreleased"
    else:
        release, _, day = heading[1].partition(" - ")
        assert release == ztrust_mail.__version__
        assert date.fromisoformat(day)


def test_the_readme_names_the_wheel_of_this_version_and_every_extra() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"ztrust_mail-(.+?)-py3-none-any\.whl", readme)) == {ztrust_mail.__version__}
    assert [extra for extra in user_extras() if f"`{extra}`" not in readme] == []


def test_the_wheel_gets_every_data_file() -> None:
    package = ROOT / "ztrust_mail"
    found = {Path(folder, name) for folder, _, names in os.walk(package, followlinks=True) for name in names}
    inner = package / "docs"  # a link to the whole folder; only its pages are packaged
    files = {file for file in found if file.suffix not in (".py", ".pyc") and inner not in file.parents[1:]}
    assert files == data_files()
    assert len(files) > 5
