"""The quick reader of COCO files gives what the careful one gives, or leaves the file to it."""

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vru.formats import Annotations, FormatError, coco_columns, read_predictions, read_truth
from vru.formats.annotations import Boxes
from vru.formats.coco import read_coco, read_coco_results
from vru.formats.coco_columns import read_coco_columns, read_results_columns

SIDE = st.floats(0.5, 200) | st.integers(1, 200)
KEY = st.integers(1, 4) | st.sampled_from(["1", "a", "b"])
FLAG = st.sampled_from([0, 1])
SHARE = st.sampled_from([0, 0.25, 1.0])
OPTIONAL = {
    "id": st.integers(0, 50), "area": st.floats(0, 100), "iscrowd": FLAG, "ignore": FLAG, "occluded": FLAG,
    "truncated": FLAG, "occlusion": SHARE, "truncation": SHARE, "vis_ratio": SHARE, "distance_m": st.floats(0, 50),
    "track_id": st.none() | st.integers(0, 9), "attributes": st.fixed_dictionaries({"track_id": st.integers(0, 9)}),
    "segmentation": st.just([[1, 2, 3, 4, 5, 6]]), "score": st.floats(0, 1),
}  # fmt: skip
# What tools and people get wrong, or write in a way of their own.
WRONG = st.sampled_from(
    [
        {"bbox": [1, 2, 3]},
        {"bbox": [1, 2, 0, 4]},
        {"bbox": ["1", 2, 3, 4]},
        {"iscrowd": True},
        {"iscrowd": 2},
        {"image_id": 99},
        {"image_id": 1.0},
        {"category_id": "nobody"},
        {"track_id": 2**63},
        {"occlusion": 1.5},
        {"area": -1},
    ]
)


def document(annotations: list[dict[str, Any]]) -> dict[str, Any]:
    names: list[int | str] = [1, 2, 3, 4, "1", "a", "b"]
    return {
        "info": {"source": "manual"},
        "images": [{"id": name, "file_name": f"{place}-{name}.jpg", "width": 640} for place, name in enumerate(names)],
        "categories": [{"id": name, "name": f"class {place}"} for place, name in enumerate(names)],
        "annotations": annotations,
    }


def row(required: dict[str, Any], optional: dict[str, Any], wrong: dict[str, Any]) -> dict[str, Any]:
    return required | optional | wrong


ROWS = st.lists(
    st.builds(
        row,
        st.fixed_dictionaries({"image_id": KEY, "category_id": KEY, "bbox": st.lists(SIDE, min_size=4, max_size=4)}),
        st.fixed_dictionaries({}, optional=OPTIONAL),
        st.just({}) | st.just({}) | st.just({}) | WRONG,
    ),
    max_size=6,
)


def rows_of(boxes: Boxes) -> list[tuple[Any, ...]]:
    return [
        tuple(None if isinstance(value, float) and math.isnan(value) else value for value in (*row, boxes.where(place)))
        for place, row in enumerate(boxes.rows())
    ]


@given(ROWS)
@settings(max_examples=150, deadline=None)
def test_truth_is_the_same(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    path = tmp_path_factory.mktemp("coco") / "truth.json"
    path.write_text(json.dumps(document(rows)))
    try:
        careful: Annotations | None = read_coco(io.BytesIO(path.read_bytes()))
    except FormatError as error:
        careful, message = None, error.message
    try:
        quick = read_coco_columns(path)
    except FormatError as error:
        assert careful is None and error.message == message
        return
    if careful is None:
        assert quick is None
    elif quick is not None:
        assert rows_of(quick.boxes) == rows_of(careful.boxes)
        for name in ("labels", "label_keys", "pictures", "sequences", "source", "declared", "notes", "approved_by"):
            assert getattr(quick, name) == getattr(careful, name), name


@given(ROWS)
@settings(max_examples=150, deadline=None)
def test_results_are_the_same(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    folder = tmp_path_factory.mktemp("coco")
    (folder / "truth.json").write_text(json.dumps(document([])))
    truth = read_truth(folder / "truth.json")
    scored = [{"score": 0.5} | row for row in rows]
    (folder / "found.json").write_text(json.dumps(scored))
    try:
        careful: Boxes | None = read_coco_results(io.BytesIO((folder / "found.json").read_bytes()), truth)
    except FormatError as error:
        careful, message = None, error.message
    try:
        quick = read_results_columns(folder / "found.json", truth)
    except FormatError as error:
        assert careful is None and error.message == message
        return
    if careful is None:
        assert quick is None
    elif quick is not None:
        assert rows_of(quick) == rows_of(careful) and quick.notes == careful.notes


@pytest.mark.parametrize("parting", [",", ", ", ",\n  "])
def test_pieces_of_any_size_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parting: str) -> None:
    (tmp_path / "truth.json").write_text(json.dumps(document([])))
    truth = read_truth(tmp_path / "truth.json")
    rows = [
        json.dumps({"image_id": 1 + n % 4, "category_id": 2, "bbox": [n, 0, 5, 5], "score": 0.5, "extra": {"a": {}}})
        for n in range(50)
    ]
    path = tmp_path / "found.json"
    path.write_text(f"[{parting.join(rows)}]")
    whole = read_results_columns(path, truth)
    assert whole is not None and len(whole) == 50
    for size in (200, 333, 1000):
        monkeypatch.setattr(coco_columns, "_CHUNK", size)
        pieces = read_results_columns(path, truth)
        assert pieces is not None and rows_of(pieces) == rows_of(whole)
    # Something after the end, or in the middle, is left to the careful reader, which names the line.
    path.write_text(path.read_text() + " nonsense")
    assert read_results_columns(path, truth) is None
    with pytest.raises(FormatError, match="Line"):
        read_predictions(path, truth)


@pytest.mark.parametrize("text", ["[]", "[\n]", "{}", "", "[1]", '[{"image_id": 1}]', "\ufeff[]", "[" * 5000])
def test_what_is_no_list_of_results_is_left_to_the_careful_reader(tmp_path: Path, text: str) -> None:
    (tmp_path / "truth.json").write_text(json.dumps(document([])))
    truth = read_truth(tmp_path / "truth.json")
    (tmp_path / "found.json").write_text(text)
    found = read_results_columns(tmp_path / "found.json", truth)
    assert (found is not None and len(found) == 0) if text.split() in (["[]"], ["[", "]"]) else found is None
