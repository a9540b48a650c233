"""The kinds of vulnerable road user."""

from enum import StrEnum

from vru.domain.errors import VruError


class VruClass(StrEnum):
    """What kind of road user a box or a track shows."""

    PEDESTRIAN = "pedestrian"
    CYCLIST = "cyclist"
    MOTORCYCLIST = "motorcyclist"
    WHEELCHAIR_USER = "wheelchair_user"
    SCOOTER_RIDER = "scooter_rider"
    CHILD = "child"
    ANIMAL = "animal"
    OTHER = "other"


# Names that other data sets use for the same thing. COCO's "bicycle" and "motorcycle" are vehicles, and
# a vehicle without its rider is not a road user: they are not here.
_ALIASES = {
    "person": VruClass.PEDESTRIAN,
    "people": VruClass.PEDESTRIAN,
    "rider": VruClass.CYCLIST,
    "bicyclist": VruClass.CYCLIST,
    "wheelchair": VruClass.WHEELCHAIR_USER,
    "scooter": VruClass.SCOOTER_RIDER,
}


def parse_class(name: str) -> VruClass:
    """The class called ``name`` here or in a common data set.

    Raises:
        VruError: no class has this name.
    """
    key = name.strip().lower().replace("-", "_").replace(" ", "_")
    if key in _ALIASES:
        return _ALIASES[key]
    try:
        return VruClass(key)
    except ValueError:
        raise VruError(f"Unknown class {name!r}.", f"Use one of: {', '.join(VruClass)}.") from None
