"""The slices that a criterion may be about: subsets that have to hold by themselves."""

from collections.abc import Iterable, Mapping

from vru.domain.classes import VruClass
from vru.domain.errors import VruError

ALL = "all"

# COCO's areas in square pixels: small is below 32 x 32, large from 96 x 96.
SIZES: Mapping[str, tuple[float, float]] = {
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, float("inf")),
}
OCCLUSIONS: Mapping[str, bool] = {"none": False, "partial": True}

SLICES: tuple[str, ...] = (
    ALL,
    *(f"class:{road_user}" for road_user in VruClass),
    *(f"size:{name}" for name in SIZES),
    *(f"occlusion:{name}" for name in OCCLUSIONS),
)


def check_slices(names: Iterable[str]) -> None:
    """Do nothing if every name is a slice.

    Raises:
        VruError: one is not.
    """
    for name in names:
        if name not in SLICES:
            raise VruError(f"There is no slice {name!r}.", f"Use one of: {', '.join(SLICES)}.")
