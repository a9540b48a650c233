"""A model in a process of its own that is locked in, and stays: what is in the file cannot reach this one.

The process holds no secret, opens no file and no socket, and is ended above its limits. Pictures lie in memory that is
lent to it; boxes come back, and are believed only as far as they make sense.
"""

import hashlib
import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import structlog

from vru.domain import Box, VruError
from vru.ml_engine.detectors import Found, Image, Seen, Stages
from vru.ml_engine.onnx.cage import FIX, load_limits
from vru.ml_engine.onnx.card import OnnxParameters
from vru.ml_engine.onnx.messages import Outcome
from vru.sandbox import wire
from vru.sandbox.errors import FileUnreadableError, naming
from vru.sandbox.files import memory_file
from vru.sandbox.lending import Tray, room
from vru.sandbox.limits import Limits
from vru.sandbox.process import Child
from vru.service.errors import UnprocessableError

log = structlog.get_logger("vru.ml_engine")
_MODULE = "vru.ml_engine.onnx.held"
# Of processor time for one picture, and how much more of wall clock: other programs run too.
_PICTURE_S, _PATIENCE = 30.0, 4
# Corners were rounded on their way.
_SLACK = 1e-3
_LEAST_TRAY = 1 << 20


class LockedModel:
    """An ONNX model as a ``Detector``. Its process is started again where it has ended."""

    def __init__(self, parameters: OnnxParameters, folder: Path, label: str, *, threads: int, at_once: int) -> None:
        """Load it, and let it pass its trial: ``at_once`` pictures side by side, ``threads`` threads for each.

        Raises:
            VruError: the file is missing, is not the one of the card, unfit, or does not fit the card.
        """
        self._parameters, self._label = parameters, label
        self._file = folder / parameters.file
        self._threads, self._at_once = threads, at_once
        self._lock = threading.Lock()
        # A child ends with the thread that started it: this one stays.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix=f"model {label}")
        self._child: Child | None = None
        self._tray: Tray | None = None
        self._limits = Limits()
        self._provider = ""
        try:
            self._ready()
        except BaseException:
            self.close()
            raise

    @property
    def provider(self) -> str:
        """What runs the model: onnxruntime's name of it."""
        return self._provider

    def look(self, images: Sequence[Image]) -> list[Seen | VruError]:
        """What is in each picture. Where its process ends over several, each is looked at by itself.

        So one picture that ends it has no effect on what is said of the others.
        """
        with self._lock:
            try:
                return self._look(images)
            except FileUnreadableError as error:
                if len(images) == 1:
                    return [self._stopped(error)]
            return [self._alone(image) for image in images]

    def close(self) -> None:
        """End its process."""
        with self._lock:
            self._end()
            self._starter.shutdown(wait=False)

    def _alone(self, image: Image) -> Seen | VruError:
        try:
            return self._look([image])[0]
        except FileUnreadableError as error:
            return self._stopped(error)

    def _stopped(self, error: FileUnreadableError) -> VruError:
        why = error.message.removeprefix("The file cannot be read: ")
        why = why.replace("its reader", "its process").replace("reading it", "a picture")
        return UnprocessableError(f"The model {self._label} stopped: {why}", "Send another picture, or mend the model.")

    def _look(self, images: Sequence[Image]) -> list[Seen | VruError]:
        child = self._ready()
        places = self._room_for(child, images).lay(images)
        seconds = _PICTURE_S * len(images)
        limits = Limits(self._limits.memory_bytes, cpu_s=seconds, wall_s=_PATIENCE * seconds)
        outcomes = self._ask(child, "look", None, list[Outcome], limits, places=places)
        if len(outcomes) != len(images):
            raise self._garbled(child)
        return [self._checked(child, outcome, image) for outcome, image in zip(outcomes, images, strict=True)]

    def _checked(self, child: Child, outcome: Outcome, image: Image) -> Seen | VruError:
        if outcome.refused is not None:
            return VruError(*map(wire.text, outcome.refused))
        height, width = image.shape[:2]
        found = []
        for road_user, score, *corners in outcome.found:
            x, y, wide, tall = corners
            inside = min(x, y) >= 0 and x + wide <= width + _SLACK and y + tall <= height + _SLACK
            sensible = all(map(math.isfinite, corners)) and inside and min(wide, tall) >= 0 and 0 <= score <= 1
            if not sensible or road_user not in self._parameters.road_users():
                raise self._garbled(child)
            found.append(Found(road_user, score, Box(x, y, wide, tall)))
        return Seen(found, Stages(*outcome.stages))

    def _garbled(self, child: Child) -> FileUnreadableError:
        child.kill()
        return FileUnreadableError("The file cannot be read: its reader's answer is garbled.")

    def _ready(self) -> Child:
        if self._child is not None and self._child.usable:
            return self._child
        self._end()
        content = self._content()
        child = self._child = self._starter.submit(Child, (_MODULE,), 0).result()
        for name, why in child.missing.items():
            log.warning("the process of a model lacks a barrier", model=self._label, barrier=name, reason=why)
        self._limits = load_limits(len(content))
        parameters = self._parameters.model_dump(mode="json")
        sizes = {"threads": self._threads, "at_once": self._at_once}
        try:
            with naming(self._file), memory_file(content) as file:
                name = str(self._file)
                provider = self._ask(child, "load", file, str, self._limits, name=name, parameters=parameters, **sizes)
        except FileUnreadableError as error:
            raise VruError(error.message, FIX) from error
        self._provider = wire.text(provider)
        return child

    def _content(self) -> bytes:
        """The bytes that are loaded, which are those that were hashed."""
        try:
            content = self._file.read_bytes()
        except OSError as error:
            raise VruError(
                f"{self._file} cannot be read: {error.strerror}.", "Put the weights beside the card."
            ) from error
        if (found := hashlib.sha256(content).hexdigest()) != self._parameters.sha256:
            raise VruError(
                f"{self._file} has the SHA-256 {found}, its card says {self._parameters.sha256}.",
                "Correct one of them.",
            )
        return content

    def _room_for(self, child: Child, images: Sequence[Image]) -> Tray:
        needed = room(images)
        if self._tray is None or self._tray.size_bytes < needed:
            if self._tray is not None:
                self._tray.close()
            # In steps of two, so that it is seldom lent anew.
            self._tray = Tray(max(_LEAST_TRAY, 1 << (needed - 1).bit_length()))
            self._ask(child, "lend", self._tray.descriptor, type(None), self._limits, size_bytes=self._tray.size_bytes)
        return self._tray

    def _ask(self, child: Child, function: str, file: int | None, returns: Any, limits: Limits, **what: Any) -> Any:
        job = wire.Job(f"{_MODULE}:{function}", what, file is not None)
        value = child.call(job, file, limits)
        try:
            return msgspec.msgpack.decode(value, type=returns)
        except msgspec.MsgspecError:
            raise self._garbled(child) from None

    def _end(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None
        if self._tray is not None:
            self._tray.close()
            self._tray = None
