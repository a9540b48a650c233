"""What the ML engine counts for Prometheus, a model version each. What is unloaded leaves nothing behind."""

from prometheus_client import Counter, Gauge, Histogram

from vru.ml_engine.detectors import Seen

_OF = ["model", "version"]
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)

_frames = Counter("vru_ml_frames_total", "Frames that a model has looked at", _OF)
_seconds = Histogram(
    "vru_ml_inference_seconds",
    "Time that a model took for one frame, without waiting and decoding",
    _OF,
    buckets=_SECONDS,
)
_stages = Histogram(
    "vru_ml_stage_seconds",
    "Time of a frame in each stage: queue, preparing, inference, reading",
    [*_OF, "stage"],
    buckets=_SECONDS,
)
_queue = Gauge("vru_ml_queue_frames", "Frames that wait for a model", _OF)
_age = Gauge("vru_ml_queue_age_seconds", "How long the first frame in a model's queue has waited", _OF)
_batches = Histogram(
    "vru_ml_batch_frames", "Frames that a model looked at together", _OF, buckets=(1, 2, 4, 8, 16, 32, 64)
)
_rejected = Counter("vru_ml_rejected_total", "Frames that were not looked at: queue_full, too_late", [*_OF, "reason"])
_model = Gauge("vru_ml_model_info", "1 for each model version that runs, with what runs it", [*_OF, "provider"])
_STAGES = ("queue", "preparing", "inference", "reading")
_REASONS = ("queue_full", "too_late")


class Telemetry:
    """The figures of one model version."""

    def __init__(self, model: str, version: str, provider: str) -> None:
        self._of = (model, version)
        self._provider = provider
        _model.labels(*self._of, provider).set(1)
        _queue.labels(*self._of).set(0)

    def batch(self, size: int) -> None:
        """So many pictures were given to the model together."""
        _batches.labels(*self._of).observe(size)

    def waiting(self, frames: int, oldest_s: float) -> None:
        """What the queue holds now."""
        _queue.labels(*self._of).set(frames)
        _age.labels(*self._of).set(oldest_s)

    def seen(self, one: Seen, queued_s: float) -> None:
        """The model looked at a picture."""
        _frames.labels(*self._of).inc()
        _seconds.labels(*self._of).observe(one.stages.whole)
        times = (queued_s, one.stages.preparing, one.stages.inference, one.stages.reading)
        for stage, seconds in zip(_STAGES, times, strict=True):
            _stages.labels(*self._of, stage).observe(seconds)

    def rejected(self, reason: str) -> None:
        """A picture was turned away."""
        _rejected.labels(*self._of, reason).inc()

    def forget(self) -> None:
        """The version is unloaded."""
        for metric in (_frames, _seconds, _queue, _age, _batches):
            _drop(metric, self._of)
        _drop(_model, (*self._of, self._provider))
        for stage in _STAGES:
            _drop(_stages, (*self._of, stage))
        for reason in _REASONS:
            _drop(_rejected, (*self._of, reason))


def _drop(metric: Counter | Gauge | Histogram, labels: tuple[str, ...]) -> None:
    metric.remove(*labels)
