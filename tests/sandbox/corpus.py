"""Hostile files, made by code: by name, what reads each, and its bytes. Nothing here is a file of anybody's."""

import gzip
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np

DIGITS = "9" * 5000


@dataclass(frozen=True)
class Hostile:
    """``kind`` is who reads it: video, truth, signals or markers.

    ``may_be_read``: what is left of it may be sound. ``by_limit``: only the limit of memory stops it.
    """

    kind: str
    name: str
    make: Callable[[], bytes]
    may_be_read: bool = False
    by_limit: bool = False


@cache
def video(form: str, codec: str, width: int = 64, height: int = 48, frames: int = 20) -> bytes:
    """A sound video."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        picture = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        for index in range(frames):
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def greys(file: Path, frames: int) -> None:
    """A video whose frames are each lighter than the one before, without loss."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 + 4 * index, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def png(width: int, height: int, rows: bytes) -> bytes:
    """A grey PNG whose pixels are ``rows``, as they are stored."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def _png_video(width: int, height: int, frames: int, rows: int) -> bytes:
    """A video of black PNG pictures, of which only so many rows are there."""
    picture, buffer = png(width, height, bytes((width + 1) * rows)), io.BytesIO()
    with av.open(buffer, "w", format="mov") as container:
        stream = container.add_stream("png", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        stream.encode(av.VideoFrame(64, 48, "gray"))
        for index in range(frames):
            packet = av.Packet(picture)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, index, index, Fraction(1, 10)
            container.mux(packet)
    data = bytearray(buffer.getvalue())
    place = data.index(b"png ", data.index(b"stsd")) + 28
    data[place : place + 4] = struct.pack(">HH", width, height)
    return bytes(data)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def _nested_boxes(depth: int) -> bytes:
    boxes = (struct.pack(">I", 8 * (depth - above)) + b"moov" for above in range(depth))
    return _box(b"ftyp", b"isom\0\0\2\0isom") + b"".join(boxes)


def _patched(kind: bytes, offset: int, value: bytes) -> bytes:
    """A sound video with bytes replaced at ``offset`` after the first box of a kind."""
    data = bytearray(video("mp4", "libx264"))
    place = data.index(kind) + offset
    data[place : place + len(value)] = value
    return bytes(data)


def _flipped(data: bytes, seed: int) -> bytes:
    chosen, changed = random.Random(seed), bytearray(data)
    for _ in range(30):
        changed[chosen.randrange(len(changed))] = chosen.randrange(256)
    return bytes(changed)


def _zip_bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.json", bytes(50_000_000))
    return buffer.getvalue()


def _gif_bomb() -> bytes:
    return (
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0)
    )


def _videos() -> Iterator[Hostile]:
    def of(name: str, make: Callable[[], bytes], may_be_read: bool = False) -> Hostile:
        return Hostile("video", name, make, may_be_read)

    containers = (
        ("mp4", "libx264"),
        ("matroska", "libx264"),
        ("avi", "mpeg4"),
        ("mpegts", "libx264"),
        ("mov", "mjpeg"),
    )
    for form, codec in containers:
        for part in (10, 50, 90, 99):
            cut = lambda f=form, c=codec, p=part: video(f, c)[: len(video(f, c)) * p // 100]  # noqa: E731
            yield of(f"{form} cut at {part} %", cut, may_be_read=form not in ("mp4", "mov") or part == 99)
        for seed in range(4):
            yield of(f"{form} corrupt {seed}", lambda f=form, c=codec, s=seed: _flipped(video(f, c), s), True)
    yield of("four PNG frames of 8000x8000", lambda: _png_video(8000, 8000, 4, 8000))
    for side in (65535, 32767, 16384):
        size = struct.pack(">HH", side, side)
        yield of(f"a header of {side}x{side}", lambda s=size: _patched(b"avc1", 28, s), may_be_read=True)
        yield of(f"PNG of {side}x{side}", lambda n=side: _png_video(n, n, 2, 100))
    for count in (2**31 - 1, 2**32 - 1, 10_000_000):
        number = struct.pack(">I", count)
        yield of(f"{count} samples of one size", lambda n=number: _patched(b"stsz", 8, struct.pack(">I", 9) + n))
        yield of(f"{count} sample sizes", lambda n=number: _patched(b"stsz", 12, n), True)
        durations = lambda n=number: _patched(b"stts", 8, n)  # noqa: E731
        yield Hostile("video", f"{count} durations", durations, may_be_read=True, by_limit=True)
        yield of(f"{count} frames of one duration", lambda n=number: _patched(b"stts", 12, n), True)
        yield of(f"{count} chunks", lambda n=number: _patched(b"stco", 8, n), True)
        yield of(f"a box of {count} bytes", lambda n=number: _patched(b"moov", -4, n), True)
    yield of("a box of no size", lambda: _patched(b"moov", -4, bytes(4)), True)
    yield of("a box of size 1", lambda: _patched(b"moov", -4, b"\0\0\0\1"), True)
    yield of("boxes in boxes", lambda: _nested_boxes(100_000))
    yield of("a time scale of 0", lambda: _patched(b"mdhd", 16, bytes(4)), True)
    yield of("zero bytes", lambda: bytes(1_000_000))
    yield of("one byte", lambda: b"\0")
    yield of("text", lambda: b"video " * 100_000)
    yield of(
        "a playlist", lambda: b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    )
    yield of("a list of files", lambda: b"ffconcat version 1.0\nfile /etc/passwd\n")
    yield of("a session's description", lambda: b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n")
    yield of("a GIF of 65535x65535", _gif_bomb)
    yield of("a PNG of 30000x30000", lambda: png(30_000, 30_000, bytes(30_001 * 100)))
    yield of("a zip", _zip_bomb)
    ivf = b"DKIF" + struct.pack("<HHIHHIIII", 0, 32, 0x30385056, 16383, 16383, 30, 1, 2**32 - 1, 0)
    key_frame = b"\x10\0\0\x9d\1\x2a" + struct.pack("<HH", 16383, 16383) + bytes(100)
    frame = struct.pack("<IQ", len(key_frame), 0) + key_frame
    yield of("VP8 of 16383x16383", lambda: ivf + frame * 3)
    yield of("an EBML of endless size", lambda: b"\x1a\x45\xdf\xa3\x01" + b"\xff" * 7 + bytes(1000))


def _truth(change: Callable[[dict[str, Any]], None] | None = None, **replaced: str) -> bytes:
    """COCO truth of the 20 frames of ``video``, spoiled; ``replaced`` puts raw JSON where a name stands."""
    file: dict[str, Any] = {
        "videos": [{"id": 1, "width": 64, "height": 48, "frame_count": 20}],
        "categories": [{"id": 1, "name": "pedestrian"}],
        "images": [
            {"id": 100 + index, "video_id": 1, "frame_index": index, "width": 64, "height": 48} for index in range(20)
        ],
        "annotations": [{"id": 1, "image_id": 100, "category_id": 1, "track_id": 1, "bbox": [4, 8, 8, 16]}],
    }
    if change:
        change(file)
    text = json.dumps(file)
    for name, value in replaced.items():
        text = text.replace(f'"{name}"', value)
    return text.encode()


def sound_truth() -> bytes:
    """The file that the hostile ones were made of."""
    return _truth()


def _cvat(size: str = "20", *, width: str = "64", body: str = "", head: str = "", box: str = 'frame="0"') -> bytes:
    return (
        f'<?xml version="1.0" encoding="utf-8"?>{head}<annotations><meta><task><size>{size}</size><original_size>'
        f"<width>{width}</width><height>48</height></original_size></task></meta>"
        f'<track id="1" label="pedestrian"><box {box} xtl="1" ytl="1" xbr="9" ybr="9" outside="0" occluded="0"/>'
        "</track>"
        f"{body}</annotations>"
    ).encode()


def _laughs() -> str:
    entities = ['<!ENTITY a0 "ha">']
    entities += [f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)]
    return f"<!DOCTYPE annotations [{''.join(entities)}]>"


def _truths() -> Iterator[Hostile]:
    def of(name: str, make: Callable[[], bytes], may_be_read: bool = False) -> Hostile:
        return Hostile("truth", name, make, may_be_read)

    fields = (
        ("annotations", "track_id"),
        ("annotations", "image_id"),
        ("annotations", "category_id"),
        ("annotations", "bbox"),
        ("images", "frame_index"),
        ("images", "width"),
        ("videos", "frame_count"),
    )
    values = (f"{DIGITS}", f"-{DIGITS}", "NaN", "-1e999", '"\\ud800"', "null", "{}", '"\\u0000"', "1e308", "[[]]")
    for table, field in fields:
        for value in values:
            mark = lambda file, t=table, f=field: file[t][0].__setitem__(f, "HERE")  # noqa: E731
            yield of(f"{field} {value[:12]}", lambda m=mark, v=value: _truth(m, HERE=v), value == "null")
    for value in ("-8", "NaN", "1e308", DIGITS, '"8"', "null", "true", "[]"):
        mark = lambda file: file["annotations"][0].__setitem__("bbox", [4, 8, "HERE", 16])  # noqa: E731
        yield of(f"a box {value[:8]} wide", lambda m=mark, v=value: _truth(m, HERE=v), value == '"8"')
    for depth in (1_000, 100_000, 1_000_000):
        deep = "[" * depth + "]" * depth
        mark = lambda file: file["annotations"][0].__setitem__("segmentation", "HERE")  # noqa: E731
        yield of(f"lists {depth} deep", lambda d=deep: d.encode())
        yield of(f"lists {depth} deep in a box", lambda m=mark, d=deep: _truth(m, HERE=d), may_be_read=True)
        yield of(f"objects {depth} deep", lambda n=depth: b'{"a":' * n + b"1" + b"}" * n)
        yield of(f"only openings, {depth}", lambda n=depth: b'{"images":' + b"[" * n)
    for name in ("images", "annotations", "categories", "videos"):
        for wrong in ("null", "1", '"a"', "[1]", "{}"):
            yield of(
                f"{name} is {wrong}",
                lambda n=name, w=wrong: _truth(lambda file: file.__setitem__(n, "HERE"), HERE=w),
                may_be_read=name == "videos",
            )
    yield of("half a file", lambda: _truth()[: len(_truth()) // 2])
    yield of("a file and more", lambda: _truth() + b"{}")
    yield of("UTF-16", lambda: _truth().decode().encode("utf-16"))
    yield of("a byte-order mark alone", lambda: b"\xef\xbb\xbf")
    yield of("no UTF-8", lambda: _truth().replace(b"pedestrian", b"\xff\xfe\xed\xa0\x80"))
    yield of("a class with NUL", lambda: _truth().replace(b"pedestrian", b"pedestrian\\u0000"))
    yield of("a string of 30 MB", lambda: b'{"info": "' + b"a" * 30_000_000)
    yield of("a number of 10 MB", lambda: b'{"info": ' + b"9" * 10_000_000 + b"}")
    yield of("a million empty boxes", lambda: b'{"annotations": [' + b"{}," * 1_000_000 + b"{}]}")
    yield of("a zip", _zip_bomb)
    yield of("gzip", lambda: gzip.compress(bytes(10_000_000)))
    yield of("zero bytes", lambda: bytes(1_000_000))
    yield of("a PNG", lambda: png(1, 1, b"\0\0"))
    for size in ("10000000", "-1", "0", "1e9", DIGITS, "", "0x10", "٢٠", "20.5", "NaN"):
        yield of(f"CVAT of {size[:10]} frames", lambda s=size: _cvat(s), may_be_read=size == "٢٠")
    for box in ('frame="-1"', 'frame="20"', f'frame="{DIGITS}"', 'frame="NaN"', ""):
        yield of(f"a CVAT box with {box[:16]}", lambda b=box: _cvat(box=b))
    yield of("a CVAT width of 5,000 digits", lambda: _cvat(width=DIGITS))
    for depth in (40, 10_000, 100_000, 1_000_000):
        yield of(f"elements {depth} deep", lambda n=depth: _cvat(body="<a>" * n + "</a>" * n))
    yield of("a thousand million laughs", lambda: _cvat(head=_laughs(), body="&a9;"))
    block = f'<!DOCTYPE annotations [<!ENTITY a "{"a" * 100_000}">]>'
    yield of("one long entity, often", lambda: _cvat(head=block, body="&a;" * 10_000))
    external = '<!DOCTYPE annotations [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    yield of("an entity of a file", lambda: _cvat(head=external, body="&a;"))
    yield of("a DTD of another server", lambda: _cvat(head='<!DOCTYPE annotations SYSTEM "http://127.0.0.1:9/a.dtd">'))
    attributes = " ".join(f'a{n}="1"' for n in range(200_000))
    yield of("200,000 attributes", lambda: _cvat(body=f"<track id='2' {attributes}/>"))
    yield of("an open element", lambda: _cvat()[:-15])
    yield of("an unknown encoding", lambda: _cvat().replace(b"utf-8", b"utf-9"))
    yield of("a reference to NUL", lambda: _cvat(body="&#0;"))
    yield of("a reference to a surrogate", lambda: _cvat(body="&#xD800;"))


def _recordings() -> Iterator[Hostile]:
    def of(name: str, text: str | bytes, kind: str = "signals", may_be_read: bool = False) -> Hostile:
        return Hostile(kind, name, lambda: text if isinstance(text, bytes) else text.encode(), may_be_read)

    numbers = (DIGITS, f"-{DIGITS}", "-1", "1e5", "NaN", "٣", "²", "1_000", " ", "9223372036854775808", "1\0")
    for number in numbers:
        yield of(f"a time of {number[:6]!r}", f"time_ns,kind\n{number},udp\n")
        yield of(f"a marker at {number[:6]!r}", f"media_s,time_ns\n0,{number}\n", "markers")
    for number in (DIGITS, "NaN", "inf", "1e999", "x", "\0"):
        yield of(f"a marker of {number[:6]!r} s", f"media_s,time_ns\n{number},1\n", "markers")
    for number in (DIGITS, "NaN", "1.5", "null", "true", "[]", '"\\ud800"', "1e400"):
        yield of(f"JSON with a time of {number[:6]!r}", f'{{"time_ns": {number}, "kind": "udp"}}\n')
    for depth in (1_000, 100_000):
        yield of(f"JSON {depth} deep", '{"time_ns": 1, "kind": ' + "[" * depth + "]" * depth + "}\n")
    yield of("a line of 30 MB", b"time_ns,kind\n" + b"1" * 30_000_000)
    yield of("a header of a million columns", b"a," * 1_000_000)
    yield of("an open quote", 'time_ns,kind\n1,"udp\n')
    yield of("only a header", "time_ns,kind\n")
    yield of("zero bytes", bytes(1_000_000))
    yield of("no UTF-8", b"time_ns,kind\n1,\xff\xfe\n")
    yield of("a zip", _zip_bomb())
    yield of("a kind with NUL", "time_ns,kind\n1,udp\0\n")


CORPUS = (*_videos(), *_truths(), *_recordings())
