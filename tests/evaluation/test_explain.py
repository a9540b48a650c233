"""``vru explain``: each tool's average precision against its definition, and steps that add up."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.evaluation.datasets import random_dataset
from click.testing import CliRunner
from tests.evaluation.oracles import pycocotools_eval, run

from vru.cli import main
from vru.domain import Box, iou
from vru.evaluation.cli.run_explain import explained
from vru.evaluation.core.tables import DataSet, found_table, truth_table
from vru.evaluation.study.explain import COCO, TOOLS, average_precision, steps


def data(seed: int, *, tied: bool = False) -> DataSet:
    made = random_dataset(pictures=40, detections=900, truths=200, classes=3, seed=seed, crowd=0.1, tied=tied)
    marked = np.random.default_rng(seed).random(200) < 0.1
    return replace(made, truth=replace(made.truth, ignore=marked))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tied", [False, True])
def test_cocos_rules_give_pycocotools_figure(seed: int, tied: bool) -> None:
    of = data(seed, tied=tied)
    assert average_precision(of, COCO) == pytest.approx(run(pycocotools_eval(of))[1], abs=1e-9)


def voc(of: DataSet, points: int | None) -> float:
    """The devkit's definition: detections by falling score; the best truth box, right the first time it is found."""
    values = []
    for label in range(len(of.labels)):
        boxes = [n for n in range(len(of.truth)) if of.truth.label[n] == label]
        easy = [n for n in boxes if not of.truth.ignore[n]]
        if not easy:
            continue
        found: set[int] = set()
        hits, wrongs, curve = 0, 0, [(0.0, 0.0)]
        mine = [n for n in range(len(of.found)) if of.found.label[n] == label]
        for number in sorted(mine, key=lambda n: -of.found.score[n]):
            own = [n for n in boxes if of.truth.picture[n] == of.found.picture[number]]
            shared = [iou(Box(*of.found.boxes[number]), Box(*of.truth.boxes[n])) for n in own]
            best = int(np.argmax(shared)) if own else -1
            if own and shared[best] >= 0.5:
                if of.truth.ignore[own[best]]:
                    continue
                hits, wrongs = (hits + 1, wrongs) if own[best] not in found else (hits, wrongs + 1)
                found.add(own[best])
            else:
                wrongs += 1
            curve.append((hits / len(easy), hits / (hits + wrongs)))
        if points is not None:
            at = np.linspace(0, 1, points)
            values.append(np.mean([max((p for r, p in curve if r >= recall), default=0.0) for recall in at]))
        else:
            recalls = sorted({r for r, _ in curve})
            values.append(
                sum(
                    (r - before) * max(p for other, p in curve if other >= r)
                    for before, r in itertools.pairwise(recalls)
                )
            )
    return float(np.mean(values))


@pytest.mark.parametrize("seed", range(3))
def test_vocs_rules_give_the_definitions_figure(seed: int) -> None:
    of = data(seed)
    assert average_precision(of, TOOLS["VOC, 11 points"]) == pytest.approx(voc(of, 11), abs=1e-9)
    assert average_precision(of, TOOLS["VOC, all points"]) == pytest.approx(voc(of, None), abs=1e-9)


def test_steps_add_up_to_the_tools_figure() -> None:
    of = data(9)
    content = explained(of)
    assert content["ours"] == pytest.approx(content["tools"]["pycocotools"]["ap50"], abs=1e-9)
    for name, rules in TOOLS.items():
        tool = content["tools"][name]
        total = sum(step["points"] for step in tool["steps"])
        assert total == pytest.approx(100 * (tool["ap50"] - content["tools"]["pycocotools"]["ap50"]), abs=1e-9)
        assert len(tool["steps"]) == len(steps(of, rules))


def one(scores: list[float], boxes: list[list[float]], pictures: list[int] | None = None) -> DataSet:
    """One pedestrian in picture 0; picture 1 is empty; nobody is a cyclist."""
    return DataSet(
        ("pedestrian", "cyclist"),
        ("0", "1"),
        np.arange(2),
        np.zeros(2, dtype=np.int64),
        truth_table([0], [0], [[0, 0, 10, 10]]),
        found_table(pictures or [0] * len(scores), [0] * len(scores), boxes, scores),
    )


def test_each_rule_by_hand() -> None:
    twice = one([0.9, 0.8], [[0, 0, 10, 9], [0, 0, 10, 10]])
    assert average_precision(twice, COCO) == pytest.approx(1)
    # Two road users close together: the second box overlaps the one most that is taken, and the other enough.
    close = one([0.9, 0.8], [[0, 0, 10, 10], [1, 0, 10, 10]])
    close = replace(close, truth=truth_table([0, 0], [0, 0], [[0, 0, 10, 10], [3, 0, 10, 10]]))
    assert average_precision(close, COCO) == pytest.approx(1)
    assert average_precision(close, replace(COCO, matching="voc")) == pytest.approx(51 / 101)
    empty = one([0.9, 0.8], [[0, 0, 10, 10], [0, 0, 10, 10]], [1, 0])
    assert average_precision(empty, COCO) == pytest.approx(0.5)
    assert average_precision(empty, replace(COCO, empty_pictures=False)) == pytest.approx(1)
    assert average_precision(twice, replace(COCO, absent="zero")) == pytest.approx(0.5)
    assert average_precision(twice, replace(COCO, confidence=0.95)) == 0
    assert average_precision(twice, replace(COCO, most_per_picture=0)) == 0


def test_the_command(tmp_path: Path) -> None:
    truth = {
        "images": [{"id": n, "file_name": f"f_{n}.jpg", "width": 640, "height": 480} for n in range(5)],
        "categories": [{"id": 1, "name": "pedestrian"}],
        "annotations": [{"image_id": n, "category_id": 1, "bbox": [10, 10, 40, 90]} for n in range(5)],
    }
    found = [{"image_id": n, "category_id": 1, "bbox": [10, 10, 40, 80], "score": 0.1 + n / 10} for n in range(5)]
    (tmp_path / "t.json").write_text(json.dumps(truth))
    (tmp_path / "p.json").write_text(json.dumps(found))
    result = CliRunner().invoke(main, ["explain", str(tmp_path / "t.json"), str(tmp_path / "p.json")])
    assert result.exit_code == 0 and "VOC, 11 points" in result.output and "confidence cut at 0.25" in result.output
    document = CliRunner().invoke(
        main, ["explain", str(tmp_path / "t.json"), str(tmp_path / "p.json"), "--json", "-"]
    )  # fmt: skip
    content = json.loads(document.stdout)
    assert content["ours"] == 1 and content["habits"]["confidence cut at 0.25"] == pytest.approx(0.6, abs=0.01)
    truth["annotations"] = []
    (tmp_path / "t.json").write_text(json.dumps(truth))
    nothing = CliRunner().invoke(main, ["explain", str(tmp_path / "t.json"), str(tmp_path / "p.json")])
    assert nothing.exit_code == 2 and "no average precision to explain" in nothing.output
