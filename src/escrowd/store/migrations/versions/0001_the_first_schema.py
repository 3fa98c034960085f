"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables, and let nobody change the history of an escrow."""
    _make_cursors()
    _make_escrows()
    _make_key_images()
    _make_key_sets()
    _make_keying_messages()
    _make_keyings()
    _make_nodes()
    _make_outputs()
    _make_raw_transactions()
    _make_service_clock()
    _make_spends()
    _make_watched()
    _make_work()
    _make_effects()
    _make_log()
    _make_payouts()
    _make_wallets()
    _make_attempts()
    _protect_the_log()


# ---------------------------------------------------------------------------------------------------------------------


def _make_cursors() -> None:
    op.create_table(
        "cursors",
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("lane", name=op.f("pk_cursors")),
    )


def _make_escrows() -> None:
    op.create_table(
        "escrows",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("counts_blocks", sa.Boolean(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.CheckConstraint("version > 0", name=op.f("ck_escrows_version_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_escrows")),
    )
    with op.batch_alter_table("escrows", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_escrows_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_escrows_reference"), ["reference"], unique=False)
        batch_op.create_index(batch_op.f("ix_escrows_status"), ["status"], unique=False)


def _make_key_images() -> None:
    op.create_table(
        "key_images",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("escrow", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("key_image", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_key_images")),
        sa.UniqueConstraint("escrow", "key", name=op.f("uq_key_images_escrow_key")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("key_images", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_key_images_key_image"), ["key_image"], unique=False)


def _make_key_sets() -> None:
    op.create_table(
        "key_sets",
        sa.Column("escrow", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.CheckConstraint("status IN ('making', 'ready', 'taken', 'failed')", name=op.f("ck_key_sets_status_known")),
        sa.CheckConstraint("status NOT IN ('ready', 'taken') OR body IS NOT NULL", name=op.f("ck_key_sets_finished")),
        sa.PrimaryKeyConstraint("escrow", name=op.f("pk_key_sets")),
    )


def _make_keying_messages() -> None:
    op.create_table(
        "keying_messages",
        sa.Column("escrow", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("round", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("escrow", "number", "round", "role", name=op.f("pk_keying_messages")),
    )


def _make_keyings() -> None:
    op.create_table(
        "keyings",
        sa.Column("escrow", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("restore_height", sa.Integer(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("finished", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("escrow", "number", name=op.f("pk_keyings")),
    )


def _make_nodes() -> None:
    op.create_table(
        "nodes",
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("alive_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node", name=op.f("pk_nodes")),
    )


def _make_outputs() -> None:
    op.create_table(
        "outputs",
        sa.Column("escrow", sa.Text(), nullable=False),
        sa.Column("txid", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.CheckConstraint("source IN ('watcher', 'wallet')", name=op.f("ck_outputs_source_known")),
        sa.PrimaryKeyConstraint("escrow", "txid", "key", "index", name=op.f("pk_outputs")),
    )
    with op.batch_alter_table("outputs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_outputs_height"), ["height"], unique=False)


def _make_raw_transactions() -> None:
    op.create_table(
        "raw_transactions",
        sa.Column("txid", sa.Text(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("txid", name=op.f("pk_raw_transactions")),
    )


def _make_service_clock() -> None:
    op.create_table(
        "service_clock",
        sa.Column("one", sa.Integer(), nullable=False),
        sa.Column("running", sa.BigInteger(), nullable=False),
        sa.Column("last_beat", sa.BigInteger(), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.CheckConstraint("one = 1", name=op.f("ck_service_clock_only_one")),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_service_clock")),
    )


def _make_spends() -> None:
    op.create_table(
        "spends",
        sa.Column("escrow", sa.Text(), nullable=False),
        sa.Column("key_image", sa.Text(), nullable=False),
        sa.Column("txid", sa.Text(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("escrow", "key_image", "txid", name=op.f("pk_spends")),
    )
    with op.batch_alter_table("spends", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_spends_height"), ["height"], unique=False)


def _make_watched() -> None:
    op.create_table(
        "watched",
        sa.Column("escrow", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("sealed_view_key", sa.Text(), nullable=False),
        sa.Column("from_height", sa.Integer(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("scanned", sa.Integer(), nullable=True),
        sa.CheckConstraint("lane IN ('active', 'resting')", name=op.f("ck_watched_lane_known")),
        sa.PrimaryKeyConstraint("escrow", name=op.f("pk_watched")),
        sa.UniqueConstraint("address", name=op.f("uq_watched_address")),
    )


def _make_work() -> None:
    op.create_table(
        "work",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("wake", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("affinity", sa.Text(), nullable=True),
        sa.Column("last_error", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_work")),
    )
    with op.batch_alter_table("work", schema=None) as batch_op:
        batch_op.create_index(
            "ix_work_due",
            ["due_at"],
            unique=False,
            sqlite_where=sa.text("due_at IS NOT NULL"),
            postgresql_where=sa.text("due_at IS NOT NULL"),
        )


def _make_effects() -> None:
    op.create_table(
        "effects",
        sa.Column("escrow", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("effect", sa.Text(), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["escrow"], ["escrows.id"], name=op.f("fk_effects_escrow")),
        sa.PrimaryKeyConstraint("escrow", "version", "index", name=op.f("pk_effects")),
    )
    with op.batch_alter_table("effects", schema=None) as batch_op:
        batch_op.create_index(
            "ix_effects_pending",
            ["escrow"],
            unique=False,
            sqlite_where=sa.text("done_at IS NULL"),
            postgresql_where=sa.text("done_at IS NULL"),
        )


def _make_log() -> None:
    op.create_table(
        "log",
        sa.Column("cursor", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("escrow", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("previous_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["escrow"], ["escrows.id"], name=op.f("fk_log_escrow")),
        sa.PrimaryKeyConstraint("cursor", name=op.f("pk_log")),
        sa.UniqueConstraint("escrow", "sequence", name=op.f("uq_log_escrow_sequence")),
        sa.UniqueConstraint("id", name=op.f("uq_log_id")),
        sqlite_autoincrement=True,
    )


def _make_payouts() -> None:
    op.create_table(
        "payouts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("escrow", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("order_version", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('release', 'refund', 'split', 'return')", name=op.f("ck_payouts_kind_known")),
        sa.CheckConstraint(
            "status IN ('planned', 'signing', 'broadcast', 'confirmed', 'abandoned')",
            name=op.f("ck_payouts_status_known"),
        ),
        sa.ForeignKeyConstraint(["escrow"], ["escrows.id"], name=op.f("fk_payouts_escrow")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payouts")),
        sa.UniqueConstraint("escrow", "order_version", name=op.f("uq_payouts_escrow_order_version")),
    )
    with op.batch_alter_table("payouts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_payouts_escrow"), ["escrow"], unique=False)
        batch_op.create_index(
            "one_open_payout",
            ["escrow"],
            unique=True,
            sqlite_where=sa.text("status IN ('planned', 'signing', 'broadcast')"),
            postgresql_where=sa.text("status IN ('planned', 'signing', 'broadcast')"),
        )


def _make_wallets() -> None:
    op.create_table(
        "wallets",
        sa.Column("escrow", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("sealed_password", sa.Text(), nullable=False),
        sa.Column("sealed_keys", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["escrow"], ["key_sets.escrow"], name=op.f("fk_wallets_escrow")),
        sa.PrimaryKeyConstraint("escrow", "role", name=op.f("pk_wallets")),
        sa.UniqueConstraint("filename", name=op.f("uq_wallets_filename")),
    )


def _make_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("payout", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["payout"], ["payouts.id"], name=op.f("fk_attempts_payout")),
        sa.PrimaryKeyConstraint("payout", "number", name=op.f("pk_attempts")),
    )
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.create_index(
            "one_attempt",
            ["payout"],
            unique=True,
            sqlite_where=sa.text("step <> 'discarded'"),
            postgresql_where=sa.text("step <> 'discarded'"),
        )


def _protect_the_log() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER log_refuses_{action.lower()} BEFORE {action} ON log "
                "BEGIN SELECT RAISE(ABORT, 'the log of escrows is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the log of escrows is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER log_refuses_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON log "
        "FOR EACH STATEMENT EXECUTE FUNCTION log_is_append_only()"
    )
