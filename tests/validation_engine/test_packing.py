"""Evidence is packed clip by clip: the same bytes, and the same memory however long the video is."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.evaluation.long_video import pieces
from tests.validation_engine.long_run import packed

from vru.reports.container import pack
from vru.reports.evidence import DETECTIONS, MANIFEST, REPORT, RUN, TRUTH, read_lines
from vru.validation_engine.packing import open_contents, to_detection, to_roster, to_truth

# Bytes: the boxes of 18 minutes would be 170 MB.
MOST = 12_000_000


def made(folder: Path, at_once: int) -> dict[str, bytes]:
    folder.mkdir()
    packed(folder, 500, at_once)
    # The time at which it was finished is in these.
    dated = {RUN, REPORT, MANIFEST}
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in dated}


def test_the_same_bytes_from_clips_of_any_length(tmp_path: Path) -> None:
    whole = made(tmp_path / "whole", 500)
    assert made(tmp_path / "7", 7) == made(tmp_path / "300", 300) == whole
    assert {DETECTIONS, TRUTH} < set(whole)

    path = tmp_path / "evidence.zip"
    with open_contents(tmp_path / "whole") as contents:
        path.write_bytes(b"".join(pack(contents)))
    ((truth, detections),) = pieces(500)
    boxes = read_lines(path, TRUTH)
    head = next(boxes)
    assert to_truth(head, boxes) == truth
    assert to_roster(head).tracks == tuple((track.track_id, track.road_user) for track in truth.tracks)
    assert [to_detection(row) for row in read_lines(path, DETECTIONS)] == detections


def peak(minutes: float) -> int:
    command = [sys.executable, "-m", "tests.validation_engine.long_run", str(minutes)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
def test_a_long_run_takes_hardly_more_memory_than_a_short_one() -> None:
    assert peak(20) - peak(2) < MOST
