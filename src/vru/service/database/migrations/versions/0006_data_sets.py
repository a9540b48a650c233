"""Data sets in versions, predictions that were made elsewhere, and runs over both.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_JSON = postgresql.JSONB(astext_type=sa.Text())
_CLASSES = (
    "road_user IN ('pedestrian', 'cyclist', 'motorcyclist', 'wheelchair_user', 'scooter_rider', 'child', 'animal', "
    "'other')"
)
_TRIGGERS = """
CREATE FUNCTION vru_refuse_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    version uuid := CASE TG_OP WHEN 'INSERT' THEN NEW.version_id ELSE OLD.version_id END;
BEGIN
    -- What goes with its version is no change of it.
    IF EXISTS (SELECT 1 FROM data_set_versions WHERE id = version AND frozen_at IS NOT NULL) THEN
        RAISE EXCEPTION '% of % is refused: a run was made with this version', lower(TG_OP), TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
CREATE TRIGGER frozen_recordings_stay BEFORE INSERT OR UPDATE OR DELETE ON data_set_recordings FOR EACH ROW
    EXECUTE FUNCTION vru_refuse_frozen();
CREATE TRIGGER frozen_versions_stay BEFORE UPDATE ON data_set_versions FOR EACH ROW
    WHEN (OLD.frozen_at IS NOT NULL) EXECUTE FUNCTION vru_refuse('a run was made with this version');
CREATE TRIGGER predicted_boxes_stay BEFORE UPDATE ON predicted_boxes FOR EACH ROW
    EXECUTE FUNCTION vru_refuse('what was imported does not change');
CREATE TRIGGER predicted_recordings_stay BEFORE UPDATE ON predicted_recordings FOR EACH ROW
    EXECUTE FUNCTION vru_refuse('what was imported does not change');
CREATE TRIGGER prediction_sets_stay BEFORE UPDATE ON prediction_sets FOR EACH ROW
    EXECUTE FUNCTION vru_refuse('what was imported does not change');
"""
_NEW = (
    *("predicted_boxes", "predicted_recordings", "prediction_sets"),
    *("data_set_recordings", "data_set_versions", "data_sets"),
)


def _created() -> sa.Column[object]:
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _data_sets() -> None:
    op.create_table(
        "data_sets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        _created(),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_data_sets_project_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_data_sets"),
        sa.UniqueConstraint("project_id", "name", name="uq_data_sets_project_id_name"),
    )
    op.create_table(
        "data_set_versions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("data_set_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("recording_count", sa.Integer(), nullable=False),
        sa.Column("frame_count", sa.BigInteger(), nullable=False),
        sa.Column("duration_s", sa.Double(), nullable=False),
        sa.Column("frozen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        _created(),
        sa.ForeignKeyConstraint(
            ["data_set_id"], ["data_sets.id"], name="fk_data_set_versions_data_set_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_data_set_versions"),
        sa.UniqueConstraint("data_set_id", "number", name="uq_data_set_versions_data_set_id_number"),
    )
    op.create_table(
        "data_set_recordings",
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("video_id", sa.Uuid(), nullable=False),
        sa.Column("ground_truth_id", sa.Uuid(), nullable=False),
        sa.Column("video_sha256", sa.Text(), nullable=False),
        sa.Column("ground_truth_sha256", sa.Text(), nullable=False),
        sa.Column("attributes", _JSON, nullable=False),
        sa.Column("tags", _JSON, nullable=False),
        sa.Column("calibration", _JSON, nullable=True),
        sa.ForeignKeyConstraint(
            ["version_id"], ["data_set_versions.id"], name="fk_data_set_recordings_version_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["video_id"], ["videos.id"], name="fk_data_set_recordings_video_id", ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["ground_truth_id"],
            ["ground_truths.id"],
            name="fk_data_set_recordings_ground_truth_id",
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("version_id", "number", name="pk_data_set_recordings"),
        sa.UniqueConstraint("version_id", "name", name="uq_data_set_recordings_version_id_name"),
        sa.UniqueConstraint("version_id", "video_sha256", name="uq_data_set_recordings_version_id_video_sha256"),
    )
    for column in ("video_id", "ground_truth_id"):
        op.create_index(f"ix_data_set_recordings_{column}", "data_set_recordings", [column])


def _predictions() -> None:
    op.create_table(
        "prediction_sets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("name", "version", "made_by", "format", "file_name", "sha256")
        ),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("box_count", sa.BigInteger(), nullable=False),
        sa.Column("notes", _JSON, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        _created(),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_prediction_sets_project_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_prediction_sets"),
    )
    op.create_index("ix_prediction_sets_project_id", "prediction_sets", ["project_id"])
    op.create_table(
        "predicted_recordings",
        sa.Column("prediction_set_id", sa.Uuid(), nullable=False),
        sa.Column("video_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("first_position", sa.BigInteger(), nullable=False),
        sa.Column("box_count", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["prediction_set_id"],
            ["prediction_sets.id"],
            name="fk_predicted_recordings_prediction_set_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["video_id"], ["videos.id"], name="fk_predicted_recordings_video_id", ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("prediction_set_id", "video_id", name="pk_predicted_recordings"),
    )
    op.create_index("ix_predicted_recordings_video_id", "predicted_recordings", ["video_id"])
    op.create_table(
        "predicted_boxes",
        sa.Column("prediction_set_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("frame_index", sa.Integer(), nullable=False),
        sa.Column("road_user", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("score", "x", "y", "width", "height")),
        sa.CheckConstraint(_CLASSES, name=op.f("ck_predicted_boxes_road_user")),
        sa.ForeignKeyConstraint(
            ["prediction_set_id"],
            ["prediction_sets.id"],
            name="fk_predicted_boxes_prediction_set_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("prediction_set_id", "position", name="pk_predicted_boxes"),
    )


def upgrade() -> None:
    _data_sets()
    _predictions()
    for column in ("video_id", "ground_truth_id"):
        op.alter_column("runs", column, nullable=True)
    op.add_column("runs", sa.Column("data_set_version_id", sa.Uuid(), nullable=True))
    op.add_column("runs", sa.Column("predictions_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        "fk_runs_data_set_version_id",
        "runs",
        "data_set_versions",
        ["data_set_version_id"],
        ["id"],
        ondelete="RESTRICT",
    )
    op.create_foreign_key(
        "fk_runs_predictions_id", "runs", "prediction_sets", ["predictions_id"], ["id"], ondelete="RESTRICT"
    )
    op.create_index("ix_runs_data_set_version_id", "runs", ["data_set_version_id"])
    op.create_check_constraint(
        op.f("ck_runs_about"),
        "runs",
        "(data_set_version_id IS NULL) = (video_id IS NOT NULL) AND (video_id IS NULL) = (ground_truth_id IS NULL)",
    )
    op.add_column("shards", sa.Column("recording", sa.Integer(), nullable=True))
    op.execute(_TRIGGERS)


def downgrade() -> None:
    op.execute("DELETE FROM runs WHERE data_set_version_id IS NOT NULL OR predictions_id IS NOT NULL")
    op.drop_column("shards", "recording")
    op.drop_constraint("ck_runs_about", "runs", type_="check")
    for column in ("data_set_version_id", "predictions_id"):
        op.drop_column("runs", column)
    for column in ("video_id", "ground_truth_id"):
        op.alter_column("runs", column, nullable=False)
    for table in _NEW:
        op.drop_table(table)
    op.execute("DROP FUNCTION vru_refuse_frozen()")
