"""Runs that can be paused, ordered and retried; clips that are set aside.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Rows that are there already get these; after that the program sets every value.
_COUNTERS = (("runs", "priority"), ("runs", "revision"), ("runs", "deaths"), ("shards", "deaths"), ("shards", "waits"))


def upgrade() -> None:
    for table, column in _COUNTERS:
        op.add_column(table, sa.Column(column, sa.Integer(), nullable=False, server_default="0"))
        op.alter_column(table, column, server_default=None)
    op.add_column("runs", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("runs", sa.Column("model_sha256", sa.Text(), nullable=True))
    op.add_column("runs", sa.Column("notes", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("shards", sa.Column("first_s", sa.Double(), nullable=True))
    op.add_column("shards", sa.Column("last_s", sa.Double(), nullable=True))
    # The analysis reads the truth clip by clip.
    op.create_index("ix_truth_boxes_ground_truth_id_frame_index", "truth_boxes", ["ground_truth_id", "frame_index"])


def downgrade() -> None:
    op.drop_index("ix_truth_boxes_ground_truth_id_frame_index", table_name="truth_boxes")
    for column in ("first_s", "last_s"):
        op.drop_column("shards", column)
    for column in ("notes", "model_sha256", "paused_at"):
        op.drop_column("runs", column)
    for table, column in _COUNTERS:
        op.drop_column(table, column)
