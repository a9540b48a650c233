"""A stand-in for the ML engine: it looks at no picture. ``python -m benchmarks.validation.stand_in PORT``.

It speaks the ML engine's protocol and makes boxes from the frame's number alone, always the same; each frame takes a
fixed time in which the processor is free, as it is while another machine's GPU works. So what is left to measure, or to
break, is the workflow: the queue, the workers, the database.
"""

import argparse
import asyncio
import json

from aiohttp import web

VERSION = {
    "name": "stand-in",
    "version": "1",
    "runtime": "stand_in",
    "description": "looks at no picture",
    "classes": ["pedestrian"],
    "source": "benchmarks/validation/stand_in.py",
    "licence": "Apache-2.0",
    "sha256": "0" * 64,
    "parameters": {},
}


def boxes(frame: int, frame_rate: float, count: int) -> list[dict[str, object]]:
    """The detections in a frame: pixels, seconds, and scores that differ from frame to frame."""
    return [
        {
            "frame_index": frame,
            "time_s": frame / frame_rate,
            "road_user": "pedestrian",
            "score": 0.5 + (frame * 7 + number * 13) % 50 / 100,
            "x": float((frame * 3 + number * 120) % 500),
            "y": 100.0 + number,
            "width": 40.0,
            "height": 100.0,
        }
        for number in range(count)
    ]


def application(frame_s: float, frame_rate: float, count: int, damaged: set[int], video_sha256: str) -> web.Application:
    """The service. Detection fails at the frames that are ``damaged``; it says that it opened ``video_sha256``."""

    async def version(_: web.Request) -> web.Response:
        return web.json_response(VERSION)

    async def versions(_: web.Request) -> web.Response:
        return web.json_response({"items": [VERSION]})

    async def detect(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        frames = range(asked["first_frame"], asked["last_frame"] + 1, asked["frame_stride"])
        end: dict[str, object] = {"end": True, "frames": len(frames), "error": None}
        end |= {"video_sha256": video_sha256, "model_sha256": VERSION["sha256"]}
        for done, frame in enumerate(frames):
            if frame in damaged:
                end |= {"frames": done, "error": f"frame {frame} is damaged"}
                break
            if frame_s:
                await asyncio.sleep(frame_s)
            found = boxes(frame, frame_rate, count)
            line = {"frame_index": frame, "time_s": frame / frame_rate, "detections": found}
            await response.write(json.dumps(line).encode() + b"\n")
        await response.write(json.dumps(end).encode() + b"\n")
        return response

    app = web.Application()
    app.add_routes(
        [
            web.get("/ready", version),
            web.get("/models/stand-in", versions),
            web.get("/models/stand-in/1", version),
            web.post("/models/stand-in/1/detect-video", detect),
        ]
    )
    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--frame-s", type=float, default=0.01, help="seconds that each frame takes")
    parser.add_argument("--frame-rate", type=float, default=10.0)
    parser.add_argument("--boxes", type=int, default=5, help="detections in each frame")
    parser.add_argument("--damaged", type=int, nargs="*", default=[], help="frames at which detection fails")
    parser.add_argument("--video-sha256", default="0", help="of the video that it says it opened")
    given = parser.parse_args()
    app = application(given.frame_s, given.frame_rate, given.boxes, set(given.damaged), given.video_sha256)
    web.run_app(app, host="127.0.0.1", port=given.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
