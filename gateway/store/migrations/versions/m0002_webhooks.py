"""Status webhooks: how far each is, and what of it waits for another attempt."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "webhooks",
        sa.Column("url", sa.String, primary_key=True),
        sa.Column("after_seq", sa.Integer, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("not_before", sa.Float),
        sa.Column("last_error", sa.String),
        sa.Column("last_error_at", sa.Float),
    )
    op.create_table(
        "webhook_retries",
        sa.Column("url", sa.String, primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.Float, nullable=False),
    )
