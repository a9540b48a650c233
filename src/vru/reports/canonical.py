"""JSON with one way to write each value."""

import json


def canonical_json(value: object) -> bytes:
    """JSON with one way to write each value: sorted keys, ASCII, shortest floats; ends with a newline."""
    return (json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()
