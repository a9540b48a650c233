"""A small built page, and the whole platform with a browser that looks at its real one."""

import dataclasses
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from tests.frontend.browser import ARGUMENTS, CHROMIUM, PATIENCE_MS, ROOT, Material, Platform, free_base_port, grey

from vru.local.layout import Layout, load_secrets
from vru.local.ports import DEFAULT_PORTS
from vru.scenes import ground_truth, scene, to_coco, write_video


@pytest.fixture
def script() -> str:
    """A hashed asset of the page in ``built``."""
    return "assets/index-AbCd1234.js"


@pytest.fixture
def built(tmp_path: Path, script: str) -> Path:
    """A small page as Vite lays it out."""
    static = tmp_path / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text(
        f'<meta name="csp-nonce" content="__CSP_NONCE__"><script src="/{script}"></script>'
    )
    (static / script).write_text("console.log('page');\n" * 200)
    (static / "favicon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (static / ".sources.sha256").write_text("not for readers")
    return static


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    # Not below pytest's own directory, which is closed to other users: PostgreSQL never runs as root.
    folder = Path(tempfile.mkdtemp(prefix="vru-test-page-"))
    base, data, output = free_base_port(), folder / "vru", folder / "output.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("vru"), "local", "up", "--data", data, "--base-port", str(base)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + 240
        while "Ctrl-C stops it" not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < end, output.read_text()
            time.sleep(0.2)
        port = base + list(DEFAULT_PORTS).index("frontend")
        yield Platform(f"http://127.0.0.1:{port}", load_secrets(Layout(data)).admin_password)
    finally:
        process.terminate()
        process.wait(90)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("material")
    drawn = scene("crossing", duration_s=6, fps=10)
    # Every third frame comes late: index / fps would be wrong by up to 40 ms, more than the shortest frame lasts.
    late = round(0.04 / ((drawn.times[1] - drawn.times[0]) / (drawn.pts[1] - drawn.pts[0])))
    drawn = dataclasses.replace(
        drawn, pts=tuple(pts + (late if index % 3 == 2 else 0) for index, pts in enumerate(drawn.pts))
    )
    video, truth = folder / "uneven.mp4", folder / "uneven.coco.json"
    write_video(drawn, video)
    exact = ground_truth(drawn)
    truth.write_text(json.dumps(to_coco(exact, video.name, drawn.times)))
    with av.open(video) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    boxes = [
        {"track": track.track_id, "frame": box.frame_index, "box": box.box.as_tuple()} for track, box in exact.boxes()
    ]
    return Material(video, truth, drawn.times, boxes, np.stack([grey(frame) for frame in frames]))


# Its event loop runs in this thread until it is closed: no other test's would start meanwhile.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, platform: Platform) -> Iterator[Page]:
    """A fresh browser window. The test fails if the page writes an error to the console or breaks its own policy."""
    context = browser.new_context(base_url=platform.url, viewport={"width": 1440, "height": 1000})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    page.on("console", note)
    yield page
    context.close()
    # The browser itself reports every answer of 400 and above: the tests make some on purpose.
    assert [text for text in complaints if "Failed to load resource" not in text] == []
