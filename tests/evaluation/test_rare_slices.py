"""A class that few pictures show: what its figures rest on, and how seldom it passes by chance.

Whole data sets are simulated and measured by ``evaluate_dataset``, so that the product itself decides what ``n`` is.
"""

from dataclasses import replace

import numpy as np
import pytest
from tests.evaluation.truths import frames, track, truth

from vru.domain import Comparator, Criterion, Verdict
from vru.evaluation.core.settings import EvaluationSettings
from vru.evaluation.core.tables import DataSet, found_table, truth_table
from vru.evaluation.dataset.evaluate import evaluate_dataset
from vru.evaluation.dataset.protocol import Protocol
from vru.evaluation.verdict.judge import decide, judge
from vru.evaluation.verdict.results import document, judge_metrics
from vru.evaluation.video.evaluate import evaluate

PICTURES = 200
POINT = Protocol("point", "Counts", "this test", "detection", ("point",))
LABELS = ("pedestrian", "cyclist")


def campaign(rng: np.random.Generator, shown: int, recall: float, wrong: float = 0.0, spread: float = 8.0) -> DataSet:
    """200 independent pictures; each shows ten pedestrians, all found, ``shown`` of them ten cyclists as well.

    The share found of a picture's cyclists is beta distributed with the mean ``recall``; there are ``wrong`` false
    cyclists a picture on average.
    """
    found_share = rng.beta(recall * spread, (1 - recall) * spread, shown)
    pedestrians = [(picture, 0, spot, 100.0) for picture in range(PICTURES) for spot in range(10)]
    cyclists = [(picture, 1, spot, 500.0) for picture in range(shown) for spot in range(10)]
    hits = [row for row in cyclists if rng.random() < found_share[row[0]]]
    number = rng.poisson(wrong, PICTURES).tolist()
    false = [(picture, 1, spot, 900.0) for picture, count in enumerate(number) for spot in range(count)]
    shown_boxes, found = pedestrians + cyclists, pedestrians + hits + false

    def boxes(rows: list[tuple[int, int, int, float]]) -> list[tuple[float, float, float, float]]:
        return [(spot * 50.0, top, 20.0, 60.0) for _, _, spot, top in rows]

    return DataSet(
        LABELS,
        tuple(map(str, range(PICTURES))),
        np.arange(PICTURES),
        np.zeros(PICTURES, dtype=np.int64),
        truth_table([row[0] for row in shown_boxes], [row[1] for row in shown_boxes], boxes(shown_boxes)),
        found_table([row[0] for row in found], [row[1] for row in found], boxes(found), np.ones(len(found))),
    )


def passes(metric: str, threshold: float, data: DataSet, seed: int) -> bool:
    estimate = evaluate_dataset(data, POINT, resamples=200, seed=seed).slices["class:cyclist"][metric]
    return decide(estimate, Criterion(metric, Comparator.AT_LEAST, threshold))[0] == Verdict.PASS


@pytest.mark.parametrize(
    ("shown", "recall", "spread"), [(5, 0.499, 8.0), (5, 0.899, 1.0), (10, 0.699, 1.0), (20, 0.899, 2.0)]
)
def test_a_rare_class_just_below_the_threshold_seldom_passes(shown: int, recall: float, spread: float) -> None:
    rng = np.random.default_rng(31)
    campaigns = 300
    passed = [
        passes("recall", recall + 0.001, campaign(rng, shown, recall, spread=spread), seed) for seed in range(campaigns)
    ]
    # 5 %, and twice the Monte Carlo error of a share of 5 % in so many campaigns.
    assert np.mean(passed) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / campaigns), np.mean(passed)


@pytest.mark.parametrize("metric", ["precision", "f1"])
def test_false_positives_elsewhere_are_no_evidence_of_hits(metric: str) -> None:
    """All hits are in 5 pictures; one false cyclist in every fifth of all does not make 45 units of them."""
    rng = np.random.default_rng(32)
    campaigns, recall, wrong = 300, 0.6, 0.2
    hits, false, boxes = 5 * 10 * recall, wrong * PICTURES, 50.0
    value = hits / (hits + false) if metric == "precision" else 2 * hits / (hits + false + boxes)
    passed = [
        passes(metric, value + 0.001, campaign(rng, 5, recall, wrong, spread=1.0), seed) for seed in range(campaigns)
    ]
    assert np.mean(passed) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / campaigns), np.mean(passed)


def test_a_flawless_rare_class_is_inconclusive() -> None:
    data = campaign(np.random.default_rng(33), 20, 1 - 1e-9)
    figures = evaluate_dataset(data, POINT, resamples=200)
    assert figures.slices["class:cyclist"]["recall"].value == 1
    report = judge_metrics(figures, [Criterion("recall", Comparator.AT_LEAST, 0.95, slice="class:cyclist")])
    # 116 flawless pictures prove 0.95 where one not seen may be twice as full; 20 show a cyclist, and the other 180
    # are no evidence.
    assert report.verdict == Verdict.INCONCLUSIVE
    assert report.results[0].measurement.n == 20 and report.results[0].more_needed == pytest.approx(96, abs=10)
    assert "more images like these would decide it" in report.results[0].reason


def test_n_is_what_each_figure_rests_on() -> None:
    data = campaign(np.random.default_rng(34), 7, 0.9, wrong=0.02)
    part = evaluate_dataset(data, POINT, resamples=200).slices["class:cyclist"]
    assert part["recall"].n == part["f1"].n == 7
    # Any picture could have had a false positive, so all of them count for the rate.
    assert part["fppi"].n == PICTURES
    whole = evaluate_dataset(data, POINT, resamples=200).slices["all"]
    assert whole["recall"].n == PICTURES


@pytest.mark.parametrize(("recall", "threshold"), [(1 - 1e-9, 0.2), (1e-9, 0.9)])
def test_a_slice_that_too_few_units_show_decides_nothing(recall: float, threshold: float) -> None:
    data = campaign(np.random.default_rng(35), 6, recall)
    criteria = [Criterion("recall", Comparator.AT_LEAST, threshold, slice="class:cyclist")]
    judged = judge_metrics(evaluate_dataset(data, POINT, resamples=200), criteria)
    assert judged.verdict == Verdict.INCONCLUSIVE
    assert "from 6 images, fewer than the 10 that a slice must have: 4 more images needed" in judged.reasons[0]
    assert judged.results[0].more_needed == 4
    asked = judge_metrics(evaluate_dataset(data, replace(POINT, smallest_n=6), resamples=200), criteria)
    assert asked.verdict == (Verdict.PASS if recall > 0.5 else Verdict.FAIL)


def test_too_few_units_are_marked() -> None:
    figures = evaluate_dataset(campaign(np.random.default_rng(36), 6, 0.9), POINT, resamples=200)
    content = document(figures, POINT, {}, None)
    assert content["slices"]["class:cyclist"]["recall"]["too_few"] and content["smallest_n"] == 10
    assert "too_few" not in content["slices"]["class:cyclist"]["fppi"]  # all 200 images could have had a false one
    assert "too_few" not in content["slices"]["class:pedestrian"]["recall"]


def test_runs_have_a_smallest_n_too() -> None:
    ground_truth = truth(*(track(number, number * 15, number * 15 + 10) for number in range(6)))
    criteria = [Criterion("track_recall", Comparator.AT_LEAST, 0.9, slice="class:pedestrian")]
    for smallest_n, verdict in ((10, Verdict.INCONCLUSIVE), (6, Verdict.FAIL)):
        settings = EvaluationSettings(slices=("class:pedestrian",), smallest_n=smallest_n, clip_seconds=1.5)
        assert judge(evaluate(ground_truth, [], frames(100), settings), criteria).verdict == verdict
