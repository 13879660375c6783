"""No test reaches the folders of the person who runs it, nor into the package where a parameter would do."""

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import platformdirs
import pytest
from support.cli import Cli

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("kind", ["state", "config", "cache", "data"])
def test_every_users_folder_is_inside_the_folder_of_the_test(tmp_path: Path, kind: str) -> None:
    folder = getattr(platformdirs, f"user_{kind}_dir")("ztrust-mail", appauthor=False)
    assert Path(folder).is_relative_to(tmp_path)


def test_the_command_line_has_an_empty_home_inside_the_folder_of_the_test(tmp_path: Path, cli: Cli) -> None:
    assert Path.home().is_relative_to(tmp_path)
    assert Path.cwd().is_relative_to(tmp_path)
    assert list(Path.home().iterdir()) == []


# Patches

PATCHED = {
    # an internal error, an interruption or a look at a certain moment, which no parameter of a command can cause
    "unit/cli/test_cli_offline.py: ztrust_mail.api.linting.lint_spec",
    "unit/cli/test_cli_offline.py: ztrust_mail.cli.main.run",
    "unit/cli/test_cli_offline.py: ztrust_mail.cli.output.exit_with",
    "unit/cli/test_cli_sandbox.py: ztrust_mail.cli.commands.sandbox._print_introduction",
    "unit/cli/test_cli_server.py: ztrust_mail.api.plan",
    "unit/planning/test_rotate_many.py: ztrust_mail.api.leftovers",
    "unit/planning/test_rotate_many.py: ztrust_mail.api.settle",
    # deliberate leaks of secrets, and servers that repeat them
    "unit/api/test_canary_secrets.py: LEAKS[kind]",
    "unit/api/test_canary_secrets.py: where",
    "unit/api/test_canary_secrets.py: ztrust_mail.sandbox.sandbox.answer",
    # waits of whole commands, for which users have no setting
    "e2e/test_fault_matrix.py: ztrust_mail.transport.failures.READ_TIMEOUT_FACTOR",
    "support/cli.py: ztrust_mail.transport.throttle.FIRST_PAUSE",
    "unit/cli/test_cli_server.py: ztrust_mail.transport.throttle.FIRST_PAUSE",
    "unit/cli/test_cli_server.py: ztrust_mail.transport.throttle.MIN_LOGGED_WAIT",
}
"""The patches that are left: a file and what it patches in the package."""


def test_no_test_patches_a_module_of_the_package_where_a_parameter_would_do() -> None:
    found = {
        f"{file.relative_to(TESTS)}: {target}"
        for file in TESTS.rglob("*.py")
        for target in patched_in(ast.parse(file.read_text(encoding="utf-8")))
    }
    assert found == PATCHED, "pass the value as a parameter, or use a real size; a removed patch leaves this list, too"


@pytest.mark.parametrize(
    ("code", "targets"),
    [
        ("from ztrust_mail.core import files\np.setattr(files, 'MAX', 1)", ["ztrust_mail.core.files.MAX"]),
        ("import ztrust_mail.api\np.setattr(ztrust_mail.api, 'plan', f)", ["ztrust_mail.api.plan"]),
        ("def f():\n    from ztrust_mail import api as a\n    p.setattr(a, name, f)", ["ztrust_mail.api.name"]),
        ("cli.monkeypatch.setattr('ztrust_mail.core.files.MAX_BYTES', 1)", ["ztrust_mail.core.files.MAX_BYTES"]),
        ("p.setattr(f'ztrust_mail.{x}.time', clock)", ["f'ztrust_mail.{x}.time'"]),
        ("p.setattr(where, f)", ["where"]),
        ("with mock.patch('ztrust_mail.api.plan'): pass", ["ztrust_mail.api.plan"]),
        ("import os\np.setattr(os, 'open', f)\np.setattr('sys.stderr', f)", []),
        ("from ztrust_mail.journal.journal import Journal\np.setattr(Journal, 'begin', f)", []),
    ],
)
def test_a_patch_of_a_module_is_found_however_it_is_written(code: str, targets: list[str]) -> None:
    assert list(patched_in(ast.parse(code))) == targets


def patched_in(tree: ast.AST) -> Iterator[str]:
    """Yield what is patched in modules of the package, and each dotted path that only a variable names."""
    modules = dict(imported_in(tree))
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and call.args and ast.unparse(call.func).endswith(("setattr", "patch"))):
            continue
        target, *more = call.args
        path = ast.unparse(target)
        if isinstance(target, ast.Constant):
            if str(target.value).startswith("ztrust_mail"):
                yield str(target.value)
        elif len(more) < 2:
            yield path
        elif module := modules.get(path):
            name = more[0]
            yield f"{module}.{name.value if isinstance(name, ast.Constant) else ast.unparse(name)}"


def imported_in(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the names under which code imports modules of the package, with their paths."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            parent = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            for name in node.names:
                path = parent + name.name
                if path.startswith("ztrust_mail") and is_module(path):
                    yield name.asname or name.name, path


def is_module(path: str) -> bool:
    try:
        return find_spec(path) is not None
    except ModuleNotFoundError:  # the name of something in a module
        return False
