"""``vru evaluate TRUTH SIGNALS --protocol camera``: files in, figures, verdict and exit code out."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from vru.cli import main
from vru.evaluation.camera import CAMERA_METRICS

OFFSET_NS = 3_000_000_000
TRACKS = 120


def vru(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments), "--protocol", "camera", "--resamples", "200"])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Two minutes at 10 frames a second; a pedestrian each second for 0.5 s, signalled after 30 ms; exact markers."""
    folder = tmp_path_factory.mktemp("camera")
    truth = {
        "videos": [{"id": 1, "name": "minute"}],
        "images": [
            {"id": n + 1, "video_id": 1, "frame_index": n, "timestamp_s": n / 10, "width": 640, "height": 480}
            for n in range(TRACKS * 10)
        ],
        "categories": [{"id": 1, "name": "pedestrian"}],
        "annotations": [
            {"id": t * 10 + f + 1, "image_id": t * 10 + f + 1, "category_id": 1, "track_id": t, "bbox": [9, 9, 20, 60]}
            for t in range(TRACKS)
            for f in range(6)
        ],
    }  # fmt: skip
    (folder / "truth.json").write_text(json.dumps(truth))
    times = [OFFSET_NS + t * 1_000_000_000 + 30_000_000 for t in range(TRACKS)]
    (folder / "signals.csv").write_text(
        "time_ns,kind,class,video\n" + "".join(f"{time},udp,pedestrian,minute\n" for time in times)
    )
    noise = np.random.default_rng(0).normal(0, 1e6, 30).astype(int).tolist()
    (folder / "markers.csv").write_text(
        "media_s,time_ns\n" + "".join(f"{n * 2},{OFFSET_NS + n * 2_000_000_000 + noise[n]}\n" for n in range(30))
    )
    return folder / "truth.json", folder / "signals.csv", folder / "markers.csv"


def test_figures(files: tuple[Path, Path, Path]) -> None:
    truth, signals, markers = files
    result = vru(truth, signals, "--markers", markers, "--json", "-")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    metrics = document["metrics"]
    assert list(metrics) == list(CAMERA_METRICS)
    assert metrics["track_recall"]["value"] == 1 and metrics["track_recall"]["n"] == TRACKS / 10
    assert metrics["latency_median_ms"]["value"] == pytest.approx(30, abs=1)
    assert metrics["latency_median_ms"]["low"] < 30 < metrics["latency_median_ms"]["high"]
    assert metrics["offset_ms"]["value"] == pytest.approx(3000, abs=1)
    assert metrics["offset_ms"]["low"] < 3000 < metrics["offset_ms"]["high"]
    assert metrics["offset_jitter_ms"]["value"] == pytest.approx(1, abs=0.4)
    assert metrics["precision"]["value"] == 1 and metrics["false_alarms_per_minute"]["value"] == 0
    assert metrics["latency_drift_ppm"]["unit"] == "ppm"
    assert document["predictions"]["signals"] == TRACKS and document["verdict"] is None


@pytest.mark.parametrize(
    ("threshold", "uncertainty", "code"), [(50, 1, 0), (50, 30, 3), (20, 1, 1)], ids=["pass", "inconclusive", "fail"]
)
def test_the_uncertainty_of_the_offset_decides(
    files: tuple[Path, Path, Path], tmp_path: Path, threshold: float, uncertainty: float, code: int
) -> None:
    (tmp_path / "c.yaml").write_text(f"- {{metric: latency_median_ms, comparator: '<=', threshold: {threshold}}}")
    truth, signals, _ = files
    offset = ("--offset-ns", OFFSET_NS, "--offset-uncertainty-ms", uncertainty)
    result = vru(truth, signals, *offset, "--criteria", tmp_path / "c.yaml")
    assert result.exit_code == code, result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "are not joined"),
        (["--offset-ns", OFFSET_NS], "are not joined"),
        (["--offset-ns", 10**15, "--offset-uncertainty-ms", 1], "None of the 120 signals lies in the video"),
        (["--markers", "{signals}"], "line 1 has no media_s"),
    ],
)
def test_clocks_that_are_not_joined(files: tuple[Path, Path, Path], options: list, message: str) -> None:
    truth, signals, _ = files
    result = vru(truth, signals, *(str(option).format(signals=signals) for option in options))
    assert result.exit_code == 2 and message in result.output


def test_a_recording_of_another_video(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    truth, signals, markers = files
    (tmp_path / "s.csv").write_text(signals.read_text().replace("minute", "hour"))
    result = vru(truth, tmp_path / "s.csv", "--markers", markers)
    assert result.exit_code == 2 and "line 2 is of video 'hour'" in result.output
