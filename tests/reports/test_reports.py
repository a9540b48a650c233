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
from vru.evaluation.video.metrics import CAMERA_UNITS, METRICS, TRACKING_UNITS
from vru.reports import FORMATS, report_of_evaluation, report_of_run
from vru.reports.charts import PAPER, WIDTH, Axis, charts_of, draw, interval
from vru.reports.definitions import definition_of
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
        tracks=(
            TrackRow(1, "pedestrian", 0.0, 2.0, 0.2, 200.0),
            TrackRow(2, "cyclist", 1.0, 3.0, None, None, "drive-2"),
        ),
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
        assert all(case.get("name") and case.get("classname") for case in suite.iter("testcase"))

    def test_times_are_those_that_were_taken_and_none_is_invented(self) -> None:
        timed = report(seconds=(("reading", 0.25), ("judging", 1.5)))
        root = ElementTree.fromstring(text("xml", timed))
        (suite,) = root
        assert root.get("time") == suite.get("time") == "1.750000"
        steps = {part.get("name"): part.get("value") for part in suite.iter("property")}
        assert (steps["seconds of reading"], steps["seconds of judging"]) == ("0.250000", "1.500000")
        assert all(case.get("time") is None for case in suite.iter("testcase"))
        untimed = ElementTree.fromstring(text("xml", report()))
        assert untimed.get("time") is None and untimed[0].get("time") is None

    def test_a_case_says_the_bounds_that_decide_and_their_level(self) -> None:
        base = judged(Verdict.FAIL)
        deciding = replace(base, measured=replace(base.measured, decides=True, confidence_level=0.9))
        (case,) = ElementTree.fromstring(text("xml", report(criteria=(deciding,), method="By a method."))).iter(
            "testcase"
        )
        assert "0.9000, 0.8000 to 0.9000; 90 % (each bound 95 %), decides" in case.find("failure").get("message")

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
        assert [row["recording"] for row in rows] == ["", "drive-2"] and "drive-2" in text("html", report())

    def test_no_formula(self) -> None:
        rows = list(
            csv.DictReader(io.StringIO(text("csv", report(measurements=(Measured("=1", "@a", -1.0, None, None, 1),)))))
        )
        assert (rows[0]["metric"], rows[0]["slice"], float(rows[0]["value"])) == ("'=1", "'@a", -1)

    def test_json_has_everything(self) -> None:
        document = json.loads(text("json", report()))
        assert document["verdict"] == "FAIL" and document["criteria"][0]["measured"]["n"] == 30
        assert len(document["measurements"]) == 5 and document["format"] == "vru-report/1"


class TestPdf:
    def test_it_is_tagged_and_has_its_title(self) -> None:
        content = FORMATS["pdf"].render(report(approved=False))
        assert content.startswith(b"%PDF-") and b"/StructTreeRoot" in content


class TestCharts:
    def test_axes_have_units_and_lines_differ_without_colours(self) -> None:
        of_classes = tuple(Line("precision_recall", f"class {number}", ((0.1, 1.0), (0.5, 0.8))) for number in range(6))
        (chart,) = charts_of(of_classes)
        drawn = draw(chart, PAPER)
        assert "recall (share)" in drawn and "precision (share)" in drawn
        styles = {re.sub(r'points="[^"]+"', "", line) for line in re.findall(r"<polyline[^>]+>", drawn)}
        assert len(styles) == 6 and all('stroke="#000000"' in style for style in styles)
        (in_time,) = charts_of([line for line in report().curves if line.chart == "detected_in_time"])
        assert "time since visible (ms)" in draw(in_time, PAPER)

    def test_text_is_at_least_7_points_high_on_paper(self) -> None:
        column_pt = (210 - 2 * 18) / 25.4 * 72 / 2 - 7  # half of A4 without margins and half of the gap
        assert PAPER.font_size * column_pt / WIDTH >= 7

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
                assert 66 <= x <= 504 and 14 <= y <= 264


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_verdict_says_what_it_means_and_how_many_criteria_passed(verdict: Verdict) -> None:
    made = report(verdict=verdict)
    page = text("html", made)
    assert made.meaning and made.meaning in page and "1 of 3 criteria passed." in page


class TestOneInterval:
    """Table and criterion show the same numbers: those that decide."""

    def document(self) -> dict[str, object]:
        figure = {"value": 0.97, "low": 0.8, "high": 0.99, "n": 12, "units": "clips", "confidence_level": 0.9}
        criterion = {
            "metric": "recall", "comparator": ">=", "threshold": 0.9, "confidence_level": 0.95, "slice": "all",
            "severity": "required", "verdict": "INCONCLUSIVE", "reason": "Too few.", "more_needed": 5,
            **{name: figure[name] for name in ("value", "low", "high", "n")},
        }  # fmt: skip
        return {
            "protocol": {"name": "default", "title": "VRU Platform", "source": "docs"}, "confidence_level": 0.95,
            "truth": {"path": "t.json"}, "predictions": {"path": "p.json"}, "units": "clips", "resamples": 10,
            "metrics": {"recall": figure, "f1": {"value": 0.9, "low": 0.7, "high": 0.95, "n": 12, "units": "clips"}},
            "slices": {}, "notes": [], "criteria": [criterion], "verdict": "INCONCLUSIVE",
            "under_test": {"name": "ssd", "version": "not stated"}, "made": {"by": "Ada", "at": "2026-01-01"},
        }  # fmt: skip

    def test_on_files(self) -> None:
        made = report_of_evaluation(self.document())
        recall, f1 = made.measurements
        assert (recall.low, recall.high, recall.decides) == (0.8, 0.99, True)
        assert recall.level == "90 % (each bound 95 %), decides" and f1.level == "95 %"
        assert made.criteria[0].measured.level == recall.level
        page = FORMATS["html"].render(made).decode()
        assert page.count("0.8000 to 0.9900") >= 1 and page.count(recall.level) == 2
        rows = list(csv.DictReader(io.StringIO(FORMATS["csv"].render(made).decode())))
        assert [(float(row["low"]), float(row["confidence_level"]), row["decides"]) for row in rows] == [
            (0.8, 0.9, "True"),
            (0.7, 0.95, "False"),
        ]

    def test_on_a_run_the_table_takes_the_interval_that_decides(self) -> None:
        row = {"metric": "recall", "slice": "all", "value": 0.97, "n": 12, "unit": ""}
        criterion = {
            "metric": "recall", "slice": "all", "comparator": ">=", "threshold": 0.9, "confidence_level": 0.95,
            "severity": "required",
        }  # fmt: skip
        run = {
            "id": 1, "kind": "model", "model": "hog", "model_version": "1", "model_sha256": "ab", "error": None,
            "state": "completed", "verdict": "INCONCLUSIVE", "notes": [],
            "settings": {"score_threshold": 0.4, "iou_threshold": 0.5}, "created_by": "ada",
            "created_at": "2026-01-01T10:00:00+00:00", "started_at": "2026-01-01T10:00:01+00:00",
            "finished_at": "2026-01-01T10:00:03.500000+00:00",
            "metrics": {
                "measurements": [row | {"low": 0.7, "high": 0.995, "confidence_level": 0.95}], "true_positives": 1,
                "false_positives": 0, "false_negatives": 0, "ground_truth_approved": True, "tracks": [],
            },
            "verdict_reasons": [
                {
                    "criterion": criterion, "measurement": row | {"low": 0.8, "high": 0.99, "confidence_level": 0.9},
                    "verdict": "INCONCLUSIVE", "reason": "Too few.", "more_needed": 5,
                }
            ],
        }  # fmt: skip
        made = report_of_run(run, "a run", ())
        (recall,) = made.measurements
        assert (recall.low, recall.high, recall.confidence_level, recall.decides) == (0.8, 0.99, 0.9, True)
        assert recall == made.criteria[0].measured
        assert made.seconds == (("the run", 2.5),)
        told = {fact.name: fact.value for fact in made.under_test}
        assert told["software"] == "not stated" and told["confidence from"] == "0.4"
        assert told["overlap from"] == "0.5"

    def test_what_was_under_test_and_who_made_it_are_on_every_page(self) -> None:
        made = report_of_evaluation(self.document())
        page, junit = FORMATS["html"].render(made).decode(), FORMATS["xml"].render(made).decode()
        assert "<dt>made by</dt><dd>Ada</dd>" in page and "<dt>version</dt><dd>not stated</dd>" in page
        assert 'name="under test: name" value="ssd"' in junit and 'name="made by" value="Ada"' in junit
        assert "share of the truth boxes found" in page


def test_every_figure_has_a_definition() -> None:
    names = [*METRICS, *CAMERA_UNITS, *TRACKING_UNITS]
    names += ["ap", "ap75", "ap_small", "ar_100", "ar_large", "fppi", "lamr", "lamr_reasonable", "ece", "ece_adaptive"]
    names += ["mota", "motp", "hota", "deta", "assa", "idf1", "mostly_lost", "ap_pedestrian_easy", "ap11_car_hard"]
    assert [name for name in names if definition_of(name) is None] == []
