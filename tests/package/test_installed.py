"""The tests run on the installed wheel. Run by ``tox -e unit``, in the process of the unit tests."""

import sysconfig
from pathlib import Path

from support.distributions import package_files

import ztrust_mail

PACKAGE = Path(ztrust_mail.__file__).parent


def test_the_package_under_test_is_the_installed_one_and_not_the_checkout() -> None:
    assert PACKAGE.parent == Path(sysconfig.get_path("purelib"))


def test_the_installed_package_is_as_new_as_the_checkout() -> None:
    files = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*") if path.is_file()}
    installed = {name: path.read_bytes() for name, path in files.items() if path.suffix != ".pyc"}
    assert installed == package_files()
