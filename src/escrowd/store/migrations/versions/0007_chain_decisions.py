"""What operators decided about the chain: which one is followed, and which transactions are passed over."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "chain_decisions",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("hash", sa.Text, primary_key=True),
        sa.Column("instead_of", sa.Text, primary_key=True),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.CheckConstraint("kind IN ('accept', 'pass_over')", name=op.f("ck_chain_decisions_kind_known")),
    )
