"""The ML engine's HTTP API."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

import cv2
import structlog
from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from vru.ml_engine.inference import Engine, bodies
from vru.ml_engine.lanes import LaneLimits, Priority
from vru.ml_engine.readers import Readers
from vru.ml_engine.serving import Models
from vru.ml_engine.settings import MlEngineSettings
from vru.service.app import create_app
from vru.service.errors import TooLargeError, UnavailableError
from vru.service.schemas import DetectionBody, ModelBody, Problem, Schema, VideoDetectionRequest

log = structlog.get_logger("vru.ml_engine")
_MIB = 1024 * 1024
# Lifts the application's general limit; what stands for it is _read_body, whose error is a problem with a fix.
_LIMITED_HERE = 2**40
# Decoded at once; further requests wait for their turn.
_MOST_VIDEOS = 16
_LOOK_AGAIN_S = 2
_DESCRIPTION = "Runs the models of the model repository on single images and on videos in the media store."


class ModelList(Schema):
    """Model versions, by name, the oldest version first."""

    items: list[ModelBody]
    total: int


class UnusableBody(Schema):
    """A model version that cannot run, and why."""

    name: str
    version: str
    reason: str


class ModelsBody(ModelList):
    """Every version of every model: those that run, and those that do not."""

    unusable: list[UnusableBody]


class ImageDetections(Schema):
    """What was found in one image. Pixels as they are stored; ``frame_index`` and ``time_s`` are 0."""

    width: int
    height: int
    detections: list[DetectionBody]


class NdjsonResponse(StreamingResponse):
    """Streams the lines of an asynchronous generator, and closes it when the client goes away."""

    media_type = "application/x-ndjson"

    def __init__(self, lines: AsyncGenerator[bytes, None]) -> None:
        super().__init__(lines)
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the lines."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            # A cancelled request leaves the generator suspended: without this it would hold its frames and threads.
            await self._lines.aclose()


def create_ml_engine(settings: MlEngineSettings | None = None) -> FastAPI:
    """The ML engine, ready for ``vru.service.app.serve``. It answers at once, and is ready when every model is warm.

    Raises:
        VruError: the model repository is missing.
    """
    settings = settings or MlEngineSettings()
    # Process-wide; 1 means: no threads of its own, which is fastest where several frames run at once.
    cv2.setNumThreads(settings.ml_threads)
    limits = LaneLimits(settings.batch, settings.ml_batch_delay_ms / 1000, settings.ml_max_requests)
    models = Models(settings.models_dir, limits, threads=settings.ml_threads, at_once=settings.ml_concurrency)
    readers = Readers(videos=_MOST_VIDEOS, images=settings.ml_concurrency)
    engine = Engine(models, readers, ahead=2 * settings.batch, image=settings.image or None)

    async def follow() -> None:
        """Load the models, and what changes in their folder."""
        while True:
            try:
                await asyncio.to_thread(models.refresh_if_changed)
            except Exception:
                log.exception("the model repository could not be read")
            await asyncio.sleep(_LOOK_AGAIN_S)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        readers.warm()
        following = asyncio.create_task(follow())
        yield
        following.cancel()
        readers.close()
        await asyncio.to_thread(models.close)
        engine.close()

    async def check_models() -> None:
        if not models.warm:
            raise UnavailableError("The models are being loaded.")
        if not models.list():
            raise UnavailableError(f"The model repository {settings.models_dir} has no usable model.")

    async def check_media() -> None:
        if not settings.media_dir.is_dir():
            raise UnavailableError(f"The media directory {settings.media_dir} is missing.")

    app = create_app(
        title="ML engine",
        description=_DESCRIPTION,
        settings=settings,
        lifespan=lifespan,
        checks={"models": check_models, "media": check_media},
    )
    app.include_router(_routes(engine, settings))
    return app


def _problems(*statuses: int) -> dict[int | str, dict[str, object]]:
    return {status: {"model": Problem} for status in statuses}


async def _read_body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLargeError(f"The image is larger than {limit // _MIB} MiB.", "Send a smaller image.")
    return bytes(body)


def _routes(engine: Engine, settings: MlEngineSettings) -> APIRouter:
    router = APIRouter(prefix="/models", tags=["models"])
    models = engine.models
    picture = {"schema": {"type": "string", "format": "binary"}}

    @router.get("", summary="List models")
    async def list_models() -> ModelsBody:
        items = [served.body() for served in models.list()]
        unusable = [UnusableBody.model_validate(wrong) for wrong in models.repository.unusable()]
        return ModelsBody(items=items, total=len(items), unusable=unusable)

    @router.get("/{name}", summary="List the versions of a model", responses=_problems(404, 422, 503))
    async def list_versions(name: str) -> ModelList:
        with models.use(name):
            items = [served.body() for served in models.list() if served.version.card.name == name]
        return ModelList(items=items, total=len(items))

    @router.get("/{name}/{version}", summary="Get a model version", responses=_problems(404, 422, 503))
    async def get_version(name: str, version: str) -> ModelBody:
        with models.use(name, version) as served:
            return served.body()

    @router.post(
        "/{name}/{version}/detect",
        summary="Detect in one image",
        responses=_problems(404, 413, 422, 429, 503, 504),
        openapi_extra={"requestBody": {"required": True, "content": {"image/jpeg": picture, "image/png": picture}}},
        max_body_size=_LIMITED_HERE,
    )
    async def detect_image(
        name: str,
        version: str,
        request: Request,
        score_threshold: Annotated[float, Query(ge=0, le=1)] = 0.5,
        timeout_ms: Annotated[
            float | None, Query(gt=0, description="look at it within this time, or not at all")
        ] = None,
        priority: Annotated[
            Literal["interactive", "bulk"], Query(description="interactive comes first")
        ] = "interactive",
    ) -> ImageDetections:
        """The body is the image file itself, JPEG or PNG. Rotation by metadata is not applied."""
        until = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        with models.use(name, version) as served, served.lane.let_in():
            data = await _read_body(request, settings.ml_max_image_mb * _MIB)
            most = settings.ml_max_image_megapixels * 1_000_000
            image, answer = await engine.detect_image(served.lane, data, most, Priority[priority.upper()], until)
        found = bodies(answer.seen.found, 0, 0.0, score_threshold)
        return ImageDetections(width=image.shape[1], height=image.shape[0], detections=found)

    @router.post(
        "/{name}/{version}/detect-video",
        summary="Detect in a range of a video's frames",
        response_class=NdjsonResponse,
        responses={
            200: {"description": "One FrameDetections a line; the last line is a StreamEnd."},
            **_problems(404, 422, 503),
        },
    )
    async def detect_video(name: str, version: str, request: VideoDetectionRequest) -> NdjsonResponse:
        """Streams while it decodes. An answer without a StreamEnd as its last line was cut and must not be used."""
        return NdjsonResponse(await engine.detect_video(name, version, settings.media_dir, request))

    return router
