"""Settings of the validation engine and its workers."""

from pathlib import Path

from pydantic import Field

from vru.service.settings import ServiceSettings

_EVIDENCE = Path("/var/lib/vru/evidence")


class EngineSettings(ServiceSettings):
    """What the validation engine reads besides the settings that all services share."""

    evidence_dir: Path = Field(_EVIDENCE, description="where the sealed evidence of runs is")


class WorkerSettings(ServiceSettings):
    """What a worker reads besides the settings that all services share."""

    evidence_dir: Path = Field(_EVIDENCE, description="where the evidence of runs is written")
    worker_metrics_port: int = Field(9100, description="where the worker answers /health, /ready and /metrics")
    worker_concurrency: int = Field(2, ge=1, le=64, description="jobs that one worker does at a time")
    worker_grace_s: float = Field(20.0, ge=0, description="how long a worker that is told to stop may go on")
    shard_frames: int = Field(150, ge=1, description="evaluated frames that make one shard")
    heartbeat_s: float = Field(2.0, gt=0, description="how often a worker says that it lives")
    stalled_after_s: float = Field(10.0, gt=0, description="silence after which a worker's jobs go to others")
    clip_tries: int = Field(
        3, ge=1, description="failures, or workers that died of it, after which a clip is set aside"
    )
