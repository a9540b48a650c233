"""Reports: one model, six ways to write it."""

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from defusedxml import ElementTree

from vru.domain import Comparator, Severity, Verdict
from vru.reports import FORMATS
from vru.reports.charts import PAPER, Axis, charts_of, draw, interval
from vru.reports.model import Fact, Judged, Line, Measured, Report, Section, TrackRow

NASTY = "</script><script>alert(1)</script> & \"x\" 'y' #panic() $x$ \x01 =1+1"


def judged(verdict: Verdict, severity: Severity = Severity.REQUIRED, value: float | None = 0.9) -> Judged:
    bound = None if value is None else value - 0.1
    measured = Measured("recall", "all", value, bound, value, 30, "tracks")
    return Judged(Comparator.AT_LEAST, 0.95, 0.95, severity, measured, verdict, f"because of {verdict.value}", 7)


def report(**more: object) -> Report:
    base = Report(
        title="model 1 on street.mp4",
        kind="Validation run 1",
        verdict=Verdict.FAIL,
        approved=True,
        inputs=(Section("Video", (Fact("sha256", "ab" * 32),)),),
        settings=(Fact("seed", "0"),),
        measurements=(
            Measured("f1", "all", 0.9, 0.8, 0.95, 30, "clips"),
            Measured("f1", "class:cyclist", 0.7, 0.5, 0.8, 10, "clips"),
            Measured("f1", "class:child", None, None, None, 0, "clips"),
            Measured("f1", "class:pedestrian", 0.95, 0.9, 0.99, 20, "clips"),
            Measured("latency_p95_ms", "all", 120.0, None, 140.0, 30, "tracks", "ms"),
        ),
        criteria=(judged(Verdict.FAIL), judged(Verdict.INCONCLUSIVE), judged(Verdict.PASS)),
        notes=("A note.",),
        tracks=(TrackRow(1, "pedestrian", 0.0, 2.0, 0.2, 200.0), TrackRow(2, "cyclist", 1.0, 3.0, None, None)),
        curves=(
            Line("precision_recall", "all", ((0.1, 1.0), (0.5, 0.8))),
            Line("detected_in_time", "all", ((0.0, 0.0), (200.0, 0.0), (200.0, 0.5), (2000.0, 0.5))),
            Line("miss_rate", "all", ((0.0, 0.9), (0.5, 0.1))),
        ),
        errors=(),
        platform="0.1.0",
    )
    return replace(base, **more)


def text(name: str, of: Report) -> str:
    return FORMATS[name].render(of).decode()


@pytest.mark.parametrize("name", FORMATS)
class TestAll:
    def test_the_same_twice(self, name: str) -> None:
        assert FORMATS[name].render(report()) == FORMATS[name].render(report())

    def test_of_a_failed_run(self, name: str) -> None:
        empty = report(
            verdict=None, criteria=(), measurements=(), tracks=(), curves=(), notes=(), failure="Shard 1 failed."
        )
        assert FORMATS[name].render(empty)

    def test_whatever_it_is_called(self, name: str) -> None:
        nasty = report(
            title=NASTY,
            notes=(NASTY,),
            inputs=(Section(NASTY, (Fact(NASTY, NASTY),)),),
            criteria=(replace(judged(Verdict.FAIL), reason=NASTY),),
            measurements=(Measured(NASTY, NASTY, 1.0, None, None, 1),),
            curves=(Line("precision_recall", NASTY, ((0.1, 1.0),)),),
        )
        assert FORMATS[name].render(nasty)


class TestHtml:
    def test_no_text_becomes_markup(self) -> None:
        class Tags(HTMLParser):
            scripts, addresses = 0, []

            def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
                self.scripts += tag == "script"
                self.addresses += [value for name, value in attrs if name in ("src", "href", "action")]

        nasty = report(title=NASTY, curves=(Line("precision_recall", NASTY, ((0.1, 1.0),)),), notes=(NASTY,))
        parser = Tags()
        parser.feed(text("html", nasty))
        assert parser.scripts == 2 and parser.addresses == []
        assert "alert(1)</script>" not in text("html", nasty)

    def test_only_its_own_script_may_run(self) -> None:
        page = text("html", report())
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
        assert policy and "default-src &#39;none&#39;" in policy[1] and "unsafe" not in policy[1]
        assert len(page) < 1_500_000 and "http://" not in page.replace("http://www.w3.org/", "")
        assert "style=" not in page

    def test_unapproved_truth_is_marked_at_every_figure(self) -> None:
        marked, plain = text("html", report(approved=False)), text("html", report())
        # 3 criteria, 3 charts, 5 figures, 2 latencies.
        assert marked.count('class="mark"') == 13 and plain.count('class="mark"') == 0

    def test_slices_come_worst_first(self) -> None:
        assert report().slices == ("class:cyclist", "class:pedestrian", "class:child")
        page = text("html", report())
        places = [page.index(f"<td>{name}</td>") for name in ("all", *report().slices)]
        assert places == sorted(places)

    def test_slices_are_compared_by_what_most_of_them_have(self) -> None:
        def of(slice_: str, f1: float | None, recall: float) -> list[Measured]:
            rows = (("f1", f1), ("recall", recall))
            return [Measured(metric, slice_, value, None, None, 1, "clips", too_few=True) for metric, value in rows]

        rows = (*of("all", 0.9, 0.9), *of("a", 0.1, 0.8), *of("b", None, 0.3), *of("c", None, 0.5))
        few = replace(report(), measurements=rows)
        assert few.slices == ("b", "c", "a")
        assert "1 clip (too few)" in text("html", few)


class TestJunit:
    def test_what_gates_a_pipeline(self) -> None:
        advisory = judged(Verdict.FAIL, Severity.ADVISORY)
        root = ElementTree.fromstring(text("xml", report(criteria=(*report().criteria, advisory))))
        (suite,) = root
        assert (root.tag, suite.tag) == ("testsuites", "testsuite")
        assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
            "tests": "4", "failures": "2", "errors": "0", "skipped": "1",
        }  # fmt: skip
        kinds = [failure.get("type") for failure in suite.iter("failure")]
        assert kinds == ["FAIL", "INCONCLUSIVE"]
        assert "because of FAIL" in suite.find("testcase/failure").get("message")
        # The order that the schema of Jenkins' xunit plugin (junit-10.xsd) asks for.
        assert [part.tag for part in suite] == ["properties", *["testcase"] * 4, "system-out"]
        assert all(case.get("name") and case.get("classname") and case.get("time") for case in suite.iter("testcase"))

    def test_a_failed_run_is_an_error(self) -> None:
        root = ElementTree.fromstring(text("xml", report(criteria=(), failure="The run was cancelled.")))
        assert root.get("errors") == "1" and root.find("testsuite/testcase/error").get("message")


class TestTables:
    def test_one_row_a_figure(self) -> None:
        rows = list(csv.DictReader(io.StringIO(text("csv", report(approved=False)))))
        assert len(rows) == 5 and rows[0]["value"] == "0.9" and rows[2]["value"] == ""
        assert {row["ground_truth_approved"] for row in rows} == {"no"}

    def test_one_row_a_road_user(self) -> None:
        rows = list(csv.DictReader(io.StringIO(text("tracks.csv", report()))))
        assert [row["outcome"] for row in rows] == ["detected", "not detected"] and rows[1]["latency_ms"] == ""

    def test_no_formula(self) -> None:
        rows = list(
            csv.DictReader(io.StringIO(text("csv", report(measurements=(Measured("=1", "@a", -1.0, None, None, 1),)))))
        )
        assert (rows[0]["metric"], rows[0]["slice"], rows[0]["value"]) == ("'=1", "'@a", "-1.0")

    def test_json_has_everything(self) -> None:
        document = json.loads(text("json", report()))
        assert document["verdict"] == "FAIL" and document["criteria"][0]["measured"]["n"] == 30
        assert len(document["measurements"]) == 5 and document["format"] == "vru-report/1"


class TestPdf:
    def test_it_is_tagged_and_has_its_title(self) -> None:
        content = FORMATS["pdf"].render(report(approved=False))
        assert content.startswith(b"%PDF-") and b"/StructTreeRoot" in content


class TestCharts:
    def test_a_side_without_a_bound_is_said_in_words(self) -> None:
        assert interval(0.9, 0.95) == "0.9000 to 0.9500" and interval(None, None) == "–"
        assert interval(0.9, None) == "from 0.9000" and interval(None, 140.0, "ms") == "up to 140"

    def test_ticks_are_round_and_inside(self) -> None:
        assert Axis("", 0, 1).ticks == [0, 0.2, 0.4, 0.6, 0.8, 1]
        assert Axis("", 0.001, 1, True).ticks == [0.001, 0.01, 0.1, 1]
        assert all(0 <= tick <= 730 for tick in Axis("", 0, 730).ticks)

    def test_points_lie_in_the_picture(self) -> None:
        for chart in charts_of(report().curves):
            drawn = draw(chart, PAPER)
            (points,) = re.findall(r'points="([^"]+)"', drawn)
            for point in points.split():
                x, y = map(float, point.split(","))
                assert 52 <= x <= 506 and 12 <= y <= 260
