"""How far the work clock is ahead of the wall clock: nothing, as long as that was never set back."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("service_clock", sa.Column("ahead", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
