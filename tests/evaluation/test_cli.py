"""``vru evaluate``: files in, figures, verdict and exit code out."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.evaluation.datasets import random_dataset
from click.testing import CliRunner, Result
from tests.evaluation.oracles import pycocotools_eval, run

from vru.cli import main
from vru.evaluation.cli.show import row
from vru.evaluation.core.tables import DataSet
from vru.evaluation.detection.coco import NAMES
from vru.evaluation.statistics.draws import Draws
from vru.evaluation.statistics.estimates import Fixed, Quantile, Unbounded


def vru(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def figures(*arguments: object) -> dict[str, Any]:
    result = vru(*arguments, "--json", "-")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def write_coco(folder: Path, data: DataSet) -> tuple[Path, Path]:
    truth, found = data.truth, data.found
    document = {
        "images": [{"id": number + 1, "width": 2000, "height": 2000} for number in range(data.pictures)],
        "categories": [{"id": number + 1, "name": name} for number, name in enumerate(data.labels)],
        "annotations": [
            {"id": i + 1, "image_id": int(truth.picture[i]) + 1, "category_id": int(truth.label[i]) + 1,
             "bbox": truth.boxes[i].tolist(), "area": float(truth.area[i]), "iscrowd": int(truth.crowd[i])}
            for i in range(len(truth))
        ],
    }  # fmt: skip
    results = [
        {"image_id": int(found.picture[i]) + 1, "category_id": int(found.label[i]) + 1,
         "bbox": found.boxes[i].tolist(), "score": float(found.score[i])}
        for i in range(len(found))
    ]  # fmt: skip
    (folder / "truth.json").write_text(json.dumps(document))
    (folder / "found.json").write_text(json.dumps(results))
    return folder / "truth.json", folder / "found.json"


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, DataSet]:
    data = random_dataset(pictures=60, detections=400, truths=200, classes=2, seed=4, crowd=0.05)
    return (*write_coco(tmp_path_factory.mktemp("coco"), data), data)


class TestFigures:
    def test_coco_equals_pycocotools_through_files(self, coco) -> None:
        truth, found, data = coco
        document = figures(truth, found, "--resamples", 100)
        expected = dict(zip(NAMES, run(pycocotools_eval(data)), strict=True))
        assert {name: document["metrics"][name]["value"] for name in NAMES} == pytest.approx(expected, abs=1e-9)
        assert document["protocol"]["name"] == "coco" and document["units"] == "images"
        for name in (*NAMES, "precision", "recall", "f1", "fppi"):
            entry = document["metrics"][name]
            assert set(entry) >= {"value", "low", "high", "n"}
            assert entry["low"] <= entry["value"] <= entry["high"]
        shown, said = len(set(data.truth.picture[~data.truth.crowd])), len(set(data.found.picture))
        assert document["metrics"]["recall"]["n"] == document["metrics"]["ap"]["n"] == shown < 60
        assert document["metrics"]["precision"]["n"] <= said and document["metrics"]["fppi"]["n"] == 60
        assert set(document["slices"]) == {"class:class 0", "class:class 1"}
        values = [part["ap"]["value"] for part in document["slices"].values()]
        assert values == sorted(values) and values[0] < values[1]  # the worst first
        assert document["verdict"] is None and document["criteria"] == []

    def test_the_same_twice(self, coco) -> None:
        arguments = (*coco[:2], "--resamples", 120, "--errors")
        assert figures(*arguments) == figures(*arguments)

    def test_errors_are_sorted(self, coco) -> None:
        errors = figures(*coco[:2], "--errors", "--resamples", 0)["errors"]
        assert set(errors) == {"classification", "localisation", "both", "duplicate", "background", "missed"}
        assert errors["background"]["count"] > 0 and errors["background"]["ap_gained"] > 0

    def test_real_tracks(self, real_tracks: Path) -> None:
        document = figures(real_tracks / "TUD-Campus" / "gt.txt", real_tracks / "TUD-Campus" / "test.txt")
        known = {"mota": 0.526462, "idf1": 0.557659, "hota": 0.391397, "id_switches": 7}
        assert {name: document["metrics"][name]["value"] for name in known} == pytest.approx(known, abs=1e-6)
        # One sequence says nothing about how the figures vary.
        assert document["metrics"]["mota"]["low"] is None and document["metrics"]["mota"]["n"] == 1

    def test_real_sequences_together(self, real_tracks: Path, tmp_path: Path) -> None:
        for name in ("TUD-Campus", "TUD-Stadtmitte"):
            (tmp_path / f"{name}.txt").write_bytes((real_tracks / name / "test.txt").read_bytes())
        document = figures(real_tracks, tmp_path)
        assert document["truth"]["sequences"] == 2
        assert 0.526462 < document["metrics"]["mota"]["value"] < 0.564014
        assert document["metrics"]["id_switches"]["value"] == 14

    def test_one_video_with_time_has_the_platform_s_own_figures(self, real_data: Path, tmp_path: Path) -> None:
        truth = json.loads((real_data / "annotations.coco.json").read_text())
        found = [
            {name: item[name] for name in ("image_id", "category_id", "bbox")} | {"score": 0.9}
            for item in truth["annotations"]
        ]
        (tmp_path / "found.json").write_text(json.dumps(found))
        metrics = figures(
            real_data / "annotations.coco.json", tmp_path / "found.json", "--protocol", "default", "--resamples", 100
        )["metrics"]
        assert metrics["track_recall"]["value"] == 1 and metrics["track_recall"]["n"] == 6
        assert metrics["latency_median_ms"]["value"] == 0 and metrics["false_alarms_per_minute"]["value"] == 0
        assert metrics["ap"]["value"] == pytest.approx(1) and metrics["lamr"]["value"] == pytest.approx(1e-10)

    def test_kitti(self, tmp_path: Path) -> None:
        label = "Pedestrian 0.00 0 -10 10 10 30 70 -1 -1 -1 -1000 -1000 -1000 -10"
        for name, text in (("truth", label), ("found", f"{label} 0.9")):
            (tmp_path / name).mkdir()
            for number in range(50):
                (tmp_path / name / f"{number:06d}.txt").write_text(text + "\n")
        metrics = figures(tmp_path / "truth", tmp_path / "found")["metrics"]
        assert metrics["ap"]["value"] == metrics["ap_pedestrian_easy"]["value"] == 1
        assert metrics["ap_cyclist_easy"]["value"] is None

    def test_yolo_without_the_pictures_size_says_nothing_about_sizes(self, tmp_path: Path) -> None:
        for name, text in (("truth", "0 0.5 0.5 0.2 0.4"), ("found", "0 0.5 0.5 0.2 0.4 0.9")):
            (tmp_path / name).mkdir()
            (tmp_path / name / "a.txt").write_text(text)
        document = figures(tmp_path / "truth", tmp_path / "found")
        assert document["metrics"]["ap"]["value"] == pytest.approx(1)
        assert document["metrics"]["ap_small"]["value"] is None
        assert any("--size" in note for note in document["notes"])
        assert figures(tmp_path / "truth", tmp_path / "found", "--size", "100x100")["metrics"]["ap_small"]["value"]


class TestVerdict:
    @pytest.mark.parametrize(
        ("criteria", "code", "verdict"),
        [
            ("- {metric: ap50, comparator: '>=', threshold: 0.05}", 0, "PASS"),
            ("- {metric: recall, comparator: '>=', threshold: 0.99}", 1, "FAIL"),
            ("- {metric: ece, comparator: '<=', threshold: 0.2}", 3, "INCONCLUSIVE"),
            ('[{"metric": "recall", "comparator": ">=", "threshold": 0.1, "slice": "class:class 1"}]', 0, "PASS"),
            ("criteria: [{metric: recall, comparator: '>=', threshold: 0.99, severity: advisory}]", 3, "INCONCLUSIVE"),
        ],
    )
    def test_exit_codes(self, coco, tmp_path: Path, criteria: str, code: int, verdict: str) -> None:
        (tmp_path / "criteria.yaml").write_text(criteria)
        out = tmp_path / "out.json"
        result = vru(
            *coco[:2], "--criteria", tmp_path / "criteria.yaml", "--json", out, "--resamples", 100
        )  # fmt: skip
        assert result.exit_code == code, result.output
        document = json.loads(out.read_text())
        assert document["verdict"] == verdict and f"verdict: {verdict}" in result.output
        (criterion,) = document["criteria"]
        assert criterion["verdict"] in ("PASS", "FAIL", "INCONCLUSIVE") and criterion["reason"]
        assert set(criterion) >= {"metric", "value", "low", "high", "n", "threshold"}

    def test_one_sequence_of_tracks_decides_little(self, real_tracks: Path, tmp_path: Path) -> None:
        (tmp_path / "c.yaml").write_text("- {metric: mota, comparator: '>=', threshold: 0.5}")
        folder = real_tracks / "TUD-Campus"
        result = vru(folder / "gt.txt", folder / "test.txt", "--criteria", tmp_path / "c.yaml")
        assert result.exit_code == 3, result.output

    @pytest.mark.parametrize(
        ("criteria", "message"),
        [
            ("- {metric: beauty, comparator: '>=', threshold: 1}", "There is no metric 'beauty'"),
            ("- {metric: ap, comparator: '>=', threshold: 1, slice: rain}", "There is no slice 'rain'"),
            ("- {metric: ap, comparator: '>', threshold: 1}", "criterion 1: '>' is not a valid"),
            ("- {metric: ap, comparator: '>='}", "criterion 1 has no threshold"),
            ("- {metric: ap, comparator: '>=', threshold: .nan}", "the threshold is nan"),
            ("- {metric: ap, comparator: '>=', threshold: 1, when: now}", "no key 'when'"),
            ("- {metric: ap, comparator: '>=', threshold: 1, confidence_level: 1}", "confidence level is 1"),
            ("[]", "holds no list of criteria"),
            ("a: [", "neither YAML nor JSON"),
        ],
    )
    def test_wrong_criteria_are_named(self, coco, tmp_path: Path, criteria: str, message: str) -> None:
        (tmp_path / "criteria.yaml").write_text(criteria)
        result = vru(*coco[:2], "--criteria", tmp_path / "criteria.yaml", "--resamples", 0)
        assert result.exit_code == 2 and message in result.output


class TestBadInput:
    def test_another_video_is_refused_and_nothing_is_written(self, real_tracks: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.json"
        result = vru(
            real_tracks / "TUD-Campus" / "gt.txt", real_tracks / "TUD-Stadtmitte" / "test.txt", "--json", out
        )  # fmt: skip
        assert result.exit_code == 2 and "the truth's last frame is 71" in result.output
        assert not out.exists()

    @pytest.mark.parametrize("option", [["--size", "big"], ["--protocol", "nothing"], ["--resamples", "-1"]])
    def test_wrong_usage(self, coco, option: list[str]) -> None:
        assert vru(*coco[:2], *option).exit_code == 2

    def test_truth_without_tracks_cannot_be_tracked(self, coco) -> None:
        result = vru(*coco[:2], "--protocol", "mot")
        assert result.exit_code == 2 and "no track id" in result.output

    def test_an_output_that_cannot_be_written(self, coco) -> None:
        result = vru(*coco[:2], "--resamples", 0, "--json", "/nowhere/out.json")
        assert result.exit_code == 2 and "cannot be written" in result.output


def test_without_the_extra_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['numpy'] = None; from vru.cli import main; main(['evaluate', 'a', 'b'])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "pip install 'vru-platform[evaluation]'" in ended.stderr


def test_the_root_command_loads_no_numpy() -> None:
    program = (
        "import sys; from click.testing import CliRunner; from vru.cli import main; "
        "assert 'evaluate' in CliRunner().invoke(main, ['--help']).output; assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_empty_predictions_are_noted(coco, tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text("[]")
    result = vru(coco[0], tmp_path / "none.json", "--resamples", 0)
    assert result.exit_code == 0 and "note: The predictions are empty: everybody was missed." in result.output


def test_times_counts_and_one_sided_intervals_read_well() -> None:
    times = np.array([0.0, 40.0, 80.0])
    quantile = Quantile(80.0, 0.95, times, times, np.arange(3), Draws(3, 1000), 1.0)
    assert row("latency_p95_ms", quantile)[1:] == ("80.0", "from 40.0", "3 clips")
    assert row("tracks_not_evaluated", Fixed(0.0, 1, "tracks"))[1:] == ("0", "0 to 0", "1 track")
    assert row("recall", Unbounded(1.0, 2, "clips"))[1:] == ("1.0000", "-", "2 clips")
