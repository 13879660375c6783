"""The sdist and the wheel hold what they promise, and nothing of the machine that built them."""

import email
import re
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.distributions import ROOT, Distributions, build, package_files, run_tool

import ztrust_mail

SCHEMAS = {f"ztrust_mail/schemas/{path.name}" for path in (ROOT / "schemas").iterdir()}
REGISTRIES = re.compile(
    rb"\b(pypi[.]org|pythonhosted[.]org|npmjs[.](org|com)|maven[.](org|apache[.]org)|proxy[.]golang[.]org|crates[.]io"
    rb"|docker[.]io|ghcr[.]io|quay[.]io|rubygems[.]org)\b"
)
LARGEST_FILE = 200_000
LARGEST_WHEEL = 1_200_000
LARGEST_SDIST = 3_000_000


def in_wheel(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def in_sdist(sdist: Path) -> dict[str, bytes]:
    with tarfile.open(sdist) as archive:
        members = [(member.name.partition("/")[2], archive.extractfile(member)) for member in archive]
        return {name: file.read() for name, file in members if file}


def test_twine_and_check_wheel_contents_find_nothing(distributions: Distributions) -> None:
    run_tool([sys.executable, "-m", "twine", "check", "--strict", str(distributions.sdist), str(distributions.wheel)])
    run_tool([sys.executable, "-m", "check_wheel_contents", str(distributions.wheel)])


def test_the_wheel_is_the_package_of_the_checkout_with_metadata_and_licence(distributions: Distributions) -> None:
    files = in_wheel(distributions.wheel)
    package = {name: content for name, content in files.items() if name.startswith("ztrust_mail/")}
    assert package == {f"ztrust_mail/{name}": data for name, data in package_files().items()}
    wanted = {"ztrust_mail/py.typed", "ztrust_mail/data/rules.toml", "ztrust_mail/docs/spec.md", *SCHEMAS}
    assert package.keys() >= wanted
    metadata = f"ztrust_mail-{ztrust_mail.__version__}.dist-info"
    assert {name.partition("/")[0] for name in files.keys() - package.keys()} == {metadata}
    assert files[f"{metadata}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()


def test_the_sdist_holds_what_a_build_the_tests_and_a_reader_need(distributions: Distributions) -> None:
    names = in_sdist(distributions.sdist).keys()
    wanted = {"LICENSE", "README.md", "CONTRIBUTING.md", "docs/README.md", "constraints.txt", "tox.ini", *SCHEMAS}
    assert wanted <= names
    assert {"tests/conftest.py", "tests/unit/test_packaging.py", "examples/specs/valid/minimal.yaml"} <= names
    assert not [name for name in names if re.search(r"\.pyc$|(^|/)(\.tox|\.git|dist|build|\.[a-z_]+_cache)/", name)]


def test_the_unpacked_sdist_builds_the_same_wheel_to_the_byte(distributions: Distributions, tmp_path: Path) -> None:
    again = build(distributions.unpack(tmp_path / "sdist"), tmp_path / "dist")
    assert in_wheel(again.wheel) == in_wheel(distributions.wheel)
    assert again.wheel.read_bytes() == distributions.wheel.read_bytes()
    assert in_sdist(again.sdist) == in_sdist(distributions.sdist)


def test_the_unit_tests_that_read_files_of_the_checkout_pass_in_the_unpacked_sdist(
    distributions: Distributions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All unit tests run on the wheel: what can fail here alone is a file that the sdist lacks."""
    folder = distributions.unpack(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.chdir(folder)
    imported = run_tool([sys.executable, "-c", "import ztrust_mail; print(ztrust_mail.__file__)"])
    assert Path(imported.strip()) == folder / "ztrust_mail" / "__init__.py"
    modules = (folder / "tests" / "unit").rglob("test_*.py")
    readers = [str(path) for path in modules if re.search(r"\.parents\[|\bROOT\b", path.read_text(encoding="utf-8"))]
    assert len(readers) > 10
    run_tool([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *readers])


def test_no_file_names_a_registry_or_a_folder_of_the_machine_that_built_it(distributions: Distributions) -> None:
    files = in_sdist(distributions.sdist) | in_wheel(distributions.wheel)
    built_in = distributions.wheel.parents[1]
    machine = [str(folder).encode() for folder in (ROOT, built_in, Path(sys.prefix), Path.home() / ".cache")]
    assert [name for name, data in files.items() if any(folder in data for folder in machine)] == []
    assert [name for name, data in files.items() if REGISTRIES.search(data)] == []


def test_neither_a_file_of_the_wheel_nor_a_distribution_is_unreasonably_large(distributions: Distributions) -> None:
    files = in_wheel(distributions.wheel)
    assert {name: len(data) for name, data in files.items() if len(data) > LARGEST_FILE} == {}
    assert distributions.wheel.stat().st_size < LARGEST_WHEEL
    assert distributions.sdist.stat().st_size < LARGEST_SDIST


def test_the_metadata_name_author_licence_and_the_extras(distributions: Distributions) -> None:
    files = in_wheel(distributions.wheel)
    (text,) = (data for name, data in files.items() if name.endswith("/METADATA"))
    found = email.message_from_bytes(text)
    assert found["Author"] == "The ztrust-mail maintainers"
    assert (found["License-Expression"], found["License-File"]) == ("Apache-2.0", "LICENSE")
    assert found["Version"] == ztrust_mail.__version__
    assert found["Keywords"]
