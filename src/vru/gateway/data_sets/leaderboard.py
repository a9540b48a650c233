"""The completed runs over one version of a data set, side by side."""

from typing import Any

from sqlalchemy import cast, func, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH

from vru.domain import RunState
from vru.gateway.data_sets.schemas import Entry, EntryFigure
from vru.service.database.sessions import ReadSession
from vru.service.database.tables import DataSetVersion, Run

# What runs are told apart by. Only these leave the database: the tracks of a run are many.
_METRICS = (
    *("f1", "recall", "precision", "ap50", "track_recall"),
    *("latency_median_ms", "latency_p95_ms", "false_alarms_per_minute"),
)
_OF_ALL = '$.measurements[*] ? (@.slice == "all")'
_FAILED = "$.recordings[*] ? (@.failed != null)"
_MOST = 500


async def leaderboard(session: ReadSession, version: DataSetVersion) -> list[Entry]:
    """The runs, the highest F1 first; those of which it is not determined come last."""
    figures = func.jsonb_path_query_array(Run.metrics, cast(_OF_ALL, JSONPATH))
    failed = func.jsonb_array_length(func.jsonb_path_query_array(Run.metrics, cast(_FAILED, JSONPATH)))
    columns = (
        *(Run.id, Run.model, Run.model_version, Run.predictions_id, Run.settings, Run.verdict, Run.finished_at),
        type_coerce(figures, JSONB),
        failed,
    )
    query = (
        select(*columns)
        .where(Run.data_set_version_id == version.id, Run.state == RunState.COMPLETED)
        .order_by(Run.finished_at.desc(), Run.id)
        .limit(_MOST)
    )
    entries = [_entry(*row) for row in await session.execute(query)]
    return sorted(entries, key=lambda entry: -_f1(entry))


def _f1(entry: Entry) -> float:
    value = next((figure.value for figure in entry.figures if figure.metric == "f1"), None)
    return -1.0 if value is None else value


def _entry(
    run_id: Any,
    model: Any,
    version: Any,
    predictions_id: Any,
    settings: Any,
    verdict: Any,
    finished_at: Any,
    rows: list[dict[str, Any]],
    failed: int,
) -> Entry:
    known = {row["metric"]: row for row in rows}
    figures = [
        EntryFigure(**{name: known[metric][name] for name in EntryFigure.model_fields})
        for metric in _METRICS
        if metric in known
    ]
    return Entry(
        run_id=run_id,
        detector=model,
        version=version,
        imported=predictions_id is not None,
        score_threshold=settings["score_threshold"],
        iou_threshold=settings["iou_threshold"],
        frame_stride=settings["frame_stride"],
        verdict=verdict,
        failed_recordings=failed,
        figures=figures,
        finished_at=finished_at,
    )
