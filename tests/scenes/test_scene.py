from dataclasses import replace

import numpy as np
import pytest

from vru.domain import TruthBox, VruClass, VruError
from vru.scenes import SCENE_NAMES, Frame, Light, Pole, Scene, Walker, scene
from vru.scenes.figures import Outfit

CRIMSON = Outfit(top=(0, 0, 255), trousers=(0, 0, 255), hair=(0, 0, 255), skin=(0, 0, 255), shoes=(0, 0, 255))


def _crimson_walker(*, pole: bool = False, start_x: float = 0.0) -> Scene:
    """One person in pure red who stands still, in a picture without noise."""
    walker = Walker(7, ((0.0, start_x, 6.0), (5.0, start_x, 6.0)), CRIMSON)
    props = (Pole(start_x, 5.0, diameter_m=0.2),) if pole else ()
    return Scene("crimson", (0, 9000), (walker,), props, light=Light(noise=0.0))


def _red_box(frame: Frame) -> tuple[int, int, int, int]:
    """Bounding rectangle of what is clearly red in the picture: the truth, found from the pixels alone."""
    blue, green, red = (frame.image[..., channel].astype(int) for channel in range(3))
    rows, columns = np.nonzero((red - np.maximum(blue, green)) > 60)
    return (columns.min(), rows.min(), columns.max() + 1 - columns.min(), rows.max() + 1 - rows.min())


def _only(frame: Frame) -> TruthBox:
    (truth,) = frame.truths.values()
    return truth


@pytest.mark.parametrize("pole", [False, True])
def test_box_is_what_the_pixels_show(pole: bool) -> None:
    frame = _crimson_walker(pole=pole).frame(0)
    assert _only(frame).box.as_tuple() == pytest.approx(_red_box(frame), abs=1)


def test_a_pole_in_front_makes_the_person_occluded_but_not_truncated() -> None:
    free, hidden = _only(_crimson_walker().frame(0)), _only(_crimson_walker(pole=True).frame(0))
    assert (free.occluded, free.truncated, free.ignore) == (False, False, False)
    assert (hidden.occluded, hidden.truncated) == (True, False)


def test_a_person_at_the_edge_is_truncated_and_the_box_stays_inside() -> None:
    frame = _crimson_walker(start_x=3.2).frame(0)
    truth = _only(frame)
    assert truth.truncated
    assert truth.box.x + truth.box.width == frame.image.shape[1]


def test_a_person_fully_outside_or_fully_hidden_has_no_box() -> None:
    assert not _crimson_walker(start_x=5.0).frame(0).truths
    wide = replace(_crimson_walker(), props=(Pole(0.0, 5.0, diameter_m=3.0),))
    assert not wide.frame(0).truths


def test_equal_descriptions_give_equal_pictures_in_any_order() -> None:
    first, second = scene("occluded", seed=3), scene("occluded", seed=3)
    late_first = [first.frame(index) for index in (60, 5)]
    early_first = [second.frame(index) for index in (5, 60)][::-1]
    for one, other in zip(late_first, early_first, strict=True):
        assert np.array_equal(one.image, other.image)
        assert one.truths == other.truths


def test_seed_changes_the_street_and_not_the_people() -> None:
    one, other = scene("crossing", seed=1).frame(50), scene("crossing", seed=2).frame(50)
    assert not np.array_equal(one.image, other.image)
    assert one.truths == other.truths


@pytest.mark.parametrize("name", SCENE_NAMES)
def test_frames_are_bgr_pictures_with_boxes_inside(name: str) -> None:
    chosen = scene(name)
    for index in range(0, chosen.frame_count, 9):
        frame = chosen.frame(index)
        assert frame.image.dtype == np.uint8
        assert frame.image.shape == (360, 640, 3)
        assert frame.time_s == chosen.times[index] == index / 10
        for truth in frame.truths.values():
            x, y, width, height = truth.box.as_tuple()
            assert x >= 0
            assert y >= 0
            assert x + width <= 640
            assert y + height <= 360


def test_people_enter_leave_and_hide() -> None:
    frames = [scene("occluded").frame(index) for index in range(0, 100, 5)]
    truths = [truth for frame in frames for truth in frame.truths.values()]
    assert any(truth.occluded for truth in truths)
    assert any(truth.truncated for truth in truths)
    assert any(truth.ignore for truth in truths)
    assert any(not (truth.occluded or truth.truncated) for truth in truths)
    assert len({len(frame.truths) for frame in frames}) > 2
    assert {walker.road_user for walker in scene("occluded").walkers} == {VruClass.PEDESTRIAN, VruClass.CHILD}


def test_frame_times_are_not_accumulated() -> None:
    chosen = scene("empty", fps=30000 / 1001, duration_s=60)
    assert chosen.pts[-1] == round((chosen.frame_count - 1) * 3003)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("nowhere", {}, "no scene 'nowhere'.*crossing"),
        ("empty", {"duration_s": 0}, "no frame"),
        ("empty", {"fps": -1}, "no"),
    ],
)
def test_bad_requests_are_refused(name: str, settings: dict[str, float], message: str) -> None:
    with pytest.raises(VruError, match=message):
        scene(name, **settings)
