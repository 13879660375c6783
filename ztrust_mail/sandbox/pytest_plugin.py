"""The sandbox as a pytest fixture, with a journal and settings of its own.

Load it in your ``conftest.py``, with the extra ``sandbox`` installed::

    pytest_plugins = ["ztrust_mail.sandbox.pytest_plugin"]

and ask for it::

    def test_our_realm_can_send(ztrust_sandbox):
        ztrust_sandbox.create_realm("shop")
        with ztrust_sandbox.connect() as session:
            ztrust_mail.ensure(session, {"shop": {...}})
        assert ztrust_sandbox.mail.wait_for(1)[0].sender == "shop@example.com"

``ztrust_sandbox`` is one for each test, ``ztrust_sandbox_session`` one for all tests. For another version or account,
define a fixture ``ztrust_sandbox_options`` or ``ztrust_sandbox_session_options`` that returns :class:`SandboxOptions`.

While one of them runs, the journal and the settings of the user who runs the tests are out of reach, also for code that
knows nothing of the fixture: the variables ``XDG_STATE_HOME`` and ``XDG_CONFIG_HOME`` name temporary folders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Unpack

import pytest

from ztrust_mail.api.keywords import LoginKeywords
from ztrust_mail.api.session import Session, connect
from ztrust_mail.sandbox.sandbox import Sandbox
from ztrust_mail.sandbox.state import SandboxOptions
from ztrust_mail.secrets.sources import Secrets
from ztrust_mail.specfile.entries import Spec


class SandboxForTests(Sandbox):
    """A sandbox with a folder for a journal and settings of its own."""

    def __init__(self, options: SandboxOptions, folder: Path) -> None:
        super().__init__(options)
        self.folder = folder

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables to work with this sandbox: URL, login, journal and settings. For a process or ``connect``."""
        settings = self.folder / "ztrust-mail.toml"
        settings.touch()
        return {
            "ZTRUST_MAIL_URL": self.url,
            "ZTRUST_MAIL_USERNAME": self.options.admin_user,
            "ZTRUST_MAIL_PASSWORD": self.options.admin_password,
            "ZTRUST_MAIL_JOURNAL": f"sqlite:///{self.folder / 'journal.sqlite3'}",
            "ZTRUST_MAIL_CONFIG": str(settings),
        }

    def connect(
        self,
        *,
        spec: Spec | None = None,
        environ: Mapping[str, str] | None = None,
        secrets: Secrets | None = None,
        **login: Unpack[LoginKeywords],
    ) -> Session:
        """Return a session for this sandbox; ``environ`` adds variables. As the administrator, without a ``login``."""
        variables = {**self.environ, **(environ or {})}
        return connect(self.url, spec=spec, environ=variables, secrets=secrets, **login)


@pytest.fixture
def ztrust_sandbox_options() -> SandboxOptions:
    """The options of ``ztrust_sandbox``; override this fixture to change them."""
    return SandboxOptions()


@pytest.fixture(scope="session")
def ztrust_sandbox_session_options() -> SandboxOptions:
    """The options of ``ztrust_sandbox_session``; override this fixture to change them."""
    return SandboxOptions()


@pytest.fixture
def ztrust_sandbox(ztrust_sandbox_options: SandboxOptions, tmp_path: Path) -> Iterator[SandboxForTests]:
    """A running sandbox for one test, stopped after it."""
    yield from _running(ztrust_sandbox_options, tmp_path)


@pytest.fixture(scope="session")
def ztrust_sandbox_session(
    ztrust_sandbox_session_options: SandboxOptions, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SandboxForTests]:
    """A running sandbox for all tests, stopped after the last one."""
    yield from _running(ztrust_sandbox_session_options, tmp_path_factory.mktemp("ztrust-sandbox"))


def _running(options: SandboxOptions, folder: Path) -> Iterator[SandboxForTests]:
    sandbox = SandboxForTests(options, folder)
    with pytest.MonkeyPatch.context() as patch, sandbox:
        for kind in ("state", "config"):
            patch.setenv(f"XDG_{kind.upper()}_HOME", str(folder / kind))
        yield sandbox
