"""Pictures of misses and false alarms: the right frame, the boxes in it, what is missing, and how large it all gets."""

import base64
import json
import os
import re
import shutil
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from playwright.sync_api import sync_playwright
from tests.reports.test_findings import frames, results_file, run, truth_file

from vru.evaluation.cli.evaluate import evaluate
from vru.media.drawing import DETECTION, TRUTH, drawn_pictures
from vru.media.finding import pictures
from vru.scenes.scene import Frame
from vru.scenes.video import encode_frames

WIDTH, HEIGHT = 320, 240
TICKS_S = 90_000
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def shade(number: int) -> int:
    return 20 + 7 * number


def plain(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return np.full((height, width, 3), shade(number), np.uint8)


def number_of(image: np.ndarray) -> int:
    """Which of the plain pictures this is."""
    return round((float(np.median(image)) - 20) / 7)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """30 frames at uneven times, with B-frames, key frames far apart, and its first frame not at 0."""
    path = tmp_path_factory.mktemp("media") / "drive1.mp4"
    ticks = np.cumsum([9_000, *([3_000, 61_000, 4_500] * 10)][:30]).tolist()
    shown = [Frame(number, tick, tick / TICKS_S, plain(number), {}) for number, tick in enumerate(ticks)]
    encode_frames(shown, path, WIDTH, HEIGHT, Fraction(10), b_frames=2, key_every=8)
    return path, [tick / TICKS_S for tick in ticks]


def wanted(identity: int, **more: object) -> dict[str, object]:
    base = {"recording": "drive1.mp4", "image": "", "number": None, "frame": None, "time_s": None}
    return {"id": identity} | base | more


def found_by(media: Path, *items: dict[str, object]) -> dict[int, int | str]:
    """The numbers of the pictures found; the first answer counts."""
    answers: dict[int, int | str] = {}
    for identity, image in pictures(media, items):
        answers.setdefault(identity, image if isinstance(image, str) else number_of(image))
    return answers


class TestVideo:
    def test_by_exact_times_also_after_seeking(self, video) -> None:
        path, times = video
        assert times[-1] > 6  # later ones are reached by seeking
        items = [wanted(number, time_s=times[number]) for number in (29, 0, 28, 3, 27, 4, 3)]
        assert found_by(path, *items) == {number: number for number in (0, 3, 4, 27, 28, 29)}

    def test_a_time_between_frames_has_no_picture(self, video) -> None:
        path, times = video
        late = (times[27] + times[28]) / 2
        found = found_by(path, wanted(0, time_s=times[1] + 0.01), wanted(1, time_s=late), wanted(2, time_s=times[29]))
        assert "has no frame at" in found[0] and "has no frame at" in found[1] and found[2] == 29

    def test_by_frame_number_and_beyond_the_end(self, video) -> None:
        path, _ = video
        found = found_by(path, wanted(0, frame=17), wanted(1, frame=2), wanted(2, frame=30))
        assert (found[0], found[1]) == (17, 2) and "has 30 frames, and none with the number 30" in found[2]

    def test_a_file_that_is_no_video(self, tmp_path: Path) -> None:
        (tmp_path / "drive1.mp4").write_bytes(b"nothing" * 100)
        assert "cannot be decoded" in found_by(tmp_path / "drive1.mp4", wanted(0, frame=1))[0]


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name, number in (("a/000001.jpg", 1), ("b/000001.jpg", 2), ("b/000007.png", 7), ("walk.jpg", 9)):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / name), plain(number))
        return tmp_path

    def test_by_name_stem_and_number(self, folder: Path) -> None:
        found = found_by(
            folder,
            wanted(0, image="walk.jpg"),
            wanted(1, image="walk"),
            wanted(2, image="images/walk.png"),
            wanted(3, number=7),
            wanted(4, image="a/000001.jpg"),
            wanted(5, image="000001.jpg", recording="b"),
        )
        assert found == {0: 9, 1: 9, 2: 9, 3: 7, 4: 1, 5: 2}

    def test_what_is_not_there_or_not_clear_is_said(self, folder: Path) -> None:
        (folder / "broken.jpg").write_bytes(b"\xff\xd8nothing")
        found = found_by(
            folder,
            wanted(0, image="run.jpg"),
            wanted(1, image="000001"),
            wanted(2, image="broken"),
            wanted(3, number=8),
        )
        assert found[0] == "no image run.jpg is in the folder"
        assert found[1] == "2 images in the folder fit its name"
        assert "no image that can be read" in found[2]
        assert found[3] == "no image with the number 8 is in the folder"

    def test_a_video_of_the_recordings_name(self, folder: Path, video) -> None:
        shutil.copy(video[0], folder / "drive1.mp4")
        (folder / "drive2.mp4").write_bytes(b"")
        assert found_by(folder, wanted(0, image="drive1.mp4#000005", frame=5)) == {0: 5}


class TestDrawing:
    def test_truth_is_blue_and_whole_and_a_detection_orange_and_dashed(self) -> None:
        boxes = [
            {"box": [60, 60, 80, 80], "detected": False, "chosen": True},
            {"box": [180, 60, 80, 80], "detected": True, "chosen": False},
        ]
        frame, crop = drawn_pictures(plain(5), [60, 60, 80, 80], boxes, 640, 240)
        whole = cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_COLOR).astype(int)
        assert whole.shape == (HEIGHT, WIDTH, 3)  # never enlarged

        def near(colour: tuple[int, ...], pixels: np.ndarray) -> float:
            return float((np.abs(pixels - np.array(colour)).sum(axis=-1) < 130).mean())

        assert near(TRUTH, whole[100:130, 60]) > 0.95
        assert 0.2 < near(DETECTION, whole[64:136, 180]) < 0.9
        part = cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR)
        assert max(part.shape) == 240

    @pytest.mark.parametrize("box", [[-50, -50, 20, 20], [310, 230, 500, 500], [-1e9, 0, 2e9, 10], [5, 5, 0, 0]])
    def test_boxes_at_and_beyond_the_edge(self, box: list[float]) -> None:
        drawn = [{"box": box, "detected": True, "chosen": True}]
        assert all(part.startswith(b"\xff\xd8") for part in drawn_pictures(plain(5), box, drawn, 640, 240))


@pytest.fixture
def files(video, tmp_path: Path) -> tuple[Path, Path]:
    """The video's truth: a pedestrian missed in frames 4 and 5, and a false alarm in frame 9."""
    _, times = video
    images = [
        image
        | {"timestamp_s": times[number], "width": WIDTH, "height": HEIGHT, "file_name": f"drive1.mp4#{number:06d}"}
        for number, image in enumerate(frames(1, 30))
    ]
    walker = [(number + 1, 7, "pedestrian", (100, 60, 40, 80)) for number in range(30)]
    found = [(image, name, box, 0.9) for image, _, name, box in walker if image not in (5, 6)]
    found.append((10, "pedestrian", (200, 100, 40, 80), 0.8))
    return truth_file(tmp_path / "t.json", walker, images), results_file(tmp_path / "r.json", found)


def embedded(page: str) -> list[np.ndarray]:
    """The pictures in a page: of each finding the crop, then the frame."""
    coded = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    return [cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR) for text in coded]


class TestReport:
    def test_the_frames_of_misses_and_false_alarms(self, files, video, tmp_path: Path) -> None:
        run(*files, "--media", video[0], "--html", tmp_path / "r.html", "--pdf", tmp_path / "r.pdf")
        page = (tmp_path / "r.html").read_text()
        assert [number_of(image) for image in embedded(page)[1::2]] == [4, 5, 9]
        assert page.count('alt="The whole frame: missed pedestrian, track 7') == 2
        assert "false alarm: pedestrian, confidence 0.800" in page
        assert "Pictures from drive1.mp4: 3 of 3 misses and false alarms" in page
        assert (tmp_path / "r.pdf").read_bytes().count(b"/Subtype/Image") + (tmp_path / "r.pdf").read_bytes().count(
            b"/Subtype /Image"
        ) >= 6

    def test_the_limit_is_said(self, files, video, tmp_path: Path) -> None:
        run(*files, "--media", video[0], "--html", tmp_path / "r.html", "--most-pictures", 2)
        page = (tmp_path / "r.html").read_text()
        assert [number_of(image) for image in embedded(page)[1::2]] == [4, 9]
        assert "2 of 3 misses and false alarms, the worst first" in page

    def test_pictures_of_another_size_are_not_shown(self, files, tmp_path: Path) -> None:
        (tmp_path / "media").mkdir()
        cv2.imwrite(str(tmp_path / "media" / "drive1.jpg"), plain(1, 64, 48))
        truth = json.loads(files[0].read_text())
        for image in truth["images"]:
            image["file_name"] = "drive1.jpg"
        truth["images"] = truth["images"][:6]
        truth["annotations"] = truth["annotations"][:6]
        files[0].write_text(json.dumps(truth))
        files[1].write_text("[]")
        run(*files, "--media", tmp_path / "media", "--html", tmp_path / "r.html")
        assert "it has 64 x 48 pixels, and the truth is about 320 x 240" in (tmp_path / "r.html").read_text()

    def test_a_missing_picture_is_said(self, files, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        run(*files, "--media", tmp_path / "empty", "--html", tmp_path / "r.html")
        page = (tmp_path / "r.html").read_text()
        assert (
            "0 of 3 misses and false alarms" in page and "No picture of 1 of them: no image drive1.mp4#000004" in page
        )

    @pytest.mark.parametrize(
        ("more", "says"),
        [
            (("--media", "nowhere.mp4", "--html", "r.html"), "There is no file or folder nowhere.mp4"),
            (("--media", "."), "--media is for the pictures of --html and --pdf"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, files, tmp_path: Path, monkeypatch, more, says: str) -> None:
        monkeypatch.chdir(tmp_path)
        result = CliRunner().invoke(evaluate, [*map(str, files), *more])
        assert result.exit_code == 2 and says in result.output
        assert not (tmp_path / "r.html").exists()

    @pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH")
    def test_a_browser_shows_them_under_the_reports_own_policy(self, files, video, tmp_path: Path) -> None:
        run(*files, "--media", video[0], "--html", tmp_path / "r.html")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page()
            said: list[str] = []
            page.on("console", lambda message: said.append(message.text))
            page.goto((tmp_path / "r.html").as_uri())
            sizes = page.eval_on_selector_all("img", "all => all.map(image => [image.naturalWidth, image.alt.length])")
            browser.close()
        assert said == [] and len(sizes) == 6 and all(width > 0 and words > 20 for width, words in sizes)


def test_a_report_on_10_000_images_stays_below_20_mb(tmp_path: Path) -> None:
    # Nothing is larger as JPEG than noise. 40 different pictures: PDF holds the same one once.
    chance = np.random.default_rng(1)
    (tmp_path / "images").mkdir()
    different = [tmp_path / "images" / f"img_{number:05d}.jpg" for number in range(40)]
    for file in different:
        cv2.imwrite(str(file), chance.integers(0, 256, (720, 1280, 3), dtype=np.uint8))
    images = []
    for number in range(10_000):
        name = f"img_{number:05d}.jpg"
        if number >= len(different):
            os.link(different[number % len(different)], tmp_path / "images" / name)
        images.append({"id": number + 1, "file_name": name, "width": 1280, "height": 720})
    annotations = [
        {"id": number + 1, "image_id": number + 1, "category_id": 1, "bbox": [100, 100, 300, 400], "area": 120_000,
         "iscrowd": 0}
        for number in range(10_000)
    ]  # fmt: skip
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "pedestrian"}]}
    (tmp_path / "t.json").write_text(json.dumps(content))
    rows = [
        {"image_id": number + 1, "category_id": 1, "bbox": [900, 100, 300, 400], "score": 0.9}
        for number in range(10_000)
    ]
    (tmp_path / "r.json").write_text(json.dumps(rows))
    arguments = ("--media", tmp_path / "images", "--independent-images", "--protocol", "default")
    outputs = ("--html", tmp_path / "r.html", "--pdf", tmp_path / "r.pdf")
    run(tmp_path / "t.json", tmp_path / "r.json", *arguments, *outputs)
    for name in ("r.html", "r.pdf"):
        assert 1 << 20 < (tmp_path / name).stat().st_size < 20_000_000
    page = (tmp_path / "r.html").read_text()
    assert "of 20000 misses and false alarms, the worst first" in page
    assert "more were left out: all pictures of a report have at most 10 MB" in page
    assert "The 500 worst of 10000" in page
