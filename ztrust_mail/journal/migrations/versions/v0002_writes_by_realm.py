"""An index that finds a realm's last write without a walk through its history."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the index."""
    op.create_index("writes_by_realm", "writes", ["server", "realm", "step", "run"])
