"""Settings of the ML engine."""

import os
from pathlib import Path

import pytest

from vru.ml_engine.settings import MlEngineSettings, usable_cores


@pytest.mark.parametrize(("content", "most"), [("100000 100000\n", 1), ("50000 100000\n", 1), ("max 100000\n", 10**6)])
def test_cores_are_those_of_the_container(tmp_path: Path, content: str, most: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(content)
    assert usable_cores(file) == min(most, len(os.sched_getaffinity(0)))


def test_without_a_limit_they_are_those_of_the_machine(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "missing") == len(os.sched_getaffinity(0))


def test_as_many_frames_are_given_to_a_model_as_it_may_look_at_side_by_side() -> None:
    assert MlEngineSettings(ml_concurrency=7).batch == 7
    assert MlEngineSettings(ml_concurrency=7, ml_batch=3).batch == 3
