"""What signal sources said, record by record.

Revision ID: 0007_signal_events
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007_signal_events"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "signal_events",
        sa.Column("spool", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("time_ns", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("device_ns", sa.BigInteger(), nullable=True),
        sa.Column("road_user", sa.Text(), nullable=True),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("spool", "position", name="pk_signal_events"),
        sa.UniqueConstraint("id", name="uq_signal_events_id"),
    )
    op.create_index("ix_signal_events_source_id_received_at", "signal_events", ["source_id", "received_at"])
    # For the removal of what is old: the rows come in this order.
    op.create_index("ix_signal_events_received_at", "signal_events", ["received_at"], postgresql_using="brin")


def downgrade() -> None:
    op.drop_table("signal_events")
