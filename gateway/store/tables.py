"""The tables of the store, as SQLAlchemy Core; every module of this package reads them, migrations make them.

A change here needs a step in migrations/versions; tests/unit/store/test_migrations.py compares the two.
"""

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text, text

from gateway.store.agent_names import AgentNames

metadata = MetaData()

happenings = Table(
    "happenings",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("type", String, nullable=False),
    Column("call_id", String, nullable=False),
    Column("leg_id", String),
    Column("channel", String),
    Column("trunk", String),
    Column("data", JSON, nullable=False),
    Column("agents", AgentNames),
    Index("happenings_by_call", "call_id", "seq"),
    Index("happenings_of_transfers", "seq", sqlite_where=text("type = 'transfer.ended'")),
    sqlite_autoincrement=True,  # a seq is never used twice, not even when old rows are deleted
)
"""The journal. Append only."""

open_calls = Table("open_calls", metadata, Column("call_id", String, primary_key=True))
"""Calls with happenings and without an end, kept in the transactions that write those."""

beat = Table("beat", metadata, Column("id", Integer, primary_key=True), Column("at", Float, nullable=False))
"""One row: when the gateway was last alive with calls up, to within a second."""

cdrs = Table(
    "cdrs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("call_id", String, nullable=False, unique=True),
    Column("sip_call_id", String),
    Column("channel", String),
    Column("trunk", String),
    Column("direction", String, nullable=False),
    Column("from", String),
    Column("to", String),
    Column("started_at", Float, nullable=False),
    Column("answered_at", Float),
    Column("ended_at", Float, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("result", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("sip_status", Integer),
    Column("q850", Integer),
    Column("ended_by", String, nullable=False),
    Column("legs", JSON, nullable=False),
    Column("transfers", JSON, nullable=False),
    Column("recordings", JSON, nullable=False),
    Column("rtp", JSON, nullable=False),
    Column("data", JSON, nullable=False),
    Column("agents", AgentNames),
    Index("cdrs_by_start", "started_at"),
    sqlite_autoincrement=True,
)
"""One row for each call that is over, in the order of their ends. Numbers are in clear: the file is 0600."""

keys = Table(
    "keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("sha256", String, nullable=False, unique=True),
    Column("name", String, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("channels", JSON(none_as_null=True)),
    Column("agent", String),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("owner", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("fingerprint", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", Float, nullable=False),
    Index("idempotency_by_age", "at"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("url", String, primary_key=True),
    Column("after_seq", Integer, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("not_before", Float),
    Column("last_error", String),
    Column("last_error_at", Float),
)
"""How far each status webhook is: the happenings are the outbox, this is the cursor."""

webhook_retries = Table(
    "webhook_retries",
    metadata,
    Column("url", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Float, nullable=False),
)
"""Events whose delivery failed; they wait for the next attempt, each on its own."""
