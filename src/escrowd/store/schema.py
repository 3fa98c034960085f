"""All tables. Constraints and partial unique indexes hold the laws of money, whatever the program does.

What is only read and written whole is JSON in one column (``body``). What is searched for, counted or constrained has a
column of its own. Amounts in columns are decimal strings: SQLite's integers end at 2**63, amounts of Monero do not.
Times are milliseconds since 1970, UTC; those that decide about work are on the work clock, which never goes back.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

#: Names of constraints are the same on both databases, so that migrations can speak of them.
metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: A key that counts up. SQLite counts only in columns of its own INTEGER type.
counting: Final = BigInteger().with_variant(Integer, "sqlite")


def _one_of(column: str, *words: str) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(str(word)) for word in words)})", name=f"{column}_known")


# --- escrows ---------------------------------------------------------------------------------------------------------

escrows: Final = Table(
    "escrows",
    metadata,
    Column("id", Text, primary_key=True),
    Column("status", Text, nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("network", Text, nullable=False),
    Column("reference", Text, nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False, index=True),
    #: Whether the next block may change something for it although it holds no transaction of its own.
    Column("counts_blocks", Boolean, nullable=False),
    Column("body", Text, nullable=False),
    CheckConstraint("version > 0", name="version_positive"),
)

#: Append-only: triggers refuse every change (see the migrations).
log: Final = Table(
    "log",
    metadata,
    Column("cursor", counting, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("escrow", Text, ForeignKey("escrows.id"), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    Column("previous_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    #: Ties it to the request or the work that it came of.
    Column("cause", Text, nullable=False, server_default=text("''")),
    UniqueConstraint("escrow", "sequence"),
    sqlite_autoincrement=True,
)

effects: Final = Table(
    "effects",
    metadata,
    Column("escrow", Text, ForeignKey("escrows.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("effect", Text, nullable=False),
    Column("done_at", BigInteger),
    Column("cause", Text, nullable=False, server_default=text("''")),
)
Index(
    "ix_effects_pending",
    effects.c.escrow,
    sqlite_where=text("done_at IS NULL"),
    postgresql_where=text("done_at IS NULL"),
)

# --- payouts ---------------------------------------------------------------------------------------------------------

_OPEN: Final = "status IN ('planned', 'signing', 'broadcast')"
_STANDING: Final = "step <> 'discarded'"

payouts: Final = Table(
    "payouts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("escrow", Text, ForeignKey("escrows.id"), nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("order_version", Integer, nullable=False),
    Column("number", counting, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("escrow", "order_version"),
    _one_of("kind", "release", "refund", "split", "return"),
    _one_of("status", "planned", "signing", "broadcast", "confirmed", "abandoned"),
)
#: At most one payout of an escrow is under way.
Index("one_open_payout", payouts.c.escrow, unique=True, sqlite_where=text(_OPEN), postgresql_where=text(_OPEN))

attempts: Final = Table(
    "attempts",
    metadata,
    Column("payout", Text, ForeignKey("payouts.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("step", Text, nullable=False),
    Column("body", Text, nullable=False),
)
#: At most one attempt at a payout is not given up.
Index("one_attempt", attempts.c.payout, unique=True, sqlite_where=text(_STANDING), postgresql_where=text(_STANDING))

raw_transactions: Final = Table(
    "raw_transactions",
    metadata,
    Column("txid", Text, primary_key=True),
    Column("raw", Text, nullable=False),
)

# --- the chain -------------------------------------------------------------------------------------------------------

watched: Final = Table(
    "watched",
    metadata,
    Column("escrow", Text, primary_key=True),
    Column("address", Text, nullable=False, unique=True),
    Column("sealed_view_key", Text, nullable=False),
    Column("from_height", Integer, nullable=False),
    Column("lane", Text, nullable=False),
    #: How many blocks were looked through for it; ``NULL`` where it is in step with the common cursor.
    Column("scanned", Integer),
    _one_of("lane", "active", "resting"),
)

#: How far the watcher has come: its tip, and the ids of the last blocks.
cursors: Final = Table(
    "cursors",
    metadata,
    Column("lane", Text, primary_key=True),
    #: Number of blocks that were read, and the time of the last one, in seconds since 1970.
    Column("height", Integer, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

#: What operators decided about the chain.
chain_decisions: Final = Table(
    "chain_decisions",
    metadata,
    Column("kind", Text, primary_key=True),
    #: Of the block of the chain that is followed, or of the transaction that is passed over.
    Column("hash", Text, primary_key=True),
    #: The last block that was watched when a chain was accepted; else empty.
    Column("instead_of", Text, primary_key=True),
    Column("height", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    _one_of("kind", "accept", "pass_over"),
)

outputs: Final = Table(
    "outputs",
    metadata,
    Column("escrow", Text, primary_key=True),
    Column("txid", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("index", Integer, primary_key=True),
    #: ``wallet`` for what only a wallet found, such as an output to a far subaddress.
    Column("source", Text, nullable=False),
    Column("amount", Text, nullable=False),
    Column("height", Integer, index=True),
    Column("body", Text, nullable=False),
    _one_of("source", "watcher", "wallet"),
)

#: Outputs that were in a block or in the pool and are in neither now, and those that a reorganisation took from a block
#: to the pool: the block is remembered in case that they leave the pool, too. Kept for the operator; never pruned.
lost_outputs: Final = Table(
    "lost_outputs",
    metadata,
    Column("escrow", Text, primary_key=True),
    Column("txid", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("index", Integer, primary_key=True),
    #: ``NULL`` while it is in the pool.
    Column("lost_at", BigInteger),
    #: With the height of the last block that held it.
    Column("body", Text, nullable=False),
)

key_images: Final = Table(
    "key_images",
    metadata,
    Column("number", counting, primary_key=True, autoincrement=True),
    Column("escrow", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("key_image", Text, nullable=False, index=True),
    UniqueConstraint("escrow", "key"),
    sqlite_autoincrement=True,
)

spends: Final = Table(
    "spends",
    metadata,
    Column("escrow", Text, primary_key=True),
    Column("key_image", Text, primary_key=True),
    Column("txid", Text, primary_key=True),
    Column("height", Integer, index=True),
)

# --- keys ------------------------------------------------------------------------------------------------------------

key_sets: Final = Table(
    "key_sets",
    metadata,
    Column("escrow", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("body", Text),
    _one_of("status", "making", "ready", "taken", "failed"),
    CheckConstraint("status NOT IN ('ready', 'taken') OR body IS NOT NULL", name="finished"),
)
Index("ix_key_sets_status", key_sets.c.status, key_sets.c.at, key_sets.c.escrow)

wallets: Final = Table(
    "wallets",
    metadata,
    Column("escrow", Text, ForeignKey("key_sets.escrow"), primary_key=True),
    Column("role", Text, primary_key=True),
    Column("filename", Text, nullable=False, unique=True),
    Column("address", Text, nullable=False),
    Column("sealed_password", Text, nullable=False),
    Column("sealed_keys", Text, nullable=False),
)

keyings: Final = Table(
    "keyings",
    metadata,
    Column("escrow", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("restore_height", Integer, nullable=False),
    Column("why", Text, nullable=False),
    Column("finished", Boolean, nullable=False),
)

keying_messages: Final = Table(
    "keying_messages",
    metadata,
    Column("escrow", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("round", Text, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("sealed", Text, nullable=False),
)

# --- durable work ----------------------------------------------------------------------------------------------------

work: Final = Table(
    "work",
    metadata,
    Column("key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    #: When it is carried out, on the work clock; ``NULL`` for never, until it is woken.
    Column("due_at", BigInteger),
    Column("owner", Text),
    #: When the claim runs out, on the work clock.
    Column("lease_until", BigInteger, nullable=False, server_default=text("0")),
    #: Counts the claims. Who holds an older number has lost the work.
    Column("fence", BigInteger, nullable=False, server_default=text("0")),
    #: Counts the wakes, so that one that comes during a step is not lost.
    Column("wake", BigInteger, nullable=False, server_default=text("0")),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("affinity", Text),
    Column("last_error", Text, nullable=False, server_default=text("''")),
)
Index(
    "ix_work_due", work.c.due_at, sqlite_where=text("due_at IS NOT NULL"), postgresql_where=text("due_at IS NOT NULL")
)

nodes: Final = Table(
    "nodes",
    metadata,
    Column("node", Text, primary_key=True),
    #: On the work clock.
    Column("alive_until", BigInteger, nullable=False),
)

#: One row: the running clock and the work clock (see :mod:`escrowd.domain.service_clock`).
service_clock: Final = Table(
    "service_clock",
    metadata,
    Column("one", Integer, primary_key=True),
    Column("running", BigInteger, nullable=False),
    #: On the work clock.
    Column("last_beat", BigInteger, nullable=False),
    Column("counted", Boolean, nullable=False),
    #: How far the work clock is ahead of the wall clock: by how much that was ever set back.
    Column("ahead", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("one = 1", name="only_one"),
)
