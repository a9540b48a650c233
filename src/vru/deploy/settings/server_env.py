"""The server's own ``.env``, derived from ``.env.production``: all that the compose file interpolates."""

from collections.abc import Mapping
from urllib.parse import quote

from vru.deploy.settings import values
from vru.deploy.settings.environment import Environment
from vru.deploy.settings.limits import Limits
from vru.deploy.settings.variables import LIMITED, PUBLISHED


def derive(environment: Environment) -> dict[str, str]:
    """The older names that existing code reads, made of the variables that replaced them."""
    user, password = quote(environment["VRU_DATABASE_USER"]), quote(environment["VRU_DATABASE_PASSWORD"], safe="")
    redis_password = quote(environment["VRU_REDIS_PASSWORD"], safe="")
    return {
        "DATABASE_URL": f"postgresql://{user}:{password}@postgres:5432/{environment['VRU_DATABASE_NAME']}",
        "REDIS_URL": f"redis://app:{redis_password}@redis:6379/0",
        "JWT_SECRET_KEY": environment["VRU_SECRET_KEY"],
        "SECRET_KEY": environment["VRU_SECRET_KEY"],
        "CORS_ORIGINS": ",".join(environment.cors_origins),
        "EXTERNAL_IP": environment.external_ip,
        "REACT_APP_API_URL": environment.url(environment.api_port),
        "REACT_APP_WS_URL": environment.url(environment.api_port, "ws"),
        "GRAFANA_PASSWORD": environment["VRU_GRAFANA_PASSWORD"],
        "POSTGRES_DB": environment["VRU_DATABASE_NAME"],
        "POSTGRES_USER": environment["VRU_DATABASE_USER"],
        "POSTGRES_PASSWORD": environment["VRU_DATABASE_PASSWORD"],
        "REDIS_PASSWORD": environment["VRU_REDIS_PASSWORD"],
    }


# Where to log in, and how patient to be, is the laptop's business, not the server's.
_LAPTOP_ONLY = frozenset({"VRU_HOST", "VRU_SSH_PORT", "VRU_SSH_USER", "VRU_SSH_KEY", "VRU_WATCH_S"})


def server_env(
    environment: Environment, limits: Limits, tags: Mapping[str, str], config_digests: Mapping[str, str]
) -> str:
    """The text of the server's ``.env``: all that the compose file interpolates, and the older names.

    Args:
        environment: what the operator set.
        limits: the limits that fit the server.
        tags: image tag by built service.
        config_digests: digest of its configs by configured service.
    """
    settled = {name: value for name, value in environment.values.items() if name not in _LAPTOP_ONLY}
    address = environment["VRU_PUBLISH_ADDRESS"]
    settled |= {name: values.published(address, environment[port]) for name, port in PUBLISHED.items()}
    settled["VRU_EXTERNAL_IP"] = environment.external_ip
    settled["VRU_ALLOWED_HOSTS"] = ",".join(environment.allowed_hosts)
    settled |= environment.service_secrets
    settled["VRU_CORS_ORIGINS"] = ",".join(environment.cors_origins)
    for service in LIMITED:
        settled[f"VRU_{service.upper()}_CPUS"] = limits.of[service].compose_cpus
        settled[f"VRU_{service.upper()}_MEMORY"] = limits.of[service].compose_memory
    for service, tag in tags.items():
        settled[f"VRU_{service.upper()}_TAG"] = tag
    for service, digest in config_digests.items():
        settled[f"VRU_{service.upper()}_CONFIG_DIGEST"] = digest
    lines = ["# Written by vru at each deployment: change .env.production on the laptop instead."]
    lines += [f"{name}='{value}'" for name, value in settled.items()]
    lines.append("# Older names, derived from the above.")
    lines += [f"{name}='{value}'" for name, value in derive(environment).items()]
    lines.append("# end of .env")
    return "\n".join(lines) + "\n"
