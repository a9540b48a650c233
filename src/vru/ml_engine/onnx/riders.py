"""A person on a bicycle is a cyclist, where a card says so."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vru.domain import VruClass
from vru.ml_engine.onnx.boxes import Array, Labels
from vru.ml_engine.onnx.card import RiderRule


def mount(boxes: Array, scores: Array, labels: Labels, rules: Sequence[RiderRule]) -> dict[int, tuple[VruClass, Array]]:
    """Which boxes are riders: the class and the box that each becomes. ``boxes`` come the surest first.

    A person sits on a vehicle if they share at least ``overlap`` of the width of the narrower one, the person's centre
    is above the vehicle's, and the person's lower edge lies between the vehicle's upper and lower edges, or at most a
    quarter of the vehicle's height below. Each person takes the free vehicle of which it shares the most width, the
    surest person first; nobody rides two, and none carries two.
    """
    found: dict[int, tuple[VruClass, Array]] = {}
    taken: set[int] = set()
    for person in range(len(boxes)):
        best: tuple[float, int, RiderRule] | None = None
        for rule in rules:
            if labels[person] != rule.person:
                continue
            for vehicle in np.flatnonzero((labels == rule.vehicle) & (scores >= rule.vehicle_score)).tolist():
                share = _seat(boxes[person], boxes[vehicle])
                if vehicle not in taken and share >= rule.overlap and (best is None or share > best[0]):
                    best = share, vehicle, rule
        if best is not None:
            _, vehicle, rule = best
            taken.add(vehicle)
            found[person] = rule.becomes, _joined(boxes[person], boxes[vehicle], rule.box)
    return found


def _seat(person: NDArray[np.float32], vehicle: NDArray[np.float32]) -> float:
    """Share of the narrower one's width that both have in common; 0 where the person does not sit there."""
    left, top, right, bottom = (float(edge) for edge in vehicle)
    narrower = min(person[2] - person[0], right - left)
    below = bottom + (bottom - top) / 4
    if narrower <= 0 or not top <= person[3] <= below or person[1] + person[3] >= top + bottom:
        return 0.0
    return max(0.0, float(min(person[2], right) - max(person[0], left)) / float(narrower))


def _joined(person: NDArray[np.float32], vehicle: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
    if kind == "person":
        return person
    return np.hstack([np.minimum(person[:2], vehicle[:2]), np.maximum(person[2:], vehicle[2:])])
