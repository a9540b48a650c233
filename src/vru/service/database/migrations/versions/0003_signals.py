"""Recordings of signals, and runs of kind "camera" that are made with them.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "signal_recordings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("video_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("signal_count", sa.Integer(), nullable=False),
        sa.Column("first_ns", sa.BigInteger(), nullable=False),
        sa.Column("last_ns", sa.BigInteger(), nullable=False),
        sa.Column("poll_ms", sa.Double(), nullable=False),
        sa.Column("markers_path", sa.Text(), nullable=True),
        sa.Column("markers_sha256", sa.Text(), nullable=True),
        sa.Column("marker_count", sa.Integer(), nullable=True),
        sa.Column("offset_ns", sa.BigInteger(), nullable=True),
        sa.Column("offset_uncertainty_ms", sa.Double(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["video_id"], ["videos.id"], name="fk_signal_recordings_video_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_signal_recordings"),
    )
    op.create_index("ix_signal_recordings_video_id", "signal_recordings", ["video_id"])
    op.add_column("runs", sa.Column("signals_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        "fk_runs_signals_id", "runs", "signal_recordings", ["signals_id"], ["id"], ondelete="RESTRICT"
    )
    # A camera run has no model.
    op.alter_column("runs", "model", nullable=True)
    op.alter_column("runs", "model_version", nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM runs WHERE kind = 'camera'")
    op.alter_column("runs", "model_version", nullable=False)
    op.alter_column("runs", "model", nullable=False)
    op.drop_constraint("fk_runs_signals_id", "runs", type_="foreignkey")
    op.drop_column("runs", "signals_id")
    op.drop_index("ix_signal_recordings_video_id", table_name="signal_recordings")
    op.drop_table("signal_recordings")
