"""What happens to data sets in the database."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from vru.gateway.data_sets import items
from vru.gateway.data_sets.items import Item, Truth
from vru.gateway.data_sets.schemas import DataSetCreate, DataSetUpdate, NewRecording, VersionChange, VersionDiff
from vru.gateway.projects.service import find_project
from vru.service.database.sessions import ReadSession, WriteSession
from vru.service.database.tables import DataSet, DataSetRecording, DataSetVersion, GroundTruthSet, Video
from vru.service.errors import ConflictError, NotFoundError, UnprocessableError

_ROW = DataSetRecording


async def find_data_set(session: ReadSession, data_set_id: uuid.UUID) -> DataSet:
    """The data set.

    Raises:
        NotFoundError: there is none with this id.
    """
    found = await session.get(DataSet, data_set_id)
    if found is None:
        raise NotFoundError(
            f"There is no data set {data_set_id}.", "GET /api/v1/projects/{id}/data-sets lists a project's."
        )
    return found


async def find_version(session: ReadSession, data_set_id: uuid.UUID, number: int | None = None) -> DataSetVersion:
    """A version of a data set, or its newest.

    Raises:
        NotFoundError: there is no such data set or version.
    """
    await find_data_set(session, data_set_id)
    query = select(DataSetVersion).where(DataSetVersion.data_set_id == data_set_id)
    query = query.where(DataSetVersion.number == number) if number is not None else query
    found = await session.scalar(query.order_by(DataSetVersion.number.desc()).limit(1))
    if found is None:
        raise NotFoundError(
            f"The data set has no version {number}.", "GET /api/v1/data-sets/{id}/versions lists what there is."
        )
    return found


async def list_data_sets(
    session: ReadSession, project_id: uuid.UUID, limit: int, offset: int
) -> tuple[list[tuple[DataSet, DataSetVersion]], int]:
    """One page of a project's data sets with their newest versions, newest first, and how many there are.

    Raises:
        NotFoundError: there is no such project.
    """
    await find_project(session, project_id)
    mine = DataSet.project_id == project_id
    older = aliased(DataSetVersion)
    newest = select(func.max(older.number)).where(older.data_set_id == DataSet.id).scalar_subquery()
    query = (
        select(DataSet, DataSetVersion)
        .join(DataSetVersion, (DataSetVersion.data_set_id == DataSet.id) & (DataSetVersion.number == newest))
        .where(mine)
        .order_by(DataSet.created_at.desc(), DataSet.id)
    )
    rows = (await session.execute(query.limit(limit).offset(offset))).all()
    total = await session.scalar(select(func.count()).select_from(DataSet).where(mine))
    return [(row[0], row[1]) for row in rows], total or 0


async def list_versions(
    session: ReadSession, data_set_id: uuid.UUID, limit: int, offset: int
) -> tuple[list[DataSetVersion], int]:
    """One page of a data set's versions, newest first, and how many there are.

    Raises:
        NotFoundError: there is no such data set.
    """
    await find_data_set(session, data_set_id)
    mine = DataSetVersion.data_set_id == data_set_id
    query = select(DataSetVersion).where(mine).order_by(DataSetVersion.number.desc())
    total = await session.scalar(select(func.count()).select_from(DataSetVersion).where(mine))
    return list(await session.scalars(query.limit(limit).offset(offset))), total or 0


async def list_recordings(
    session: ReadSession, version: DataSetVersion, limit: int, offset: int
) -> list[dict[str, Any]]:
    """One page of a version's recordings, in their order, with what is known about their videos and truth."""
    query = (
        select(
            *_ROW.__table__.columns,
            *(Video.frame_count, Video.duration_s, GroundTruthSet.track_count, GroundTruthSet.box_count),
        )
        .join(Video, Video.id == _ROW.video_id)
        .join(GroundTruthSet, GroundTruthSet.id == _ROW.ground_truth_id)
        .where(_ROW.version_id == version.id)
        .order_by(_ROW.number)
    )
    rows = await session.execute(query.limit(limit).offset(offset))
    return [{name: value for name, value in row.items() if name != "version_id"} for row in rows.mappings()]


async def items_of(session: ReadSession, version: DataSetVersion) -> list[Item]:
    """All recordings of a version, in their order."""
    names = Item.__dataclass_fields__
    rows = await session.scalars(select(_ROW).where(_ROW.version_id == version.id).order_by(_ROW.number))
    return [Item(**{name: getattr(row, name) for name in names}) for row in rows]


async def create_data_set(
    session: WriteSession, project_id: uuid.UUID, body: DataSetCreate, user: str
) -> tuple[DataSet, DataSetVersion]:
    """A new data set with its first version.

    Raises:
        NotFoundError: there is no such project.
        UnprocessableError: a recording cannot be in it.
        ConflictError: the name is taken.
    """
    await find_project(session, project_id)
    found = await _new_items(session, project_id, body.recordings)
    data_set = DataSet(
        id=uuid.uuid4(), project_id=project_id, name=body.name, description=body.description, created_by=user
    )
    session.add(data_set)
    await _flush_name(session, data_set)
    version = await _store(session, data_set, 1, "", found, user)
    return data_set, version


async def update_data_set(session: WriteSession, data_set_id: uuid.UUID, body: DataSetUpdate) -> DataSet:
    """The data set, after the given fields were changed.

    Raises:
        NotFoundError: there is none.
        ConflictError: the new name is taken.
    """
    data_set = await find_data_set(session, data_set_id)
    for name, value in body.model_dump(exclude_unset=True).items():
        setattr(data_set, name, value)
    await _flush_name(session, data_set)
    return data_set


async def _flush_name(session: WriteSession, data_set: DataSet) -> None:
    name = data_set.name
    try:
        await session.flush()
    except IntegrityError as error:
        if "uq_data_sets_project_id_name" not in str(error.orig):
            raise
        raise ConflictError(f"The project has a data set {name!r} already.", "Choose another name.") from error
    await session.refresh(data_set)


async def delete_data_set(session: WriteSession, data_set_id: uuid.UUID) -> None:
    """Delete a data set with all its versions. Its videos and their truth stay.

    Raises:
        NotFoundError: there is none.
        ConflictError: a run was made with one of its versions.
    """
    await find_data_set(session, data_set_id)
    try:
        await session.execute(delete(DataSet).where(DataSet.id == data_set_id))
    except IntegrityError as error:
        raise ConflictError(
            "Validation runs were made with this data set: it is part of their evidence.",
            "Delete the whole project if neither is needed any more.",
        ) from error


async def add_version(
    session: WriteSession, data_set_id: uuid.UUID, change: VersionChange, user: str
) -> tuple[DataSetVersion, VersionDiff]:
    """A new version: the newest with this change; and what changed.

    Raises:
        NotFoundError: there is no such data set.
        UnprocessableError: the change cannot be made, or changes nothing.
    """
    # The lock: of two at once the second builds on the first.
    data_set = await session.scalar(select(DataSet).where(DataSet.id == data_set_id).with_for_update())
    if data_set is None:
        data_set = await find_data_set(session, data_set_id)
    newest = await find_version(session, data_set_id)
    before = await items_of(session, newest)
    after = await _applied(session, data_set.project_id, before, change)
    diff = items.difference(before, after, (newest.number, newest.number + 1))
    if not (diff.added or diff.removed or diff.changed):
        raise UnprocessableError(
            f"Nothing differs from version {newest.number}.", "A new version says what it adds, removes or changes."
        )
    return await _store(session, data_set, newest.number + 1, change.note, after, user), diff


async def change_version(
    session: WriteSession, data_set_id: uuid.UUID, number: int, change: VersionChange
) -> tuple[DataSetVersion, VersionDiff]:
    """Change a version that no run was made with; and what changed.

    Raises:
        NotFoundError: there is no such data set or version.
        ConflictError: it is frozen.
        UnprocessableError: the change cannot be made.
    """
    data_set = await find_data_set(session, data_set_id)
    await find_version(session, data_set_id, number)
    # The lock: a run that is started at the same moment waits for what it is to measure.
    version = await session.scalar(
        select(DataSetVersion)
        .where(DataSetVersion.data_set_id == data_set_id, DataSetVersion.number == number)
        .with_for_update(of=DataSetVersion)
        .execution_options(populate_existing=True)
    )
    if version is None or version.frozen_at is not None:
        raise ConflictError(
            f"Version {number} is frozen: runs were made with it.",
            "Make a new version: POST /api/v1/data-sets/{data_set_id}/versions.",
        )
    before = await items_of(session, version)
    after = await _applied(session, data_set.project_id, before, change)
    await session.execute(delete(_ROW).where(_ROW.version_id == version.id))
    if "note" in change.model_fields_set:
        version.note = change.note
    for name, value in (await _summary(session, after)).items():
        setattr(version, name, value)
    await session.flush()
    await _add_rows(session, version.id, after)
    return version, items.difference(before, after, (number, number))


async def _applied(
    session: ReadSession, project_id: uuid.UUID, before: Sequence[Item], change: VersionChange
) -> list[Item]:
    wanted = [item.ground_truth_id for item in change.change if item.ground_truth_id is not None]
    found = await _approved(session, wanted)
    truths: dict[uuid.UUID, Truth] = {key: (row.video_id, row.sha256) for key, row in found.items()}
    left = items.without(before, change.remove)
    after = items.changed(left, change.change, truths) + await _new_items(session, project_id, change.add)
    items.check(after)
    return after


async def _approved(session: ReadSession, wanted: Iterable[uuid.UUID]) -> dict[uuid.UUID, GroundTruthSet]:
    """The ground truths with these ids, which must be approved."""
    ids = list(dict.fromkeys(wanted))
    rows = await session.scalars(select(GroundTruthSet).where(GroundTruthSet.id.in_(ids)))
    found = {row.id: row for row in rows}
    for key in ids:
        if key not in found:
            raise UnprocessableError(
                f"There is no ground truth {key}.", "GET /api/v1/videos/{id}/ground-truths lists a video's."
            )
        _check_approved(found[key])
    return found


def _check_approved(truth: GroundTruthSet) -> None:
    if truth.approved_by is None:
        raise UnprocessableError(
            f"Ground truth {truth.name} ({truth.id}) is not approved.",
            "Approve it first: POST /api/v1/ground-truths/{ground_truth_id}/approve.",
        )


async def _new_items(session: ReadSession, project_id: uuid.UUID, wanted: Sequence[NewRecording]) -> list[Item]:
    """Recordings from what a request says of them.

    Raises:
        UnprocessableError: a video or its truth is not there, not approved, or belongs elsewhere.
    """
    ids = [item.video_id for item in wanted]
    videos = {row.id: row for row in await session.scalars(select(Video).where(Video.id.in_(ids)))}
    given = await _approved(session, [item.ground_truth_id for item in wanted if item.ground_truth_id is not None])
    silent = [item.video_id for item in wanted if item.ground_truth_id is None]
    newest = (
        select(GroundTruthSet)
        .ext(distinct_on(GroundTruthSet.video_id))
        .where(GroundTruthSet.video_id.in_(silent), GroundTruthSet.approved_by.is_not(None))
        .order_by(GroundTruthSet.video_id, GroundTruthSet.approved_at.desc(), GroundTruthSet.id)
    )
    own = {row.video_id: row for row in await session.scalars(newest)} if silent else {}
    found = []
    for item in wanted:
        video = videos.get(item.video_id)
        if video is None or video.project_id != project_id:
            raise UnprocessableError(
                f"The project has no video {item.video_id}.", "GET /api/v1/projects/{id}/videos lists what it has."
            )
        truth = own.get(video.id) if item.ground_truth_id is None else given[item.ground_truth_id]
        if truth is None:
            raise UnprocessableError(
                f"Video {video.name} has no approved ground truth.", "Upload and approve one, or leave the video out."
            )
        if truth.video_id != video.id:
            raise UnprocessableError(f"Ground truth {truth.name} is about another video than {video.name}.")
        calibration = item.calibration.model_dump() if item.calibration else None
        found.append(
            Item(
                name=item.name or video.name,
                video_id=video.id,
                ground_truth_id=truth.id,
                video_sha256=video.sha256,
                ground_truth_sha256=truth.sha256,
                attributes=item.attributes,
                tags=sorted(set(item.tags)),
                calibration=calibration,
            )
        )
    if found:
        items.check(found)
    return found


async def _summary(session: ReadSession, found: Sequence[Item]) -> dict[str, Any]:
    ids = [item.video_id for item in found]
    sums = select(func.sum(Video.frame_count), func.sum(Video.duration_s)).where(Video.id.in_(ids))
    frames, seconds = (await session.execute(sums)).one()
    return {
        "sha256": items.digest(found),
        "recording_count": len(found),
        "frame_count": int(frames or 0),
        "duration_s": float(seconds or 0.0),
    }


async def _store(
    session: WriteSession, data_set: DataSet, number: int, note: str, found: Sequence[Item], user: str
) -> DataSetVersion:
    version = DataSetVersion(
        id=uuid.uuid4(),
        data_set_id=data_set.id,
        number=number,
        note=note,
        created_by=user,
        **await _summary(session, found),
    )
    session.add(version)
    await session.flush()
    await _add_rows(session, version.id, found)
    await session.refresh(version)
    return version


async def _add_rows(session: WriteSession, version_id: uuid.UUID, found: Sequence[Item]) -> None:
    rows = [
        {name: getattr(item, name) for name in Item.__dataclass_fields__} | {"version_id": version_id, "number": number}
        for number, item in enumerate(found, 1)
    ]
    try:
        await session.execute(insert(_ROW), rows)
    except IntegrityError as error:
        raise ConflictError("One of the videos or ground truths was deleted meanwhile.", "Try again.") from error
