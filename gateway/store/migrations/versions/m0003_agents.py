"""Happenings and CDRs know the agents whom they are for; the ends of transfers have an index of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Two columns at the end of their tables: what is older was no agent's."""
    op.add_column("happenings", sa.Column("agents", sa.String))
    op.add_column("cdrs", sa.Column("agents", sa.String))
    ended = sa.text("type = 'transfer.ended'")
    op.create_index("happenings_of_transfers", "happenings", ["seq"], sqlite_where=ended)
