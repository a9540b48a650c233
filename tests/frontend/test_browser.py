"""The page in a real Chromium, on the whole real platform: what a test engineer does, from the log-in to every miss."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect
from tests.frontend.browser import (
    Material,
    Platform,
    check_in_step,
    choose_file,
    create_project,
    in_browser,
    log_in,
    shown_frame,
    start_run,
    upload,
)

from vru.local.platform import ADMIN_EMAIL

pytestmark = in_browser


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
