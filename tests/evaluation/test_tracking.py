"""CLEAR, identity and HOTA against TrackEval, on random sequences and on real ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vru.domain import VruError
from vru.evaluation.core.tables import DataSet, found_table, truth_table
from vru.evaluation.tracking import (
    ClearCounts,
    HotaCounts,
    IdentityCounts,
    Sequence,
    TrackingRules,
    clear,
    hota,
    identity,
    sequences_of,
)

RULES = TrackingRules()
CLEAR_NAMES = {
    "mota": "MOTA", "motp": "MOTP", "moda": "MODA", "motal": "MOTAL", "smota": "sMOTA", "recall": "CLR_Re",
    "precision": "CLR_Pr", "f1": "CLR_F1", "fppi": "FP_per_frame", "id_switches": "IDSW", "fragmentations": "Frag",
    "mostly_tracked": "MTR", "partly_tracked": "PTR", "mostly_lost": "MLR",
}  # fmt: skip
ID_NAMES = {"idf1": "IDF1", "idp": "IDP", "idr": "IDR"}
HOTA_NAMES = {
    "hota": "HOTA", "deta": "DetA", "assa": "AssA", "detre": "DetRe", "detpr": "DetPr", "assre": "AssRe",
    "asspr": "AssPr", "loca": "LocA",
}  # fmt: skip


def random_sequence(seed: int, sequences: int = 1, frames: int = 60) -> DataSet:
    """Walkers with jitter; the tracker misses some, invents some, loses and swaps identities. Half the seeds round, so
    that equal overlaps happen."""
    rng = np.random.default_rng(seed)
    truth: list[tuple[int, int, Any]] = []
    found: list[tuple[int, int, Any]] = []
    for sequence in range(sequences):
        start = rng.integers(0, frames - 5, size=rng.integers(1, 12))
        for track, first in enumerate(start.tolist()):
            box = np.array([*rng.uniform(0, 500, 2), *rng.uniform(20, 90, 2)])
            speed = rng.normal(0, 4, 2)
            said = track * 10
            for frame in range(first, min(frames, first + int(rng.integers(3, 50)))):
                box[:2] += speed
                here = box.round(-1 if seed % 2 else 3)
                truth.append((sequence * frames + frame, track, here))
                if rng.random() < 0.05:
                    said = int(rng.integers(0, 120))
                if rng.random() < 0.8:
                    found.append((sequence * frames + frame, said, here + rng.normal(0, 4, 4).round(seed % 2 * -1)))
        for _ in range(int(rng.integers(0, 60))):
            frame = sequence * frames + int(rng.integers(0, frames))
            found.append((frame, int(rng.integers(200, 205)), np.array([*rng.uniform(0, 500, 2), 40.0, 80.0])))
    seen: set[tuple[int, int]] = set()
    found = [row for row in found if (row[0], row[1]) not in seen and not seen.add((row[0], row[1]))]
    return dataset(truth, found, sequences, frames)


def dataset(truth: list[Any], found: list[Any], sequences: int, frames: int) -> DataSet:
    return DataSet(
        labels=("pedestrian",),
        sequences=tuple(f"sequence {number}" for number in range(sequences)),
        sequence=np.repeat(np.arange(sequences), frames),
        frame=np.tile(np.arange(frames), sequences),
        truth=truth_table([r[0] for r in truth], [0] * len(truth), [r[2] for r in truth], track=[r[1] for r in truth]),
        found=found_table(
            [r[0] for r in found], [0] * len(found), [r[2] for r in found], [1.0] * len(found), [r[1] for r in found]
        ),
    )


def for_trackeval(data: DataSet, number: int) -> dict[str, Any]:
    """One sequence as TrackEval's metrics take it, with TrackEval's own overlaps."""
    from trackeval.datasets._base_dataset import _BaseDataset

    result: dict[str, Any] = {"gt_ids": [], "tracker_ids": [], "similarity_scores": []}
    pictures = np.flatnonzero(data.sequence == number)
    within = [np.isin(table.picture, pictures) for table in (data.truth, data.found)]
    ids = [
        np.unique(table.track[mine], return_inverse=True)
        for table, mine in zip((data.truth, data.found), within, strict=True)
    ]
    numbers = [np.full(len(table), -1) for table in (data.truth, data.found)]
    for kind in range(2):
        numbers[kind][within[kind]] = ids[kind][1]
    for picture in pictures:
        truths, founds = np.flatnonzero(data.truth.picture == picture), np.flatnonzero(data.found.picture == picture)
        result["gt_ids"].append(numbers[0][truths])
        result["tracker_ids"].append(numbers[1][founds])
        result["similarity_scores"].append(
            _BaseDataset._calculate_box_ious(data.truth.boxes[truths], data.found.boxes[founds], box_format="xywh")
        )
    return result | {
        "num_timesteps": len(pictures),
        "num_gt_ids": len(ids[0][0]),
        "num_tracker_ids": len(ids[1][0]),
        "num_gt_dets": int(within[0].sum()),
        "num_tracker_dets": int(within[1].sum()),
    }


def by_trackeval(data: DataSet) -> dict[str, float]:
    from trackeval.metrics import CLEAR, HOTA, Identity

    result = {}
    for metric, names in (
        (CLEAR({"PRINT_CONFIG": False}), CLEAR_NAMES),
        (Identity({"PRINT_CONFIG": False}), ID_NAMES),
        (HOTA(), HOTA_NAMES),
    ):
        parts = {name: metric.eval_sequence(for_trackeval(data, number)) for number, name in enumerate(data.sequences)}
        whole = parts[data.sequences[0]] if len(parts) == 1 else metric.combine_sequences(parts)
        result |= {ours: float(np.mean(whole[theirs])) for ours, theirs in names.items()}
    return result


def ours(sequences: list[Sequence]) -> dict[str, float | None]:
    return {
        **ClearCounts.total(clear(sequence)[0] for sequence in sequences).metrics(),
        **IdentityCounts.total(identity(sequence) for sequence in sequences).metrics(),
        **HotaCounts.total(hota(sequence) for sequence in sequences).metrics(),
    }


@pytest.mark.parametrize("seed", range(20))
def test_it_equals_trackeval_on_random_sequences(seed: int) -> None:
    data = random_sequence(seed)
    assert ours(sequences_of(data, "pedestrian", RULES)) == pytest.approx(by_trackeval(data), abs=1e-12)


@pytest.mark.parametrize("seed", range(100, 104))
def test_it_equals_trackeval_on_several_sequences_together(seed: int) -> None:
    data = random_sequence(seed, sequences=4)
    assert ours(sequences_of(data, "pedestrian", RULES)) == pytest.approx(by_trackeval(data), abs=1e-12)


def read_mot(path: Path) -> list[tuple[int, int, list[float]]]:
    with path.open() as lines:
        rows = [line.split(",") for line in lines if line.strip()]
    return [(int(row[0]) - 1, int(row[1]), [float(value) for value in row[2:6]]) for row in rows]


@pytest.mark.parametrize(
    ("name", "frames", "known"),
    [
        ("TUD-Campus", 71, {"mota": 0.526462, "idf1": 0.557659, "hota": 0.391397, "id_switches": 7}),
        ("TUD-Stadtmitte", 179, {"mota": 0.564014, "idf1": 0.644619, "hota": 0.397849, "id_switches": 7}),
    ],
)
def test_it_equals_trackeval_on_real_tracks(real_tracks: Path, name: str, frames: int, known: dict[str, float]) -> None:
    data = dataset(read_mot(real_tracks / name / "gt.txt"), read_mot(real_tracks / name / "test.txt"), 1, frames)
    measured = ours(sequences_of(data, "pedestrian", RULES))
    assert measured == pytest.approx(by_trackeval(data), abs=1e-12)
    assert {key: measured[key] for key in known} == pytest.approx(known, abs=1e-6)


def test_switches_are_named() -> None:
    box = [10.0, 10, 20, 40]
    data = dataset([(t, 7, box) for t in range(4)], [(0, 1, box), (1, 1, box), (2, 2, box), (3, 2, box)], 1, 4)
    counts, switches = clear(sequences_of(data, "pedestrian", RULES)[0])
    assert counts.switches == 1
    assert [(s.frame, s.truth_id, s.before, s.after) for s in switches] == [(2, 7, 1, 2)]


def test_a_frame_without_anybody_counts_as_a_frame() -> None:
    data = dataset([], [(0, 1, [1.0, 1, 5, 5])], 1, 4)
    figures = ours(sequences_of(data, "pedestrian", RULES))
    assert figures["fppi"] == 0.25
    assert figures["mota"] is None and figures["recall"] is None and figures["idr"] is None
    assert figures["precision"] == 0


def test_distractors_take_out_what_matches_them() -> None:
    box, other = [10.0, 10, 20, 40], [200.0, 10, 20, 40]
    data = dataset([(0, 1, box), (0, 2, other)], [(0, 1, box), (0, 2, other)], 1, 1)
    data.truth.label[1] = 1
    data = DataSet(("pedestrian", "static_person"), data.sequences, data.sequence, data.frame, data.truth, data.found)
    assert ours(sequences_of(data, "pedestrian", RULES))["precision"] == 0.5
    excused = TrackingRules(distractors=frozenset({"static_person"}))
    assert ours(sequences_of(data, "pedestrian", excused))["precision"] == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0, -1, [1.0, 1, 5, 5])], "no track id"),
        ([(0, 3, [1.0, 1, 5, 5])] * 2, "Track 3 of the tracker has two boxes"),
    ],
)
def test_boxes_without_or_with_double_identity_are_refused(rows: list[Any], message: str) -> None:
    with pytest.raises(VruError, match=message):
        sequences_of(dataset([(0, 1, [1.0, 1, 5, 5])], rows, 1, 1), "pedestrian", RULES)
