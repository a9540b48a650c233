"""``vru evaluate`` with files as nobody should send them: refused by name and place, and nothing is written."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from vru.cli import main

TRUTH: dict[str, Any] = {
    "videos": [{"id": 1, "name": "street", "width": 100, "height": 50, "frame_count": 2}],
    "images": [
        {"id": 1, "video_id": 1, "frame_index": 0, "timestamp_s": 0.0, "width": 100, "height": 50},
        {"id": 2, "video_id": 1, "frame_index": 1, "timestamp_s": 0.04, "width": 100, "height": 50},
    ],
    "categories": [{"id": 7, "name": "pedestrian"}],
    "annotations": [{"id": 5, "image_id": 1, "category_id": 7, "bbox": [1, 2, 10, 20], "area": 200, "track_id": 1}],
}
FOUND = [{"image_id": 1, "category_id": 7, "bbox": [1, 2, 10, 20], "score": 0.5}]
OUTPUTS = ("json", "html", "junit", "csv", "pdf")


def truth(**values: object) -> dict[str, Any]:
    """The truth with one annotation changed."""
    document = json.loads(json.dumps(TRUTH))
    document["annotations"][0] |= values
    return document


def found(**values: object) -> list[dict[str, Any]]:
    return [FOUND[0] | values]


def refused(folder: Path, truth_text: object, found_text: object, *more: str) -> str:
    """Evaluate, and require exit code 2, no output file at all, and the name of a file in the message."""
    paths = []
    for name, content in (("truth", truth_text), ("found", found_text)):
        path = folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        paths.append(str(path))
    before = sorted(path.name for path in folder.iterdir())
    outputs = [word for name in OUTPUTS for word in (f"--{name}", str(folder / f"out.{name}"))]
    result = CliRunner().invoke(main, ["evaluate", *paths, *outputs, "--resamples", "0", *more])
    assert result.exit_code == 2, result.output
    assert sorted(path.name for path in folder.iterdir()) == before
    return result.output


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a0 "aaaaaaaaaa">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    + "]><annotations>&a11;</annotations>"
)
OUTSIDE = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations>&x;</annotations>'


@pytest.mark.parametrize(
    ("of_truth", "of_found", "message"),
    [
        (truth(bbox=[95, 2, 10, 20]), FOUND, "truth: Annotation 5 reaches outside of the frame"),
        (truth(bbox=[1, 2, -10, 20]), FOUND, "truth: Annotation 5: the box is -10 wide"),
        (truth(bbox=[1, math.nan, 10, 20]), FOUND, "annotations[0].bbox[1] is nan"),
        (truth(bbox=[1, math.inf, 10, 20]), FOUND, "annotations[0].bbox[1] is inf"),
        (truth(category_id=9), FOUND, "Annotation 5 is of category 9"),
        (TRUTH | {"annotations": TRUTH["annotations"] * 2}, FOUND, "Annotation 5 is in the file twice"),
        (TRUTH | {"images": [TRUTH["images"][0]] * 2}, FOUND, "Image 1 is in the file twice"),
        ("", FOUND, "truth is empty"),
        ("\0" * 100, FOUND, "truth is no file with ground truth"),
        (TRUTH, "", "found is empty"),
        (TRUTH, found(score=math.nan), "results[0].score is nan"),
        (TRUTH, found(bbox=[1, 2, 10, math.nan]), "results[0].bbox[3] is nan"),
        (TRUTH, found(bbox=[1, 2, 10, -20]), "results[0]"),
        (TRUTH, found(category_id=9), "unknown class 9"),
        (TRUTH, found(image_id=99), "results[0] is about image 99, which the truth does not have"),
        (TRUTH | {"categories": TRUTH["categories"] * 2}, FOUND, "Category 7 is in the file twice"),
        (BOMB, FOUND, "truth"),
        (OUTSIDE, FOUND, "truth"),
        ("<annotations>" + "<a>" * 200_000, FOUND, "truth"),
        ('{"images": ' + "[" * 200_000, FOUND, "truth"),
        ("1,1,10,10,20,nan,1,1,1\n", "1,1,10,10,20,20,1\n", "truth, line 1"),
        ("1,1,10,10,20,20,1,1,1\n", "99,1,10,10,20,20,1\n", "found, line 1 is about frame 99"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) and len(value) < 100 else "",
)
def test_it_is_named_and_nothing_is_written(tmp_path: Path, of_truth: object, of_found: object, message: str) -> None:
    assert message in refused(tmp_path, of_truth, of_found).replace("\n", " ")


def test_the_outside_file_is_not_read(tmp_path: Path) -> None:
    assert "root:" not in refused(tmp_path, OUTSIDE, FOUND)


def test_a_wrong_number_of_frames(tmp_path: Path) -> None:
    assert "3" in refused(tmp_path, TRUTH, FOUND, "--frames", "3")
    one = json.loads(json.dumps(TRUTH))
    one["videos"][0]["frame_count"] = 1
    assert "has 1 frames, but frame 1 is listed" in refused(tmp_path, one, FOUND)


@pytest.mark.parametrize("start", ['{"images": [', "<annotations>", "1,1,10,10,20,20,1,1,1\n"])
def test_two_gigabytes_are_refused_by_a_stated_limit_without_being_read(tmp_path: Path, start: str) -> None:
    large, small = tmp_path / "large", tmp_path / "found.json"
    large.write_text(start)
    with large.open("r+b") as stream:
        stream.truncate(2 << 30)
    small.write_text(json.dumps(FOUND))
    program = (
        "import atexit\n"
        "from tests.peak import peak_bytes\n"
        "atexit.register(lambda: print(peak_bytes()))\n"
        "from vru.cli import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "evaluate", large, small],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 2 and "has 2147 MB, more than the 1074 MB that are read" in ended.stderr
    assert "--max-mb" in ended.stderr
    # Bytes: what numpy and scipy take, and nothing of the file.
    assert int(ended.stdout) < 600_000_000


def test_reports_are_written_where_asked(tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_text(json.dumps(TRUTH))
    (tmp_path / "found.json").write_text(json.dumps(FOUND))
    (tmp_path / "criteria.yaml").write_text("- {metric: recall, comparator: '>=', threshold: 0.9}")
    arguments = [str(tmp_path / "truth.json"), str(tmp_path / "found.json"), "--protocol", "default"]
    arguments += ["--criteria", str(tmp_path / "criteria.yaml"), "--resamples", "100"]
    outputs = [word for name in OUTPUTS for word in (f"--{name}", str(tmp_path / f"out.{name}"))]
    contents = []
    for _ in range(2):
        result = CliRunner().invoke(main, ["evaluate", *arguments, *outputs])
        assert result.exit_code == 3, result.output
        contents.append({path.name: path.read_bytes() for path in tmp_path.glob("out.*")})
    tables = {"out.tracks.csv", "out.misses.csv", "out.false-alarms.csv"}
    assert set(contents[0]) == {*(f"out.{name}" for name in OUTPUTS), *tables}
    # When a report was made, and how long that took, differs.
    lasting = [{name: data for name, data in of.items() if name.endswith((".json", ".csv"))} for of in contents]
    assert len(lasting[0]) == 5 and lasting[0] == lasting[1]
    assert b"<failure" in contents[0]["out.junit"] and b"INCONCLUSIVE" in contents[0]["out.junit"]
    document = json.loads(contents[0]["out.json"])
    assert len(document["truth"]["sha256"]) == 64 and document["tracks"][0]["latency_ms"] == 0


@pytest.mark.parametrize("folder", ["nowhere", "truth.json"])
def test_an_output_that_cannot_be_written(tmp_path: Path, folder: str) -> None:
    (tmp_path / "truth.json").write_text(json.dumps(TRUTH))
    (tmp_path / "found.json").write_text(json.dumps(FOUND))
    arguments = [str(tmp_path / name) for name in ("truth.json", "found.json")]
    output = str(tmp_path / folder / "out.html")
    result = CliRunner().invoke(main, ["evaluate", *arguments, "--html", output, "--resamples", "0"])
    assert result.exit_code == 2 and "cannot be written" in result.output
