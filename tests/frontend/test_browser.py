"""The page in a real Chromium, on the whole real platform: what a test engineer does, from the log-in to every miss."""

import base64
import dataclasses
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from vru.local.layout import Layout, load_secrets
from vru.local.platform import ADMIN_EMAIL
from vru.local.ports import DEFAULT_PORTS
from vru.scenes import ground_truth, scene, to_coco, write_video

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

pytestmark = [
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


def _free_base_port() -> int:
    for base in range(30000 + os.getpid() % 400 * 20, 60000, 20):
        try:
            for offset in range(len(DEFAULT_PORTS)):
                socket.create_server(("127.0.0.1", base + offset)).close()
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    # Not below pytest's own directory, which is closed to other users: PostgreSQL never runs as root.
    folder = Path(tempfile.mkdtemp(prefix="vru-test-page-"))
    base, data, output = _free_base_port(), folder / "vru", folder / "output.txt"
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


@pytest.fixture(scope="module")
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
    return Material(video, truth, drawn.times, boxes, np.stack([_grey(frame) for frame in frames]))


def _grey(frame: np.ndarray) -> np.ndarray:
    """Without its mean: players differ a little in how they turn YUV into RGB."""
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.float32)
    level: np.ndarray = grey - grey.mean()
    return level


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
    return _grey(frame)


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


def test_a_wrong_password_is_said_plainly(page: Page) -> None:
    page.goto("/projects")
    page.get_by_label("Email").fill("nobody@example.com")
    page.get_by_label("Password").fill("wrong password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/login\?next="))


def test_after_the_log_in_one_is_where_one_wanted_to_go(page: Page, platform: Platform) -> None:
    page.goto("/cameras")
    page.get_by_label("Email").fill(ADMIN_EMAIL)
    page.get_by_label("Password").fill(platform.password)
    page.get_by_label("Password").press("Enter")
    expect(page.get_by_role("heading", name="Cameras")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    page.goto("/projects")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_what_is_no_video_is_refused_with_the_fix(page: Page, platform: Platform, tmp_path: Path) -> None:
    log_in(page, platform)
    create_project(page, "Refused uploads")
    text = tmp_path / "notes.txt"
    text.write_text("This is not a video.\n" * 50)
    choose_file(page, "Upload a video", text)
    notice = page.get_by_role("alert")
    expect(notice).to_be_visible()
    assert len(notice.locator("p").all()) >= 2, "the problem and its fix"
    page.reload()
    expect(page.get_by_text("No video yet")).to_be_visible()


def test_from_an_upload_to_every_miss(page: Page, platform: Platform, material: Material) -> None:
    log_in(page, platform)
    create_project(page, "Crossing, uneven frames")

    upload(page, material)

    # Somebody looks at the truth before approving it: it is marked, and drawn where it belongs.
    page.get_by_role("link", name="Review and approve").click()
    expect(page.get_by_text("Unapproved ground truth")).to_be_visible()
    page.get_by_label("Labels").click()
    for frame in (0, 1, 2, 3):
        if frame:
            page.get_by_role("button", name="One frame forward").click()
        check_in_step(page, material, frame)
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text(f"Approved by {ADMIN_EMAIL}")).to_be_visible()
    expect(page.get_by_text("Unapproved ground truth")).to_be_hidden()

    # A run, from the dialog to its verdict.
    page.get_by_role("link", name="Crossing, uneven frames").click()
    start_run(page)
    expect(page.get_by_text("live stream is interrupted")).to_be_hidden()
    verdict = page.get_by_test_id("verdict")
    expect(verdict).to_have_text(re.compile("PASS|FAIL|INCONCLUSIVE"), timeout=240_000)
    criteria = page.get_by_role("region", name="Verdict").locator("tbody tr")
    expect(criteria).to_have_count(6)
    expect(page.get_by_role("table", name=re.compile("Measurements")).locator("tbody tr").first).to_be_visible()
    tracks = page.get_by_role("table", name=re.compile("Tracks")).locator("tbody tr")
    expect(tracks).to_have_count(len({item["track"] for item in material.boxes}))
    for row in tracks.all():
        assert re.search(r"missed|\d+ ms", row.inner_text())

    # Boxes follow the picture: forward, back, by leaps, and where playing happens to stop.
    page.get_by_label("Labels").click()
    page.get_by_label(re.compile("^Detections")).click()
    page.locator("video").evaluate("video => video.readyState")
    for key, frame in (("ArrowRight", 1), ("ArrowRight", 2), ("Shift+ArrowRight", 12), ("ArrowLeft", 11)):
        page.get_by_role("button", name="One frame forward").press(key)
        check_in_step(page, material, frame)
    page.get_by_role("slider", name="Position in the video").press("End")
    check_in_step(page, material, len(material.times) - 1)
    page.get_by_role("slider", name="Position in the video").press("Home")
    check_in_step(page, material, 0)
    page.get_by_role("button", name="Play").click()
    page.wait_for_timeout(1200)
    page.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(400)
    assert shown_frame(page) > 0
    check_in_step(page, material, shown_frame(page))

    # To a track's start, from its row.
    first = {item["track"]: item["frame"] for item in reversed(material.boxes)}
    row = tracks.filter(has_text=re.compile(r"^#3")).first
    row.locator("td").nth(1).click()
    check_in_step(page, material, first[3])

    # Detections come and go with the slider; the figures stay.
    page.get_by_label(re.compile("^Detections")).click()
    slider = page.get_by_role("slider", name="Score from which detections are drawn")
    slider.press("End")
    expect(page.get_by_text("Detections (0)")).to_be_visible()
    page.get_by_role("button", name=re.compile("Back to the run")).click()

    # Everything is there again after a reload, and in the project's table.
    page.reload()
    expect(verdict).to_be_visible()
    page.get_by_role("link", name="Crossing, uneven frames").click()
    expect(page.get_by_role("table", name="Runs of this project").locator("tbody tr")).to_have_count(1)


def test_without_the_event_stream_the_page_asks_again(page: Page, platform: Platform, material: Material) -> None:
    page.route("**/events", lambda route: route.abort())
    log_in(page, platform)
    create_project(page, "No event stream")
    upload(page, material)
    start_run(page, stride=6)
    expect(page.get_by_text("live stream is interrupted")).to_be_visible()
    expect(page.get_by_test_id("verdict")).to_be_visible(timeout=240_000)
    # Nobody approved the ground truth: the figures say so. And frames that were passed over are not called misses.
    expect(page.get_by_role("region", name="Verdict").get_by_text("Unapproved ground truth")).to_be_visible()
    page.get_by_role("button", name="One frame forward").click()
    expect(page.get_by_test_id("position")).to_contain_text("not evaluated")


def test_a_camera_is_validated_by_its_signals(
    page: Page, platform: Platform, material: Material, tmp_path: Path
) -> None:
    """The last road user to appear is missed; the others are signalled 50 ms after they appear."""
    first: dict[int, float] = {}
    for item in material.boxes:
        first.setdefault(item["track"], material.times[item["frame"]])
    start_ns = 50_000_000_000
    seen = sorted(first.values())[:-1]
    late = material.times[-1] + 0.5
    rows = [f"{start_ns + round((time_s + 0.05) * 1e9)},can,pedestrian" for time_s in seen]
    signals, markers, falling = tmp_path / "drive.csv", tmp_path / "markers.csv", tmp_path / "falling.csv"
    signals.write_text("\n".join(["time_ns,kind,class", *rows, f"{start_ns + round(late * 1e9)},can,", ""]))
    markers.write_text("media_s,time_ns\n" + "".join(f"{n}.0,{start_ns + n * 10**9}\n" for n in range(6)))
    falling.write_text("time_ns,kind\n5,can\n4,can\n")
    log_in(page, platform)
    create_project(page, "Signals of a camera")
    upload(page, material)

    # A file that is wrong is refused with its line, and nothing of it stays.
    choose_file(page, "Upload signals", falling)
    expect(page.get_by_role("alert")).to_contain_text("line 3")
    expect(page.get_by_text("Clock not joined")).to_be_hidden()
    page.get_by_label("Polled every").fill("4")
    choose_file(page, "Upload signals", signals)
    expect(page.get_by_text("Clock not joined")).to_be_visible()
    expect(page.get_by_text(f"{len(rows) + 1} signals, polled every 4 ms")).to_be_visible()

    # No run without a common clock.
    page.get_by_role("button", name="Start a run").first.click()
    dialog = page.get_by_role("dialog", name="Start a run")
    dialog.get_by_label("What to validate").select_option("camera")
    expect(dialog.get_by_text("no signals whose clock is joined")).to_be_visible()
    expect(dialog.get_by_role("button", name="Start run")).to_be_disabled()
    dialog.get_by_role("button", name="Not now").click()
    choose_file(page, "Upload markers of drive.csv", markers)
    expect(page.get_by_text("Joined by 6 markers")).to_be_visible()

    page.get_by_role("button", name="Start a run").first.click()
    dialog.get_by_label("What to validate").select_option("camera")
    expect(dialog.get_by_label("Recording")).to_have_text(re.compile("drive.csv"))
    dialog.get_by_label("Tolerance").fill("150")
    dialog.get_by_role("button", name="Start run").click()
    expect(page.get_by_test_id("verdict")).to_have_text(re.compile("FAIL|INCONCLUSIVE"), timeout=120_000)
    expect(page.get_by_role("heading", name="Camera signals")).to_be_visible()
    expect(page.get_by_text("150 ms")).to_be_visible()
    tracks = page.get_by_role("table", name=re.compile("^Tracks")).locator("tbody tr")
    expect(tracks).to_have_count(len(first))
    expect(tracks.filter(has_text="missed")).to_have_count(1)
    expect(tracks.filter(has_text=re.compile(r"50 ± \d+ ms"))).to_have_count(len(first) - 1)
    expect(page.get_by_role("table", name=re.compile("Timing budget")).locator("tr")).to_have_count(4)
    expect(page.get_by_text("1 before or after the video")).to_be_visible()
    for label in ("Report", "PDF", "Sealed evidence"):
        address = page.get_by_role("link", name=label, exact=True).get_attribute("href")
        assert page.request.get(f"{platform.url}{address}").ok, label


def test_a_virtual_camera_shows_its_picture(page: Page, platform: Platform) -> None:
    log_in(page, platform)
    page.get_by_role("link", name="Cameras").click()
    page.get_by_role("button", name="New camera").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Bench camera")
    dialog.get_by_role("button", name="Create camera").click()
    card = page.locator("section").filter(has=page.get_by_role("heading", name="Bench camera"))
    card.get_by_role("button", name="Start").click()
    snapshot = card.get_by_alt_text("Newest frame of Bench camera")
    expect(snapshot).to_be_visible()
    page.wait_for_function("() => [...document.images].some(image => image.naturalWidth === 640)")
    card.get_by_role("button", name="Stop").click()
    expect(card.get_by_text("Stopped")).to_be_visible()
    card.get_by_role("button", name="Delete camera").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete camera").click()
    expect(card).to_have_count(0)


def test_it_can_be_used_without_a_mouse_and_on_a_narrow_screen(page: Page, platform: Platform) -> None:
    log_in(page, platform)
    page.set_viewport_size({"width": 380, "height": 800})
    for path in ("/projects", "/projects/new", "/cameras"):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 380, f"{path} is {width} px wide"
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, select")].filter(element =>
            !(element.ariaLabel || element.innerText?.trim() || element.title || element.labels?.length)).length"""
    )
    assert unnamed == 0
