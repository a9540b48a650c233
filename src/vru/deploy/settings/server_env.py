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
_LAPTOP_ONLY = frozenset(
    f"VRU_{name}"
    for name in ("HOST", "SSH_PORT", "SSH_USER", "SSH_KEY", "WATCH_S", "TLS_CERTIFICATE", "TLS_KEY", "TLS_SEED")
)
# Compose knows no port that is sometimes published: without TLS it is one of the server's own loopback address, which
# Docker chooses, and behind which nobody listens.
_NOT_PUBLISHED = "127.0.0.1:"


def _published(environment: Environment) -> dict[str, str]:
    """What nginx publishes, as Compose reads it: address, port, and the port inside the container."""
    found = {}
    for name, (variable, plain, encrypted) in PUBLISHED.items():
        where = values.published(environment["VRU_PUBLISH_ADDRESS"], environment[variable])
        if name == "VRU_PUBLISH_HTTPS" and not environment.tls:
            where = _NOT_PUBLISHED
        found[name] = f"{where}:{encrypted if environment.tls else plain}"
    return found


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
    settled |= _published(environment)
    settled["VRU_MONITORING_URL"] = environment.url(environment.monitoring_port) + "/"
    settled["VRU_SECURE_COOKIES"] = "true" if environment.tls else "false"
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
