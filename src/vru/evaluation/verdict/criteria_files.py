"""Criteria from a YAML or JSON file, and what their bounds may assume."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vru.domain import Comparator, Criterion, Severity, VruError

_HOW = "Write {metric: recall, comparator: '>=', threshold: 0.95}, and perhaps confidence_level, slice and severity."
_KEYS = ("metric", "comparator", "threshold", "confidence_level", "slice", "severity")
_ASSUMED = {"unseen_truth": 1.0, "unseen_false_boxes": 0.0}
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class CriteriaFile:
    """The criteria, and what the file says about units that were not seen: ``unseen_truth``, ``unseen_false_boxes``,
    as in a protocol.
    """

    criteria: tuple[Criterion, ...] = ()
    assumed: Mapping[str, float] = field(default_factory=dict)


def read_criteria(path: Path) -> CriteriaFile:
    """The criteria in a file: a list, or an object whose ``criteria`` is one, and whose ``assume`` may say more.

    Raises:
        VruError: it is no such file; the message names the criterion.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise VruError(f"{path} is larger than 1 MB.", _HOW)
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise VruError(f"The criteria in {path} cannot be read: {why}.", "Check the path.") from None
    except yaml.YAMLError as error:
        raise VruError(f"{path} is neither YAML nor JSON: {' '.join(str(error).split())}.", _HOW) from None
    assumed: Mapping[str, float] = {}
    if isinstance(document, dict) and {"criteria"} <= set(document) <= {"criteria", "assume"}:
        assumed = _assumed(document.get("assume", {}), f"{path}, assume")
        document = document["criteria"]
    if not isinstance(document, list) or not document:
        raise VruError(f"{path} holds no list of criteria.", _HOW)
    criteria = tuple(_criterion(item, f"{path}, criterion {number}") for number, item in enumerate(document, start=1))
    return CriteriaFile(criteria, assumed)


def _assumed(found: Any, where: str) -> Mapping[str, float]:
    how = "Write {unseen_truth: 2, unseen_false_boxes: 3}; docs/measuring.md says what they mean."
    if not isinstance(found, dict) or not set(found) <= set(_ASSUMED):
        raise VruError(f"{where} is {found!r}.", how)
    for name, value in found.items():
        known = isinstance(value, int | float) and not isinstance(value, bool)
        if not known or not _ASSUMED[name] <= value < float("inf"):
            raise VruError(f"{where}: {name} is {value!r}, no number of at least {_ASSUMED[name]:g}.", how)
    return {name: float(value) for name, value in found.items()}


def _criterion(item: Any, where: str) -> Criterion:
    if not isinstance(item, dict):
        raise VruError(f"{where} is {item!r}.", _HOW)
    for key in item:
        if key not in _KEYS:
            raise VruError(f"{where}: there is no key {key!r}.", f"Keys are: {', '.join(_KEYS)}.")
    for key in ("metric", "comparator", "threshold"):
        if key not in item:
            raise VruError(f"{where} has no {key}.", _HOW)
    try:
        comparator, severity = Comparator(item["comparator"]), Severity(item.get("severity", Severity.REQUIRED))
    except ValueError as error:
        raise VruError(f"{where}: {error}.", "Comparators are >= and <=, severities required and advisory.") from None
    level = item.get("confidence_level", 0.95)
    threshold = item["threshold"]
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or threshold != threshold:
        raise VruError(f"{where}: the threshold is {threshold!r}, not a number.", _HOW)
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0.5 < level < 1:
        raise VruError(f"{where}: the confidence level is {level!r}, not between 0.5 and 1.", "0.95 is usual.")
    return Criterion(
        str(item["metric"]), comparator, float(threshold), float(level), str(item.get("slice", "all")), severity
    )
