"""``vru evidence recompute``: the figures again, from what is in the evidence, by the function that a worker calls."""

from pathlib import Path
from typing import Any

from vru.domain import VruError
from vru.reports.evidence import DETECTIONS, FRAMES, METRICS, RUN, TRUTH, VERDICT, read_json, read_lines
from vru.service.schemas import CriterionBody, RunSettings, SetAsideClip
from vru.validation_engine.analysis import analyse
from vru.validation_engine.packing import to_detection, to_truth


def differences(path: Path) -> list[str]:
    """Where the figures and the verdict of a verified evidence file differ from what it takes to be their source.

    Raises:
        VruError: a part is missing, or cannot be evaluated.
    """
    try:
        run, stated = read_json(path, RUN), read_json(path, METRICS)
        verdict = read_json(path, VERDICT)
        times = [float(seconds) for seconds in read_lines(path, FRAMES)]
        settings = RunSettings.model_validate(run["settings"])
        truth = to_truth(read_lines(path, TRUTH))
        detections = [to_detection(row) for row in read_lines(path, DETECTIONS)]
        frames = {index: times[index] for index in range(0, len(times), settings.frame_stride)}
        criteria = [CriterionBody.model_validate(row) for row in run["criteria"]]
        set_aside = [SetAsideClip.model_validate(row) for row in run["set_aside"]]
        analysis = analyse(truth, detections, frames, settings, criteria, run["model"], set_aside)
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise VruError(f"The evidence cannot be evaluated: {error}.", "Use the version that made it.") from error
    again = {"verdict": str(analysis.verdict), "criteria": analysis.reasons}
    return [
        *_differ("metrics", stated, analysis.metrics),
        *_differ("verdict", verdict, again),
        *_differ("notes", run["notes"], analysis.notes),
    ]


def _differ(place: str, stated: Any, again: Any) -> list[str]:
    if isinstance(stated, dict) and isinstance(again, dict) and stated.keys() == again.keys():
        return [line for name in stated for line in _differ(f"{place}.{name}", stated[name], again[name])]
    if isinstance(stated, list) and isinstance(again, list | tuple) and len(stated) == len(again):
        pairs = enumerate(zip(stated, again, strict=True))
        return [line for at, (one, other) in pairs for line in _differ(f"{place}[{at}]", one, other)]
    return [] if stated == again else [f"{place}: stated {stated!r}, computed {again!r}"]
