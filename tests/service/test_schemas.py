"""What services say to each other: a run's kind decides which settings and metrics it has."""

import uuid
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from vru.service.schemas import CameraRunBody, CameraRunSettings, ModelRunBody, RunSettings, run_body


def stored(kind: str, **more: object) -> dict[str, object]:
    nothing = dict.fromkeys(
        ("signals_id", "model", "model_version", "model_sha256", "error", "paused_at", "metrics", "verdict",
         "verdict_reasons", "notes", "started_at", "finished_at")
    )  # fmt: skip
    return nothing | {
        "id": uuid.uuid4(), "project_id": uuid.uuid4(), "kind": kind, "video_id": uuid.uuid4(),
        "ground_truth_id": uuid.uuid4(), "settings": {}, "criteria": [], "state": "queued", "frames_total": 0,
        "frames_done": 0, "priority": 0, "set_aside": [], "created_by": "ada@example.com",
        "created_at": datetime.now(UTC),
    } | more  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "body", "settings"),
    [("model", ModelRunBody, RunSettings), ("camera", CameraRunBody, CameraRunSettings)],
)
def test_the_kind_decides_the_settings_even_where_both_would_take_them(kind, body, settings) -> None:
    read = run_body(stored(kind))
    assert type(read) is body and type(read.settings) is settings
    assert run_body(read.model_dump(mode="json")) == read


@pytest.mark.parametrize(("kind", "others"), [("model", {"tolerance_ms": 100}), ("camera", {"score_threshold": 0.5})])
def test_the_settings_of_the_other_kind_are_refused(kind, others) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        run_body(stored(kind, settings=others))


def test_metrics_of_the_other_kind_are_refused() -> None:
    metrics = {
        "measurements": [], "tracks": [], "true_positives": 0, "false_positives": 0, "false_negatives": 0,
        "ground_truth_approved": True,
    }  # fmt: skip
    assert run_body(stored("model", metrics=metrics)).metrics is not None
    with pytest.raises(ValidationError, match="clocks"):
        run_body(stored("camera", metrics=metrics))
