"""Settings of the ML engine."""

import os
from pathlib import Path

from pydantic import Field

from vru.service.settings import ServiceSettings

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(quota: Path = _QUOTA) -> int:
    """Cores that this process may use: those it may run on, and no more than its container's limit gives it."""
    cores = len(os.sched_getaffinity(0))
    try:
        allowed, period = quota.read_text().split()
    except (OSError, ValueError):  # no container, or one of control groups' first version
        return cores
    return cores if allowed == "max" else max(1, min(cores, int(allowed) // int(period)))


class MlEngineSettings(ServiceSettings):
    """What the ML engine reads besides what every service reads."""

    models_dir: Path = Field(Path("models"), description="the model repository: NAME/VERSION/model.yaml")
    ml_concurrency: int = Field(
        default_factory=usable_cores, ge=1, le=256, description="frames in inference at once, over all requests"
    )
    ml_threads: int = Field(1, ge=1, le=256, description="threads that the inference of one frame may use")
    ml_max_image_mb: int = Field(20, ge=1, description="largest image body in MiB")
    ml_max_image_megapixels: int = Field(50, ge=1, description="largest image in millions of pixels")
    ml_batch: int | None = Field(
        None, ge=1, le=256, description="frames that a model looks at together, at most; ml_concurrency if not said"
    )
    ml_batch_delay_ms: float = Field(
        5.0, ge=0, le=1000, description="how long a frame waits for others that are on their way"
    )
    ml_max_requests: int = Field(
        128, ge=1, le=100_000, description="requests of single images under way for a model; more get status 429"
    )

    @property
    def batch(self) -> int:
        """Frames that a model looks at together, at most."""
        return self.ml_batch or self.ml_concurrency
