"""Random videos with truth and detections, for property tests."""

from dataclasses import dataclass

from hypothesis import strategies as st

from vru.domain import Box, Detection, GroundTruth, Track, TruthBox, VruClass

CLASSES = [VruClass.PEDESTRIAN, VruClass.CYCLIST]
COUNT = 30


@dataclass(frozen=True)
class Case:
    truth: GroundTruth
    detections: tuple[Detection, ...]
    frames: dict[int, float]


boxes = st.builds(
    Box,
    x=st.integers(0, 60).map(float),
    y=st.integers(0, 60).map(float),
    width=st.integers(4, 40).map(float),
    height=st.integers(4, 40).map(float),
)


@st.composite
def tracks(draw: st.DrawFn, track_id: int, *, ignored: bool = True) -> Track:
    first = draw(st.integers(0, COUNT - 1))
    last = draw(st.integers(first, min(COUNT - 1, first + 8)))
    start = draw(boxes)
    step = draw(st.integers(-3, 3))
    ignore = draw(st.sets(st.integers(first, last), max_size=2)) if ignored else set()
    return Track(
        track_id,
        draw(st.sampled_from(CLASSES)),
        tuple(
            TruthBox(
                index,
                index / 10,
                Box(start.x + step * (index - first), start.y, start.width, start.height),
                occluded=draw(st.booleans()),
                ignore=index in ignore,
            )
            for index in range(first, last + 1)
        ),
    )


@st.composite
def cases(draw: st.DrawFn, *, stride: bool = True) -> Case:
    found = tuple(draw(tracks(number)) for number in range(draw(st.integers(0, 4))))
    step = draw(st.integers(1, 3)) if stride else 1
    evaluated = {index: index / 10 for index in range(0, COUNT, step)}
    detections = []
    for track in found:
        for box in track.boxes:
            if box.frame_index in evaluated and draw(st.booleans()):
                moved = Box(box.box.x + draw(st.integers(-6, 6)), box.box.y, box.box.width, box.box.height)
                detections.append(_detection(draw, box.frame_index, moved))
    indices = st.sampled_from(sorted(evaluated))
    detections.extend(_detection(draw, draw(indices), draw(boxes)) for _ in range(draw(st.integers(0, 8))))
    return Case(GroundTruth(200, 200, COUNT, found, "manual", "x"), tuple(detections), evaluated)


def _detection(draw: st.DrawFn, frame: int, box: Box) -> Detection:
    # Few distinct scores, so that ties are common.
    score = draw(st.integers(1, 10)) / 10
    return Detection(frame, frame / 10, draw(st.sampled_from(CLASSES)), score, box)
