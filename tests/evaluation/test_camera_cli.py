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


def test_a_warning_that_a_bus_repeats(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """Each warning is sent for 300 ms, every 20 ms; one, when nobody is there, for 0.9 s: 46 messages."""
    truth, _, markers = files
    begins = [(t + 0.03, 15) for t in range(TRACKS - 1)]
    rows = sorted(OFFSET_NS + round((start + 0.02 * k) * 1e9) for start, count in begins for k in range(count))
    rows = [time for time in rows if not OFFSET_NS + 50 * 10**9 <= time < OFFSET_NS + 52 * 10**9]
    false = [OFFSET_NS + 50 * 10**9 + 700_000_000 + 20_000_000 * k for k in range(46)]
    path = tmp_path / "can.csv"
    path.write_text("time_ns,kind,class\n" + "".join(f"{time},can,pedestrian\n" for time in sorted(rows + false)))

    def measured(*options: object) -> dict:
        result = vru(truth, path, "--markers", markers, "--json", "-", *options)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    each, held = measured(), measured("--hold-ms", "25")
    assert each["metrics"]["false_alarm_signals"]["value"] + each["metrics"]["early_signals"]["value"] > 10
    assert any("--hold-ms 200" in note for note in each["notes"])
    assert held["metrics"]["false_alarm_signals"]["value"] + held["metrics"]["early_signals"]["value"] == 1
    assert held["metrics"]["latency_median_ms"]["value"] == pytest.approx(30, abs=1)
    assert any("goes on with it" in note for note in held["notes"])
    assert held["settings"]["hold_ms"] == 25


def test_a_silent_device_has_missed_everybody(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    truth, _, markers = files
    (tmp_path / "s.csv").write_text("time_ns,kind,class\n")
    (tmp_path / "c.yaml").write_text("- {metric: track_recall, comparator: '>=', threshold: 0.5}")
    result = vru(truth, tmp_path / "s.csv", "--markers", markers, "--criteria", tmp_path / "c.yaml", "--json", "-")
    assert result.exit_code == 1, result.output
    document = json.loads(result.stdout)
    assert document["metrics"]["track_recall"]["value"] == 0
    assert any("The predictions are empty" in note for note in document["notes"])
