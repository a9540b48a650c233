"""What tests of the page in a real Chromium share: the platform that they use, and what a test engineer does on it."""

import base64
import os
import re
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from vru.local.platform import ADMIN_EMAIL
from vru.local.ports import DEFAULT_PORTS

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "src/vru/frontend/static"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# A page that stands for seconds on a busy machine is slow, not wrong.
PATIENCE_MS = 30_000

in_browser = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH (Debian: apt-get install chromium)"),
    pytest.mark.skipif(not (STATIC / "index.html").exists(), reason="the page was not built (make page)"),
]


@dataclass
class Platform:
    """A running platform, and who may use it."""

    url: str
    password: str


@dataclass
class Material:
    """A short scene whose frames are not evenly spaced, its ground truth, and its pictures in grey, 64x36."""

    video: Path
    truth: Path
    times: tuple[float, ...]
    boxes: list[dict[str, Any]]
    pictures: np.ndarray


def free_base_port() -> int:
    for base in range(30000 + os.getpid() % 400 * 20, 60000, 20):
        try:
            for offset in range(len(DEFAULT_PORTS)):
                socket.create_server(("127.0.0.1", base + offset)).close()
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


def grey(frame: np.ndarray) -> np.ndarray:
    """Without its mean: players differ a little in how they turn YUV into RGB."""
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.float32)
    level: np.ndarray = grey - grey.mean()
    return level


def log_in(page: Page, platform: Platform) -> None:
    page.goto("/")
    page.get_by_label("Email").fill(ADMIN_EMAIL)
    page.get_by_label("Password").fill(platform.password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()


def create_project(page: Page, name: str) -> None:
    page.goto("/projects/new")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Resolution").fill("640x360")
    page.get_by_role("button", name="Create project").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def choose_file(page: Page, label: str, path: Path) -> None:
    page.locator(f'input[type=file][aria-label="{label}"]').set_input_files(path)


def upload(page: Page, material: Material) -> None:
    choose_file(page, "Upload a video", material.video)
    expect(page.get_by_role("heading", name="uneven.mp4")).to_be_visible()
    page.get_by_label("Made by").select_option("synthetic")
    choose_file(page, "Upload ground truth", material.truth)
    expect(page.get_by_text("Not approved")).to_be_visible()


def start_run(page: Page, stride: int = 1) -> None:
    page.get_by_role("button", name="Start a run").first.click()
    dialog = page.get_by_role("dialog", name="Start a run")
    expect(dialog.get_by_label("Model")).to_have_value(re.compile("opencv-hog"))
    dialog.get_by_label("Every n-th frame").fill(str(stride))
    dialog.get_by_role("button", name="Start run").click()
    expect(page).to_have_url(re.compile(r"/runs/"))


def shown_frame(page: Page) -> int:
    found = re.search(r"frame (\d+) of", page.get_by_test_id("position").inner_text())
    assert found
    return int(found[1])


def picture(video: Locator) -> np.ndarray:
    """What the video element shows, in grey."""
    pixels = video.evaluate(
        """async video => {
            // On a busy machine the element is there before its first picture.
            while (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || !video.videoWidth)
                await new Promise(done => setTimeout(done, 20));
            const canvas = document.createElement("canvas");
            canvas.width = video.videoWidth; canvas.height = video.videoHeight;
            const context = canvas.getContext("2d");
            context.drawImage(video, 0, 0);
            return canvas.toDataURL("image/png").split(",")[1];
        }"""
    )

    frame = cv2.imdecode(np.frombuffer(base64.b64decode(pixels), np.uint8), cv2.IMREAD_COLOR)
    assert frame is not None
    return grey(frame)


def drawn_extent(page: Page) -> tuple[float, float, float, float] | None:
    """The rectangle around all pixels in the colour of truth, in video pixels: left, top, right, bottom."""
    extent: list[float] | None = page.locator("canvas").evaluate(
        """canvas => {
            const { width, height } = canvas;
            const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
            let left = width, top = height, right = -1, bottom = -1;
            for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
                const i = (y * width + x) * 4;
                if (data[i] < 70 && data[i + 1] > 200 && data[i + 2] > 230 && data[i + 3] > 230) {
                    left = Math.min(left, x); right = Math.max(right, x + 1);
                    top = Math.min(top, y); bottom = Math.max(bottom, y + 1);
                }
            }
            const scale = 640 / width;
            return right < 0 ? null : [left * scale, top * scale, right * scale, bottom * scale];
        }"""
    )
    return None if extent is None else (extent[0], extent[1], extent[2], extent[3])


def truth_extent(material: Material, frame: int) -> tuple[float, float, float, float] | None:
    boxes = [item["box"] for item in material.boxes if item["frame"] == frame]
    if not boxes:
        return None
    return (
        min(x for x, _, _, _ in boxes),
        min(y for _, y, _, _ in boxes),
        max(x + width for x, _, width, _ in boxes),
        max(y + height for _, y, _, height in boxes),
    )


def check_in_step(page: Page, material: Material, frame: int) -> None:
    """The position, the picture and the boxes all belong to ``frame``."""
    expect(page.get_by_test_id("position")).to_contain_text(f"frame {frame} of {len(material.times)}")
    expect(page.get_by_test_id("position")).to_contain_text(f"{material.times[frame]:06.3f}")
    differences = np.abs(material.pictures - picture(page.locator("video"))).mean(axis=(1, 2))
    assert int(differences.argmin()) == frame, dict(enumerate(differences.round(3)))
    expected, seen = truth_extent(material, frame), drawn_extent(page)
    assert (expected is None) == (seen is None)
    if expected and seen:
        assert np.abs(np.array(seen) - np.array(expected)).max() < 2.5, (seen, expected)
