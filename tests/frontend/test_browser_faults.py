"""What went wrong in a real Chromium: many tabs, uneven films, long uploads, long names."""

import json
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from playwright.sync_api import Browser, Page, Route, expect
from tests.frontend.browser import (
    Material,
    Platform,
    choose_file,
    create_project,
    in_browser,
    log_in,
    start_run,
    upload,
)

pytestmark = in_browser

# Milliseconds of a recording whose frames come in bursts.
BURSTS = (0, 16, 49, 169, 289, 409, 417, 425, 640, 645, 900, 1000)


def bursts(path: Path) -> list[np.ndarray]:
    """A film whose frames are all different greys, at the times of BURSTS; the greys."""
    greys = []
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, milliseconds in enumerate(BURSTS):
            image = np.full((96, 160, 3), 20 + 18 * number, np.uint8)
            greys.append(image)
            frame = VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = milliseconds, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return greys


def truth_of_bursts(path: Path) -> None:
    images = [
        {"id": n + 1, "file_name": f"{n:06d}.png", "width": 160, "height": 96, "video_id": 1, "frame_index": n,
         "timestamp_s": ms / 1000}
        for n, ms in enumerate(BURSTS)
    ]  # fmt: skip
    boxes = [
        {
            "id": n + 1,
            "image_id": n + 1,
            "category_id": 1,
            "track_id": 1,
            "bbox": [20, 10, 30, 60],
            "area": 1800,
            "iscrowd": 0,
        }
        for n in range(len(BURSTS))
    ]
    video = {"id": 1, "file_name": "bursts.mkv", "width": 160, "height": 96, "frame_count": len(BURSTS)}
    categories = [{"id": 1, "name": "pedestrian"}]
    document = {"videos": [video], "images": images, "annotations": boxes, "categories": categories}
    path.write_text(json.dumps(document))


def test_stepping_reaches_each_frame_of_an_uneven_film(page: Page, platform: Platform, tmp_path: Path) -> None:
    film, truth = tmp_path / "bursts.mkv", tmp_path / "bursts.coco.json"
    bursts(film)
    truth_of_bursts(truth)
    log_in(page, platform)
    create_project(page, "Bursts")
    choose_file(page, "Upload a video", film)
    expect(page.get_by_role("heading", name="bursts.mkv")).to_be_visible()
    choose_file(page, "Upload ground truth", truth)
    page.get_by_role("link", name="Review and approve").click()
    position = page.get_by_test_id("position")
    order = [*range(1, len(BURSTS)), *range(len(BURSTS) - 2, -1, -1)]
    expect(position).to_contain_text("frame 0 of")
    for before, frame in zip([0, *order], order, strict=False):
        name = "One frame forward" if frame > before else "One frame back"
        page.get_by_role("button", name=name).click()
        expect(position).to_contain_text(f"frame {frame} of {len(BURSTS)}")
        expect(position).to_contain_text(f"{BURSTS[frame] / 1000:.3f}")
        # The picture is the one that the position names.
        shown = page.locator("video").evaluate(
            """video => { const canvas = document.createElement("canvas"); canvas.width = canvas.height = 1;
                const context = canvas.getContext("2d"); context.drawImage(video, 0, 0, 1, 1);
                return context.getImageData(0, 0, 1, 1).data[0]; }"""
        )
        assert round((shown - 20) / 18) == frame, (frame, shown)


def test_many_pages_of_a_live_run_share_one_event_stream(
    browser: Browser, page: Page, platform: Platform, material: Material
) -> None:
    log_in(page, platform)
    create_project(page, "Many tabs")
    upload(page, material)
    page.get_by_role("link", name="Review and approve").click()
    page.get_by_role("button", name="Approve").click()
    page.go_back()
    page.get_by_role("tab", name=re.compile("Runs")).click()
    start_run(page)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    tabs = [page]
    for _ in range(7):
        tab = page.context.new_page()
        tab.goto(page.url)
        expect(tab.get_by_role("button", name="Resume")).to_be_visible()
        tabs.append(tab)
    # The eighth still works, and all hear of what happens.
    tabs[-1].get_by_role("button", name="Resume").click()
    for tab in tabs:
        expect(tab.get_by_text(re.compile("INCONCLUSIVE|PASS|FAIL")).first).to_be_visible(timeout=120_000)
    for tab in tabs[1:]:
        tab.close()


def test_an_upload_goes_on_while_one_looks_at_another_page(page: Page, platform: Platform, material: Material) -> None:
    log_in(page, platform)
    create_project(page, "Long upload")
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "POST":
            held.append(route)
        else:
            route.continue_()

    page.route("**/api/v1/projects/*/videos?*", hold)
    choose_file(page, "Upload a video", material.video)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    page.get_by_role("link", name="Cameras").click()
    expect(page.get_by_role("heading", name="Cameras")).to_be_visible()
    expect(page.get_by_role("banner").get_by_text("uneven.mp4")).to_be_visible()
    page.go_back()
    # It is still there, can be stopped, and a second one waits for its end.
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.get_by_role("button", name="Upload a video")).to_be_hidden()
    page.get_by_role("link", name="Cameras").click()
    held[0].continue_()
    expect(page.get_by_role("banner").get_by_text("uneven.mp4")).to_be_hidden()
    page.go_back()
    expect(page.get_by_role("heading", name="uneven.mp4")).to_be_visible()


def test_a_file_over_the_limit_is_refused_before_it_is_sent(page: Page, platform: Platform, tmp_path: Path) -> None:
    log_in(page, platform)
    create_project(page, "Too large")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    huge = tmp_path / "huge.mp4"
    with huge.open("wb") as file:
        file.truncate(501_000_000)
    choose_file(page, "Upload a video", huge)
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("huge.mp4 has 501 MB, more than the 500 MB that this platform takes.")
    expect(notice).to_contain_text("VRU_MAX_UPLOAD_MB")
    assert sent == []


def test_long_names_stay_in_the_page(page: Page, platform: Platform, material: Material) -> None:
    log_in(page, platform)
    name = "W" * 180
    create_project(page, name)
    video = material.video.with_name("V" * 176 + ".mp4")
    video.write_bytes(material.video.read_bytes())
    choose_file(page, "Upload a video", video)
    expect(page.get_by_role("heading", name=video.name)).to_be_visible()
    addresses = [page.url, "/projects"]
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for address in addresses:
            page.goto(address)
            expect(page.get_by_text("W" * 20).first).to_be_visible()
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{address} is {wide} px wider than a window of {width}"


def test_a_project_has_the_state_that_somebody_gives_it(page: Page, platform: Platform, material: Material) -> None:
    log_in(page, platform)
    create_project(page, "States")
    expect(page.get_by_text("Draft", exact=True).first).to_be_visible()
    choose_file(page, "Upload a video", material.video)
    expect(page.get_by_role("heading", name="uneven.mp4")).to_be_visible()
    expect(page.get_by_text("Active", exact=True).first).to_be_visible()
    page.get_by_role("tab", name="Settings").click()
    page.get_by_label("State").select_option("completed")
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    page.reload()
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
