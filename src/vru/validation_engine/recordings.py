"""The recordings of a data set's version, as runs need them."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from vru.domain import VruClass
from vru.service.database.sessions import ReadSession
from vru.service.database.tables import DataSetRecording, GroundTruthSet, TruthBoxRow, Video

_OF_VIDEO = ("size_bytes", "codec", "width", "height", "frame_count", "duration_s")
_OF_TRUTH = ("format", "source", "track_count", "box_count", "approved_by")


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording: its number and name in the version, its video and truth, its conditions, and all ``facts`` as
    evidence says them.
    """

    number: int
    name: str
    video_sha256: str
    attributes: Mapping[str, str]
    tags: list[str]
    video: Video
    truth: GroundTruthSet
    facts: Mapping[str, Any]

    @property
    def slices(self) -> list[str]:
        """The slices that it belongs to as a whole."""
        return slices_of(self.attributes, self.tags)


def slices_of(attributes: Mapping[str, str], tags: list[str]) -> list[str]:
    """The slices that attributes and tags make, such as ``light:night`` and ``tag:rain``."""
    return [*(f"{name}:{value}" for name, value in attributes.items()), *(f"tag:{tag}" for tag in tags)]


async def of_version(session: ReadSession, version_id: uuid.UUID) -> list[Recording]:
    """All recordings of a version, in their order."""
    query = (
        select(DataSetRecording, Video, GroundTruthSet)
        .join(Video, Video.id == DataSetRecording.video_id)
        .join(GroundTruthSet, GroundTruthSet.id == DataSetRecording.ground_truth_id)
        .where(DataSetRecording.version_id == version_id)
        .order_by(DataSetRecording.number)
    )
    return [_recording(*row) for row in await session.execute(query)]


def _recording(row: DataSetRecording, video: Video, truth: GroundTruthSet) -> Recording:
    approved_at = truth.approved_at.isoformat() if truth.approved_at else None
    facts = {
        "number": row.number,
        "name": row.name,
        "attributes": row.attributes,
        "tags": row.tags,
        "calibration": row.calibration,
        "video": {"name": video.name, "sha256": row.video_sha256} | {name: getattr(video, name) for name in _OF_VIDEO},
        "ground_truth": {"name": truth.name, "sha256": row.ground_truth_sha256, "approved_at": approved_at}
        | {name: getattr(truth, name) for name in _OF_TRUTH},
    }
    return Recording(row.number, row.name, row.video_sha256, row.attributes, row.tags, video, truth, facts)


async def road_users(session: ReadSession, version_id: uuid.UUID) -> list[VruClass]:
    """The classes that the ground truth of a version holds."""
    of_version = select(DataSetRecording.ground_truth_id).where(DataSetRecording.version_id == version_id)
    query = select(TruthBoxRow.road_user).distinct().where(TruthBoxRow.ground_truth_id.in_(of_version))
    there = set(await session.scalars(query))
    return [kind for kind in VruClass if kind in there]
