"""COCO on disk: by the quick reader, or by the careful one."""

from pathlib import Path

from vru.formats.annotations import Annotations, Boxes
from vru.formats.coco import read_coco
from vru.formats.coco_columns import read_coco_columns, read_results_columns
from vru.formats.coco_results import read_coco_results
from vru.formats.registry import Asked, Format, Opening
from vru.formats.text_files import named, read_single


def _sniff(opening: Opening) -> bool:
    return opening.head[:1] in ("{", "[")


def _truth(path: Path, asked: Asked) -> Annotations:
    """By the quick reader; what that does not take, the careful one does, or says what is wrong."""
    if path.is_file():
        with named(path):
            found = read_coco_columns(path)
        if found is not None:
            return found
    return read_single(path, read_coco)


def _results(path: Path, truth: Annotations) -> Boxes:
    if path.is_file():
        with named(path):
            found = read_results_columns(path, truth)
        if found is not None:
            return found
    return read_single(path, lambda stream: read_coco_results(stream, truth))


COCO = Format(_sniff, _truth, _results)
