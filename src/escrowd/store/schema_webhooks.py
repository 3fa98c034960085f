"""Tables of webhooks: the endpoints, and every event on its way to each. See :mod:`escrowd.store.schema`."""

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint
from sqlalchemy import text as sql

from escrowd.store.schema import metadata

webhooks: Final = Table(
    "webhooks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("url", Text, nullable=False),
    #: Types of events, with spaces between; empty for all.
    Column("types", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("sealed_secret", Text, nullable=False),
    #: Signs along until then.
    Column("previous_sealed_secret", Text),
    Column("previous_until", BigInteger),
    Column("status", Text, nullable=False),
    Column("disabled_reason", Text),
    Column("disabled_at", BigInteger),
    #: The first failure since something went well, by the clock and by the running clock.
    Column("failing_since", BigInteger),
    Column("failing_from", BigInteger),
    Column("last_success_at", BigInteger),
    CheckConstraint("status IN ('enabled', 'disabled')", name="status_known"),
    CheckConstraint("(previous_sealed_secret IS NULL) = (previous_until IS NULL)", name="previous_ends"),
)

#: One row for each event and each endpoint that wants it, made in the transaction of the event. Those that were taken
#: long ago are removed (see :mod:`escrowd.store.pruning`).
deliveries: Final = Table(
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("webhook", Text, ForeignKey("webhooks.id"), nullable=False),
    Column("escrow", Text, ForeignKey("escrows.id"), nullable=False),
    Column("cursor", BigInteger, ForeignKey("log.cursor"), nullable=False),
    Column("event", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    #: On the work clock.
    Column("next_attempt_at", BigInteger),
    Column("last_attempt_at", BigInteger),
    Column("last_status", Integer),
    Column("last_error", Text),
    Column("delivered_at", BigInteger),
    UniqueConstraint("webhook", "cursor"),
    CheckConstraint("status IN ('pending', 'delivered')", name="status_known"),
    #: What waits has a time for its next try: nothing is left lying.
    CheckConstraint("(status = 'pending') = (next_attempt_at IS NOT NULL)", name="pending_is_due"),
)
Index(
    "ix_deliveries_pending",
    deliveries.c.webhook,
    deliveries.c.escrow,
    deliveries.c.cursor,
    sqlite_where=sql("status = 'pending'"),
    postgresql_where=sql("status = 'pending'"),
)
#: The oldest of what may be removed.
Index(
    "ix_deliveries_delivered",
    deliveries.c.delivered_at,
    sqlite_where=sql("status = 'delivered'"),
    postgresql_where=sql("status = 'delivered'"),
)
