"""Versions that run in a Python worker: why, in which environment; golden rows; what the person said."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; versions that are there already are compiled and have no golden rows."""
    op.add_column("versions", sa.Column("reason", sa.Text))
    op.add_column("versions", sa.Column("environment", sa.Text))
    op.add_column("versions", sa.Column("golden", sa.Text))
    op.add_column("versions", sa.Column("hints", sa.Text))
