"""Draw one walking person: an articulated body, seen from any side, as a picture with its exact silhouette."""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
"""Blue, green, red; each 0 to 255."""

Joint = tuple[float, float, float]
"""Forward, sideways (to the walker's left) and up from the ground, in units of body height."""

_SUPERSAMPLING = 3
# How far a body reaches to each side, and beyond its ground and its crown, in units of body height.
_HALF_WIDTH = 0.45
_MARGIN = 0.06


def as_float32(values: Any) -> NDArray[np.float32]:
    """``values`` as float32, without a copy if they are: OpenCV's functions do not say what they return."""
    return np.asarray(values, np.float32)


@dataclass(frozen=True, slots=True)
class Outfit:
    """What a person wears. ``coat``: the top reaches to the thighs."""

    top: Colour
    trousers: Colour
    hair: Colour = (30, 40, 55)
    skin: Colour = (120, 155, 205)
    shoes: Colour = (35, 35, 40)
    coat: bool = False


@dataclass(frozen=True, slots=True)
class Pose:
    """A moment of a walk. ``phase`` is the gait cycle in radians; ``stride`` is 0 standing and 1 walking.

    ``heading`` is where the person goes, in radians: 0 to the right of the picture, pi/2 away from the camera.
    """

    phase: float
    stride: float
    heading: float


@dataclass(frozen=True, slots=True)
class Sprite:
    """A picture with transparency and where it belongs.

    ``colour`` is HxWx3 float32 (0 to 255), ``alpha`` HxW float32 (0 to 1); ``left`` and ``top`` are the frame's
    coordinates of its first pixel and may lie outside the frame.
    """

    colour: NDArray[np.float32]
    alpha: NDArray[np.float32]
    left: int
    top: int


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of a body: the convex hull of circles (centre, radius in body heights)."""

    circles: tuple[tuple[Joint, float], ...]
    colour: Colour


def _limb(origin: Joint, upper: float, lower: float, swing: float, bend: float) -> tuple[Joint, Joint]:
    """Middle and end of a two-part limb hanging from ``origin``: swung forward by ``swing``, then bent back."""
    forward, side, up = origin
    middle = (forward + upper * math.sin(swing), side, up - upper * math.cos(swing))
    end = (middle[0] + lower * math.sin(swing - bend), side, middle[2] - lower * math.cos(swing - bend))
    return middle, end


def _darker(colour: Colour, by: float) -> Colour:
    return (round(colour[0] * by), round(colour[1] * by), round(colour[2] * by))


def _leg(pose: Pose, side: int, outfit: Outfit) -> tuple[list[_Part], float]:
    """One leg's parts, and how far its sole is above the ground when the hip is at its standing height."""
    phase = pose.phase + (0 if side > 0 else math.pi)
    swing = 0.46 * pose.stride * math.sin(phase)
    # The knee of the leg that swings forward is bent, the one that carries is nearly straight.
    bend = 0.04 + pose.stride * (0.08 + 0.75 * max(0.0, math.cos(phase)) ** 2)
    hip = (0.0, side * 0.052, 0.52)
    knee, ankle = _limb(hip, 0.245, 0.235, swing, bend)
    toe = (ankle[0] + 0.085 * math.cos(swing - bend), ankle[1] + side * 0.012, ankle[2] - 0.012)
    cloth = outfit.trousers if side > 0 else _darker(outfit.trousers, 0.82)
    return [
        _Part(((ankle, 0.028), (toe, 0.018), ((ankle[0] - 0.015, ankle[1], ankle[2] - 0.012), 0.022)), outfit.shoes),
        _Part(((knee, 0.043), (ankle, 0.029)), cloth),
        _Part(((hip, 0.068), (knee, 0.045)), cloth),
    ], ankle[2] - 0.032


def _arm(pose: Pose, side: int, outfit: Outfit) -> list[_Part]:
    phase = pose.phase + (math.pi if side > 0 else 0)
    swing = 0.06 + 0.42 * pose.stride * math.sin(phase)
    shoulder = (0.0, side * 0.104, 0.80)
    elbow, wrist = _limb(shoulder, 0.165, 0.15, swing, -0.18 - 0.25 * pose.stride)
    sleeve = outfit.top if side > 0 else _darker(outfit.top, 0.85)
    # Arms hang a little away from the body.
    elbow = (elbow[0], elbow[1] + side * 0.022, elbow[2])
    wrist = (wrist[0], wrist[1] + side * 0.018, wrist[2])
    return [
        _Part(((wrist, 0.022), ((wrist[0], wrist[1], wrist[2] - 0.03), 0.02)), outfit.skin),
        _Part(((elbow, 0.030), (wrist, 0.023)), sleeve),
        _Part(((shoulder, 0.040), (elbow, 0.032)), sleeve),
    ]


def _trunk(outfit: Outfit) -> list[_Part]:
    shoulders = tuple(((0.0, side * 0.076, 0.795), 0.055) for side in (-1, 1))
    hips = tuple(((0.0, side * 0.045, 0.53), 0.066) for side in (-1, 1))
    chest = ((0.02, 0.0, 0.70), 0.078)
    parts = [
        _Part((((0.0, 0.0, 0.84), 0.033), ((0.01, 0.0, 0.89), 0.033)), outfit.skin),
        _Part((*shoulders, chest, *hips), outfit.top),
    ]
    if outfit.coat:
        parts.append(
            _Part(
                (*hips, ((0.015, 0.045, 0.40), 0.072), ((0.015, -0.045, 0.40), 0.072)),
                _darker(outfit.top, 0.95),
            )
        )
    return parts


def _head(outfit: Outfit) -> list[_Part]:
    face = _Part((((0.012, 0.0, 0.945), 0.054), ((0.02, 0.0, 0.915), 0.042)), outfit.skin)
    hair = _Part((((-0.008, 0.0, 0.950), 0.056), ((-0.022, 0.0, 0.935), 0.045)), outfit.hair)
    return [hair, face]


class _Canvas:
    """A supersampled picture that parts are painted on."""

    def __init__(self, heading: float, height: float, offset: tuple[float, float]) -> None:
        self._scale = height * _SUPERSAMPLING
        self._cos, self._sin = math.cos(heading), math.sin(heading)
        rows = math.ceil((1 + 2 * _MARGIN) * height) + 2
        columns = math.ceil(2 * _HALF_WIDTH * height) + 2
        self._middle = (math.floor(_HALF_WIDTH * height) + offset[0]) * _SUPERSAMPLING
        self._ground = (math.floor((1 + _MARGIN) * height) + offset[1]) * _SUPERSAMPLING
        self.colour = np.zeros((rows * _SUPERSAMPLING, columns * _SUPERSAMPLING, 3), np.uint8)
        self.mask = np.zeros(self.colour.shape[:2], np.uint8)

    def distance(self, part: _Part) -> float:
        """How far the part is behind the body's middle, seen from the camera; in body heights."""
        centres = [forward * self._sin + side * self._cos for (forward, side, _), _ in part.circles]
        return sum(centres) / len(centres)

    def paint(self, part: _Part, raised: float) -> None:
        """Fill the part's hull, moved up by ``raised`` body heights."""
        outline = []
        for (forward, side, up), radius in part.circles:
            x = self._middle + self._scale * (forward * self._cos - side * self._sin)
            y = self._ground - self._scale * (up + raised)
            for step in range(16):
                angle = step * math.pi / 8
                outline.append((x + radius * self._scale * math.cos(angle), y + radius * self._scale * math.sin(angle)))
        hull = cv2.convexHull(np.array(outline, np.float32)).round().astype(np.int32)
        cv2.fillConvexPoly(self.colour, hull, part.colour)
        cv2.fillConvexPoly(self.mask, hull, 255)


def _shading(alpha: NDArray[np.float32], light: float) -> NDArray[np.float32]:
    """What to multiply a flat picture with to give it volume: brighter towards the light, darker at the other edge."""
    tall = alpha.shape[0]
    soft = cv2.GaussianBlur(alpha, (0, 0), tall * 0.018)
    slope_x = cv2.Sobel(soft, cv2.CV_32F, 1, 0, ksize=3)
    slope_y = cv2.Sobel(soft, cv2.CV_32F, 0, 1, ksize=3)
    shading = np.clip(1 - 0.012 * tall * (light * slope_x - 0.6 * slope_y), 0.62, 1.25)
    return np.asarray(shading[..., None], np.float32)


def draw_person(pose: Pose, outfit: Outfit, foot: tuple[float, float], height: float, *, light: float = -0.7) -> Sprite:
    """A person who stands at ``foot`` (x, y in frame pixels, sub-pixel exact) and is ``height`` pixels tall.

    ``light`` says where the light comes from, -1 (left) to 1 (right).
    """
    whole = (math.floor(foot[0]), math.floor(foot[1]))
    canvas = _Canvas(pose.heading, height, (foot[0] - whole[0], foot[1] - whole[1]))
    left_leg, left_sole = _leg(pose, 1, outfit)
    right_leg, right_sole = _leg(pose, -1, outfit)
    # The body sinks while both legs are spread: the lower sole is what touches the ground.
    raised = -min(left_sole, right_sole)
    # From the farthest limb to the nearest, the trunk and the head between them.
    legs = sorted((left_leg, right_leg), key=lambda leg: -canvas.distance(leg[-1]))
    arms = sorted((_arm(pose, 1, outfit), _arm(pose, -1, outfit)), key=lambda arm: -canvas.distance(arm[-1]))
    head = _head(outfit)
    seen_from_behind = math.sin(pose.heading) >= 0.5
    for part in (*legs[0], *legs[1], *arms[0], *_trunk(outfit), *(head[::-1] if seen_from_behind else head), *arms[1]):
        canvas.paint(part, raised)
    size = (canvas.mask.shape[1] // _SUPERSAMPLING, canvas.mask.shape[0] // _SUPERSAMPLING)
    alpha = as_float32(cv2.resize(canvas.mask, size, interpolation=cv2.INTER_AREA)) / np.float32(255)
    # Outside of the body the canvas is black: the mean over a pixel, divided by its coverage, is the body's colour.
    colour = as_float32(cv2.resize(canvas.colour, size, interpolation=cv2.INTER_AREA))
    colour = colour / np.maximum(alpha, np.float32(1e-3))[..., None] * _shading(alpha, light)
    return Sprite(
        colour,
        alpha,
        whole[0] - math.floor(_HALF_WIDTH * height),
        whole[1] - math.floor((1 + _MARGIN) * height),
    )
