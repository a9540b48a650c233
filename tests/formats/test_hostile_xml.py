"""XML that is small on disk and would cost much to read is refused before it does."""

import io
import tracemalloc

import pytest

from vru.formats import FormatError
from vru.formats.cvat import read_cvat


def _cvat(size, inside="", track=True):
    user = '<track id="0" label="pedestrian"></track>' if track else ""
    return (
        f"<annotations><meta><task><size>{size}</size><original_size><width>64</width><height>48</height>"
        f"</original_size></task></meta>{user}{inside}</annotations>"
    ).encode()


class _Counted(io.BytesIO):
    taken = 0

    def read(self, size=-1):
        data = super().read(size)
        self.taken += len(data)
        return data


@pytest.mark.parametrize("size", [432_001, 10_000_000, "9" * 4000])
def test_a_declared_number_of_frames_is_refused_before_memory_is_taken(size):
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=r"Line 1.*size"):
            read_cvat(io.BytesIO(_cvat(size)))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_deep_nesting_is_refused_where_it_begins_to_be_too_deep():
    stream = _Counted(_cvat(1, "\n" + "<a>" * 400_000))
    with pytest.raises(FormatError, match="Line 2: elements are nested more than 32 deep"):
        read_cvat(stream)
    assert stream.taken <= 1 << 16


def test_nesting_up_to_the_limit_is_read():
    assert len(read_cvat(io.BytesIO(_cvat(3, "<a>" * 31 + "</a>" * 31))).pictures) == 3
