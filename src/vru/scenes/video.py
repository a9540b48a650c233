"""Write a scene as a video file whose timestamps are exactly the scene's."""

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import PictureType, VideoFrame

from vru.scenes.scene import TIME_BASE, Frame, Scene


def write_video(scene: Scene, path: Path, *, b_frames: int = 2, key_every: int = 24) -> None:
    """Encode ``scene`` as H.264 (yuv420p) in MP4 at ``path``.

    Frame times read back as ``pts * time_base`` equal ``scene.times`` bit for bit: the file counts in the scene's own
    ticks. ``b_frames`` is the largest number of B-frames in a row, ``key_every`` the largest distance in frames between
    key frames. The file appears under its name only when it is whole.

    Raises:
        OSError: the file cannot be written.
    """
    lens, rate = scene.lens, _mean_rate(scene)
    encode_frames(scene.frames(), path, lens.width, lens.height, rate, b_frames=b_frames, key_every=key_every)


def _mean_rate(scene: Scene) -> Fraction:
    """Frames per second on average; a single frame is taken to last a second."""
    if scene.frame_count < 2:
        return Fraction(1)
    return (scene.frame_count - 1) / ((scene.pts[-1] - scene.pts[0]) * TIME_BASE)


def encode_frames(
    frames: Iterable[Frame],
    path: Path,
    width: int,
    height: int,
    rate: Fraction,
    *,
    b_frames: int = 2,
    key_every: int = 24,
) -> None:
    """As ``write_video``, for frames from elsewhere: BGR, uint8, ``height`` x ``width`` x 3, both even.

    ``rate`` (frames per second) is only what players are told and how long the last frame lasts.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with av.open(unfinished, "w", format="mp4", options={"movflags": "+faststart"}) as container:
            # One thread and no wall-clock metadata: equal scenes give equal files.
            options = {"crf": "20", "preset": "veryfast", "threads": "1", "bf": str(b_frames), "g": str(key_every)}
            stream = container.add_stream("libx264", rate=rate, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.time_base = TIME_BASE
            stream.codec_context.time_base = TIME_BASE
            for frame in frames:
                picture = VideoFrame.from_ndarray(frame.image, format="bgr24")
                picture.pts, picture.time_base = frame.pts, TIME_BASE
                picture.pict_type = PictureType.NONE
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
