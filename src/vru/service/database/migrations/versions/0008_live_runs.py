"""Camera runs that are made while their signals come.

Revision ID: 0008_live_runs
Revises: 0007_signal_events
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008_live_runs"
down_revision = "0007_signal_events"
branch_labels = None
depends_on = None

_JSON = postgresql.JSONB(astext_type=sa.Text())
# Column, table, and what becomes of a live run whose row there goes.
_OF = (
    ("project_id", "projects", "CASCADE"),
    ("video_id", "videos", "CASCADE"),
    ("ground_truth_id", "ground_truths", "CASCADE"),
    ("signals_id", "signal_recordings", "SET NULL"),
    ("run_id", "runs", "SET NULL"),
)


def upgrade() -> None:
    op.create_table(
        "live_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.Uuid(), nullable=rule == "SET NULL") for name, _, rule in _OF),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("capture_id", sa.Uuid(), nullable=False),
        sa.Column("request", _JSON, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("played", _JSON, nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('recording', 'recorded', 'started', 'failed', 'cancelled')", name=op.f("ck_live_runs_state")
        ),
        *(
            sa.ForeignKeyConstraint([name], [f"{table}.id"], name=f"fk_live_runs_{name}", ondelete=rule)
            for name, table, rule in _OF
        ),
        sa.PrimaryKeyConstraint("id", name="pk_live_runs"),
    )
    for name in ("project_id", "state"):
        op.create_index(f"ix_live_runs_{name}", "live_runs", [name])


def downgrade() -> None:
    op.drop_table("live_runs")
