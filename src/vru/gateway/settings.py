"""What the gateway reads from the environment."""

from pydantic import Field, SecretStr

from vru.service.settings import ServiceSettings


class GatewaySettings(ServiceSettings):
    """The gateway's own variables, beside those that all services read."""

    secret_key: SecretStr = Field(min_length=32, description="hides session tokens in Redis")
    admin_email: str = Field(min_length=3, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")
    admin_password: SecretStr = Field(min_length=8, max_length=256)
    session_hours: float = Field(12.0, gt=0, le=24 * 30, description="until a login expires")
    session_idle_minutes: float = Field(120.0, gt=0, description="without a request until a login expires")

    max_event_streams: int = Field(200, ge=1, description="runs that may be followed at once, over all users")
    cors_origins: str = Field("", description="origins of other sites' pages that may call the API, comma-separated")
    max_upload_mb: int = Field(500, gt=0, description="largest video, in units of 1,000,000 bytes")
    max_ground_truth_mb: int = Field(64, gt=0, description="largest annotation file, in units of 1,000,000 bytes")
    media_accel: bool = Field(False, description="let nginx send video files (X-Accel-Redirect)")

    @property
    def cors_origin_list(self) -> list[str]:
        """``cors_origins`` without spaces, empty parts and trailing slashes."""
        return [origin.strip().rstrip("/") for origin in self.cors_origins.split(",") if origin.strip()]
