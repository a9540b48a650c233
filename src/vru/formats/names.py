"""The formats by name, for command lines that have not read a file yet."""

from typing import NamedTuple


class Reader(NamedTuple):
    """Where a format's ``Format`` is, as ``module:name``, and whether it holds predictions."""

    place: str
    predictions: bool = False


# In the order in which they are asked whether a file is theirs.
READERS = {
    "nuimages": Reader("nuimages:NUIMAGES"),
    "openimages": Reader("openimages:OPENIMAGES"),
    "yolo": Reader("yolo_files:YOLO", predictions=True),
    "mot": Reader("mot_files:MOT", predictions=True),
    "kitti-tracking": Reader("kitti:TRACKING", predictions=True),
    "kitti": Reader("kitti:KITTI", predictions=True),
    "voc": Reader("voc:VOC"),
    "cvat-images": Reader("cvat_images:CVAT_IMAGES"),
    "cvat": Reader("cvat:CVAT"),
    "eurocity": Reader("eurocity:EUROCITY"),
    "citypersons": Reader("citypersons:CITYPERSONS"),
    "labelme": Reader("labelme:LABELME"),
    "bdd100k": Reader("bdd100k:BDD100K"),
    "openlabel": Reader("openlabel:OPENLABEL"),
    "datumaro": Reader("datumaro:DATUMARO"),
    "coco": Reader("coco_files:COCO", predictions=True),
}
FORMATS = tuple(sorted(READERS))
PREDICTION_FORMATS = tuple(name for name in FORMATS if READERS[name].predictions)
LIMIT_BYTES = 1 << 30
