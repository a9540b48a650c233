"""What measuring costs beside the reference implementations: ``python -m benchmarks.evaluation``.

How long a large camera run takes is measured by ``python -m benchmarks.evaluation.signals``.

Both sides get the same data in the same run, in turns; their figures must agree before their times are compared. Times
are processor seconds of this process, because other work on the machine does not change those. Exit code 1: the figures
differ, or a target was missed.
"""

import argparse
import contextlib
import io
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from benchmarks.evaluation.datasets import random_dataset
from tests.evaluation.oracles import pycocotools_eval, run

from vru.evaluation.detection.coco import NAMES, evaluate_coco
from vru.evaluation.detection.operating_point import rates
from vru.evaluation.statistics.draws import Draws
from vru.evaluation.statistics.resampling import resampled
from vru.evaluation.tracking import clear_rates, hota_rates, identity_rates

TARGET = 5.0
BOOTSTRAP_TARGET_S = 3.0


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of a call, and its result."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def coco(pictures: int, detections: int, truths: int, classes: int, rounds: int) -> dict[str, Any]:
    """All twelve numbers, ours against pycocotools, without the reading of files."""
    data = random_dataset(pictures=pictures, detections=detections, truths=truths, classes=classes, seed=1)
    ours, theirs = [], []
    for _ in range(rounds):
        seconds, figures = timed(lambda: evaluate_coco(data).summary())
        ours.append(seconds)
        with contextlib.redirect_stdout(io.StringIO()):
            reference = pycocotools_eval(data)
        seconds, numbers = timed(lambda evaluation=reference: run(evaluation))  # type: ignore[misc]
        theirs.append(seconds)
    expected = dict(zip(NAMES, numbers, strict=True))
    difference = max(abs((-1.0 if figures[name] is None else figures[name]) - expected[name]) for name in NAMES)
    return {
        "what": f"COCO, twelve numbers: {pictures:,} images, {detections:,} detections, {classes} classes",
        "ours_s": statistics.median(ours),
        "pycocotools_s": statistics.median(theirs),
        "ratio": statistics.median(theirs) / statistics.median(ours),
        "largest_difference": difference,
        "target": TARGET,
    }


def bootstrap(clips: int, resamples: int, rounds: int) -> dict[str, Any]:
    """All figures at an operating point and all of tracking, with the bounds of each."""
    rng = np.random.default_rng(1)
    draws = Draws(clips, resamples)
    tables = [(rng.integers(1, 50, (clips, columns)).astype(float), of) for columns, of in
              ((4, rates), (10, clear_rates), (3, identity_rates), (133, hota_rates))]  # fmt: skip

    def work() -> int:
        drawn = [item for table, of in tables for item in resampled(draws, table, of, 2 * table[:2]).values()]
        for figure in drawn:
            figure.replicates.bounds(0.975)
        return len(drawn)

    seconds, counts = zip(*(timed(work) for _ in range(rounds)), strict=True)
    return {
        "what": f"{resamples:,} bootstrap resamples over {clips} clips: {counts[0]} figures with their bounds",
        "ours_s": statistics.median(seconds),
        "target_s": BOOTSTRAP_TARGET_S,
    }


def main(arguments: list[str]) -> int:
    """Print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluation", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1, help="turns; medians are compared (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    rows = [coco(5000, 176_000, 36_781, 80, options.rounds)]
    drawn = bootstrap(500, 10_000, options.rounds)
    if options.json:
        print(json.dumps([*rows, drawn], indent=1))
    else:
        print("| what | ours | pycocotools | ratio | target | largest difference |\n|---|---|---|---|---|---|")
        for row in rows:
            print(
                f"| {row['what']} | {row['ours_s']:.2f} s | {row['pycocotools_s']:.2f} s | {row['ratio']:.1f} "
                f"| {row['target']:g} | {row['largest_difference']:.1e} |"
            )
        print(f"\n| what | seconds | target |\n|---|---|---|\n| {drawn['what']} | {drawn['ours_s']:.2f} | "
              f"{drawn['target_s']:g} |")  # fmt: skip
    met = drawn["ours_s"] <= drawn["target_s"]
    return 0 if met and all(row["ratio"] >= row["target"] and row["largest_difference"] < 1e-9 for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
