"""Protocols: what comes with the platform, and files of a user's own."""

from pathlib import Path

import numpy as np
import pytest

from vru.domain import VruError
from vru.evaluation.core.tables import DataSet, found_table, truth_table
from vru.evaluation.dataset.evaluate import evaluate_dataset
from vru.evaluation.dataset.prepare import evaluated_labels, prepared, setup_view
from vru.evaluation.dataset.protocol import FIGURES, Setup, load_protocol, protocol_names, read_protocol
from vru.evaluation.detection.kitti import DIFFICULTIES

LEAST = "title: Mine\nsource: me\ntask: detection\nfigures: [point]\n"
BOX = (10.0, 10.0, 20.0, 60.0)


def dataset(labels: tuple[str, ...], truth: list[tuple], found: list[tuple], **columns: list) -> DataSet:
    """Truth: class, box. Detections: class, box, score. All in one picture."""
    return DataSet(
        labels,
        ("0",),
        np.zeros(1, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        truth_table([0] * len(truth), [row[0] for row in truth], [row[1] for row in truth], **columns),
        found_table([0] * len(found), [row[0] for row in found], [row[1] for row in found], [row[2] for row in found]),
    )


@pytest.mark.parametrize("name", protocol_names())
def test_those_of_the_platform_can_be_read_and_cite_their_source(name: str) -> None:
    protocol = load_protocol(name)
    assert protocol.name == name and protocol.source and protocol.title
    assert set(protocol.figures) <= set(FIGURES[protocol.task])


def test_what_the_benchmarks_are_known_for() -> None:
    caltech, eurocity = load_protocol("caltech"), load_protocol("eurocity")
    assert caltech.setups["reasonable"] == Setup(height=(50, np.inf), occlusion=(0, 0.35))
    assert list(eurocity.setups) == ["reasonable", "small", "occluded", "all"]
    assert eurocity.setups["small"].height == (30, 60)
    assert len(caltech.fppi_points) == 9 and caltech.overlap == eurocity.overlap == 0.5
    assert load_protocol("kitti").difficulties == DIFFICULTIES
    assert load_protocol("coco").ignore_marks == {"crowd"}


@pytest.mark.parametrize("name", ["caltech", "eurocity"])
def test_each_setup_rests_on_the_images_that_show_somebody_of_it(name: str) -> None:
    """Setups are matched one after the other: none may count the units of one before it."""
    heights, hidden = np.linspace(15, 200, 60), np.tile([0.0, 0.2, 0.6], 20)
    boxes = [(10.0, 10.0, height * 0.4, height) for height in heights]
    everyone, pictures = np.zeros(60, dtype=np.int64), np.arange(60)
    data = DataSet(
        ("pedestrian",),
        tuple(map(str, pictures)),
        pictures,
        everyone,
        truth_table(pictures, everyone, boxes, occlusion=hidden),
        found_table(pictures, everyone, boxes, np.linspace(0.3, 0.9, 60)),
    )
    protocol = load_protocol(name)
    slices = evaluate_dataset(data, protocol, resamples=100).slices
    for setup, asked in protocol.setups.items():
        low, high = asked.height or (0, np.inf)
        least, most = asked.occlusion or (0, 1)
        counted = (heights >= low) & (heights <= high) & (hidden >= least) & (hidden <= most)
        assert slices[f"setup:{setup}"]["lamr"].n == np.count_nonzero(counted), setup


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "no list of keys"),
        ("a: [", "is no YAML"),
        (LEAST + "colour: red", "there is no key 'colour'"),
        (LEAST.replace("source: me\n", ""), "has no source"),
        (LEAST.replace("detection", "guessing"), "task is 'guessing', not one of detection, tracking, kitti"),
        (LEAST.replace("[point]", "[hota]"), "detection has no figures 'hota'"),
        (LEAST + "overlap: 2", "overlap is 2, not a number from 0.01 to 1"),
        (LEAST + "overlap: yes", "overlap is True"),
        (LEAST + "most: 0", "most is 0"),
        (LEAST + "ignore_marks: [rain]", "of crowd and ignore"),
        (LEAST + "setups: {near: {height: [50, null]}}", "has no headline"),
        (LEAST + "setups: {near: {colour: [1, 2]}}\nheadline: near", "there is no key 'colour'"),
        (LEAST + "setups: {near: {height: [60, 50]}}\nheadline: near", r"height is \[60, 50\], not a range"),
        (LEAST + "setups: {near: {}}\nheadline: far", "headline 'far' is no setup"),
        (LEAST + "fppi_points: [0.1, 0.01]", "rising numbers"),
        (LEAST + "classes: person", "classes is 'person', not a list"),
        (LEAST.replace("detection", "kitti").replace("point", "kitti"), "has no difficulties"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(VruError, match=message):
        read_protocol("mine", text)


def test_a_file_of_ones_own_needs_no_code(tmp_path: Path) -> None:
    path = tmp_path / "tall.yaml"
    path.write_text(
        LEAST + "setups: {tall: {height: [50, null]}, short: {height: [0, 50]}}\nheadline: tall\nclasses: [walker]\n"
    )
    small = (100.0, 10.0, 20.0, 30.0)
    data = dataset(("walker", "dog"), [(0, BOX), (0, small), (1, BOX)], [(0, BOX, 0.9), (1, BOX, 0.9)])
    figures = evaluate_dataset(data, load_protocol(str(path)), resamples=100)
    assert figures.slices["all"]["recall"].value == 1
    assert figures.slices["setup:short"]["recall"].value == 0
    assert figures.slices["all"]["precision"].value == 1  # dogs take no part
    assert figures.missed is not None and figures.missed.tolist() == []


@pytest.mark.parametrize("name", ["nothing", "nothing.yaml"])
def test_what_is_not_there(name: str) -> None:
    with pytest.raises(VruError, match=r"no protocol|cannot be read"):
        load_protocol(name)


def test_classes_that_are_set_aside_excuse_without_being_found() -> None:
    data = dataset(("Pedestrian", "rider"), [(0, BOX), (1, (200.0, 10, 20, 60))], [(0, (200.0, 10, 20, 60), 0.9)])
    protocol = load_protocol("eurocity")
    assert evaluated_labels(data, protocol) == ("Pedestrian",)
    figures = evaluate_dataset(data, protocol, resamples=0)
    assert figures.slices["all"]["fppi"].value == 0  # the detection lies on a rider
    assert figures.slices["all"]["lamr"].value == 1
    assert figures.slices["all"]["lamr"] is figures.slices["all"]["lamr_reasonable"]
    with pytest.raises(VruError, match="evaluates pedestrian, person; the truth has tree"):
        evaluated_labels(dataset(("tree",), [], []), protocol)


def test_a_box_that_is_too_small_or_too_hidden_is_neither_found_nor_missed() -> None:
    small, hidden = (100.0, 10.0, 10.0, 45.0), (200.0, 10.0, 30.0, 80.0)
    data = dataset(
        ("person",), [(0, BOX), (0, small), (0, hidden)], [(0, small, 0.9), (0, hidden, 0.8)], occlusion=[0, 0, 0.6]
    )
    figures = evaluate_dataset(data, load_protocol("caltech"), resamples=0)
    assert figures.slices["all"]["recall"].value == 0 and figures.slices["all"]["fppi"].value == 0
    assert figures.slices["setup:heavy"]["recall"].value == 1


def test_unknown_occlusion_is_said() -> None:
    data = dataset(("person",), [(0, BOX)], [])
    figures = evaluate_dataset(data, load_protocol("caltech"), resamples=0)
    assert any("1 truth boxes do not say how much of them is hidden" in note for note in figures.notes)


def test_detections_far_from_the_setup_s_range_take_no_part() -> None:
    data = dataset(("person",), [(0, BOX)], [(0, (10.0, 10, 20, 39), 0.9), (0, (100.0, 10, 20, 41), 0.9)])
    view = setup_view(data, "near", Setup(height=(50, 1000)), np.zeros(1, dtype=bool), 1.25)
    assert view.found_enters is not None and view.found_enters.tolist() == [False, True]


def test_aspect_keeps_centre_and_height() -> None:
    protocol = read_protocol("mine", LEAST + "aspect: 0.5")
    seen, _ = prepared(dataset(("a",), [(0, BOX)], [(0, BOX, 0.9)]), protocol)
    assert seen.truth.boxes.tolist() == seen.found.boxes.tolist() == [[5, 10, 30, 60]]


def test_marks_count_as_the_protocol_says() -> None:
    data = dataset(("a",), [(0, BOX), (0, (200.0, 10, 20, 60))], [], ignore=[False, True])
    assert evaluate_dataset(data, load_protocol("coco"), resamples=0).slices["all"]["recall"].n == 1
    coco, _ = prepared(data, load_protocol("coco"))
    ours, _ = prepared(data, load_protocol("default"))
    assert coco.truth.crowd.tolist() == [False, False] and ours.truth.crowd.tolist() == [False, True]
    assert "marked ignore" in evaluate_dataset(data, load_protocol("coco"), resamples=0).notes[-1]
