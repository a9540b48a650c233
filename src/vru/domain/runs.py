"""The life of a validation run."""

from enum import StrEnum

from vru.domain.errors import VruError


class RunKind(StrEnum):
    """What is evaluated: a model's boxes, or a camera's signals in time."""

    MODEL = "model"
    CAMERA = "camera"


class RunState(StrEnum):
    """Where a validation run stands."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    ANALYSING = "analysing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to the run."""
        return self in (RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED)


class ShardState(StrEnum):
    """Where one shard (a clip's part of a run) stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


_NEXT = {
    RunState.QUEUED: {RunState.PREPARING},
    RunState.PREPARING: {RunState.RUNNING},
    RunState.RUNNING: {RunState.ANALYSING},
    RunState.ANALYSING: {RunState.COMPLETED},
}


def check_transition(before: RunState, after: RunState) -> None:
    """Do nothing if a run may go from ``before`` to ``after``.

    Raises:
        VruError: it may not.
    """
    allowed = set() if before.is_final else _NEXT[before] | {RunState.FAILED, RunState.CANCELLED}
    if after not in allowed:
        raise VruError(f"A run that is {before} cannot become {after}.")
