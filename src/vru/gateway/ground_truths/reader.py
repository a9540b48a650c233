"""Reading an uploaded annotation file."""

from pathlib import Path

from vru.domain import GroundTruth
from vru.formats.annotations import FormatError
from vru.formats.video import Timeline, VideoFormat, read_video_truth
from vru.service.errors import UnprocessableError


def read_ground_truth(path: Path, timeline: Timeline, source: str = "manual") -> tuple[VideoFormat, GroundTruth]:
    """Read an annotation file, COCO JSON or CVAT XML, about the video that ``timeline`` describes.

    Raises:
        UnprocessableError: it is neither, is broken, or is about another video.
    """
    try:
        with path.open("rb") as stream:
            return read_video_truth(stream, timeline, source)
    except FormatError as error:
        raise UnprocessableError(error.message, error.fix) from error
