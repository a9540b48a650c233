"""A data set in the database, as the gateway stores it: copies of the street's video, each with its truth."""

import hashlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from vru.domain import DEFAULT_CRITERIA, Detection, GroundTruth
from vru.scenes import ground_truth, scene
from vru.service.database.sessions import Database
from vru.service.database.tables import (
    DataSet,
    DataSetRecording,
    DataSetVersion,
    GroundTruthSet,
    PredictedBox,
    PredictedRecording,
    PredictionSet,
    Project,
    TruthBoxRow,
    Video,
)
from vru.service.predictions import RowsDigest

STREET = scene("crossing")
TRUTH: GroundTruth = ground_truth(STREET)


@dataclass
class StoredSet:
    """A project's data set, and its recordings' videos by name."""

    project: uuid.UUID = field(default_factory=uuid.uuid4)
    data_set: uuid.UUID = field(default_factory=uuid.uuid4)
    version: uuid.UUID = field(default_factory=uuid.uuid4)
    videos: dict[str, uuid.UUID] = field(default_factory=dict)
    truths: dict[str, uuid.UUID] = field(default_factory=dict)

    def body(self, **more: object) -> dict[str, object]:
        """A request for a run."""
        detector = {} if "predictions_id" in more else {"model": "opencv-hog"}
        return {"project_id": str(self.project), "data_set_id": str(self.data_set)} | detector | more


def copied(media: Path, name: str) -> tuple[str, bytes]:
    """The street's video as another file: a box of MP4 at its end that players skip."""
    content = (media / "videos" / "street.mp4").read_bytes()
    content += (8 + len(name)).to_bytes(4, "big") + b"free" + name.encode()
    path = f"videos/street-{name}.mp4"
    (media / path).write_bytes(content)
    return path, content


async def store_set(
    db: Database,
    media: Path,
    recordings: dict[str, dict[str, str]],
    *,
    tags: Sequence[str] = (),
    sources: dict[str, str] | None = None,
) -> StoredSet:
    """A data set whose ``recordings`` have these attributes; the first has the ``tags``."""
    made = StoredSet()
    async with db.write() as session:
        criteria = [asdict(criterion) for criterion in DEFAULT_CRITERIA]
        session.add(Project(id=made.project, name=f"Project {made.project}", criteria=criteria))
        await session.flush()
        session.add(DataSet(id=made.data_set, project_id=made.project, name="Streets", created_by="a@b"))
        await session.flush()
        version = DataSetVersion(
            id=made.version, data_set_id=made.data_set, number=1, sha256="d" * 64, created_by="a@b"
        )
        version.recording_count, version.frame_count, version.duration_s = len(recordings), 100 * len(recordings), 10.0
        session.add(version)
        await session.flush()
        for number, (name, attributes) in enumerate(recordings.items(), 1):
            path, content = copied(media, name)
            video, truth = uuid.uuid4(), uuid.uuid4()
            made.videos[name], made.truths[name] = video, truth
            sha256 = hashlib.sha256(content).hexdigest()
            facts = {"codec": "h264", "width": TRUTH.width, "height": TRUTH.height, "duration_s": 10.0}
            session.add(
                Video(
                    id=video,
                    project_id=made.project,
                    name=f"{name}.mp4",
                    path=path,
                    sha256=sha256,
                    size_bytes=len(content),
                    frame_count=STREET.frame_count,
                    frame_times=list(STREET.times),
                    **facts,
                )
            )
            await session.flush()
            session.add(
                GroundTruthSet(
                    id=truth,
                    video_id=video,
                    name=name,
                    format="coco",
                    sha256=f"{number:064d}",
                    source=(sources or {}).get(name, "synthetic"),
                    track_count=len(TRUTH.tracks),
                    box_count=sum(len(track.boxes) for track in TRUTH.tracks),
                    approved_by="someone@example.org",
                )
            )
            await session.flush()
            for track, box in TRUTH.boxes():
                place = {"track_id": track.track_id, "frame_index": box.frame_index, "time_s": box.time_s}
                sides = dict(zip(("x", "y", "width", "height"), box.box.as_tuple(), strict=True))
                flags = {"occluded": box.occluded, "truncated": box.truncated, "ignore": box.ignore}
                row = TruthBoxRow(ground_truth_id=truth, road_user=track.road_user, **place, **sides, **flags)
                session.add(row)
            session.add(
                DataSetRecording(
                    version_id=made.version,
                    number=number,
                    name=name,
                    video_id=video,
                    ground_truth_id=truth,
                    video_sha256=sha256,
                    ground_truth_sha256=f"{number:064d}",
                    attributes=attributes,
                    tags=list(tags) if number == 1 else [],
                    calibration=None,
                )
            )
    return made


# Whether a truth box of a recording is found.
Finds = Callable[[str, int, int], bool]


async def store_predictions(db: Database, made: StoredSet, finds: Finds, *, name: str = "net") -> uuid.UUID:
    """Predictions that are the truth where ``finds(recording, track, frame)``, imported."""
    stored = uuid.uuid4()
    async with db.write() as session:
        count = 0
        facts = {"format": "coco", "file_name": "r.json", "sha256": "f" * 64, "size_bytes": 1}
        session.add(
            PredictionSet(
                id=stored,
                project_id=made.project,
                name=name,
                version="7",
                made_by="Supplier B",
                box_count=1,
                notes=["read"],
                created_by="a@b",
                **facts,
            )
        )
        await session.flush()
        for recording, video in made.videos.items():
            found = [
                Detection(box.frame_index, box.time_s, track.road_user, 0.9, box.box)
                for track, box in TRUTH.boxes()
                if finds(recording, track.track_id, box.frame_index)
            ]
            found.sort(key=lambda one: one.frame_index)
            digest, first = RowsDigest(), count
            for one in found:
                digest.add([one.frame_index, str(one.road_user), one.score, *one.box.as_tuple()])
                sides = dict(zip(("x", "y", "width", "height"), one.box.as_tuple(), strict=True))
                session.add(
                    PredictedBox(
                        prediction_set_id=stored,
                        position=count,
                        frame_index=one.frame_index,
                        road_user=str(one.road_user),
                        score=one.score,
                        **sides,
                    )
                )
                count += 1
            about = {"first_position": first, "box_count": count - first, "sha256": digest.hexdigest()}
            session.add(PredictedRecording(prediction_set_id=stored, video_id=video, name=recording, **about))
    return stored
