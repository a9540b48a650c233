"""Do imported boxes fit the truth as they stand? Frames moved by one, or corners, look like a bad detector."""

import uuid
from collections.abc import Sequence

import numpy as np
from sqlalchemy import select

from vru.domain import VruError
from vru.evaluation.core.tables import DataSet, found_table, truth_table
from vru.evaluation.dataset.check import check_fit
from vru.gateway.predictions.reader import PredictionColumns
from vru.gateway.predictions.service import About
from vru.service.database.sessions import ReadSession
from vru.service.database.tables import GroundTruthSet, TruthBoxRow
from vru.service.errors import UnprocessableError

# Recordings that are looked at, in even steps, and truth boxes of each.
_MOST, _BOXES = 12, 20_000


async def sample(session: ReadSession, about: Sequence[About], found: PredictionColumns) -> DataSet:
    """Some of the recordings, with their truth and their predictions."""
    offsets = np.concatenate([[0], np.cumsum(found.counts)]).astype(np.int64)
    filled = [place for place, count in enumerate(found.counts) if count]
    chosen = [filled[place] for place in np.linspace(0, len(filled) - 1, min(_MOST, len(filled))).astype(int).tolist()]
    frames, boxes = np.frombuffer(found.frame, dtype=np.int64), np.frombuffer(found.boxes).reshape(-1, 4)
    truth_pictures, truth_boxes, own_pictures, own_boxes = [], [], [], []
    sequence: list[int] = []
    frame: list[int] = []
    sizes: list[tuple[int, int]] = []
    first = 0
    for number, place in enumerate(chosen):
        recording = about[place]
        rows = await _truth(session, recording)
        truth_pictures += [first + row[0] for row in rows]
        truth_boxes += [row[1:] for row in rows]
        mine = slice(int(offsets[place]), int(offsets[place + 1]))
        own_pictures.append(frames[mine] + first)
        own_boxes.append(boxes[mine])
        sequence += [number] * recording.frame_count
        frame += range(recording.frame_count)
        sizes += [(recording.width, recording.height)] * recording.frame_count
        first += recording.frame_count
    count = sum(map(len, own_pictures))
    return DataSet(
        labels=("road user",),
        sequences=tuple(str(number) for number in range(len(chosen))),
        sequence=np.array(sequence, dtype=np.int64),
        frame=np.array(frame, dtype=np.int64),
        truth=truth_table(truth_pictures, [0] * len(truth_pictures), truth_boxes),
        found=found_table(
            np.concatenate(own_pictures) if own_pictures else [],
            [0] * count,
            np.concatenate(own_boxes) if own_boxes else np.zeros((0, 4)),
            [1.0] * count,
        ),
        size=np.array(sizes, dtype=np.float64).reshape(-1, 2),
    )


async def _truth(session: ReadSession, recording: About) -> list[tuple[int, float, float, float, float]]:
    truth_id: uuid.UUID | None = recording.ground_truth_id
    if truth_id is None:
        newest = select(GroundTruthSet.id).where(GroundTruthSet.video_id == recording.video_id)
        truth_id = await session.scalar(newest.order_by(GroundTruthSet.created_at.desc()).limit(1))
    box = TruthBoxRow
    query = select(box.frame_index, box.x, box.y, box.width, box.height).where(box.ground_truth_id == truth_id)
    rows = await session.execute(query.order_by(box.frame_index, box.track_id).limit(_BOXES))
    return [(frame, x, y, width, height) for frame, x, y, width, height in rows]


def check(data: DataSet, *, frames: bool) -> None:
    """Do nothing unless the boxes clearly fit the truth in another form, or (with ``frames``) moved by a frame.

    Raises:
        UnprocessableError: they do.
    """
    try:
        check_fit(data, frames=frames)
    except VruError as error:
        moved = "moved by" in error.message
        fix = "Say first_frame=0 or first_frame=1; shifted=keep measures them as they stand." if moved else error.fix
        raise UnprocessableError(error.message, fix) from error
