"""AP50, MOTA and HOTA of simulated campaigns: their clips with confidences, and followed by a tracker."""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
from tests.evaluation.campaigns import FRAMES, KINDS, Clip, judged

from vru.evaluation.core.settings import EvaluationSettings, UnseenUnit
from vru.evaluation.core.tables import CLASSES, Floats, Ints
from vru.evaluation.detection.average_precision import average_precision
from vru.evaluation.detection.operating_point import unseen_counts
from vru.evaluation.statistics.draws import Draws
from vru.evaluation.statistics.estimates import Estimate, Resampled
from vru.evaluation.statistics.resampling import resampled
from vru.evaluation.tracking import ALPHAS, clear_rates, hota_rates, unseen_clear, unseen_hota
from vru.evaluation.video.latency import Outcome, TrackOutcome
from vru.evaluation.video.metrics import Clips, Sample
from vru.evaluation.video.ranked_detections import RankedDetections

POPULATION = 50_000


def ranked_units(rng: np.random.Generator, clips: Clip) -> Ints:
    """The detections by falling score: the clip whose road user was found, or -1 less the clip of a false one, which is
    as sure as those that are right where a clip is bad.
    """
    of, n = clips.counts, clips.n
    hit, wrong = (np.repeat(np.arange(n), part.astype(np.int64)) for part in (of.true_positives, of.false_positives))
    bad = of.false_positives[wrong] > FRAMES / 8
    score = np.concatenate([rng.beta(5, 2, len(hit)), rng.beta(np.where(bad, 5, 2), np.where(bad, 2, 4))])
    return np.concatenate([hit, -1 - wrong])[np.argsort(-score, kind="stable")]


def precision_of(rng: np.random.Generator, clips: Clip, resamples: int) -> dict[str, Estimate]:
    """AP50 as a run has it."""
    of, n = clips.counts, clips.n
    unit = ranked_units(rng, clips).astype(np.int32)
    row = (np.arange(len(CLASSES)) == 0)[:, None]
    ranked = RankedDetections(
        np.zeros(len(unit), dtype=np.int8),
        unit,
        row * of.false_positives,
        row * (of.false_positives + of.true_positives),
    )
    # Of a clip's boxes only the number matters: one track has them all.
    tracks = {
        clip: TrackOutcome(clip, CLASSES[0], 0, 1, 0, 0, 0, Outcome.DETECTED, int(boxes), int(hits))
        for clip, (boxes, hits) in enumerate(zip(of.boxes, of.true_positives, strict=True))
    }
    frames = Clips(np.repeat(np.arange(n), FRAMES).astype(np.int32), of.minutes, np.full(n, float(FRAMES)))
    sample = Sample(ranked, tracks, np.arange(n), frames, EvaluationSettings(resamples=resamples))
    estimates = sample.estimates(of, (), not_evaluated=0, resolution_ms=None, false_positives_known=True)
    return {"ap50": estimates["ap50"]}


def tracked(rng: np.random.Generator, clips: Clip) -> tuple[Floats, Floats]:
    """CLEAR's and HOTA's sums of the clips, whose road users are followed worse where fewer of them are found."""
    of, n = clips.counts, clips.n
    hits, boxes, wrong = of.true_positives, of.boxes, of.false_positives
    found = hits / boxes
    switches = rng.poisson(hits * (0.002 + 0.1 * (1 - found))).astype(np.float64)
    zeros, frames = np.zeros(n), np.full(n, float(FRAMES))
    lost = of.tracks - of.detected
    clear = np.column_stack([hits, boxes - hits, wrong, switches, zeros, of.detected, zeros, lost, frames, hits * 0.8])
    at = np.clip(1.15 - ALPHAS, 0.05, 1)[None, :] * hits[:, None]
    association = at * (rng.beta(8, 3, n) * found)[:, None]
    hota = np.concatenate(
        [at, boxes[:, None] - at, hits[:, None] - at + wrong[:, None], association, association, association, at],
        axis=1,
    )
    return clear, hota


def tracking_of(rng: np.random.Generator, clips: Clip, resamples: int) -> dict[str, Estimate]:
    """MOTA and HOTA as a data set has them, the clips being its sequences."""
    clear, hota = tracked(rng, clips)
    of, n = clips.counts, clips.n
    assumed, draws = UnseenUnit(), Draws(n, resamples)
    worst, best = unseen_counts(
        np.column_stack([of.true_positives, of.false_positives, of.boxes, np.full(n, float(FRAMES))]), assumed
    )
    rows = {
        "mota": resampled(
            draws, clear, clear_rates, unseen_clear(worst[2], worst[1], best[3], assumed.truths(of.tracks))
        ),
        "hota": resampled(draws, hota, hota_rates, unseen_hota(worst[2], worst[1])),
    }
    return {name: Resampled(figures[name].value, n, figures[name].replicates) for name, figures in rows.items()}


FIGURES: Mapping[str, Callable[[np.random.Generator, Clip, int], dict[str, Estimate]]] = {
    "ap50": precision_of,
    "tracking": tracking_of,
}


@cache
def population(kind: str, figures: str) -> dict[str, float]:
    """What is true of the clips of a kind, from very many of them."""
    rng = np.random.default_rng(1)
    clips = KINDS[kind](rng, POPULATION)
    if figures == "ap50":
        hit = (ranked_units(rng, clips) >= 0).astype(np.float64)
        return {"ap50": average_precision(hit, 1 - hit, float(clips.counts.boxes.sum())) or 0.0}
    clear, hota = tracked(rng, clips)
    return {
        "mota": float(clear_rates(clear.sum(axis=0)[None])["mota"][0]),
        "hota": float(hota_rates(hota.sum(axis=0)[None])["hota"][0]),
    }


def verdicts(
    kind: str, figures: str, n: int, campaigns: int, resamples: int
) -> dict[str, list[tuple[bool, bool, bool]]]:
    """Of each campaign of ``n`` clips: whether a threshold at the truth was passed, was failed; whether the interval
    held it. By metric.
    """
    true = population(kind, figures)
    result: dict[str, list[tuple[bool, bool, bool]]] = {name: [] for name in true}
    for campaign in range(campaigns):
        rng = np.random.default_rng((7, campaign, n))
        found = FIGURES[figures](rng, KINDS[kind](rng, n), resamples)
        for name, value in true.items():
            result[name].append(judged(found[name], value))
    return result
