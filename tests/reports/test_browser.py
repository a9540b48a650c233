"""The HTML report in a real browser: its script runs under its own policy, and does what it says."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright
from tests.reports.test_reports import NASTY, report

from vru.reports import FORMATS

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH")]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    (tmp_path / "report.html").write_bytes(FORMATS["html"].render(report(title=NASTY, approved=False)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page()
        said: list[str] = []
        opened.on("console", lambda message: said.append(message.text))
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.on("dialog", lambda dialog: said.append("a script of the title ran"))
        opened.goto((tmp_path / "report.html").as_uri())
        yield opened
        browser.close()
    assert said == []


def test_tables_sort_and_filter(page: Page) -> None:
    values = "#figures tbody tr:visible td:nth-child(3)"
    page.get_by_role("button", name="Value").click()
    rising = [float(text.split()[0]) for text in page.locator(values).all_inner_texts() if text[0] != "–"]
    assert rising == sorted(rising) and page.locator(values).last.inner_text().startswith("–")
    page.locator('[data-filter="figures"]').fill("cyclist")
    assert page.locator("#figures tbody tr:visible").count() == 1
    page.locator('[data-filter="figures"]').fill("")
    page.locator('[data-slice="figures"]').select_option("class:pedestrian")
    assert page.locator("#figures tbody tr:visible").count() == 1


def test_curves_are_read_out_and_enlarged(page: Page) -> None:
    figure = page.locator("figure").first
    before = figure.locator("polyline").get_attribute("points")
    picture = figure.locator("> svg")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.6, middle)
    assert "precision 0.8" in figure.locator(".readout").inner_text()
    page.mouse.move(box["x"] + box["width"] * 0.3, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, middle)
    page.mouse.up()
    assert figure.locator("polyline").get_attribute("points") != before
    figure.get_by_role("button", name="Whole range").click()
    assert figure.locator("polyline").get_attribute("points") == before
