"""The scenes that have a name."""

from collections.abc import Callable
from fractions import Fraction

from vru.domain import VruClass, VruError
from vru.scenes.figures import Colour, Outfit
from vru.scenes.scene import TIME_BASE, Light, Scene, Walker
from vru.scenes.street import ParkedCar, Pole

_NAVY: Colour = (78, 48, 36)
_BLACK: Colour = (38, 34, 34)
_WINE: Colour = (48, 36, 112)
_GREEN: Colour = (58, 84, 40)
_BROWN: Colour = (40, 58, 84)
_GREY: Colour = (72, 70, 68)
_TEAL: Colour = (96, 78, 24)


def _even(duration_s: float, fps: float) -> tuple[int, ...]:
    """Evenly spaced timestamps, each rounded to the nearest tick (never accumulated)."""
    interval = 1 / (Fraction(fps).limit_denominator(100_000) * TIME_BASE)
    return tuple(round(index * interval) for index in range(round(duration_s * fps)))


def _crossing(seed: int, duration_s: float, fps: float) -> Scene:
    walkers = (
        Walker(1, ((0.3, -4.4, 6.6), (7.0, 4.6, 6.6)), Outfit(_WINE, _NAVY)),
        Walker(2, ((0.0, 1.4, 8.6), (2.2, 1.4, 8.6), (8.6, -5.6, 8.0)), Outfit(_NAVY, _BLACK, coat=True), facing=-1.57),
        Walker(3, ((3.4, 5.2, 7.6), (10.0, -3.4, 7.2)), Outfit(_GREEN, _BROWN), 1.82),
        Walker(4, ((5.4, -4.2, 5.6), (10.0, 2.4, 5.6)), Outfit(_BLACK, _GREY), 1.70),
        Walker(5, ((1.2, 4.4, 9.2), (6.0, 2.7, 8.8), (10.0, 2.3, 7.0)), Outfit(_TEAL, _NAVY), 1.78),
    )
    return Scene("crossing", _even(duration_s, fps), walkers, seed=seed)


def _occluded(seed: int, duration_s: float, fps: float) -> Scene:
    walkers = (
        Walker(1, ((0.0, -5.0, 7.6), (7.5, 5.0, 7.6)), Outfit(_WINE, _NAVY)),
        Walker(2, ((1.5, 5.2, 8.4), (9.5, -5.2, 8.0)), Outfit(_NAVY, _BLACK, coat=True), 1.70),
        Walker(3, ((3.0, -4.4, 6.2), (9.0, 4.2, 6.2)), Outfit(_GREEN, _BROWN), 1.83),
        Walker(4, ((2.0, 1.0, 8.8), (6.0, 1.0, 8.8), (10.0, -3.4, 8.4)), Outfit(_BLACK, _GREY), facing=-1.57),
        Walker(5, ((5.0, -5.0, 7.0), (10.0, 0.6, 7.0)), Outfit(_TEAL, _GREY), 1.25, VruClass.CHILD),
    )
    props = (ParkedCar(1.0, 6.8), Pole(-1.6, 6.0))
    night = Light(gain=(0.36, 0.32, 0.30), noise=5.0, lamp_x_m=(-1.6, 3.0))
    return Scene("occluded", _even(duration_s, fps), walkers, props, light=night, seed=seed)


def _empty(seed: int, duration_s: float, fps: float) -> Scene:
    return Scene("empty", _even(duration_s, fps), (), (ParkedCar(1.0, 6.8),), seed=seed)


_SCENES: dict[str, Callable[[int, float, float], Scene]] = {
    "crossing": _crossing,
    "occluded": _occluded,
    "empty": _empty,
}

SCENE_NAMES: tuple[str, ...] = tuple(_SCENES)
"""Every name that ``scene`` knows: ``crossing`` (day), ``occluded`` (night, behind a car and a pole), ``empty``."""


def scene(name: str, *, seed: int = 0, duration_s: float = 10.0, fps: float = 10.0) -> Scene:
    """The scene called ``name``: 640x360, five people in ten seconds (nobody in ``empty``).

    ``seed`` changes the houses, the ground and the noise, not the people. A longer ``duration_s`` than 10 s adds
    frames of the empty street.

    Raises:
        VruError: no scene has this name, or the duration or frame rate is not above zero.
    """
    if name not in _SCENES:
        raise VruError(f"There is no scene {name!r}.", f"Use one of: {', '.join(SCENE_NAMES)}.")
    if duration_s <= 0 or fps <= 0 or round(duration_s * fps) < 1:
        raise VruError(f"A scene of {duration_s} s at {fps} frames/s has no frame.", "Give both above zero.")
    return _SCENES[name](seed, duration_s, fps)
