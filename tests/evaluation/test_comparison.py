"""Two versions on the same data: false alarms and power by simulation, files through ``vru compare``."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from vru.cli import main
from vru.domain import Verdict
from vru.evaluation.core.settings import UnseenUnit
from vru.evaluation.core.tables import Floats
from vru.evaluation.detection.operating_point import rates, unseen_counts
from vru.evaluation.statistics.draws import Draws
from vru.evaluation.statistics.estimates import Replicates, Resampled
from vru.evaluation.statistics.resampling import resampled
from vru.evaluation.study.comparison import Difference, Margin, difference_of, judge_comparison, judge_margin

CAMPAIGNS, CLIPS, RESAMPLES, BOXES = 400, 150, 500, 60


def recall(hits: Floats) -> Resampled:
    """The recall of clips with 60 boxes each; the largest clip not seen has twice as many."""
    table = np.column_stack([hits, np.zeros_like(hits), np.full_like(hits, BOXES), np.ones_like(hits)])
    figure = resampled(Draws(len(hits), RESAMPLES), table, rates, unseen_counts(table, UnseenUnit()))["recall"]
    return Resampled(figure.value, len(hits), figure.replicates)


def versions(rng: np.random.Generator, drop: float, clips: int = CLIPS) -> tuple[Floats, Floats]:
    """Hits of two versions in each clip of each campaign. A clip that is hard for one is hard for the other."""
    shape = (CAMPAIGNS, clips)
    difficulty = rng.beta(14, 2, shape)
    found = [
        rng.binomial(BOXES, rng.beta(30 * difficulty + 1e-9, 30 * (1 - difficulty) + 1e-9)) for _ in range(2)
    ]  # fmt: skip
    return found[0].astype(float), rng.binomial(found[1], 1 - drop / (14 / 16)).astype(float)


def compared(before: Floats, after: Floats) -> list[Difference]:
    pairs = (difference_of("recall", "all", recall(old), recall(new)) for old, new in zip(before, after, strict=True))
    return [found for found in pairs if found is not None]


def test_a_against_itself_is_not_proven_equal_by_few_clips() -> None:
    """Where nothing differs in what was seen, it may in what was not: 149 clips say so of 2 points, if those not seen
    are as large as the others; of twice the size, twice as many.
    """
    for clips, verdict in ((10, Verdict.INCONCLUSIVE), (149, Verdict.INCONCLUSIVE), (310, Verdict.PASS)):
        before, _ = versions(np.random.default_rng(1), 0, clips)
        (difference,) = compared(before[:1], before[:1])
        judged = judge_margin(difference, Margin("recall", 0.02))
        assert (judged.verdict, judged.mark) == (verdict, "")
        if clips == 10:
            assert judged.more_needed == pytest.approx(285, abs=15)
            assert "10 clips set no bounds" not in judged.reason


def test_a_against_an_exchangeable_version_raises_few_false_alarms() -> None:
    found = compared(*versions(np.random.default_rng(2), 0))
    marks = [judge_margin(difference, Margin("recall", 0.02)).mark for difference in found]
    failed = [judge_margin(difference, Margin("recall", 0.0)).verdict == Verdict.FAIL for difference in found]
    assert np.mean([mark == "worse" for mark in marks]) <= 0.05
    assert np.mean([mark == "better" for mark in marks]) <= 0.05
    assert np.mean(failed) <= 0.05


def test_a_drop_of_five_points_is_found_with_the_stated_power() -> None:
    found = compared(*versions(np.random.default_rng(3), 0.05))
    stated = np.median([difference.power(0.05) or 0 for difference in found])
    seen = np.mean([judge_margin(difference, Margin("recall", 0.0)).verdict == Verdict.FAIL for difference in found])
    assert 0.5 < stated < 0.999
    assert seen == pytest.approx(stated, abs=0.08)
    needed = found[0].units_needed(0.05, 0.8)
    assert needed is not None
    assert found[0].power(0.05, n=needed) >= 0.8 > found[0].power(0.05, n=needed - 1)


def test_a_loss_of_the_whole_margin_seldom_passes() -> None:
    found = compared(*versions(np.random.default_rng(4), 0.03))
    passed = [judge_margin(difference, Margin("recall", 0.03)).verdict == Verdict.PASS for difference in found]
    assert np.mean(passed) <= 0.05


def test_many_margins_do_not_fail_by_chance() -> None:
    found = compared(*versions(np.random.default_rng(5), 0))
    fails = 0
    for start in range(0, CAMPAIGNS, 10):
        ten = {(f"s{number}", "recall"): item for number, item in enumerate(found[start : start + 10])}
        margins = [Margin("recall", 0.0, slice_) for slice_, _ in ten]
        fails += judge_comparison(ten, margins)[0] == Verdict.FAIL
    assert fails <= 5  # of 40 campaigns: 2 are expected at most


def test_a_single_unit_decides_nothing() -> None:
    before, after = versions(np.random.default_rng(6), 0.5, clips=1)
    (one,) = compared(before[:1], after[:1])
    judged = judge_margin(one, Margin("recall", 0.02))
    assert judged.verdict == Verdict.INCONCLUSIVE and judged.more_needed
    assert one.power(0.02) is None


def test_less_is_better_for_false_positives() -> None:
    low, high = (Replicates(np.full(200, at), np.full(200, at), np.full(200, at + 0.001)) for at in (0.1, 0.2))
    more = difference_of("fppi", "all", Resampled(0.1, 50, low, "images"), Resampled(0.2, 50, high, "images"))
    assert more is not None
    assert judge_margin(more, Margin("fppi", 0.02)).verdict == Verdict.FAIL
    assert judge_margin(more, Margin("fppi", 0.02)).mark == "worse"


def vru(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 sequences of 10 frames with two road users; the worse version misses track 2 of half of the sequences."""
    folder = tmp_path_factory.mktemp("compare")
    for number in range(80):
        rows = [(frame, track) for frame in range(1, 11) for track in (1, 2)]
        boxes = {track: f"{100 * track},50,30,60" for track in (1, 2)}
        truth = folder / "truth" / f"s{number:02d}" / "gt"
        truth.mkdir(parents=True)
        (truth / "gt.txt").write_text("".join(f"{f},{t},{boxes[t]},1,1,1\n" for f, t in rows))
        for name in ("good", "bad"):
            (folder / name).mkdir(exist_ok=True)
            lost = name == "bad" and number % 2
            lines = [f"{f},{t},{boxes[t]},0.9,-1,-1,-1\n" for f, t in rows if not (lost and t == 2)]
            (folder / name / f"s{number:02d}.txt").write_text("".join(lines))
    return folder


class TestCommand:
    def test_a_worse_version_fails_and_its_misses_are_named(self, files: Path) -> None:
        result = vru(files / "truth", files / "good", files / "bad", "--json", "-")
        assert result.exit_code == 1, result.output
        document = json.loads(result.stdout)
        assert document["verdict"] == "FAIL" and document["newly_found"] == []
        assert [(item["sequence"], item["track"]) for item in document["newly_missed"]] == [
            (f"s{number:02d}", 2) for number in range(1, 80, 2)
        ]
        mota = document["differences"]["all"]["mota"]
        assert mota["difference"] == pytest.approx(-0.25) and mota["high"] < 0

    def test_a_better_version_passes(self, files: Path) -> None:
        result = vru(files / "truth", files / "bad", files / "good")
        assert result.exit_code == 0, result.output
        assert "newly found: track 2 of s01" in result.output and "better" in result.output

    def test_a_against_a_is_not_proven_equal_by_80_sequences(self, files: Path) -> None:
        result = vru(files / "truth", files / "good", files / "good")
        assert result.exit_code == 3, result.output
        assert "newly" not in result.output and "more sequences like these would decide it" in result.output

    def test_margins_of_ones_own(self, files: Path, tmp_path: Path) -> None:
        (tmp_path / "m.yaml").write_text("- {metric: precision, margin: 0.1}\n- {metric: idf1, margin: 0.9}")
        result = vru(files / "truth", files / "good", files / "bad", "--criteria", tmp_path / "m.yaml")
        assert result.exit_code == 0, result.output

    @pytest.mark.parametrize(
        ("margins", "message"),
        [
            ("- {metric: beauty, margin: 0.1}", "'beauty' in slice 'all' cannot be compared"),
            ("- {metric: recall}", "entry 1 is"),
            ("- {metric: recall, margin: -1}", "-1 is no number"),
            ("[]", "holds no list of margins"),
        ],
    )
    def test_wrong_margins_are_named(self, files: Path, tmp_path: Path, margins: str, message: str) -> None:
        (tmp_path / "m.yaml").write_text(margins)
        result = vru(files / "truth", files / "good", files / "bad", "--criteria", tmp_path / "m.yaml")
        assert result.exit_code == 2 and message in result.output
