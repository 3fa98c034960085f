"""The index by which the stock of finished wallets is counted, and the oldest set of it found."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_key_sets_status", "key_sets", ["status", "at", "escrow"])
