"""A synthetic road scene: a pure function from its description to pictures with exact ground truth.

A scene is a street seen by a camera that does not move, people who walk along paths in metres, and things that stand
in front of them. Every pixel knows whose it is, so the boxes are exact by construction: they are the bounding
rectangles of the pixels in which the person is what the camera sees.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vru.domain import Box, TruthBox, VruClass
from vru.scenes.figures import Outfit, Pose, Sprite, draw_person
from vru.scenes.street import Lens, Prop, draw_prop, draw_street

TIME_BASE = Fraction(1, 90000)
"""Seconds of one tick of a scene's timestamps; also of the videos written from it."""

# A person is `occluded` from this hidden share of what is inside the frame; below, it is a few pixels of an edge.
_OCCLUDED_FROM = 0.05
# Too little is visible to ask anyone to see it: neither a hit nor a miss (as in the real recordings' truth).
_IGNORE_BELOW_PX = 250
_IGNORE_HIDDEN_FROM = 0.80
_STRIDE_M = 1.45


@dataclass(frozen=True, slots=True)
class Walker:
    """A person and their way: ``path`` holds (time in s, metres to the right, metres ahead), in order of time.

    Between two points the person walks straight at constant speed, or stands if they are the same. Before the first
    and after the last the person is not there.
    """

    track_id: int
    path: tuple[tuple[float, float, float], ...]
    outfit: Outfit
    height_m: float = 1.75
    road_user: VruClass = VruClass.PEDESTRIAN
    facing: float = 0.0
    """Where the person looks when standing, in radians; see ``Pose.heading``."""

    def at(self, time_s: float) -> tuple[float, float, Pose] | None:
        """Metres to the right, metres ahead and pose at a time; None if the person is not there."""
        if not self.path[0][0] <= time_s <= self.path[-1][0]:
            return None
        walked = 0.0
        for (t0, x0, z0), (t1, x1, z1) in zip(self.path, self.path[1:], strict=False):
            length = math.hypot(x1 - x0, z1 - z0)
            if time_s <= t1:
                share = (time_s - t0) / (t1 - t0)
                heading = math.atan2(z1 - z0, x1 - x0) if length else self.facing
                phase = 2 * math.pi * (walked + share * length) / (_STRIDE_M * self.height_m / 1.75) + self.track_id
                stride = min(1.0, length / (t1 - t0) / 1.3)
                return x0 + share * (x1 - x0), z0 + share * (z1 - z0), Pose(phase, stride, heading)
            walked += length
        return None  # pragma: no cover - the last point was checked above


@dataclass(frozen=True, slots=True)
class Light:
    """What the time of day does to the picture. ``gain`` scales daylight per channel (blue, green, red)."""

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    noise: float = 2.0
    """Standard deviation of the sensor's noise in grey levels."""
    lamp_x_m: tuple[float, ...] = ()
    """Where street lamps light the scene, for the night."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture: BGR, uint8, HxWx3; ``truths`` maps a track to its box, for every track that is visible in it."""

    index: int
    pts: int
    time_s: float
    image: NDArray[np.uint8]
    truths: dict[int, TruthBox]


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene's whole description. Equal descriptions give equal pictures, bit for bit.

    ``pts`` are the frames' timestamps in ticks of ``TIME_BASE``, rising; frames need not be evenly spaced.
    """

    name: str
    pts: tuple[int, ...]
    walkers: tuple[Walker, ...]
    props: tuple[Prop, ...] = ()
    lens: Lens = field(default_factory=Lens)
    light: Light = field(default_factory=Light)
    seed: int = 0

    @property
    def frame_count(self) -> int:
        """How many frames the scene has."""
        return len(self.pts)

    @property
    def times(self) -> tuple[float, ...]:
        """Seconds of each frame, ``pts * time_base``."""
        return tuple(float(pts * TIME_BASE) for pts in self.pts)

    def frames(self) -> Iterator[Frame]:
        """Every frame in order of time."""
        return (self.frame(index) for index in range(self.frame_count))

    def frame(self, index: int) -> Frame:
        """The frame at ``index`` (from 0). Raises IndexError beyond the last."""
        pts = self.pts[index]
        time_s = float(pts * TIME_BASE)
        image = _backdrop(self.lens, self.seed, self.props, self.light).copy()
        layers = self._people(time_s) + [(prop.z_m, None, sprite) for prop, sprite in _props(self.lens, self.props)]
        # From the farthest to the nearest, each covers what is behind it.
        layers.sort(key=lambda layer: -layer[0])
        owner = np.zeros(image.shape[:2], np.int32)
        for number, (z_m, walker, sprite) in enumerate(layers, start=1):
            if walker is not None:
                _cast_shadow(image, sprite, self.lens.focal / z_m)
            _paste(image, owner, sprite, number)
        truths = {
            walker.track_id: truth
            for number, (_, walker, sprite) in enumerate(layers, start=1)
            if walker is not None and (truth := _truth(index, time_s, owner == number, sprite))
        }
        return Frame(index, pts, time_s, self._exposed(image, index), truths)

    def _people(self, time_s: float) -> list[tuple[float, Walker | None, Sprite]]:
        people: list[tuple[float, Walker | None, Sprite]] = []
        for walker in self.walkers:
            here = walker.at(time_s)
            if here is None:
                continue
            x_m, z_m, pose = here
            height = walker.height_m * self.lens.focal / z_m
            people.append((z_m, walker, draw_person(pose, walker.outfit, self.lens.project(x_m, 0, z_m), height)))
        return people

    def _exposed(self, image: NDArray[np.float32], index: int) -> NDArray[np.uint8]:
        lit = image * _lamp_light(self.lens, self.light)
        rng = np.random.default_rng((self.seed, 2, index))
        grain = rng.standard_normal(image.shape[:2], dtype=np.float32) * self.light.noise
        return np.clip(lit + grain[..., None] + 0.5, 0, 255).astype(np.uint8)


@lru_cache(maxsize=8)
def _backdrop(lens: Lens, seed: int, props: tuple[Prop, ...], light: Light) -> NDArray[np.float32]:
    image = draw_street(lens, seed)
    for prop, sprite in _props(lens, props):
        _cast_shadow(image, sprite, lens.focal / prop.z_m)
    return image


@lru_cache(maxsize=8)
def _props(lens: Lens, props: tuple[Prop, ...]) -> tuple[tuple[Prop, Sprite], ...]:
    return tuple((prop, draw_prop(prop, lens)) for prop in props)


@lru_cache(maxsize=8)
def _lamp_light(lens: Lens, light: Light) -> NDArray[np.float32]:
    """What every pixel is multiplied by: the daylight's gain and, at night, pools of lamp light."""
    gain = np.ones((lens.height, lens.width, 3), np.float32) * np.array(light.gain, np.float32)
    columns = np.arange(lens.width, dtype=np.float32)
    for x_m in light.lamp_x_m:
        middle = lens.project(x_m, 0, 8.0)[0]
        pool = 0.45 * np.exp(-(((columns - middle) / (0.22 * lens.width)) ** 2))
        gain += pool[None, :, None] * np.array((0.75, 0.95, 1.0), np.float32)
    return gain


def _window(sprite: Sprite, height: int, width: int) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """The part of the frame that a sprite covers and the part of the sprite inside; None if it is all outside."""
    top, left = max(0, sprite.top), max(0, sprite.left)
    bottom = min(height, sprite.top + sprite.alpha.shape[0])
    right = min(width, sprite.left + sprite.alpha.shape[1])
    if top >= bottom or left >= right:
        return None
    inside = (slice(top - sprite.top, bottom - sprite.top), slice(left - sprite.left, right - sprite.left))
    return (slice(top, bottom), slice(left, right)), inside


def _paste(image: NDArray[np.float32], owner: NDArray[np.int32], sprite: Sprite, number: int) -> None:
    window = _window(sprite, *owner.shape)
    if window is None:
        return
    where, inside = window
    alpha = sprite.alpha[inside]
    image[where] += alpha[..., None] * (sprite.colour[inside] - image[where])
    owner[where][alpha >= 0.5] = number


def _cast_shadow(image: NDArray[np.float32], sprite: Sprite, metre: float) -> None:
    """Darken the ground around the foot of a sprite. A shadow is not part of anyone's box."""
    rows, columns = np.nonzero(sprite.alpha >= 0.5)
    if not rows.size:
        return
    foot = sprite.top + int(rows.max())
    middle = sprite.left + (int(columns.min()) + int(columns.max())) / 2
    reach = max(0.32 * metre, (int(columns.max()) - int(columns.min())) * 0.52)
    top, bottom = max(0, round(foot - 0.12 * metre)), min(image.shape[0], round(foot + 0.14 * metre))
    left, right = max(0, round(middle - 1.2 * reach)), min(image.shape[1], round(middle + 1.2 * reach))
    if top >= bottom or left >= right:
        return
    down = (np.arange(top, bottom, dtype=np.float32)[:, None] - foot) / (0.07 * metre)
    across = (np.arange(left, right, dtype=np.float32)[None, :] - middle) / reach
    image[top:bottom, left:right] *= (1 - 0.38 * np.exp(-(down**2) - across**4))[..., None]


def _truth(index: int, time_s: float, visible: NDArray[np.bool_], sprite: Sprite) -> TruthBox | None:
    """The exact box of what is visible of a person, or None if nothing is."""
    left, top, width, height = cv2.boundingRect(visible.astype(np.uint8))
    if not width:
        return None
    solid = sprite.alpha >= 0.5
    window = _window(sprite, *visible.shape)
    inside = int(solid[window[1]].sum()) if window else 0
    seen = int(visible.sum())
    hidden = 1 - seen / inside
    return TruthBox(
        frame_index=index,
        time_s=time_s,
        box=Box(float(left), float(top), float(width), float(height)),
        occluded=hidden >= _OCCLUDED_FROM,
        truncated=inside < int(solid.sum()),
        ignore=width * height < _IGNORE_BELOW_PX or hidden >= _IGNORE_HIDDEN_FROM,
    )
