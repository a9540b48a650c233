"""What all drivers' settings share."""

from pydantic import BaseModel, ConfigDict


class DriverSettings(BaseModel):
    """Settings of a driver: what is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
