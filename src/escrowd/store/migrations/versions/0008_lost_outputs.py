"""Outputs that a reorganisation or the pool removed: kept, with the height of the last block that held them."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "lost_outputs",
        sa.Column("escrow", sa.Text, primary_key=True),
        sa.Column("txid", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("index", sa.Integer, primary_key=True),
        sa.Column("lost_at", sa.BigInteger),
        sa.Column("body", sa.Text, nullable=False),
    )
