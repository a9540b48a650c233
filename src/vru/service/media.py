"""Files in the media store: from a path in a request to a video that is open."""

from pathlib import Path

import av
from av.container import InputContainer

from vru.service.errors import NotFoundError, UnprocessableError
from vru.service.opened import OpenedFile

# FFmpeg's demuxers that may open a file. Others are not even tried: playlists would make a service read other files
# and addresses, and FFmpeg takes any text for a video.
_FORMATS = "mov,matroska,avi,mpegts,mpeg,flv,ogg,asf,h264,hevc,m4v,ivf,mxf"


def resolve(media_dir: Path, path: str) -> Path:
    """The file that ``path`` names below the media directory.

    Raises:
        UnprocessableError: ``path`` leads out of the media directory.
        NotFoundError: there is no such file.
    """
    if "\0" in path or Path(path).is_absolute():
        raise UnprocessableError(f"The path {path!r} is not one below the media directory.", "Give a relative path.")
    root = media_dir.resolve()
    file = (root / path).resolve()
    if not file.is_relative_to(root) or file == root:
        raise UnprocessableError(f"The path {path!r} leads out of the media directory.", "Give a path below it.")
    if not file.is_file():
        raise NotFoundError(f"There is no video {path!r} in the media directory.", "Upload it again.")
    return file


def open_video(file: Path | OpenedFile) -> InputContainer:
    """Open a video that has a picture. The caller closes it (it is a context manager).

    Raises:
        UnprocessableError: it is no video, or has no picture.
    """
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    try:
        # An absolute path: FFmpeg would take "concat:..." for a protocol.
        path = file.path if isinstance(file, OpenedFile) else file.resolve()
        container = av.open(str(path), container_options=options, metadata_errors="ignore")
    except (av.FFmpegError, OSError) as error:
        raise UnprocessableError(f"The file {file.name} is not a video that can be read.", "Upload a video.") from error
    if not container.streams.video:
        container.close()
        raise UnprocessableError(f"The file {file.name} has no picture.", "Upload a video.")
    return container
