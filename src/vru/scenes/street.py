"""Draw what does not move: the street, its buildings, parked cars and poles."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vru.scenes.figures import Colour, Sprite, as_float32


@dataclass(frozen=True, slots=True)
class Lens:
    """A pinhole camera that looks level across the street.

    ``focal`` is in pixels, ``horizon`` the picture's row at eye level, ``height_m`` the camera's above the ground.
    """

    width: int = 640
    height: int = 360
    focal: float = 600.0
    horizon: float = 118.0
    height_m: float = 1.5

    def project(self, x_m: float, up_m: float, z_m: float) -> tuple[float, float]:
        """Pixel of a point ``x_m`` to the right of, ``z_m`` ahead of the camera and ``up_m`` above the ground."""
        return (
            self.width / 2 + self.focal * x_m / z_m,
            self.horizon + self.focal * (self.height_m - up_m) / z_m,
        )


@dataclass(frozen=True, slots=True)
class ParkedCar:
    """A car seen from its side, its middle at ``x_m``, its near side ``z_m`` from the camera."""

    x_m: float
    z_m: float
    colour: Colour = (150, 110, 70)
    length_m: float = 4.2
    height_m: float = 1.45


@dataclass(frozen=True, slots=True)
class Pole:
    """A lamp post."""

    x_m: float
    z_m: float
    diameter_m: float = 0.28
    height_m: float = 6.0


Prop = ParkedCar | Pole

# Distances from the camera, in metres.
_FACADE = 13.0
_FAR_KERB = 10.5
_NEAR_KERB = 4.2


def draw_street(lens: Lens, seed: int) -> NDArray[np.float32]:
    """The empty street, HxWx3 float32 (0 to 255), BGR, by daylight."""
    rng = np.random.default_rng((seed, 1))
    image = np.full((lens.height, lens.width, 3), (214, 208, 196), np.float32)
    _draw_facade(image, lens, rng)
    _draw_ground(image, lens)
    return as_float32(np.clip(image + _texture(image.shape[:2], rng), 0, 255))


def _row(lens: Lens, z_m: float) -> int:
    return round(lens.project(0, 0, z_m)[1])


def _draw_facade(image: NDArray[np.float32], lens: Lens, rng: np.random.Generator) -> None:
    """Plastered houses wall to wall, with pale windows and doors."""
    base = _row(lens, _FACADE)
    metre = lens.focal / _FACADE
    left = -float(rng.uniform(0, 3)) * metre
    while left < lens.width:
        right = left + float(rng.uniform(5.5, 8.5)) * metre
        plaster = float(rng.uniform(172, 204)) * np.array(rng.uniform((0.92, 0.97, 1.0), (0.99, 1.0, 1.04)), np.float32)
        wall = (slice(0, base), slice(max(0, round(left)), max(0, min(lens.width, round(right)))))
        image[wall] = plaster
        plinth = (slice(base - round(0.5 * metre), base), wall[1])
        image[plinth] = plaster * 0.9
        _draw_windows(image, left, right, base, metre, plaster)
        left = right


def _draw_windows(
    image: NDArray[np.float32], left: float, right: float, base: int, metre: float, plaster: NDArray[np.float32]
) -> None:
    pane = tuple(float(value) for value in plaster * (0.86, 0.84, 0.82))
    frame = tuple(float(value) for value in np.minimum(plaster * 1.07, 255))
    centre = left + 1.4 * metre
    while centre < right - 1.0 * metre:
        for sill in (1.3, 4.3):
            corner = (round(centre - 0.65 * metre), round(base - (sill + 1.3) * metre))
            opposite = (round(centre + 0.65 * metre), round(base - sill * metre))
            cv2.rectangle(image, corner, opposite, frame, -1)
            cv2.rectangle(image, (corner[0] + 3, corner[1] + 3), (opposite[0] - 3, opposite[1] - 3), pane, -1)
        centre += 2.3 * metre


def _draw_ground(image: NDArray[np.float32], lens: Lens) -> None:
    """Pavement, kerb and road, from the houses to the camera."""
    bands = (
        (_row(lens, _FACADE), _row(lens, _FAR_KERB), (186, 190, 192)),
        (_row(lens, _FAR_KERB), _row(lens, _FAR_KERB) + 3, (160, 164, 166)),
        (_row(lens, _FAR_KERB) + 3, _row(lens, _NEAR_KERB), (148, 148, 146)),
        (_row(lens, _NEAR_KERB), lens.height, (180, 184, 186)),
    )
    for top, bottom, colour in bands:
        image[max(0, top) : max(0, bottom)] = colour
    # A broken centre line, and slabs on the far pavement.
    for start in np.arange(-12.0, 12.0, 3.0):
        corners = [lens.project(start + dx, 0, z) for dx, z in ((0, 7.4), (1.5, 7.4), (1.5, 7.25), (0, 7.25))]
        cv2.fillPoly(image, [np.array(corners, np.float32).round().astype(np.int32)], (172, 174, 174))
    for x_m in np.arange(-12.0, 12.0, 1.0):
        ends = [tuple(round(value) for value in lens.project(x_m, 0, z)) for z in (_FACADE, _FAR_KERB)]
        cv2.line(image, ends[0], ends[1], (178, 182, 184), 1, cv2.LINE_AA)


def _texture(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Fine grain and broad stains, in grey levels around 0."""
    height, width = shape[0], shape[1]
    fine = rng.normal(0, 2.5, (height, width)).astype(np.float32)
    stains = rng.normal(0, 1, (height // 24 + 2, width // 24 + 2)).astype(np.float32)
    broad = 5 * cv2.resize(stains, (width, height), interpolation=cv2.INTER_CUBIC)
    return as_float32((fine + broad)[..., None])


def draw_prop(prop: Prop, lens: Lens) -> Sprite:
    """A car or a pole as the lens sees it."""
    if isinstance(prop, Pole):
        return _draw_pole(prop, lens)
    return _draw_car(prop, lens)


def _draw_pole(prop: Pole, lens: Lens) -> Sprite:
    left, foot = lens.project(prop.x_m - prop.diameter_m / 2, 0, prop.z_m)
    right, crown = lens.project(prop.x_m + prop.diameter_m / 2, prop.height_m, prop.z_m)
    width, height = max(3, round(right - left)), max(1, round(foot - crown))
    across = np.linspace(0.8, 0.5, width, dtype=np.float32)[None, :, None]
    colour = np.ones((height, width, 1), np.float32) * across * np.array((150, 152, 150), np.float32)
    return Sprite(colour, np.ones((height, width), np.float32), round(left), round(foot) - height)


# The outline of a small car, in units of its length (from its left end) and height (from the ground).
_BODY = ((0, 0.2), (0, 0.5), (0.03, 0.6), (0.2, 0.66), (0.32, 0.97), (0.4, 1), (0.66, 1), (0.74, 0.96), (0.88, 0.64))
_BONNET = ((0.98, 0.58), (1, 0.46), (1, 0.2))
_GLASS = ((0.245, 0.66), (0.345, 0.93), (0.41, 0.95), (0.65, 0.95), (0.715, 0.92), (0.83, 0.64))


def _draw_car(prop: ParkedCar, lens: Lens) -> Sprite:
    scale = 3
    metre = lens.focal / prop.z_m
    width, height = math.ceil(prop.length_m * metre), math.ceil(prop.height_m * metre)
    left, foot = lens.project(prop.x_m - prop.length_m / 2, 0, prop.z_m)
    colour = np.zeros((height * scale, width * scale, 3), np.float32)
    mask = np.zeros(colour.shape[:2], np.float32)

    def corners(outline: tuple[tuple[float, float], ...]) -> NDArray[np.int32]:
        points = [(x * width * scale, (1 - y) * height * scale) for x, y in outline]
        return np.array(points, np.float32).astype(np.int32)

    def fill(outline: tuple[tuple[float, float], ...], paint: tuple[float, float, float]) -> None:
        cv2.fillPoly(colour, [corners(outline)], paint)

    fill(_BODY + _BONNET, prop.colour)
    cv2.fillPoly(mask, [corners(_BODY + _BONNET)], 1.0)
    fill(_GLASS, (96, 88, 80))
    fill(((0.49, 0.62), (0.49, 0.96), (0.52, 0.96), (0.52, 0.62)), prop.colour)
    for x in (0.2, 0.79):
        centre = (round(x * width * scale), round((1 - 0.2) * height * scale))
        radius = round(0.205 * height * scale)
        for image, size, paint in ((colour, 1.0, (38, 36, 36)), (mask, 1.0, 1.0), (colour, 0.6, (140, 140, 140))):
            cv2.circle(image, centre, round(radius * size), paint, -1)
    colour *= np.linspace(1.12, 0.78, height * scale, dtype=np.float32)[:, None, None]
    alpha = as_float32(cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA))
    small = as_float32(cv2.resize(colour * mask[..., None], (width, height), interpolation=cv2.INTER_AREA))
    plain = as_float32(small / np.maximum(alpha, np.float32(1e-6))[..., None])
    return Sprite(plain, alpha, round(left), round(foot) - height)
