"""``vru evidence recompute``: the figures again, from what is in the evidence, by the function that a worker calls."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vru.domain import RunKind, VruError
from vru.evaluation import Frames
from vru.reports.evidence import (
    DETECTIONS,
    FINDINGS,
    FRAMES,
    MANIFEST,
    MARKERS,
    METRICS,
    RECORDING,
    RUN,
    SIGNALS,
    TRUTH,
    VERDICT,
    read_file,
    read_json,
    read_lines,
)
from vru.service.schemas import CameraRunSettings, CriterionBody, RunSettings, SetAsideClip
from vru.validation_engine import data_set_completion
from vru.validation_engine.analysis import Analysing, Analysis
from vru.validation_engine.camera_runs import RecordingFacts, analyse_signals, read_recording
from vru.validation_engine.detectors import imported_note
from vru.validation_engine.packing import cut, to_detection, to_roster, to_truth

# Frames that are evaluated at a time; the figures do not depend on it.
_AT_ONCE = 300


def differences(path: Path) -> list[str]:
    """Where the figures and the verdict of a verified evidence file differ from what it takes to be their source.

    Raises:
        VruError: a part is missing, or cannot be evaluated.
    """
    try:
        run, stated = read_json(path, RUN), read_json(path, METRICS)
        verdict = read_json(path, VERDICT)
        # Evidence of releases before has no findings.
        findings = read_json(path, FINDINGS) if FINDINGS in read_json(path, MANIFEST)["files"] else None
        analysis = _again(path, run)
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise VruError(f"The evidence cannot be evaluated: {error}.", "Use the version that made it.") from error
    again = {"verdict": str(analysis.verdict), "criteria": analysis.reasons}
    return [
        *_differ("metrics", stated, analysis.metrics),
        *_differ("verdict", verdict, again),
        *_differ("notes", run["notes"], analysis.notes),
        *(_differ("findings", findings, analysis.findings) if findings is not None else ()),
    ]


def _again(path: Path, run: Mapping[str, Any]) -> Analysis:
    if run.get("data_set_version"):
        return data_set_completion.again(path, run)
    times = [float(seconds) for seconds in read_lines(path, FRAMES)]
    return _camera(path, run, times) if run["kind"] == RunKind.CAMERA else _model(path, run, times)


def _model(path: Path, run: Mapping[str, Any], times: Sequence[float]) -> Analysis:
    settings = RunSettings.model_validate(run["settings"])
    boxes = read_lines(path, TRUTH)
    head = next(boxes)
    frames = Frames.every(settings.frame_stride, times)
    set_aside = [SetAsideClip.model_validate(row) for row in run["set_aside"]]
    inputs = read_json(path, MANIFEST)["inputs"]
    predictions, video = inputs.get("predictions"), inputs["video"]["name"]
    notes = [imported_note(predictions["made_by"])] if predictions else []
    analysing = Analysing(to_roster(head), frames, settings, _criteria(run), run["model"], set_aside, notes, video)
    for shown, found in zip(
        cut(boxes, len(times), _AT_ONCE), cut(read_lines(path, DETECTIONS), len(times), _AT_ONCE), strict=True
    ):
        analysing.add(to_truth(head, shown), [to_detection(row) for row in found])
    return analysing.result()


def _camera(path: Path, run: Mapping[str, Any], times: Sequence[float]) -> Analysis:
    settings = CameraRunSettings.model_validate(run["settings"])
    facts = RecordingFacts.model_validate(read_json(path, RECORDING))
    with tempfile.TemporaryDirectory(prefix="vru-evidence-") as folder:
        signals = Path(folder, "signals")
        signals.write_bytes(read_file(path, SIGNALS))
        markers = None
        if facts.markers_sha256 is not None:
            markers = Path(folder, "markers")
            markers.write_bytes(read_file(path, MARKERS))
        recorded = read_recording(facts, signals, markers)
    boxes = read_lines(path, TRUTH)
    truth = to_truth(next(boxes), boxes)
    return analyse_signals(truth, recorded, times, settings, _criteria(run))


def _criteria(run: Mapping[str, Any]) -> list[CriterionBody]:
    return [CriterionBody.model_validate(row) for row in run["criteria"]]


def _differ(place: str, stated: Any, again: Any) -> list[str]:
    if isinstance(stated, dict) and isinstance(again, dict) and stated.keys() == again.keys():
        return [line for name in stated for line in _differ(f"{place}.{name}", stated[name], again[name])]
    if isinstance(stated, list) and isinstance(again, list | tuple) and len(stated) == len(again):
        pairs = enumerate(zip(stated, again, strict=True))
        return [line for at, (one, other) in pairs for line in _differ(f"{place}[{at}]", one, other)]
    return [] if stated == again else [f"{place}: stated {stated!r}, computed {again!r}"]
