"""Settings of the ML engine."""

import os
from pathlib import Path

import pytest

from vru.ml_engine.settings import usable_cores


@pytest.mark.parametrize(("content", "most"), [("100000 100000\n", 1), ("50000 100000\n", 1), ("max 100000\n", 10**6)])
def test_cores_are_those_of_the_container(tmp_path: Path, content: str, most: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(content)
    assert usable_cores(file) == min(most, len(os.sched_getaffinity(0)))


def test_without_a_limit_they_are_those_of_the_machine(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "missing") == len(os.sched_getaffinity(0))
