import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vru.evaluation.camera.pairing import ANY, pair


def paired(signals: list[tuple[float, int]], windows: list[tuple[float, float, int]]) -> list[int]:
    when, said = np.array([s for s, _ in signals], dtype=float), np.array([c for _, c in signals], dtype=np.int64)
    columns = np.array([w[:2] for w in windows], dtype=float).reshape(-1, 2)
    return pair(
        when, said, columns[:, 0], columns[:, 1], np.array([w[2] for w in windows], dtype=np.int64)
    ).tolist()  # fmt: skip


def fits(signal: tuple[float, int], window: tuple[float, float, int]) -> bool:
    return window[0] <= signal[0] <= window[1] and signal[1] in (ANY, window[2])


def greedy(signals: list[tuple[float, int]], windows: list[tuple[float, float, int]]) -> list[int]:
    """Straight from the rule, without heaps: in order of time, to the free window that ends first."""
    result = [-1] * len(windows)
    for number, signal in enumerate(signals):
        free = [w for w, window in enumerate(windows) if result[w] < 0 and fits(signal, window)]
        if free:
            result[min(free, key=lambda w: (windows[w][1], windows[w][0], windows[w][2], w))] = number
    return result


def maximum(signals: list[tuple[float, int]], windows: list[tuple[float, float, int]]) -> int:
    """Kuhn's augmenting paths, the plain recursion."""
    owner: dict[int, int] = {}

    def place(window: int, seen: set[int]) -> bool:
        for number, signal in enumerate(signals):
            if number not in seen and fits(signal, windows[window]):
                seen.add(number)
                if number not in owner or place(owner[number], seen):
                    owner[number] = window
                    return True
        return False

    return sum(place(window, set()) for window in range(len(windows)))


def random_case(seed: int, classes: list[int]) -> tuple[list[tuple[float, int]], list[tuple[float, float, int]]]:
    rng = np.random.default_rng(seed)
    signals = sorted((float(rng.integers(0, 20)), int(rng.choice(classes))) for _ in range(rng.integers(0, 14)))
    starts = rng.integers(0, 20, rng.integers(0, 9)).tolist()
    windows = [(float(s), float(s + rng.integers(0, 8)), int(max(rng.choice(classes), 0))) for s in starts]
    return signals, windows


@pytest.mark.parametrize("classes", [[ANY], [0], [0, 1, 2]])
def test_equal_to_the_plain_rule(classes: list[int]) -> None:
    for seed in range(300):
        signals, windows = random_case(seed, classes)
        result = paired(signals, windows)
        assert result == greedy(signals, windows), seed
        assert sum(number >= 0 for number in result) == maximum(signals, windows), seed


def test_as_many_as_can_be_where_only_some_signals_name_a_class() -> None:
    exchanged = 0
    for seed in range(600):
        signals, windows = random_case(seed, [ANY, 0, 1])
        result = paired(signals, windows)
        used = [number for number in result if number >= 0]
        assert len(set(used)) == len(used)
        assert all(fits(signals[number], window) for number, window in zip(result, windows, strict=True) if number >= 0)
        assert len(used) == maximum(signals, windows), seed
        exchanged += len(used) > sum(number >= 0 for number in greedy(signals, windows))
    assert exchanged >= 3  # otherwise this would not test the exchanges


def test_a_signal_without_class_is_given_to_whom_no_other_fits() -> None:
    # The plain rule gives the first to the window that ends first, and leaves the second window with nobody.
    assert paired([(1, ANY), (2, 0)], [(0, 10, 0), (0, 11, 1)]) == [1, 0]


CASES = st.tuples(st.integers(0, 100_000), st.sampled_from([[ANY], [0, 1], [ANY, 0, 1]]))


@given(case=CASES, shuffle=st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_tracks_does_not_matter(case: tuple[int, list[int]], shuffle) -> None:
    signals, windows = random_case(*case)
    windows = list(dict.fromkeys(windows))
    mixed = list(windows)
    shuffle.shuffle(mixed)
    one = dict(zip(windows, paired(signals, windows), strict=True))
    assert one == dict(zip(mixed, paired(signals, mixed), strict=True))


@given(case=CASES, shift=st.integers(-5, 1000))
@settings(max_examples=100, deadline=None)
def test_shifting_all_times_changes_nothing(case: tuple[int, list[int]], shift: int) -> None:
    signals, windows = random_case(*case)
    moved = [(when + shift, said) for when, said in signals], [(a + shift, b + shift, c) for a, b, c in windows]
    assert paired(signals, windows) == paired(*moved)


def test_many_windows_open_at_once_take_no_quadratic_time() -> None:
    count = 20_000
    windows = [(0.0, 1e6 + number, number % 3) for number in range(count)]
    result = paired([(float(number), number % 3) for number in range(count)], windows)
    assert result == list(range(count))


def test_permutations_of_a_small_case() -> None:
    windows = [(0.0, 9.0, 0), (1.0, 5.0, 0), (2.0, 3.0, 1)]
    signals = [(2.0, ANY), (2.5, 0), (4.0, 0)]
    for mixed in itertools.permutations(windows):
        assert dict(zip(mixed, paired(signals, list(mixed)), strict=True)) == {
            windows[0]: 2, windows[1]: 1, windows[2]: 0,
        }  # fmt: skip
