"""The sdist and the wheel hold what they promise, and the wheel is what is installed. Run by ``tox -e package``."""

from __future__ import annotations

import os
import tarfile
import zipfile
from importlib.metadata import metadata
from pathlib import Path

import pytest

import ztrust_mail

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ztrust_mail"
DOCS = PACKAGE / "docs"
"""A link to the documentation, of which only the pages are packaged."""
SCHEMAS = {f"ztrust_mail/schemas/{path.name}" for path in (ROOT / "schemas").iterdir()}


@pytest.fixture
def distributions() -> Path:
    return Path(os.environ["ZTRUST_MAIL_TEST_DISTRIBUTIONS"])


def test_the_wheel_holds_the_package_its_data_files_and_the_licence_and_nothing_else(distributions):
    (wheel,) = distributions.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    found = {Path(folder, name) for folder, _, files in os.walk(PACKAGE, followlinks=True) for name in files}
    scripts = {path for path in found if path.parent == DOCS and path.suffix != ".md"}
    pages = {path for path in found - scripts if DOCS not in path.parents[1:]}
    source = {str(path.relative_to(ROOT)) for path in pages if path.suffix != ".pyc"}
    packaged = {name for name in names if name.startswith("ztrust_mail/")}
    assert packaged == source
    assert packaged >= SCHEMAS | {"ztrust_mail/py.typed", "ztrust_mail/data/rules.toml", "ztrust_mail/docs/spec.md"}
    assert {Path(name).suffix for name in packaged if name.startswith("ztrust_mail/docs/")} == {".md"}
    assert {name.partition("/")[0] for name in names - packaged} == {f"ztrust_mail-{ztrust_mail.__version__}.dist-info"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_sdist_holds_what_a_build_the_tests_and_a_reader_need(distributions):
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"LICENSE", "README.md", "CONTRIBUTING.md", "docs/README.md", "constraints.txt", "tox.ini", *SCHEMAS}
    assert wanted <= names
    assert {"tests/conftest.py", "tests/unit/test_packaging.py", "examples/specs/valid/minimal.yaml"} <= names
    assert not [name for name in names if name.endswith(".pyc")]


def test_the_tests_run_on_the_installed_wheel_and_not_on_the_checkout():
    assert not Path(ztrust_mail.__file__).is_relative_to(PACKAGE)


def test_the_metadata_name_the_author_and_the_licence():
    found = metadata("ztrust-mail")
    assert found["Author"] == "The ztrust-mail maintainers"
    assert found.get("License-Expression") or found.get("License") == "Apache-2.0"
    assert found["License-File"] == "LICENSE"
    assert found["Keywords"]
