"""Truth that the model under test made is refused; what nobody vouches for is marked."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from vru.cli import main
from vru.formats import read_truth

CVAT = """<annotations><meta>{meta}<task><size>3</size><labels><label><name>pedestrian</name></label></labels>
<original_size><width>640</width><height>480</height></original_size></task></meta>
<track id="1" label="pedestrian" source="{source}">
{boxes}</track></annotations>"""
CVAT_BOX = (
    '<box frame="{}" outside="0" occluded="0" keyframe="1" xtl="10" ytl="10" xbr="40" ybr="90" z_order="0"></box>\n'
)


def write(folder: Path, info: dict[str, Any]) -> tuple[Path, Path]:
    boxes = [{"id": number, "image_id": number, "category_id": 1, "bbox": [10, 10, 30, 80]} for number in range(100)]
    truth = {
        "info": info,
        "images": [{"id": number, "width": 640, "height": 480} for number in range(100)],
        "categories": [{"id": 1, "name": "pedestrian"}],
        "annotations": boxes,
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "found.json").write_text(json.dumps([box | {"score": 0.9} for box in boxes]))
    (folder / "criteria.yaml").write_text('- {metric: recall, comparator: ">=", threshold: 0.9}')
    return folder / "truth.json", folder / "found.json"


def evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments), "--resamples", "100"])


@pytest.mark.parametrize("model", ["yolox", "YOLOX", " yolox"])
@pytest.mark.parametrize("info", [{"source": "model:yolox/3"}, {"source": "model:yolox", "approved_by": "someone"}])
def test_the_model_s_own_truth_is_refused(tmp_path: Path, info: dict[str, str], model: str) -> None:
    result = evaluate(*write(tmp_path, info), "--model", model)
    assert result.exit_code == 2 and "the model under test: it would be compared with itself" in result.output


def test_what_the_user_says_is_checked_beside_what_the_file_says(tmp_path: Path) -> None:
    said = ("--truth-source", "model:yolox@2")
    assert evaluate(*write(tmp_path, {}), "--model", "yolox", *said).exit_code == 2
    assert evaluate(*write(tmp_path, {}), "--model", "other", *said).exit_code == 0
    # Calling it manual does not make the file's own word go away.
    files = write(tmp_path, {"source": "model:yolox"})
    assert evaluate(*files, "--model", "yolox", "--truth-source", "manual").exit_code == 2


def test_another_model_s_truth_is_used_and_marked(tmp_path: Path) -> None:
    files = write(tmp_path, {"source": "model:teacher"})
    criteria = ("--criteria", tmp_path / "criteria.yaml")
    result = evaluate(*files, *criteria, "--model", "student")
    assert result.exit_code == 0 and "The ground truth is not approved." in result.output
    document = json.loads(evaluate(*files, *criteria, "--json", "-").stdout)
    assert document["truth"]["source"] == "model:teacher" and document["truth"]["approved"] is False
    assert document["criteria"][0]["reason"].endswith("The ground truth is not approved.")
    assert any("it can be no judge of teacher" in note for note in document["notes"])
    page = tmp_path / "report.html"
    assert evaluate(*files, *criteria, "--html", page).exit_code == 0
    assert "no person has vouched for it" in page.read_text()


@pytest.mark.parametrize(("info", "approved"), [({"approved_by": None}, False), ({"approved_by": "someone"}, True)])
def test_what_the_file_says_about_approval(tmp_path: Path, info: dict[str, Any], approved: bool) -> None:
    document = json.loads(evaluate(*write(tmp_path, info), "--json", "-").stdout)
    assert document["truth"]["approved"] is approved
    assert any("not approved" in note for note in document["notes"]) is not approved


def test_silence_is_not_approval_and_not_its_lack(tmp_path: Path) -> None:
    document = json.loads(evaluate(*write(tmp_path, {"description": "COCO 2017"}), "--json", "-").stdout)
    assert "approved" not in document["truth"] and "approved" not in str(document["notes"])


def test_a_wrong_source_is_named(tmp_path: Path) -> None:
    result = evaluate(*write(tmp_path, {"source": 3}))
    assert result.exit_code == 2 and "info.source" in result.output


def test_cvat_names_a_model_or_an_unknown_program(tmp_path: Path) -> None:
    truth, found = tmp_path / "truth.xml", tmp_path / "found.json"
    boxes = "".join(CVAT_BOX.format(frame) for frame in range(3))
    found.write_text(json.dumps([{"image_id": 0, "category_id": 1, "bbox": [10, 10, 30, 80], "score": 0.9}]))
    truth.write_text(CVAT.format(meta="<source>model:yolox</source>", source="auto", boxes=boxes))
    assert evaluate(truth, found, "--model", "yolox").exit_code == 2
    truth.write_text(CVAT.format(meta="<source>street.mp4</source>", source="auto", boxes=boxes))
    assert read_truth(truth).source == "" and read_truth(truth).automatic == 1
    result = evaluate(truth, found, "--model", "yolox")
    assert result.exit_code == 0
    assert "A program made 1 tracks" in result.output and "not approved" in result.output
    truth.write_text(CVAT.format(meta="", source="manual", boxes=boxes))
    assert "approved" not in evaluate(truth, found).output
