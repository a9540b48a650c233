"""Data sets over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, status
from pydantic import ValidationError

from vru.gateway.auth.current import CurrentUser
from vru.gateway.data_sets import items, service
from vru.gateway.data_sets.leaderboard import leaderboard
from vru.gateway.data_sets.reader import LARGEST, LIMITS, TAGS, Said
from vru.gateway.data_sets.schemas import (
    ChangedRecording,
    ChangedVersion,
    DataSetBody,
    DataSetCreate,
    DataSetList,
    DataSetUpdate,
    Leaderboard,
    Note,
    RecordingBody,
    RecordingList,
    SliceList,
    VersionBody,
    VersionChange,
    VersionDiff,
    VersionList,
)
from vru.gateway.parameters import MAX_INTEGER, Identity, Limit, Offset, problems
from vru.gateway.resources import Gateway
from vru.gateway.uploads import UNLIMITED, announced_size, raw_body
from vru.gateway.videos.store import MediaStore
from vru.service.database.sessions import Reading, Writing
from vru.service.database.tables import DataSet, DataSetVersion
from vru.service.errors import UnprocessableError
from vru.service.schemas import Name

router = APIRouter(tags=["data sets"])
Number = Annotated[int, Path(ge=1, le=MAX_INTEGER, description="the version", examples=[1])]


def _body(data_set: DataSet, newest: DataSetVersion) -> DataSetBody:
    own = {name: getattr(data_set, name) for name in DataSetBody.model_fields if name != "newest"}
    return DataSetBody(**own, newest=VersionBody.model_validate(newest))


@router.get("/projects/{project_id}/data-sets", summary="List a project's data sets", responses=problems(401, 404))
async def list_data_sets(
    project_id: Identity, _: CurrentUser, session: Reading, limit: Limit = 100, offset: Offset = 0
) -> DataSetList:
    """Newest first, each with its newest version."""
    found, total = await service.list_data_sets(session, project_id, limit, offset)
    return DataSetList(items=[_body(*pair) for pair in found], total=total)


@router.post(
    "/projects/{project_id}/data-sets",
    summary="Create a data set",
    status_code=status.HTTP_201_CREATED,
    responses=problems(401, 404, 409, 422),
)
async def create_data_set(
    project_id: Identity, body: DataSetCreate, user: CurrentUser, session: Writing
) -> DataSetBody:
    """Its recordings are videos of the project with approved ground truth, by reference: nothing is copied."""
    return _body(*await service.create_data_set(session, project_id, body, user.email))


@router.get("/data-sets/{data_set_id}", summary="Get a data set", responses=problems(401, 404))
async def get_data_set(data_set_id: Identity, _: CurrentUser, session: Reading) -> DataSetBody:
    """With its newest version."""
    data_set = await service.find_data_set(session, data_set_id)
    return _body(data_set, await service.find_version(session, data_set_id))


@router.patch("/data-sets/{data_set_id}", summary="Change a data set", responses=problems(401, 404, 409, 422))
async def update_data_set(data_set_id: Identity, body: DataSetUpdate, _: CurrentUser, session: Writing) -> DataSetBody:
    """Its name and description; its recordings change by versions."""
    data_set = await service.update_data_set(session, data_set_id, body)
    return _body(data_set, await service.find_version(session, data_set_id))


@router.delete(
    "/data-sets/{data_set_id}",
    summary="Delete a data set",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(401, 404, 409),
)
async def delete_data_set(data_set_id: Identity, _: CurrentUser, session: Writing) -> None:
    """With all its versions; its videos stay. Refused if a run was made with it."""
    await service.delete_data_set(session, data_set_id)


@router.get("/data-sets/{data_set_id}/versions", summary="List a data set's versions", responses=problems(401, 404))
async def list_versions(
    data_set_id: Identity, _: CurrentUser, session: Reading, limit: Limit = 100, offset: Offset = 0
) -> VersionList:
    """Newest first."""
    found, total = await service.list_versions(session, data_set_id, limit, offset)
    return VersionList(items=[VersionBody.model_validate(item) for item in found], total=total)


@router.post(
    "/data-sets/{data_set_id}/versions",
    summary="Make a new version",
    status_code=status.HTTP_201_CREATED,
    responses=problems(401, 404, 409, 422),
)
async def create_version(
    data_set_id: Identity, body: VersionChange, user: CurrentUser, session: Writing
) -> ChangedVersion:
    """The newest with what this adds, removes and changes. A version that equals it is refused."""
    version, diff = await service.add_version(session, data_set_id, body, user.email)
    return ChangedVersion(version=VersionBody.model_validate(version), changes=diff)


@router.get("/data-sets/{data_set_id}/versions/{number}", summary="Get a version", responses=problems(401, 404))
async def get_version(data_set_id: Identity, number: Number, _: CurrentUser, session: Reading) -> VersionBody:
    """Its facts, without its recordings."""
    return VersionBody.model_validate(await service.find_version(session, data_set_id, number))


@router.patch(
    "/data-sets/{data_set_id}/versions/{number}",
    summary="Change a version",
    responses=problems(401, 404, 409, 422),
)
async def change_version(
    data_set_id: Identity, number: Number, body: VersionChange, _: CurrentUser, session: Writing
) -> ChangedVersion:
    """While no run was made with it; from then on it is frozen, and changes make a new version."""
    version, diff = await service.change_version(session, data_set_id, number, body)
    return ChangedVersion(version=VersionBody.model_validate(version), changes=diff)


@router.get(
    "/data-sets/{data_set_id}/versions/{number}/recordings",
    summary="List a version's recordings",
    responses=problems(401, 404),
)
async def list_recordings(
    data_set_id: Identity, number: Number, _: CurrentUser, session: Reading, limit: Limit = 100, offset: Offset = 0
) -> RecordingList:
    """In their order, with their conditions and the digests of what they are."""
    version = await service.find_version(session, data_set_id, number)
    found = await service.list_recordings(session, version, limit, offset)
    return RecordingList(items=[RecordingBody(**row) for row in found], total=version.recording_count)


@router.get(
    "/data-sets/{data_set_id}/versions/{number}/slices",
    summary="List the slices of a version",
    responses=problems(401, 404),
)
async def list_slices(data_set_id: Identity, number: Number, _: CurrentUser, session: Reading) -> SliceList:
    """What attributes and tags make of it: criteria may name them, and every run measures them."""
    version = await service.find_version(session, data_set_id, number)
    found = items.slices(await service.items_of(session, version))
    return SliceList(items=found, total=len(found))


@router.get(
    "/data-sets/{data_set_id}/versions/{number}/leaderboard",
    summary="Rank the runs over a version",
    responses=problems(401, 404),
)
async def rank_runs(data_set_id: Identity, number: Number, _: CurrentUser, session: Reading) -> Leaderboard:
    """The completed ones, the highest F1 first, each with its settings and verdict; the newest 500 of them."""
    entries = await leaderboard(session, await service.find_version(session, data_set_id, number))
    return Leaderboard(items=entries, total=len(entries))


@router.post(
    "/data-sets/{data_set_id}/versions/{number}/attributes",
    summary="Import attributes from a file",
    responses=problems(401, 404, 409, 413, 422, 507),
    max_body_size=UNLIMITED,
    openapi_extra=raw_body("text/csv", "application/json", "application/octet-stream"),
)
async def import_attributes(
    data_set_id: Identity,
    number: Number,
    request: Request,
    user: CurrentUser,
    gateway: Gateway,
    name: Annotated[Name, Query(description="what messages call it", examples=["attributes.csv"])] = "attributes",
    new_version: Annotated[bool, Query(description="make a new version of the newest instead of changing it")] = False,
    note: Annotated[Note, Query(description="of the new version")] = "",
) -> ChangedVersion:
    """The body is the file itself: CSV with a column ``recording``, or JSON. Empty cells say nothing.

    What it names takes the place of what stood there, and ``tags`` (with semicolons between) of the tags.
    """
    async with gateway.database.read() as reading:
        await service.find_version(reading, data_set_id, number)
    store = MediaStore(gateway.settings.media_dir)
    async with store.receive(
        request.stream(), limit_bytes=LARGEST, announced_bytes=announced_size(request)
    ) as received:
        said = await gateway.sandbox.read(
            "vru.gateway.data_sets.reader:read_attributes", received.path, Said, limits=LIMITS, name=name
        )
        change = _change(said, name, note)
        async with gateway.database.write() as writing:
            if new_version:
                version, diff = await service.add_version(writing, data_set_id, change, user.email)
            else:
                version, diff = await service.change_version(writing, data_set_id, number, change)
            return ChangedVersion(version=VersionBody.model_validate(version), changes=diff)


def _change(said: Said, name: str, note: str) -> VersionChange:
    changes = []
    for recording, texts in said.items():
        attributes = {key: value for key, value in texts.items() if key != TAGS}
        given: dict[str, object] = {"name": recording, "attributes": attributes}
        if TAGS in texts:
            given["tags"] = [tag.strip() for tag in texts[TAGS].split(";") if tag.strip()]
        try:
            changes.append(ChangedRecording.model_validate(given))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"] if part != "[key]")
            raise UnprocessableError(f"{name}: {recording}: {place}: {first['msg']}.", "Correct it.") from None
    return VersionChange(note=note, change=changes) if note else VersionChange(change=changes)


@router.get("/data-sets/{data_set_id}/diff", summary="Compare two versions", responses=problems(401, 404))
async def compare_versions(
    data_set_id: Identity,
    _: CurrentUser,
    session: Reading,
    before: Annotated[int, Query(ge=1, le=MAX_INTEGER, description="a version", examples=[1])],
    after: Annotated[int, Query(ge=1, le=MAX_INTEGER, description="another version", examples=[2])],
) -> VersionDiff:
    """Which recordings were added and removed, and what changed about the others: digests, attributes, tags."""
    old, new = [await service.find_version(session, data_set_id, number) for number in (before, after)]
    pair = await service.items_of(session, old), await service.items_of(session, new)
    return items.difference(*pair, (before, after))
