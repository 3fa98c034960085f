"""Tables about callers: who may call, what they were answered, and what they did. See :mod:`escrowd.store.schema`."""

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text

from escrowd.store.schema import counting, metadata

api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    #: HMAC of the secret part of the key; the key itself is kept nowhere.
    Column("digest", Text, nullable=False),
    #: Names of scopes, with spaces between.
    Column("scopes", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

#: How often the link of a party was replaced. The first one has no row.
party_links: Final = Table(
    "party_links",
    metadata,
    Column("escrow", Text, ForeignKey("escrows.id"), primary_key=True),
    Column("role", Text, primary_key=True),
    Column("generation", Integer, nullable=False),
    CheckConstraint("generation > 0", name="generation_positive"),
)

#: What a request with an Idempotency-Key was answered. Old ones are removed (see :mod:`escrowd.store.pruning`).
answers: Final = Table(
    "answers",
    metadata,
    Column("caller", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    #: SHA-256 of method, path and body.
    Column("request", Text, nullable=False),
    Column("status", Integer, nullable=False),
    #: Sealed: it may hold the secrets that were shown this once.
    Column("sealed_body", Text, nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
)

#: Who did what. Append-only, as the log is.
audit: Final = Table(
    "audit",
    metadata,
    Column("number", counting, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("caller", Text, nullable=False),
    Column("action", Text, nullable=False),
    #: What was acted upon: the id of an escrow, a key or an endpoint.
    Column("subject", Text, nullable=False),
    #: Ties it to the log of the service, and to the events and effects that came of it.
    Column("cause", Text, nullable=False),
    sqlite_autoincrement=True,
)
Index("ix_audit_subject", audit.c.subject)
