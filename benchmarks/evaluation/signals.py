"""What a large camera run costs: ``python -m benchmarks.evaluation.signals``.

1,000,000 signals against 100,000 tracks in a day of video: matching at three offsets, all figures, four slices, 1,000
resamples. Processor seconds, and the process's largest resident memory. Exit code 1: a target was missed.
"""

import resource
import sys
import time

import numpy as np

from vru.evaluation.camera import RoadUsers, SignalTable, evaluate_camera, given_offset

SECONDS, MEGABYTES = 3.0, 1000.0


def random_run(signals: int, tracks: int, day_s: float, seed: int = 0) -> tuple[SignalTable, RoadUsers, np.ndarray]:
    """Road users of three classes, several visible at a time; ten signals each, a third without a class, and a fifth of
    all signals at any time.
    """
    rng = np.random.default_rng(seed)
    start = np.sort(rng.random(tracks) * day_s)
    end = start + rng.exponential(4, tracks)
    road_user = rng.integers(0, 3, tracks)
    owner = rng.integers(0, tracks, signals)
    when = start[owner] + rng.random(signals) * (end - start)[owner]
    when = np.where(rng.random(signals) < 0.2, rng.random(signals) * day_s, when)
    said = np.where(rng.random(signals) < 0.3, -1, road_user[owner])
    order = np.argsort(when)
    table = SignalTable(((when[order] + 100) * 1e9).astype(np.int64), said[order])
    return table, RoadUsers(np.arange(tracks), road_user, start, end, start, end), np.arange(0, day_s, 1 / 30)


def main() -> int:
    """Print the line of the table."""
    run = random_run(1_000_000, 100_000, 86_400.0)
    started = time.process_time()
    evaluation = evaluate_camera(*run, given_offset(100 * 10**9, 0.002))
    seconds = time.process_time() - started
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = int((evaluation.matches.signal >= 0).sum())
    print(
        f"| 1,000,000 signals, 100,000 tracks ({found:,} detected) "
        f"| {seconds:.2f} s | {SECONDS:g} s | {megabytes:.0f} MB | {MEGABYTES:g} MB |"
    )
    return 0 if seconds <= SECONDS and megabytes < MEGABYTES else 1


if __name__ == "__main__":
    sys.exit(main())
