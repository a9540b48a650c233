"""The memory that an evaluation takes, in a process of its own."""

import subprocess
import sys

import pytest

# Bytes: 11 MB are usual. The boxes of 18 minutes would be 170 MB.
MOST = 16_000_000


def peak(minutes: float) -> int:
    command = [sys.executable, "-m", "tests.evaluation.long_video", str(minutes)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
def test_a_long_video_takes_hardly_more_memory_than_a_short_one() -> None:
    assert peak(20) - peak(2) < MOST
