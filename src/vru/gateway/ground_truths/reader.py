"""Which format a file is in, and its reading."""

from typing import Literal

from vru.domain import GroundTruth
from vru.gateway.ground_truths.coco import parse_coco
from vru.gateway.ground_truths.cvat import parse_cvat
from vru.gateway.ground_truths.timeline import Timeline
from vru.service.errors import UnprocessableError

Format = Literal["coco", "cvat"]
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_ground_truth(data: bytes, timeline: Timeline, source: str = "manual") -> tuple[Format, GroundTruth]:
    """Read an annotation file, COCO JSON or CVAT XML, about the video that ``timeline`` describes.

    Raises:
        UnprocessableError: it is neither, is broken, or is about another video.
    """
    data = data.removeprefix(_BYTE_ORDER_MARK)
    first = data[:1024].lstrip()[:1]
    format_: Format
    if first == b"{":
        format_, truth = "coco", parse_coco(data, timeline, source)
    elif first == b"<":
        format_, truth = "cvat", parse_cvat(data, timeline, source)
    else:
        raise UnprocessableError(
            "The file is neither COCO JSON nor CVAT XML.", "Export as COCO with track ids, or as CVAT for video 1.1."
        )
    return format_, truth
