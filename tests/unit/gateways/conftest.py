"""Answers to exact requests."""

from collections.abc import Iterator

import pytest
import responses


@pytest.fixture
def answers() -> Iterator[responses.RequestsMock]:
    """Answers to exact requests, each of which has to come."""
    with responses.RequestsMock() as mock:
        yield mock
