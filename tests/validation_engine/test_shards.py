import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.callers import calling
from tests.conftest import free_port
from tests.validation_engine.conftest import MlEngine

from vru.validation_engine.shards import (
    EngineUnavailableError,
    RefusedError,
    ShardError,
    ShardSpec,
    execute,
    plan,
)

SHA256 = "0" * 64


def spec(**changes) -> ShardSpec:
    return ShardSpec(
        **(
            {
                "model": "opencv-hog",
                "model_version": "1",
                "model_sha256": None,
                "video_path": "videos/street.mp4",
                "video_sha256": SHA256,
                "first_frame": 10,
                "last_frame": 18,
                "frame_stride": 4,
                "score_threshold": 0.01,
            }
            | changes
        )
    )


@given(count=st.integers(0, 3000), stride=st.integers(1, 40), size=st.integers(1, 200))
def test_the_shards_hold_each_evaluated_frame_once(count: int, stride: int, size: int) -> None:
    parts = plan(count, stride, size)
    frames = [index for first, last in parts for index in range(first, last + 1, stride)]
    assert frames == list(range(0, count, stride))
    assert all(1 <= len(range(first, last + 1, stride)) <= size for first, last in parts)


async def test_it_gets_the_detections_of_exactly_its_frames(ml_engine: MlEngine, video_sha256: str) -> None:
    seen = []

    async def progress(frames: int) -> None:
        seen.append(frames)

    async with aiohttp.ClientSession(middlewares=(calling("ml_engine"),)) as session:
        result = await execute(spec(video_sha256=video_sha256), session, ml_engine.url, progress)
        again = await execute(spec(video_sha256=video_sha256), session, ml_engine.url)
    assert result.video_sha256 == video_sha256 and len(result.model_sha256) == 64
    assert result.frames == 3
    assert seen == [1, 2, 3]
    assert {detection.frame_index for detection in result.detections} <= {10, 14, 18}
    assert result == again


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"model": "nothing"}, "nothing"), ({"video_path": "videos/none.mp4"}, "none.mp4")],
)
async def test_what_the_ml_engine_refuses_is_named(ml_engine: MlEngine, changes: dict, message: str) -> None:
    async with aiohttp.ClientSession(middlewares=(calling("ml_engine"),)) as session:
        with pytest.raises(RefusedError, match=message):
            await execute(spec(**changes), session, ml_engine.url)


@pytest.mark.parametrize("file", ["video", "model"])
async def test_another_file_than_the_run_s_is_refused(ml_engine: MlEngine, video_sha256: str, file: str) -> None:
    expected = {"video_sha256": video_sha256} | {f"{file}_sha256": "1" * 64}
    async with aiohttp.ClientSession(middlewares=(calling("ml_engine"),)) as session:
        with pytest.raises(RefusedError, match=f"not {'1' * 64}"):
            await execute(spec(**expected), session, ml_engine.url)


async def test_frames_that_the_video_does_not_have_are_an_error(ml_engine: MlEngine) -> None:
    async with aiohttp.ClientSession(middlewares=(calling("ml_engine"),)) as session:
        with pytest.raises((ShardError, RefusedError)):
            await execute(spec(first_frame=90, last_frame=130), session, ml_engine.url)


async def test_an_ml_engine_that_is_away_is_told_from_one_that_fails() -> None:
    async with aiohttp.ClientSession(middlewares=(calling("ml_engine"),)) as session:
        with pytest.raises(EngineUnavailableError, match="cannot be reached"):
            await execute(spec(), session, f"http://127.0.0.1:{free_port()}")


async def test_an_answer_that_is_cut_short_is_not_used(ml_engine: MlEngine) -> None:
    async def kill(frames: int) -> None:
        if frames == 1:
            ml_engine.kill()

    async with aiohttp.ClientSession(middlewares=(calling("ml_engine"),)) as session:
        with pytest.raises(ShardError, match=r"broke off|without its last line"):
            await execute(spec(first_frame=0, last_frame=99, frame_stride=1), session, ml_engine.url, kill)
