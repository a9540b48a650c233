"""The digest of imported boxes: who stores them and who measures them make it in the same way."""

import hashlib
import json
from collections.abc import Sequence


class RowsDigest:
    """SHA-256 over the boxes of a recording: frame, class, confidence, x, y, width, height; a line of JSON each."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, row: Sequence[object]) -> None:
        """The next box, in order of frames."""
        self._digest.update(json.dumps(list(row), separators=(",", ":"), allow_nan=False).encode() + b"\n")

    def hexdigest(self) -> str:
        """The digest of all of them."""
        return self._digest.hexdigest()
