"""Seals, what the processes say that they opened, and triggers that keep what is over from being changed.

Revision ID: 0005
Revises: 0004_service_roles
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004_service_roles"
branch_labels = None
depends_on = None

_TRIGGERS = """
CREATE FUNCTION vru_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: %', lower(TG_OP), TG_TABLE_NAME, TG_ARGV[0]
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE TRIGGER completed_runs_stay BEFORE UPDATE ON runs FOR EACH ROW
    WHEN (OLD.state = 'completed') EXECUTE FUNCTION vru_refuse('the run is completed');
CREATE TRIGGER detections_stay BEFORE UPDATE ON detections FOR EACH ROW
    EXECUTE FUNCTION vru_refuse('what a model found does not change');
CREATE TRIGGER truth_boxes_stay BEFORE UPDATE ON truth_boxes FOR EACH ROW
    EXECUTE FUNCTION vru_refuse('upload another ground truth');
CREATE TRIGGER seals_stay BEFORE UPDATE ON seals FOR EACH ROW
    WHEN (OLD.document IS NOT NULL) EXECUTE FUNCTION vru_refuse('it is sealed');
CREATE TRIGGER seals_are_kept BEFORE DELETE ON seals FOR EACH ROW
    WHEN (OLD.document IS NOT NULL) EXECUTE FUNCTION vru_refuse('it is sealed');
"""
_OPENED = ("video_sha256", "model_sha256", "engine_image", "engine_provider")
_ON = {
    "completed_runs_stay": "runs",
    "detections_stay": "detections",
    "truth_boxes_stay": "truth_boxes",
}


def upgrade() -> None:
    op.create_table(
        "seals",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("manifest_sha256", sa.Text(), nullable=False),
        sa.Column("prepared_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("document", sa.Text(), nullable=True),
        sa.Column("signature", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", name="pk_seals"),
        sa.UniqueConstraint("position", name="uq_seals_position"),
    )
    op.add_column("runs", sa.Column("video_sha256", sa.Text(), nullable=True))
    op.add_column("runs", sa.Column("model_card", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    for column in _OPENED:
        op.add_column("shards", sa.Column(column, sa.Text(), nullable=True))
    # Before the triggers: what is running is held to the upload that it was started with.
    op.execute("UPDATE runs SET video_sha256 = videos.sha256 FROM videos WHERE videos.id = runs.video_id")
    op.execute(_TRIGGERS)


def downgrade() -> None:
    for trigger, table in _ON.items():
        op.execute(f"DROP TRIGGER {trigger} ON {table}")
    op.drop_table("seals")
    op.execute("DROP FUNCTION vru_refuse()")
    for column in _OPENED:
        op.drop_column("shards", column)
    for column in ("model_card", "video_sha256"):
        op.drop_column("runs", column)
