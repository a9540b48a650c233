"""The weights behind all bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vru.evaluation.statistics import draws as module
from vru.evaluation.statistics.draws import Draws, unseen_odds


def whole(draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    seen, unseen = zip(*draws.blocks(), strict=True)
    return np.concatenate(seen), np.concatenate(unseen)


@pytest.mark.parametrize("n", [2, 3, 59, 400])
def test_the_share_of_the_unit_not_seen_is_beta_1_n(n: int) -> None:
    seen, unseen = whole(Draws(n, 1000))
    share = unseen / (unseen + seen.sum(axis=1))
    # 1 - (1 - share)^n is uniform; the quantiles come in even steps.
    assert np.allclose(np.sort(1 - (1 - share) ** n), (np.arange(1000) + 0.5) / 1000, atol=2e-3)


def test_the_others_share_the_rest_evenly() -> None:
    seen, _ = whole(Draws(3, 20_000))
    shares = seen / seen.sum(axis=1, keepdims=True)
    # Dirichlet(1, 1, 1): mean 1/3, variance 1/18.
    assert shares.mean(axis=0) == pytest.approx(np.full(3, 1 / 3), abs=0.01)
    assert shares.var(axis=0) == pytest.approx(np.full(3, 1 / 18), abs=0.003)


def test_they_are_the_same_for_a_seed_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    first = whole(Draws(7, 100, 3))
    table = np.arange(14.0).reshape(7, 2)
    at_once = Draws(7, 100, 3).sums(table)
    monkeypatch.setattr(module, "_BLOCK", 50)
    monkeypatch.setattr(module, "_KEPT", 0)
    assert all(np.array_equal(*pair) for pair in zip(at_once, Draws(7, 100, 3).sums(table), strict=True))
    again, other = whole(Draws(7, 100, 3)), whole(Draws(7, 100, 4))
    assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@given(st.permutations(range(40)))
def test_sums_of_counts_are_exact_in_any_order(order: list[int]) -> None:
    """What a second machine adds up in another order is the same to the last bit."""
    counts = np.random.default_rng(1).integers(0, 100_000, 40).astype(np.float64)
    seen, _ = whole(Draws(40, 20))
    assert np.array_equal(seen @ counts, seen[:, order] @ counts[order])


def test_no_unit_has_no_weights() -> None:
    sums, unseen = Draws(0, 100).sums(np.zeros((0, 2)))
    assert sums.shape == (0, 2) and len(unseen) == 0


def test_the_odds_are_the_quantiles() -> None:
    # 59 units without a miss: just below 5 % may be of a kind not seen.
    share = unseen_odds(59, 0.95) / (1 + unseen_odds(59, 0.95))
    assert share == pytest.approx(1 - 0.05 ** (1 / 59))
