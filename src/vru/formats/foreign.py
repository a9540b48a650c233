"""Files that are known and not read, and how to get one that is."""

from collections.abc import Callable

from vru.formats.annotations import FormatError
from vru.formats.registry import Opening

_ARCHIVES = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"Rar!", b"7z\xbc\xaf")
_UNPACK = "Unpack it, and name the file or the folder in it."
_AS_COCO = "Write COCO JSON instead."
# By the ending of its name: what it is, and what to do.
_ENDINGS = {
    ".pkl": ("Python's pickle, as MMDetection writes it", "Let it write JSON: test_evaluator.outfile_prefix."),
    ".pth": ("a PyTorch file", "Detectron2 writes coco_instances_results.json beside it."),
    ".tar": ("an archive", _UNPACK),
    ".mat": ("a MATLAB file", "Read it with scipy.io.loadmat, and write COCO JSON."),
    ".vbb": ("Caltech's video bounding boxes", "Read it with scipy.io.loadmat, and write COCO JSON."),
    ".parquet": ("a Parquet table", _AS_COCO),
    ".tfrecord": ("TensorFlow's records", _AS_COCO),
    ".record": ("TensorFlow's records", _AS_COCO),
    ".npy": ("a numpy array", _AS_COCO),
    ".npz": ("numpy arrays", _AS_COCO),
    ".xlsx": ("a spreadsheet", _AS_COCO),
}
_JSON: tuple[tuple[Callable[[frozenset[str]], bool], str, str], ...] = (
    (
        lambda names: "result" in names and bool({"rectanglelabels", "original_width", "completed_by"} & names),
        "Label Studio's own JSON",
        "Export from Label Studio as COCO, or as YOLO.",
    ),
    (
        lambda names: "shape_attributes" in names or "_via_settings" in names,
        "a file of the VGG Image Annotator",
        "Export from it as COCO.",
    ),
    (
        lambda names: {"geometryType", "classTitle"} <= names,
        "Supervisely's JSON",
        "Export from Supervisely as COCO, or as YOLO.",
    ),
    (lambda names: "dataRowId" in names or {"data_row", "projects"} <= names, "Labelbox's JSON", _AS_COCO),
)


def refuse_foreign(opening: Opening) -> None:
    """Do nothing if the file is none that is known to be in a format that is not read.

    Raises:
        FormatError: it is; with what to do instead.
    """
    known = _ENDINGS.get(opening.file.suffix.lower())
    if known is None and opening.file.is_file() and opening.first_bytes.startswith(_ARCHIVES):
        known = "an archive", _UNPACK
    for matches, what, fix in _JSON if known is None and opening.names else ():
        if matches(opening.names):
            known = what, fix
    if known is not None:
        raise FormatError(f"{opening.file} is {known[0]}, which is not read.", known[1])
