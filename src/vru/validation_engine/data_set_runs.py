"""Starting a run over all recordings of a data set's version, which is frozen by it."""

from procrastinate import App
from sqlalchemy import func, select, update

from vru.domain import VruError
from vru.domain.slices import SLICES
from vru.evaluation import check_independent
from vru.evaluation.video.evaluate import check_metric
from vru.service.database.sessions import WriteSession
from vru.service.database.tables import DataSet, DataSetVersion, Project, Run
from vru.service.errors import NotFoundError, UnprocessableError
from vru.service.schemas import CriterionBody, DataSetRunCreate, ModelBody
from vru.validation_engine import recordings, service
from vru.validation_engine.detectors import detector_of
from vru.validation_engine.recordings import Recording

_SHOWN = 20


async def create_data_set_run(
    session: WriteSession, queue: App, body: DataSetRunCreate, model: ModelBody | None, user: str
) -> Run:
    """Store a run and defer its first job, in the session's transaction. Without ``model`` its predictions are what
    is under test.

    Raises:
        NotFoundError: its project, data set, version or predictions do not exist.
        UnprocessableError: they do not belong together, the criteria name no metric or slice that there is, or the
            detector under test made the ground truth of a recording.
        ConflictError: one of them was deleted meanwhile.
    """
    project = await session.get(Project, body.project_id)
    if project is None:
        raise NotFoundError(f"There is no project {body.project_id}.")
    data_set = await session.get(DataSet, body.data_set_id)
    if data_set is None:
        raise NotFoundError(f"There is no data set {body.data_set_id}.")
    if data_set.project_id != project.id:
        raise UnprocessableError(f"Data set {data_set.name} does not belong to project {project.name}.")
    version = await _frozen(session, body, data_set)
    found = await recordings.of_version(session, version.id)
    detector = await detector_of(session, body, model, {item.video.id: item.name for item in found})
    criteria = body.criteria
    if criteria is None:
        criteria = [CriterionBody.model_validate(criterion) for criterion in project.criteria]
    _check(criteria, found, detector.name)
    stride = body.settings.frame_stride
    frames = sum(len(range(0, item.video.frame_count, stride)) for item in found)
    about = {"data_set_version_id": version.id, "frames_total": frames}
    return await service.begin(session, queue, body, criteria, user, **about, **detector.columns())


async def _frozen(session: WriteSession, body: DataSetRunCreate, data_set: DataSet) -> DataSetVersion:
    """The version, which nobody changes any more from now on."""
    number = body.data_set_version
    if number is None:
        newest = select(func.max(DataSetVersion.number)).where(DataSetVersion.data_set_id == data_set.id)
        number = await session.scalar(newest)
    chosen = (DataSetVersion.data_set_id == data_set.id, DataSetVersion.number == number)
    # Whoever is changing it right now is waited for: what was changed is what is read.
    await session.execute(
        update(DataSetVersion).where(*chosen, DataSetVersion.frozen_at.is_(None)).values(frozen_at=func.now())
    )
    version = await session.scalar(select(DataSetVersion).where(*chosen))
    if version is None:
        raise NotFoundError(
            f"Data set {data_set.name} has no version {number}.", "GET /data-sets/{id}/versions lists what there is."
        )
    return version


def _check(criteria: list[CriterionBody], found: list[Recording], detector: str) -> None:
    slices = {name for item in found for name in item.slices}
    for criterion in criteria:
        # What is stored with a project may name what camera runs alone measure.
        try:
            check_metric(criterion.metric)
        except VruError as error:
            raise UnprocessableError(error.message, error.fix) from error
        if criterion.slice not in slices and criterion.slice not in SLICES:
            own = ", ".join(sorted(slices)[:_SHOWN]) or "none of attributes and tags"
            raise UnprocessableError(
                f"The data set has no slice {criterion.slice!r}.", f"It has {own}; and: {', '.join(SLICES)}."
            )
    for item in found:
        try:
            check_independent(item.truth.source, detector)
        except VruError as error:
            raise UnprocessableError(f"Recording {item.name}: {error.message}", error.fix) from error
