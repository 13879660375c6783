"""The file of a journal."""

from pathlib import Path

import pytest

from ztrust_mail.core.secret import Secret
from ztrust_mail.journal.database import location_of


@pytest.fixture
def file(journal_url: Secret) -> Path:
    """The file of ``journal_url``."""
    found = location_of(journal_url).file
    assert found
    return found
