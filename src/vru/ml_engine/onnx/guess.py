"""Guess a card from what an ONNX file says of itself: names, shapes and metadata. What was guessed is said."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vru.domain import VruClass, VruError
from vru.ml_engine.onnx.class_maps import data_sets, map_of_names
from vru.ml_engine.onnx.facts import FileFacts, TensorFacts

_DTYPES = {"float": "float32", "float16": "float16", "uint8": "uint8"}
_WITHOUT = "Write a card (docs/models.md shows one for each kind) and give it with --card."
_IMAGENET = {"mean": [123.675, 116.28, 103.53], "deviation": [58.395, 57.12, 57.375]}
_UNIT_RANGE = {"mean": [0.0] * 3, "deviation": [255.0] * 3}
_VEHICLES = {
    "bicycle": VruClass.CYCLIST,
    "bike": VruClass.CYCLIST,
    "motorcycle": VruClass.MOTORCYCLIST,
    "motorbike": VruClass.MOTORCYCLIST,
    "motor": VruClass.MOTORCYCLIST,
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user says beside the file; None is left to guess."""

    size: tuple[int, int] | None = None
    names: Mapping[int, str] | None = None
    riders: bool = False


@dataclass(frozen=True, slots=True)
class Guess:
    """``parameters`` of a card without file and hash, and a sentence for each thing that was guessed."""

    parameters: dict[str, Any]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a kind of model looks like from outside."""

    kind: str
    output: dict[str, Any]
    classes: int | None
    picture: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The file and its input: what the rules below look at."""

    facts: FileFacts
    width: int
    height: int
    names: int

    def output(self, *names: str) -> list[TensorFacts] | None:
        """The outputs of these names, if there are all."""
        found = {one.name: one for one in self.facts.outputs}
        return [found[name] for name in names] if all(name in found for name in names) else None

    def cells(self, *strides: int) -> int:
        """How many cells all maps have together."""
        return sum(-(-self.height // stride) * -(-self.width // stride) for stride in strides)


def guess(facts: FileFacts, wishes: Wishes, place: str) -> Guess:
    """A card for the file at ``place``.

    Raises:
        VruError: it cannot be told; says what was seen.
    """
    picture, notes = _picture(facts, wishes, place)
    names = dict(wishes.names or facts.names)
    seen = _Seen(facts, picture["width"], picture["height"], len(names))
    shape = next((found for rule in _RULES if (found := rule(seen)) is not None), None)
    if shape is None:
        outputs = ", ".join(f"{one.name} {_text(one.shape)}" for one in facts.outputs)
        raise VruError(f"The outputs of {place} are of no kind that is known: {outputs}.", _WITHOUT)
    notes.insert(0, f"adapter {shape.output['adapter']}: the outputs are those of {shape.kind}")
    extra = dict(shape.picture)
    if picture["dtype"] == "uint8":
        extra.pop("mean", None), extra.pop("deviation", None)
    picture |= extra
    notes.append(f"picture: {_described(picture)}, as is usual for {shape.kind}: check it")
    names, told = _names(names, wishes, shape, place)
    notes.append(told)
    parameters = {"input": picture, "output": shape.output, **_classes(names, wishes, place)}
    mapped = ", ".join(f"{n} ({names[n]}) is {road_user}" for n, road_user in parameters["class_map"].items())
    notes.append(f"class map: {mapped}; the other {len(names) - len(parameters['class_map'])} are nobody")
    for rule in parameters.get("riders", []):
        notes.append(f"riders: {names[rule['person']]} on {names[rule['vehicle']]} is {rule['becomes']} (--riders)")
    return Guess(parameters, notes)


def _text(shape: Sequence[int | None]) -> str:
    return f"[{', '.join('?' if length is None else str(length) for length in shape)}]"


def _picture(facts: FileFacts, wishes: Wishes, place: str) -> tuple[dict[str, Any], list[str]]:
    """Size, layout and type of the input tensor."""
    pictures = [one for one in facts.inputs if len(one.shape) == 4 and one.dtype in _DTYPES]
    inputs = ", ".join(f"{one.name} {one.dtype} {_text(one.shape)}" for one in facts.inputs)
    if len(pictures) != 1:
        raise VruError(f"It cannot be told which input of {place} takes the picture: {inputs}.", _WITHOUT)
    shape = pictures[0].shape
    if 3 not in (shape[1], shape[3]):
        raise VruError(f"The input of {place} has no three colours: {inputs}.", _WITHOUT)
    if shape[0] not in (1, None):
        raise VruError(f"{place} takes {shape[0]} pictures at once.", "Export it with a batch of 1.")
    layout = "nchw" if shape[1] == 3 else "nhwc"
    height, width = (shape[2], shape[3]) if layout == "nchw" else (shape[1], shape[2])
    how = "the shape of its input"
    if width is None or height is None:
        width, height, how = _told_size(facts, wishes, place)
    elif wishes.size not in (None, (width, height)):
        raise VruError(f"{place} takes pictures of {width}x{height} only.", "Leave out --size.")
    picture = {"width": width, "height": height, "layout": layout, "dtype": _DTYPES[pictures[0].dtype]}
    for other in facts.inputs:
        if other.name == "orig_target_sizes":
            picture["size_input"] = {"name": other.name}
    return picture, [f"size {width}x{height}, {layout}, {picture['dtype']}: by {how}"]


def _told_size(facts: FileFacts, wishes: Wishes, place: str) -> tuple[int, int, str]:
    if wishes.size is not None:
        return *wishes.size, "--size"
    numbers = [
        int(part) for part in facts.metadata.get("imgsz", "").strip("[]() ").split(",") if part.strip().isdigit()
    ]
    if len(numbers) not in (1, 2):
        raise VruError(
            f"{place} takes pictures of any size, and does not say of which.", "Give --size, such as --size 640 640."
        )
    return numbers[-1], numbers[0], "its metadata (imgsz)"


def _described(picture: Mapping[str, Any]) -> str:
    numbers = "pixels as they are"
    if any(picture.get("mean", [0])) or set(picture.get("deviation", [1])) != {1}:
        numbers = f"(pixel - {picture['mean']}) / {picture['deviation']}"
    corner = ", in the corner" if picture.get("place") == "top-left" else ""
    return f"{picture['resize']}{corner}, {picture['channels'].upper()}, {numbers}"


def _names(names: dict[int, str], wishes: Wishes, shape: _Shape, place: str) -> tuple[dict[int, str], str]:
    """The classes' names, and who says so."""
    if names:
        if shape.classes is not None and max(names) >= shape.classes:
            raise VruError(
                f"{place} has {shape.classes} classes, but {max(names) + 1} names.",
                "Give the right ones with --classes.",
            )
        return names, f"{len(names)} classes: named by {'--classes' if wishes.names else 'the metadata of the file'}"
    assumed = {80: "coco", 90: "coco91", 91: "coco91"}.get(shape.classes or 0)
    if assumed is None:
        count = "its" if shape.classes is None else f"its {shape.classes}"
        raise VruError(
            f"{place} does not name {count} classes.",
            f"Give --classes: names between commas, a file with a name a line, or one of {', '.join(data_sets())}.",
        )
    whole = dict(enumerate(data_sets()[assumed].names))
    return whole, f"{shape.classes} classes without names: taken for those of {assumed}, check it"


def _classes(names: Mapping[int, str], wishes: Wishes, place: str) -> dict[str, Any]:
    mapped, _ = map_of_names(names)
    if not mapped:
        raise VruError(
            f"No class of {place} is a road user by its name: {', '.join(list(names.values())[:20])}.", _WITHOUT
        )
    found: dict[str, Any] = {"class_map": {number: str(road_user) for number, road_user in mapped.items()}}
    if wishes.riders:
        vehicles = {n: _VEHICLES[name.lower()] for n, name in names.items() if name.lower() in _VEHICLES}
        if not vehicles:
            raise VruError(f"{place} knows no bicycle or motorcycle.", "Leave out --riders.")
        persons = [n for n in mapped if names[n].lower() in ("person", "pedestrian", "people", "rider")]
        found["riders"] = [
            {"person": person, "vehicle": vehicle, "becomes": str(becomes)}
            for person in persons
            for vehicle, becomes in vehicles.items()
        ]
    return found


def _letterboxed(**changes: Any) -> dict[str, Any]:
    return {"resize": "letterbox", "channels": "rgb", **_UNIT_RANGE} | changes


def _stretched(**changes: Any) -> dict[str, Any]:
    return {"resize": "stretch", "channels": "rgb", **_UNIT_RANGE} | changes


def _only(seen: _Seen) -> TensorFacts | None:
    """The first output, if it alone holds boxes: the others of a YOLO are masks."""
    first = seen.facts.outputs[0]
    others = [one for one in seen.facts.outputs[1:] if len(one.shape) != 4]
    return first if len(first.shape) == 3 and not others else None


def _built_in(seen: _Seen) -> _Shape | None:
    one = seen.facts.outputs[0]
    if len(seen.facts.outputs) > 1 or len(one.shape) not in (2, 3) or one.shape[-1] not in (6, 7):
        return None
    count = one.shape[-2]
    if count is not None and (count > 1000 or count in (seen.cells(8, 16, 32), 3 * seen.cells(8, 16, 32))):
        return None
    corners = ["left", "top", "right", "bottom"]
    columns = [*corners, "score", "class"] if one.shape[-1] == 6 else ["batch", *corners, "class", "score"]
    output = {"adapter": "rows", "output": one.name, "columns": columns, "unit": "pixels"}
    return _Shape("a YOLO with built-in suppression", output, None, _letterboxed())


def _yolo(seen: _Seen) -> _Shape | None:
    one = _only(seen)
    if one is None:
        return None
    rows, columns = one.shape[1:]
    output = {"adapter": "yolo", "output": one.name, "unit": "pixels"}
    named = seen.names if len(seen.facts.outputs) > 1 else 0
    cells = seen.cells(8, 16, 32)
    if rows is not None and (
        columns in (cells, cells + seen.cells(64)) or (columns is None and rows == 4 + seen.names)
    ):
        classes = named or rows - 4
        more = {"classes": named} if named else {}
        return _Shape(
            "YOLOv8 and later", output | {"channels_first": True, "objectness": False} | more, classes, _letterboxed()
        )
    if columns is not None and rows in (3 * cells, 3 * cells + 3 * seen.cells(64)) and columns > 5:
        classes = named or columns - 5
        more = {"classes": named} if named else {}
        return _Shape(
            "YOLOv5 or v7", output | {"channels_first": False, "objectness": True} | more, classes, _letterboxed()
        )
    return None


def _yolox_or_nanodet(seen: _Seen) -> _Shape | None:
    one = _only(seen)
    if one is None or len(seen.facts.outputs) > 1:
        return None
    rows, columns = one.shape[1:]
    if columns is None:
        return None
    plain = {"mean": [0.0] * 3, "deviation": [1.0] * 3}
    if rows == seen.cells(8, 16, 32) and columns > 5:
        picture = _letterboxed(place="top-left", channels="bgr", **plain)
        return _Shape("YOLOX without its decoder", {"adapter": "yolox", "output": one.name}, columns - 5, picture)
    if rows == seen.cells(8, 16, 32, 64) and columns > 32:
        output = {"adapter": "nanodet", "joined": one.name, "bins": 8, "strides": [8, 16, 32, 64], "cell": 0}
        return _Shape("NanoDet-Plus", output, columns - 32, _nanodet_picture())
    return None


def _nanodet_picture() -> dict[str, Any]:
    normal = {"mean": [103.53, 116.28, 123.675], "deviation": [57.375, 57.12, 58.395]}
    return _letterboxed(channels="bgr", pad=0, **normal)


def _nanodet(seen: _Seen) -> _Shape | None:
    """Pairs of scores and distances, one a stride, in whichever order."""
    strides = [8, 16, 32, 64][: len(seen.facts.outputs) // 2]
    scores, distances = [], []
    bins = [32, 44, 68]
    for stride in strides:
        level = [one for one in seen.facts.outputs if one.shape[-2:-1] == [seen.cells(stride)]]
        if len(level) != 2 or len({one.shape[-1] for one in level} & set(bins)) != 1:
            return None
        level.sort(key=lambda one: one.shape[-1] in bins)
        scores.append(level[0])
        distances.append(level[1])
    if len(strides) < 3 or len({one.shape[-1] for one in scores}) != 1:
        return None
    names = {"scores": [one.name for one in scores], "distances": [one.name for one in distances]}
    return _Shape(
        "NanoDet", {"adapter": "nanodet", "strides": strides, **names}, scores[0].shape[-1], _nanodet_picture()
    )


def _detr(seen: _Seen) -> _Shape | None:
    for boxes, logits, kind in (("dets", "labels", "RF-DETR"), ("pred_boxes", "logits", "DETR")):
        found = seen.output(boxes, logits)
        if found is None or len(found[1].shape) != 3:
            continue
        classes = found[1].shape[-1]
        softmax = kind == "DETR" and classes == 92
        how = (
            {"activation": "softmax", "background": "last"}
            if softmax
            else {"activation": "sigmoid", "background": "none"}
        )
        normal = _IMAGENET if kind == "RF-DETR" or softmax else _UNIT_RANGE
        name = kind if kind == "RF-DETR" or softmax else "RT-DETR"
        count = 91 if softmax else classes
        return _Shape(name, {"adapter": "detr", "boxes": boxes, "logits": logits, **how}, count, _stretched(**normal))
    return None


def _finished(seen: _Seen) -> _Shape | None:
    output: dict[str, Any] = {"adapter": "boxes"}
    if seen.output("detection_boxes", "detection_scores", "detection_classes"):
        output |= {"boxes": "detection_boxes", "scores": "detection_scores", "labels": "detection_classes"}
        count = {"count": "num_detections"} if seen.output("num_detections") else {}
        return _Shape(
            "TensorFlow's detection API", output | {"order": "yxyx", "unit": "share"} | count, None, _stretched()
        )
    if seen.output("num_dets", "det_boxes", "det_scores", "det_classes"):
        output |= {"boxes": "det_boxes", "scores": "det_scores", "labels": "det_classes", "count": "num_dets"}
        return _Shape("a YOLO with built-in suppression", output | {"unit": "pixels"}, None, _letterboxed())
    if seen.output("boxes", "labels", "scores"):
        output |= {"boxes": "boxes", "scores": "scores", "labels": "labels", "unit": "pixels"}
        sized = any(one.name == "orig_target_sizes" for one in seen.facts.inputs)
        return _Shape("RT-DETR" if sized else "torchvision", output, None, _stretched())
    return None


def _anchored(seen: _Seen) -> _Shape | None:
    pairs = [one for one in seen.facts.outputs if len(one.shape) == 3]
    boxes = [one for one in pairs if one.shape[-1] == 4]
    classes = [one for one in pairs if one.shape[-1] != 4]
    if len(seen.facts.outputs) != 2 or len(boxes) != 1 or len(classes) != 1 or seen.width != seen.height:
        return None
    output: dict[str, Any] = {"adapter": "anchors", "boxes": boxes[0].name, "classes": classes[0].name}
    count, columns = boxes[0].shape[1], classes[0].shape[-1]
    normal = {"mean": [127.5] * 3, "deviation": [127.5] * 3}
    if count == 1917 and seen.width == 300:
        ssd = {"kind": "ssd", "feature_maps": [19, 10, 5, 3, 2, 1], "min_scale": 0.2, "max_scale": 0.95}
        output |= {"coder": [10, 10, 5, 5], "anchors": ssd | {"ratios": [1, 2, 0.5, 3, 1 / 3]}}
        return _Shape("an SSD of 300x300 (TensorFlow)", output, columns, _stretched(**normal))
    maps = _halved(seen.width)
    if count == 9 * sum(size * size for size in maps):
        output |= {"anchors": {"kind": "efficientdet", "feature_maps": maps, "scale": 3}, "activation": "none"}
        return _Shape("an EfficientDet-Lite (MediaPipe)", output, columns, _stretched(**normal))
    return None


def _halved(side: int) -> list[int]:
    """Sizes of EfficientDet's five maps, from an eighth of the input on, each half of the one before, rounded up."""
    sizes = [-(-side // 8)]
    while len(sizes) < 5:
        sizes.append(-(-sizes[-1] // 2))
    return sizes


# The first that fits; the narrower ones come first.
_RULES: Sequence[Callable[[_Seen], _Shape | None]] = (
    _finished,
    _detr,
    _anchored,
    _nanodet,
    _built_in,
    _yolo,
    _yolox_or_nanodet,
)
