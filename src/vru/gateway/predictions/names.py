"""Which class of road user a file's names and numbers of classes are."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import yaml

from vru.domain import VruClass, VruError, parse_class
from vru.formats.annotations import FormatError, Key, shown

if TYPE_CHECKING:
    from vru.gateway.predictions.members import Member

_CLASSES = tuple(VruClass)
_FIX = "classes=NAME=CLASS,... says which class it is; other_classes=leave_out leaves it out."


class Names:
    """``given`` says which class a number or a name is, in the file's own words; it comes first."""

    def __init__(self, given: Mapping[str, str], only: str | None, *, leave_out: bool) -> None:
        self._given = {name.lower(): parse_class(value) for name, value in given.items()}
        self.only = None if only is None else _CLASSES.index(parse_class(only))
        self._leave_out = leave_out
        # Of YOLO: the names of the numbers.
        self.numbered: list[str] | None = None
        self.left_out: set[str] = set()

    def take_file(self, member: "Member") -> None:
        """The names of the numbers, from a ``classes.txt`` or a ``data.yaml`` beside the labels.

        Raises:
            FormatError: it holds none.
        """
        with member.open() as stream:
            text = stream.read(1 << 20).decode("utf-8", "replace")
        if PurePosixPath(member.path).suffix in (".txt", ".names"):
            self.numbered = [line.strip() for line in text.splitlines() if line.strip()]
            return
        try:
            document = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise FormatError(f"{member.path} is no YAML: {str(error)[:200]}.", "Correct it.") from None
        names = document.get("names") if isinstance(document, dict) else None
        if isinstance(names, dict):
            names = [names.get(number) for number in range(len(names))]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise FormatError(f"{member.path} has no list of names.", "names: [pedestrian, cyclist]")
        self.numbered = names

    def label(self, name: Key, where: str) -> int:
        """The place among the classes of what a file calls ``name``; -1 for one that is left out.

        Raises:
            FormatError: nobody says what it is.
        """
        given = self._given.get(str(name).lower())
        if given is not None:
            return _CLASSES.index(given)
        if isinstance(name, str) and not name.isdecimal():
            try:
                return _CLASSES.index(parse_class(name))
            except VruError:
                pass
        if self._leave_out:
            self.left_out.add(str(name)[:60])
            return -1
        raise FormatError(f"{where}: class {shown(name)} is no road user that is known here.".lstrip(": "), _FIX)
