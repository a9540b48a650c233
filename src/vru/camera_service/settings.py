"""Settings of the camera service."""

from pathlib import Path

from pydantic import Field

from vru.service.settings import ServiceSettings


class CameraServiceSettings(ServiceSettings):
    """What the camera service reads besides what every service reads."""

    camera_state_dir: Path = Field(
        Path("/var/lib/vru/camera"), description="where cameras are remembered across restarts"
    )
