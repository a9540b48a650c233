"""Agreement of two annotations, and what wrong labels do."""

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.evaluation.datasets import random_dataset
from click.testing import CliRunner, Result

from vru.cli import main
from vru.domain import VruError
from vru.evaluation.core.tables import DataSet, found_table, truth_table
from vru.evaluation.study.truth_quality import (
    agreement,
    cohens_kappa,
    krippendorffs_alpha,
    side_by_side,
    with_noise,
)


def video(boxes: list[tuple[int, int, int, float]], other: list[tuple[int, int, int, float]]) -> DataSet:
    """Boxes of 20 x 40 at (frame, class, track, x); the second annotation's in the place of detections."""
    frames = 10

    def columns(rows: list[tuple[int, int, int, float]]) -> tuple[list[int], list[int], list[list[float]], list[int]]:
        return [r[0] for r in rows], [r[1] for r in rows], [[r[3], 10, 20, 40] for r in rows], [r[2] for r in rows]

    picture, label, where, track = columns(boxes)
    truth = truth_table(picture, label, where, track=track)
    picture, label, where, track = columns(other)
    found = found_table(picture, label, where, [1.0] * len(other), track)
    order = np.zeros(frames, dtype=np.int64), np.arange(frames)
    return DataSet(("pedestrian", "cyclist"), ("v",), *order, truth, found)


def test_the_same_annotation_agrees_with_itself() -> None:
    rows = [(frame, frame % 2, frame % 2, 10.0 + 50 * (frame % 2)) for frame in range(10)]
    found = agreement(video(rows, rows))
    assert (found.box_agreement, found.mean_iou, found.class_share, found.kappa, found.alpha) == (1, 1, 1, 1, 1)
    assert found.disagreements == () and found.split_tracks == () and found.boxes == (10, 10)


def test_disagreements_are_named() -> None:
    ours = [(0, 0, 1, 10.0), (1, 0, 1, 10.0), (2, 0, 1, 10.0), (3, 0, 2, 100.0)]
    theirs = [(0, 0, 5, 10.0), (1, 1, 6, 15.0), (2, 0, 6, 10.0), (4, 1, 7, 200.0)]
    found = agreement(video(ours, theirs))
    assert (found.matched, found.box_agreement) == (3, 6 / 8)
    # Shifted by 5 of 20 pixels: 15 / 25.
    assert found.mean_iou == pytest.approx((1 + 0.6 + 1) / 3)
    assert found.split_tracks == (("v", 1, 2),) and found.joined_tracks == ()
    assert [(item.kind, item.frame, item.track, item.label, item.other_label) for item in found.disagreements] == [
        ("class", 1, 1, "pedestrian", "cyclist"), ("only in A", 3, 2, "pedestrian", ""),
        ("only in B", 4, 7, "cyclist", ""),
    ]  # fmt: skip


def test_kappa_and_alpha_by_hand() -> None:
    # Cohen's own kind of table: 20 both yes, 15 both no, 5 and 10 apart: po = 0.7, pe = 0.5.
    first = np.array([0] * 25 + [1] * 25)
    second = np.array([0] * 20 + [1] * 5 + [0] * 10 + [1] * 15)
    assert cohens_kappa(first, second) == pytest.approx(0.4)
    # Values: 55 yes and 45 no; Do = 0.3, De = 2 * 55 * 45 / (100 * 99) = 0.5.
    assert krippendorffs_alpha(first, second) == pytest.approx(0.4)
    one = np.zeros(5, dtype=np.int64)
    assert cohens_kappa(one, one) is None and krippendorffs_alpha(one, one) is None
    assert cohens_kappa(one[:0], one[:0]) is None and krippendorffs_alpha(one[:0], one[:0]) is None


def test_nothing_to_compare_is_none() -> None:
    found = agreement(video([], []))
    assert found.box_agreement is found.mean_iou is found.kappa is found.class_share is None


def test_classes_and_pictures_are_matched_by_name() -> None:
    first, second = video([(0, 0, 1, 10.0)], []), video([(0, 1, 1, 10.0)], [])
    swapped = DataSet(("cyclist", "Pedestrian"), ("w",), second.sequence, second.frame, second.truth, second.found)
    assert agreement(side_by_side(first, swapped)).class_share == 1
    shorter = DataSet(first.labels, ("v",), first.sequence[1:], first.frame[1:], truth_table([], [], []), first.found)
    with pytest.raises(VruError, match="Frame 0 is in B and not in A"):
        side_by_side(shorter, first)


def test_noise_is_of_the_stated_size_and_repeats() -> None:
    data = random_dataset(pictures=500, detections=10, truths=20_000, classes=4, seed=1)
    noisy = with_noise(data, 0.1, seed=3)
    assert 1 - len(noisy.truth) / len(data.truth) == pytest.approx(0.05, abs=0.005)
    same = with_noise(data, 0.1, seed=3)
    assert (noisy.truth.boxes == same.truth.boxes).all() and (noisy.truth.label == same.truth.label).all()
    before, after = np.bincount(data.truth.label), np.bincount(noisy.truth.label)
    assert (before != after).all()
    untouched = with_noise(data, 0.0, seed=3)
    assert (untouched.truth.boxes == data.truth.boxes).all() and len(untouched.truth) == len(data.truth)
    with pytest.raises(VruError):
        with_noise(data, 1.5, seed=0)


def vru(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["truth", *map(str, arguments)])


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """100 images of one road user, all found; a second annotation that lacks one and moves one."""
    box = [100, 100, 40, 80]
    document = {
        "images": [{"id": number, "width": 640, "height": 480} for number in range(1, 101)],
        "categories": [{"id": 1, "name": "pedestrian"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "bbox": box, "area": 3200, "iscrowd": 0} for n in range(1, 101)
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(document))
    found = [{"image_id": n, "category_id": 1, "bbox": box, "score": 0.9} for n in range(1, 101)]
    (tmp_path / "found.json").write_text(json.dumps(found))
    document["annotations"][4]["bbox"] = [110, 100, 40, 80]
    del document["annotations"][50]
    (tmp_path / "b.json").write_text(json.dumps(document))
    return tmp_path


def test_agreement_of_files(files: Path) -> None:
    result = vru("agreement", files / "a.json", files / "b.json", "--json", "-")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["matched"] == 99 and document["kappa"] is None
    assert document["mean_iou"] == pytest.approx((98 + 0.6) / 99)
    assert [item["kind"] for item in document["disagreements"]] == ["only in A"]
    shown = vru("agreement", files / "a.json", files / "b.json")
    assert "100 and 99, 99 matched" in shown.output and "only in A" in shown.output


def test_a_close_verdict_flips_with_noise_and_a_clear_one_does_not(files: Path) -> None:
    (files / "c.yaml").write_text(
        "assume: {unseen_false_boxes: 1}\n"
        "criteria:\n"
        "- {metric: precision, comparator: '>=', threshold: 0.96}\n"
        "- {metric: recall, comparator: '>=', threshold: 0.5}\n"
    )
    result = vru(
        "noise", files / "a.json", files / "found.json", "--criteria", files / "c.yaml", "--json", "-"
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    worst = document["label_noise"][-1]
    assert document["verdict"] == "PASS" and worst["noise"] == 0.1
    assert worst["flipped"]["precision >= 0.96 (all)"] >= 0.6
    assert worst["flipped"]["recall >= 0.5 (all)"] == 0
    assert "Share of rounds" in vru(
        "noise", files / "a.json", files / "found.json", "--criteria", files / "c.yaml", "--rounds", 1
    ).output  # fmt: skip


def test_noise_knows_the_slices_of_the_criteria(files: Path) -> None:
    (files / "c.yaml").write_text("- {metric: recall, comparator: '>=', threshold: 0.5, slice: 'size:medium'}")
    result = vru("noise", files / "a.json", files / "found.json", "--criteria", files / "c.yaml", "--rounds", 1)
    assert result.exit_code == 0, result.output
    assert "recall >= 0.5" in result.output and "verdict: PASS" in result.output
