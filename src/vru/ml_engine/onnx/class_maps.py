"""From the classes of a model to road users: by the name of a public data set, or by the classes' own names."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from vru.domain import VruClass, VruError, parse_class

_FILE = Path(__file__).with_name("class_maps.yaml")


@dataclass(frozen=True, slots=True)
class ClassNames:
    """The classes of a data set, in order, and which of them are road users."""

    names: tuple[str, ...]
    road_users: Mapping[str, VruClass]

    def numbered(self) -> dict[int, VruClass]:
        """Number of the class: road user."""
        return {self.names.index(name): road_user for name, road_user in self.road_users.items()}


@cache
def data_sets() -> Mapping[str, ClassNames]:
    """The data sets whose classes are known."""
    document = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return {
        key: ClassNames(
            tuple(name for row in value["names"] for name in row),
            {name: VruClass(road_user) for name, road_user in value["road_users"].items()},
        )
        for key, value in document.items()
    }


def class_map(data_set: str) -> dict[int, VruClass]:
    """The map of a data set.

    Raises:
        ValueError: it is not known.
    """
    known = data_sets()
    if data_set not in known:
        raise ValueError(f"there is no data set {data_set!r}; there is {', '.join(known)}")
    return known[data_set].numbered()


def map_of_names(names: Mapping[int, str]) -> tuple[dict[int, VruClass], str | None]:
    """The map for classes with these names, and the data set whose names they are, if it is a known one."""
    for key, known in data_sets().items():
        if [_plain(names.get(number, "")) for number in range(len(known.names))] == list(map(_plain, known.names)):
            return known.numbered(), key
    found = {}
    for number, name in names.items():
        try:
            found[number] = parse_class(name)
        except VruError:
            continue
    return found, None


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", " ")
