"""AP50, MOTA and HOTA hold what they promise at 100 to 400 clips, in all kinds of campaigns."""

import pytest
from tests.evaluation.campaigns import KINDS
from tests.evaluation.ranked_campaigns import verdicts
from tests.evaluation.test_campaigns import check


@pytest.mark.parametrize("kind", KINDS)
def test_tracking_at_100_clips(kind: str) -> None:
    for of in verdicts(kind, "tracking", 100, 40, 200).values():
        check(of)


def test_average_precision_at_100_clips() -> None:
    check(verdicts("rare_crowded_hard", "ap50", 100, 10, 100)["ap50"])


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [100, 200, 400])
def test_tracking_in_400_campaigns(kind: str, n: int) -> None:
    for of in verdicts(kind, "tracking", n, 400, 400).values():
        check(of)


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [100, 200, 400])
def test_average_precision_in_200_campaigns(kind: str, n: int) -> None:
    check(verdicts(kind, "ap50", n, 200, 100)["ap50"])
