"""Indexes by which old answers and deliveries are found, to be removed."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the indexes."""
    op.create_index("ix_answers_at", "answers", ["at"])
    op.create_index(
        "ix_deliveries_delivered",
        "deliveries",
        ["delivered_at"],
        sqlite_where=sa.text("status = 'delivered'"),
        postgresql_where=sa.text("status = 'delivered'"),
    )
