"""Journal, CDRs, keys, remembered answers: the first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "happenings",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("call_id", sa.String, nullable=False),
        sa.Column("leg_id", sa.String),
        sa.Column("channel", sa.String),
        sa.Column("trunk", sa.String),
        sa.Column("data", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("happenings_by_call", "happenings", ["call_id", "seq"])
    op.create_table("open_calls", sa.Column("call_id", sa.String, primary_key=True))
    op.create_table("beat", sa.Column("id", sa.Integer, primary_key=True), sa.Column("at", sa.Float, nullable=False))
    _create_cdrs()
    op.create_table(
        "keys",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("sha256", sa.String, nullable=False, unique=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("channels", sa.JSON),
        sa.Column("agent", sa.String),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("revoked_at", sa.Float),
    )
    op.create_table(
        "idempotency",
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_index("idempotency_by_age", "idempotency", ["at"])


def _create_cdrs() -> None:
    op.create_table(
        "cdrs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("call_id", sa.String, nullable=False, unique=True),
        *(sa.Column(name, sa.String) for name in ("sip_call_id", "channel", "trunk")),
        sa.Column("direction", sa.String, nullable=False),
        *(sa.Column(name, sa.String) for name in ("from", "to")),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("answered_at", sa.Float),
        sa.Column("ended_at", sa.Float, nullable=False),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sa.Column("result", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        *(sa.Column(name, sa.Integer) for name in ("sip_status", "q850")),
        sa.Column("ended_by", sa.String, nullable=False),
        *(sa.Column(name, sa.JSON, nullable=False) for name in ("legs", "transfers", "recordings", "rtp", "data")),
        sqlite_autoincrement=True,
    )
    op.create_index("cdrs_by_start", "cdrs", ["started_at"])
