"""The formats by name, for command lines that have not read a file yet."""

from typing import NamedTuple


class Reader(NamedTuple):
    """Where a format's ``Format`` is, as ``module:name``, what its files are, and whether it holds predictions."""

    place: str
    kind: str
    predictions: bool = False


TEXT, JSON, XML = "text", "json", "xml"
# In the order in which they are asked whether a file is theirs.
READERS = {
    "nuimages": Reader("nuimages:NUIMAGES", JSON),
    "openimages": Reader("openimages:OPENIMAGES", TEXT),
    "yolo": Reader("yolo_files:YOLO", TEXT, predictions=True),
    "mot": Reader("mot_files:MOT", TEXT, predictions=True),
    "kitti-tracking": Reader("kitti:TRACKING", TEXT, predictions=True),
    "kitti": Reader("kitti:KITTI", TEXT, predictions=True),
    "voc": Reader("voc:VOC", XML),
    "cvat-images": Reader("cvat_images:CVAT_IMAGES", XML),
    "cvat": Reader("cvat:CVAT", XML),
    "eurocity": Reader("eurocity:EUROCITY", JSON),
    "citypersons": Reader("citypersons:CITYPERSONS", JSON),
    "labelme": Reader("labelme:LABELME", JSON),
    "bdd100k": Reader("bdd100k:BDD100K", JSON),
    "openlabel": Reader("openlabel:OPENLABEL", JSON),
    "datumaro": Reader("datumaro:DATUMARO", JSON),
    "coco": Reader("coco_files:COCO", JSON, predictions=True),
}
FORMATS = tuple(sorted(READERS))
PREDICTION_FORMATS = tuple(name for name in FORMATS if READERS[name].predictions)
LIMIT_BYTES = 1 << 30
