"""What is assumed of a unit that nobody saw: how bad it is, that the verdict says so, and that the user can say it."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from vru.cli import main
from vru.domain import VruError
from vru.evaluation.core.settings import UnseenUnit
from vru.evaluation.verdict.criteria_files import read_criteria

FRAMES = np.array([250.0, 250.0])


@pytest.mark.parametrize(
    ("assumed", "wrong", "hits", "worst"),
    [
        (UnseenUnit(), [0, 0], [100, 200], 750),
        (UnseenUnit(), [0, 5], [900, 1000], 1005),
        (UnseenUnit(), [0, 600], [0, 0], 1200),
        (UnseenUnit(false_boxes=1), [0, 5], [900, 1000], 250),
        (UnseenUnit(false_boxes=1), [0, 600], [0, 0], 1200),
    ],
)
def test_the_worst_unit_s_false_boxes(assumed: UnseenUnit, wrong: list, hits: list, worst: float) -> None:
    assert assumed.false_positives(np.array(wrong, dtype=float), FRAMES, np.array(hits, dtype=float)) == worst


def test_each_figure_says_what_it_rests_on() -> None:
    recall, fppi = (UnseenUnit().condition(metric, "clips") for metric in ("recall", "fppi"))
    assert "2 times the truth" in recall and "false boxes" not in recall
    assert "3 false boxes a frame" in fppi and "truth" not in fppi
    both = UnseenUnit(false_boxes=7).condition("precision", "images")
    assert "of images not seen" in both and "truth" in both and "7 false boxes a frame" in both


def campaign(folder: Path, pictures: int = 60) -> list[str]:
    """Independent pictures of one pedestrian each, all found, and nothing wrong."""
    names = np.random.default_rng(1).permutation(10**6)[:pictures].tolist()
    box = [10.0, 20.0, 30.0, 60.0]
    truth = {
        "images": [{"id": n, "file_name": f"{n:x}.jpg", "width": 200, "height": 100} for n in names],
        "categories": [{"id": 1, "name": "pedestrian"}],
        "annotations": [
            {"id": place + 1, "image_id": n, "category_id": 1, "bbox": box} for place, n in enumerate(names)
        ],
    }
    found = [{"image_id": n, "category_id": 1, "bbox": box, "score": 0.9} for n in names]
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "found.json").write_text(json.dumps(found))
    return ["evaluate", str(folder / "truth.json"), str(folder / "found.json"), "--independent-images", "--json", "-"]


def judged(words: list[str], criteria: str, folder: Path) -> dict:
    (folder / "criteria.yaml").write_text(criteria)
    answer = CliRunner().invoke(main, [*words, "--criteria", str(folder / "criteria.yaml")])
    assert answer.exit_code in (0, 1, 3), answer.output
    return dict(json.loads(answer.stdout))


def test_the_user_says_it_in_the_file_of_criteria_and_on_the_command_line(tmp_path: Path) -> None:
    words, rows = campaign(tmp_path), "[{metric: fppi, comparator: '<=', threshold: 0.1}]"
    usual = judged(words, rows, tmp_path)
    assert usual["verdict"] == "INCONCLUSIVE" and usual["settings"]["unseen_false_boxes"] is None
    said = judged(words, f"{{criteria: {rows}, assume: {{unseen_false_boxes: 1}}}}", tmp_path)
    assert said["verdict"] == "PASS" and "at most 1 false boxes a frame" in said["criteria"][0]["reason"]
    first = judged(
        [*words, "--unseen-false-boxes", "4"], f"{{criteria: {rows}, assume: {{unseen_false_boxes: 1}}}}", tmp_path
    )
    assert first["verdict"] == "INCONCLUSIVE" and first["settings"]["unseen_false_boxes"] == 4


@pytest.mark.parametrize("assume", ["5", "{unseen_boxes: 1}", "{unseen_truth: 0.5}", "{unseen_false_boxes: true}"])
def test_what_cannot_be_assumed_is_refused(assume: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        f"{{criteria: [{{metric: fppi, comparator: '<=', threshold: 1}}], assume: {assume}}}"
    )
    with pytest.raises(VruError, match="assume"):
        read_criteria(tmp_path / "c.yaml")
