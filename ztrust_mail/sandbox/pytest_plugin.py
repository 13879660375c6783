"""The sandbox as a pytest fixture.

Load it in your ``conftest.py``, with the extra ``sandbox`` installed::

    pytest_plugins = ["ztrust_mail.sandbox.pytest_plugin"]

and ask for it::

    def test_our_realm_can_send(ztrust_sandbox):
        ztrust_sandbox.create_realm("shop")
        ...
        assert ztrust_sandbox.mail.wait_for(1)[0].sender == "shop@example.com"

For another version or account, define a fixture ``ztrust_sandbox_options`` that returns
:class:`SandboxOptions`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ztrust_mail.sandbox.sandbox import Sandbox
from ztrust_mail.sandbox.state import SandboxOptions


@pytest.fixture
def ztrust_sandbox_options() -> SandboxOptions:
    """The options of ``ztrust_sandbox``; override this fixture to change them."""
    return SandboxOptions()


@pytest.fixture
def ztrust_sandbox(ztrust_sandbox_options: SandboxOptions) -> Iterator[Sandbox]:
    """A running sandbox for one test, stopped after it."""
    with Sandbox(ztrust_sandbox_options) as sandbox:
        yield sandbox
