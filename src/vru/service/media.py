"""Files in the media store: from a path in a request to a file that is there."""

from pathlib import Path

from vru.service.errors import NotFoundError, UnprocessableError


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
