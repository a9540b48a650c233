"""Settings from the environment. Every variable is described in ``.env.production.example``."""

import os
from pathlib import Path
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)
from yaml import YAMLError

from vru.domain import VruError

CONFIG_FILE_VARIABLE = "VRU_CONFIG_FILE"


class ServiceSettings(BaseSettings):
    """What every service reads. A service subclasses this and adds its own fields.

    Each field ``x`` is read from ``VRU_X``, or else from ``x`` in the YAML file that ``VRU_CONFIG_FILE`` names, if it
    names one. A missing required field is an error that names it; so is a file that is not there or cannot be read.
    """

    model_config = SettingsConfigDict(env_prefix="VRU_", extra="ignore")

    bind_host: str = Field("127.0.0.1", description="address that the service listens on")
    log_level: str = "INFO"
    media_dir: Path = Path("/var/lib/vru/media")
    image: str = Field("", description="the image that this runs in, with its content tag; named in evidence")

    api_gateway_port: int = 8000
    ml_engine_port: int = 8001
    camera_service_port: int = 8002
    validation_engine_port: int = 8003
    frontend_port: int = 3000
    signer_port: int = 8005
    api_gateway_url: str = "http://api_gateway:8000"
    ml_engine_url: str = "http://ml_engine:8001"
    camera_service_url: str = "http://camera_service:8002"
    validation_engine_url: str = "http://validation_engine:8003"
    frontend_url: str = "http://frontend:3000"
    signer_url: str = "http://signer:8005"
    allowed_hosts: str = Field("", description="further names under which the platform is reached, comma-separated")

    # Of those who may call that service (see vru.service.assertions). Each process has those that it needs.
    ml_engine_secret: SecretStr = SecretStr("")
    camera_service_secret: SecretStr = SecretStr("")
    validation_engine_secret: SecretStr = SecretStr("")
    signer_secret: SecretStr = SecretStr("")

    database_host: str = "postgres"
    database_port: int = 5432
    database_name: str = "vru"
    database_user: str = "vru"
    database_password: SecretStr = SecretStr("")
    database_pool_size: int = 5
    database_pool_overflow: int = 5

    redis_host: str = "redis"
    redis_port: int = 6379
    redis_user: str = "app"
    redis_password: SecretStr = SecretStr("")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file."""
        name = os.environ.get(CONFIG_FILE_VARIABLE)
        if not name:
            return init_settings, env_settings
        # pydantic-settings passes over a file that does not exist, and over names that no field has.
        try:
            file = YamlConfigSettingsSource(settings_cls, yaml_file=Path(name).resolve(strict=True))
        except (OSError, ValueError, YAMLError) as error:
            raise VruError(f"The settings file {name} cannot be read: {error}.", "Run: vru deploy") from error
        unknown = sorted(set(file()) - set(settings_cls.model_fields))
        if unknown:
            raise VruError(f"The settings file {name} sets {', '.join(unknown)}: no such setting.", "Run: vru deploy")
        return init_settings, env_settings, file

    @property
    def service_secrets(self) -> dict[str, str]:
        """The secrets of callers, by the name of the service that they call."""
        return {
            "ml_engine": self.ml_engine_secret.get_secret_value(),
            "camera_service": self.camera_service_secret.get_secret_value(),
            "validation_engine": self.validation_engine_secret.get_secret_value(),
            "signer": self.signer_secret.get_secret_value(),
        }

    @property
    def host_names(self) -> frozenset[str]:
        """The names under which services are reached: their own, those in their addresses, and ``allowed_hosts``."""
        services = ("api_gateway", "ml_engine", "camera_service", "validation_engine", "frontend", "signer")
        addressed = (urlsplit(getattr(self, f"{service}_url")).hostname or "" for service in services)
        given = (name.strip().lower() for name in self.allowed_hosts.split(","))
        return frozenset(filter(None, ("localhost", *services, *addressed, *given)))

    @property
    def database_conninfo(self) -> str:
        """libpq URI, for psycopg and Procrastinate."""
        user, password = quote(self.database_user), quote(self.database_password.get_secret_value(), safe="")
        return f"postgresql://{user}:{password}@{self.database_host}:{self.database_port}/{self.database_name}"

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the same database, on psycopg 3."""
        return self.database_conninfo.replace("postgresql://", "postgresql+psycopg://", 1)

    @property
    def redis_url(self) -> str:
        """URL of the Redis server."""
        password = quote(self.redis_password.get_secret_value(), safe="")
        credentials = f"{quote(self.redis_user)}:{password}@" if password else ""
        return f"redis://{credentials}{self.redis_host}:{self.redis_port}/0"
