"""The four servers that every contract test runs against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.server_under_test import SANDBOXES, ServerUnderTest, real_server, sandbox_server

_REAL = {"real-26": "keycloak_26", "real-16": "keycloak_16"}


@pytest.fixture(scope="session", params=[*SANDBOXES, *_REAL])
def server(request: pytest.FixtureRequest, ca_file: Path) -> Iterator[ServerUnderTest]:
    """A sandbox or a real server; real ones start when the first test asks for them."""
    if request.param in SANDBOXES:
        with sandbox_server(request.param, ca_file) as sandbox:
            yield sandbox
    else:
        with real_server(request.getfixturevalue(_REAL[request.param])) as real:
            yield real
