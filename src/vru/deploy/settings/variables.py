"""Every variable of ``.env.production``: its group, what it is for, its default and what it may hold.

``.env.production.example`` is :func:`layout` written down; a test holds the two together.
"""

from collections.abc import Callable, Iterator, Mapping

from vru.deploy.settings import values
from vru.deploy.settings.service_secrets import CALLED, DATABASE_SERVICES, REDIS_SERVICES
from vru.deploy.settings.variable import Group, Scope, Variable

END_MARKER = "# end of .env.production"


def _operator(name: str, default: str, about: str, check: Callable[[str], object] | None = None) -> Variable:
    return Variable(name, about, default, check=check)


def _secret(name: str, about: str, check: Callable[[str], object] = values.secret) -> Variable:
    return Variable(name, about, required=True, secret=True, check=check)


def _container(name: str, value: str, about: str) -> Variable:
    return Variable(name, about, value, scope=Scope.CONTAINER)


# Containers whose limits the operator may change: CPU cores, memory, smallest memory in which it still works (MiB).
# The first four ceilings are the architecture's.
LIMITED: Mapping[str, tuple[str, str, int]] = {
    "api_gateway": ("3", "3g", 192),
    "ml_engine": ("4", "4g", 512),
    "postgres": ("2", "2g", 256),
    "frontend": ("1", "1g", 96),
    "camera_service": ("2", "2g", 192),
    "validation_engine": ("1", "1g", 192),
    "validation_worker": ("2", "2g", 384),
    "signer": ("0.5", "256m", 128),
    "redis": ("1", "320m", 64),
    "nginx": ("1", "256m", 64),
    "prometheus": ("1", "512m", 128),
    "grafana": ("1", "512m", 128),
    "alertmanager": ("0.5", "128m", 64),
    "exporter": ("0.25", "96m", 32),
}

# Services whose image is built here. The worker, the signer and the migrations run in the validation engine's image.
BUILT = ("api_gateway", "ml_engine", "camera_service", "validation_engine", "frontend")

# Services that mount generated configs and restart when these change.
CONFIGURED = (
    "postgres",
    "redis",
    "ml_engine",
    "validation_worker",
    "prometheus",
    "grafana",
    "alertmanager",
    "blackbox_exporter",
)

_LABELS = {
    "api_gateway": "API gateway",
    "ml_engine": "ML engine",
    "postgres": "database",
    "exporter": "each metrics exporter",
}


def label(service: str) -> str:
    """How people call a service."""
    return _LABELS.get(service, service.replace("_", " "))


def _limits() -> Iterator[Variable]:
    for service, (cpus, memory, _) in LIMITED.items():
        yield _operator(
            f"VRU_{service.upper()}_CPUS", cpus, f"{label(service)}: at most this many CPU cores", values.cpus
        )
        yield _operator(
            f"VRU_{service.upper()}_MEMORY", memory, f"{label(service)}: at most this much memory", values.size
        )


# What nginx publishes, as Compose reads it: the variable that says the port, and where nginx listens for it in its
# container, without TLS and with it (see templates/nginx.conf.j2).
PUBLISHED: Mapping[str, tuple[str, int, int]] = {
    "VRU_PUBLISH_HTTP": ("VRU_HTTP_PORT", 8080, 8082),
    "VRU_PUBLISH_HTTPS": ("VRU_HTTPS_PORT", 8443, 8443),
    "VRU_PUBLISH_FRONTEND": ("VRU_FRONTEND_PUBLIC_PORT", 3000, 3443),
    "VRU_PUBLISH_API": ("VRU_API_PUBLIC_PORT", 8000, 8444),
    "VRU_PUBLISH_MONITORING": ("VRU_MONITORING_PUBLIC_PORT", 3001, 3444),
}


def _generated() -> Iterator[Variable]:
    for services, ending, about, made_from in (
        (CALLED, "SECRET", "signs calls to the {}", "VRU_SECRET_KEY"),
        (REDIS_SERVICES, "REDIS_PASSWORD", "the {}'s at Redis", "VRU_REDIS_PASSWORD"),
        (DATABASE_SERVICES, "DATABASE_PASSWORD", "the {}'s in the database", "VRU_DATABASE_PASSWORD"),
    ):
        for service in services:
            name = f"VRU_{service.upper()}_{ending}"
            text = f"{about.format(label(service))}; made from {made_from}"
            yield Variable(name, text, secret=True, scope=Scope.GENERATED)
    for name, (port, _, _) in PUBLISHED.items():
        yield Variable(name, f"VRU_PUBLISH_ADDRESS and {port} as Compose reads them", scope=Scope.GENERATED)
    yield Variable("VRU_MONITORING_URL", "Grafana's own address", scope=Scope.GENERATED)
    yield Variable("VRU_SECURE_COOKIES", "whether Grafana's cookies are for HTTPS only", scope=Scope.GENERATED)
    for service in BUILT:
        yield Variable(
            f"VRU_{service.upper()}_TAG", f"content tag of the {label(service)}'s image", scope=Scope.GENERATED
        )
    for service in CONFIGURED:
        yield Variable(
            f"VRU_{service.upper()}_CONFIG_DIGEST",
            f"digest of the {label(service)}'s configs; a change restarts it",
            scope=Scope.GENERATED,
        )


GROUPS: tuple[Group, ...] = (
    Group(
        "The server",
        (
            _operator("VRU_HOST", "", "SSH address of the server; without it only --host names one", values.host),
            _operator("VRU_SSH_PORT", "", "SSH port; empty: as ~/.ssh/config says, else 22", values.port),
            _operator("VRU_SSH_USER", "", "SSH user, root or one with sudo; empty: as ~/.ssh/config says", values.word),
            _operator("VRU_SSH_KEY", "", "file of the SSH key; empty: the agent and the usual files", values.text),
            _operator("VRU_EXTERNAL_IP", "", "address in the URLs that users see; empty: VRU_HOST", values.host),
            _operator(
                "VRU_DOCKER_SOURCE",
                "distribution",
                "where setup takes Docker from: distribution (its packages) or docker (Docker's own repository)",
                values.one_of("distribution", "docker"),
            ),
            _operator(
                "VRU_WATCH_S",
                "30",
                "seconds that an update is watched while the old containers stand by; 0 for none",
                values.patience,
            ),
        ),
    ),
    Group(
        "Secrets and accounts (vru init generates the passwords)",
        (
            _secret("VRU_DATABASE_PASSWORD", "password of the database's owner; the services' are made from it"),
            _secret("VRU_REDIS_PASSWORD", "password of Redis's user app; those of the services are made from it"),
            _secret(
                "VRU_SECRET_KEY", "key under which session tokens are kept; changing it logs everyone out", values.key
            ),
            _operator("VRU_ADMIN_EMAIL", "admin@example.com", "login of the administrator", values.email),
            _secret("VRU_ADMIN_PASSWORD", "password of the administrator"),
            _secret("VRU_GRAFANA_PASSWORD", "password of Grafana's user admin, set at its first start"),
        ),
    ),
    Group(
        "Addresses and ports (nginx is the only container that publishes any)",
        (
            _operator(
                "VRU_PUBLISH_ADDRESS",
                "0.0.0.0",  # noqa: S104
                "address of the server on which nginx listens; :: is all of IPv4 and IPv6",
                values.ip,
            ),
            _operator("VRU_HTTP_PORT", "80", "page and API; with TLS it leads to VRU_HTTPS_PORT", values.port),
            _operator("VRU_FRONTEND_PUBLIC_PORT", "3000", "page and API, at the page's own port", values.port),
            _operator("VRU_API_PUBLIC_PORT", "8000", "API, its documentation and the health check", values.port),
            _operator("VRU_MONITORING_PUBLIC_PORT", "3001", "Grafana, for VRU_MONITORING_ALLOW only", values.port),
            _operator(
                "VRU_MONITORING_ALLOW",
                "",
                "networks that may reach Grafana, comma-separated, e.g. 10.1.0.0/16",
                values.networks,
            ),
            _operator(
                "VRU_FIREWALL_OTHERS",
                "keep",
                "ports on which the server's own programs listen: keep them open, or close them",
                values.one_of("keep", "close"),
            ),
            _operator(
                "VRU_EDGE_SUBNET", "172.30.77.0/24", "Docker's network between the server and nginx", values.subnet
            ),
            _operator(
                "VRU_CORS_ORIGINS",
                "",
                "origins of other pages that may call the API; empty: this platform's own",
                values.origins,
            ),
            _operator(
                "VRU_ALLOWED_HOSTS",
                "",
                "further names under which users reach the platform, comma-separated, e.g. vru.example.com",
                values.hosts,
            ),
            _operator("VRU_MAX_UPLOAD_MB", "500", "largest video that may be uploaded, in megabytes", values.positive),
            _operator("VRU_MAX_GROUND_TRUTH_MB", "64", "largest annotation file, in megabytes", values.positive),
            _operator(
                "VRU_MAX_EVENT_STREAMS", "200", "runs that may be followed at once, over all users", values.positive
            ),
            _operator("VRU_SESSION_HOURS", "12", "hours until a login expires", values.hours),
            _operator(
                "VRU_SESSION_IDLE_MINUTES", "120", "minutes without a request until a login expires", values.positive
            ),
            _operator(
                "VRU_RATE_LIMIT", "10", "API requests a second and client that nginx lets through", values.positive
            ),
            _operator(
                "VRU_RATE_BURST", "60", "requests above that rate that a client may make at once", values.positive
            ),
        ),
    ),
    Group(
        "TLS (with it all published ports speak HTTPS)",
        (
            _operator(
                "VRU_TLS",
                "off",
                "off; selfsigned: browsers ask once; files: a certificate of yours",
                values.one_of("off", "selfsigned", "files"),
            ),
            _operator("VRU_HTTPS_PORT", "443", "page and API, with TLS", values.port),
            _operator(
                "VRU_TLS_CERTIFICATE", "", "for files: the certificate and its chain (PEM), a file here", values.text
            ),
            _operator("VRU_TLS_KEY", "", "for files: its key (PEM, without a password), a file here", values.text),
            Variable(
                "VRU_TLS_SEED",
                "what the self-signed certificate's key is made from; it stays on laptops",
                secret=True,
                check=values.key,
            ),
            _operator(
                "VRU_TRUSTED_PROXIES",
                "",
                "networks of proxies before this one that end TLS, comma-separated: their word on clients is taken",
                values.networks,
            ),
        ),
    ),
    Group(
        "Database and Redis",
        (
            _operator("VRU_DATABASE_NAME", "vru", "name of the database, fixed at the first start", values.identifier),
            _operator("VRU_DATABASE_USER", "vru", "owner of the database, fixed at the first start", values.identifier),
            _operator("VRU_DATABASE_MAX_CONNECTIONS", "100", "connections that PostgreSQL accepts", values.positive),
            _operator("VRU_DATABASE_POOL_SIZE", "5", "connections that each service process keeps", values.positive),
            _operator("VRU_DATABASE_POOL_OVERFLOW", "5", "connections above that for a moment's load", values.natural),
        ),
    ),
    Group(
        "Logs, metrics, backups",
        (
            _operator(
                "VRU_LOG_LEVEL",
                "INFO",
                "DEBUG, INFO, WARNING or ERROR",
                values.one_of("DEBUG", "INFO", "WARNING", "ERROR"),
            ),
            _operator("VRU_LOG_RETENTION_DAYS", "14", "days that log files on the server are kept", values.positive),
            _operator("VRU_METRICS_RETENTION", "30d", "how long Prometheus keeps metrics", values.duration),
            _operator("VRU_METRICS_RETENTION_SIZE", "4GB", "how much of them at most", values.byte_size),
            _operator(
                "VRU_ALERT_WEBHOOK_URL",
                "",
                "address that alerts are sent to (not a secret one); empty: none",
                values.url,
            ),
            _operator(
                "VRU_BACKUP_TIME", "03:15", "time of the daily backup, by the server's clock", values.time_of_day
            ),
            _operator("VRU_BACKUP_KEEP", "14", "backups that are kept", values.positive),
        ),
    ),
    Group("Limits: ceilings, scaled down where the server is smaller", tuple(_limits())),
    Group(
        "Images",
        (
            _operator(
                "VRU_IMAGE_PREFIX",
                "vru-platform",
                "name before the names of the images built here",
                values.image_prefix,
            ),
            _operator(
                "VRU_PYTHON_IMAGE", "python:3.13-slim-trixie", "what the services' images begin with", values.image
            ),
            _operator("VRU_NODE_IMAGE", "node:24-trixie-slim", "what builds the page", values.image),
            _operator("VRU_POSTGRES_IMAGE", "postgres:17-trixie", "PostgreSQL", values.image),
            _operator("VRU_REDIS_IMAGE", "redis:8-trixie", "Redis", values.image),
            _operator(
                "VRU_NGINX_IMAGE", "nginxinc/nginx-unprivileged:1.28-trixie", "nginx that needs no root", values.image
            ),
            _operator("VRU_PROMETHEUS_IMAGE", "prom/prometheus:v3.5.0", "Prometheus", values.image),
            _operator("VRU_ALERTMANAGER_IMAGE", "prom/alertmanager:v0.28.1", "Alertmanager", values.image),
            _operator("VRU_GRAFANA_IMAGE", "grafana/grafana:12.1.0", "Grafana", values.image),
            _operator("VRU_NODE_EXPORTER_IMAGE", "prom/node-exporter:v1.9.0", "metrics of the server", values.image),
            _operator(
                "VRU_POSTGRES_EXPORTER_IMAGE",
                "prometheuscommunity/postgres-exporter:v0.17.1",
                "of PostgreSQL",
                values.image,
            ),
            _operator("VRU_REDIS_EXPORTER_IMAGE", "oliver006/redis_exporter:v1.69.0", "of Redis", values.image),
            _operator("VRU_NGINX_EXPORTER_IMAGE", "nginx/nginx-prometheus-exporter:1.4.1", "of nginx", values.image),
            _operator(
                "VRU_BLACKBOX_EXPORTER_IMAGE", "prom/blackbox-exporter:v0.26.0", "of the health checks", values.image
            ),
        ),
    ),
    Group(
        "Machine learning and validation",
        (
            _operator(
                "VRU_ML_CONCURRENCY",
                "",
                "frames in inference at once; empty: one for each CPU core of its limit",
                values.positive,
            ),
            _operator("VRU_ML_THREADS", "1", "threads that the inference of one frame may use", values.positive),
            _operator("VRU_ML_MAX_IMAGE_MB", "20", "largest single image, in MiB", values.positive),
            _operator(
                "VRU_ML_MAX_IMAGE_MEGAPIXELS", "50", "largest single image, in millions of pixels", values.positive
            ),
            _operator(
                "VRU_ML_BATCH",
                "",
                "frames that a model looks at together, at most; empty: VRU_ML_CONCURRENCY",
                values.positive,
            ),
            _operator("VRU_ML_BATCH_DELAY_MS", "5", "how long a frame waits for others, in ms", values.natural),
            _operator(
                "VRU_ML_MAX_REQUESTS", "128", "single images under way for a model; more get 429", values.positive
            ),
            _operator("VRU_WORKER_REPLICAS", "1", "worker containers that validate side by side", values.positive),
            _operator("VRU_WORKER_CONCURRENCY", "2", "jobs that one worker does at a time", values.positive),
            _operator("VRU_WORKER_GRACE_S", "20", "seconds that a worker told to stop may go on", values.seconds),
            _operator("VRU_SHARD_FRAMES", "150", "frames in one job: what a crash may cost", values.positive),
            _operator("VRU_HEARTBEAT_S", "2", "seconds between a worker's signs of life", values.seconds),
            _operator("VRU_STALLED_AFTER_S", "10", "seconds of silence until its jobs go to others", values.seconds),
            _operator("VRU_CLIP_TRIES", "3", "failures after which a clip is set aside", values.positive),
        ),
    ),
    Group(
        "Fixed inside the containers: shown because the services read them, not to be set here",
        (
            _container("VRU_BIND_HOST", "0.0.0.0", "address that a service listens on"),  # noqa: S104
            _container("VRU_API_GATEWAY_PORT", "8000", "where the API gateway listens"),
            _container("VRU_ML_ENGINE_PORT", "8001", "where the ML engine listens"),
            _container("VRU_CAMERA_SERVICE_PORT", "8002", "where the camera service listens"),
            _container("VRU_VALIDATION_ENGINE_PORT", "8003", "where the validation engine listens"),
            _container("VRU_FRONTEND_PORT", "3000", "where the frontend listens"),
            _container("VRU_SIGNER_PORT", "8005", "where the signer listens"),
            _container("VRU_API_GATEWAY_URL", "http://nginx:8000", "how services reach the API gateway"),
            _container("VRU_ML_ENGINE_URL", "http://nginx:8001", "how services reach the ML engine"),
            _container("VRU_CAMERA_SERVICE_URL", "http://nginx:8002", "how services reach the camera service"),
            _container("VRU_VALIDATION_ENGINE_URL", "http://nginx:8003", "how they reach the validation engine"),
            _container("VRU_FRONTEND_URL", "http://nginx:8004", "how services reach the frontend"),
            _container("VRU_SIGNER_URL", "http://signer:8005", "how workers reach the signer"),
            _container("VRU_WORKER_METRICS_PORT", "9100", "where a worker answers with its metrics"),
            _container(
                "VRU_CONFIG_FILE", "/etc/vru/SERVICE_config.yaml", "generated settings file; variables go before it"
            ),
            _container("VRU_MEDIA_ACCEL", "true", "whether nginx hands out the videos"),
            _container("VRU_MEDIA_DIR", "/var/lib/vru/media", "where the media store is mounted"),
            _container("VRU_CAMERA_STATE_DIR", "/var/lib/vru/camera", "where the camera service remembers its cameras"),
            _container("VRU_EVIDENCE_DIR", "/var/lib/vru/evidence", "where the sealed evidence of runs is kept"),
            _container("VRU_SIGNER_DIR", "/var/lib/vru/signer", "where the signing key and its ledger are kept"),
            _container("VRU_IMAGE", "", "the image with its content tag, as evidence names it"),
            _container("VRU_MODELS_DIR", "/app/models", "where the model repository is mounted"),
            _container("VRU_DATABASE_HOST", "postgres", "where PostgreSQL answers"),
            _container("VRU_DATABASE_PORT", "5432", "its port"),
            _container("VRU_REDIS_HOST", "redis", "where Redis answers"),
            _container("VRU_REDIS_PORT", "6379", "its port"),
            _container("VRU_REDIS_USER", "SERVICE", "a service's user at Redis"),
        ),
    ),
    Group(
        "For commands: read from the process's environment only, not to be set here",
        (
            _container("VRU_FRONTEND_STATIC_DIR", "", "where the built page is; empty: beside the frontend's code"),
            _container("VRU_ACTOR", "", "for vru: who asks for changes, in the audit; empty: user@laptop"),
            _container("VRU_PROJECT_DEFAULT", "", "for vru: the project where there is none here or upwards"),
            _container("VRU_SUDO_PASSWORD", "", "for vru: sudo's password on the server; kept in memory only"),
            _container("VRU_HOOK", "", "told to hooks: which one this is"),
            _container("VRU_COMMAND", "", "told to hooks: deploy, update or rollback"),
            _container("VRU_RELEASE", "", "told to hooks: the release, as far as it is known"),
            _container("VRU_RECORDED_AT", "", "told to hooks: the time, in UTC"),
            _container("VRU_RUNTIME_S", "", "told to hooks: seconds since the command began"),
            _container("VRU_LOGIN", "", "for vru-platform: key and login uid of who started a unit, for the audit"),
            _container("VRU_SSH_CONNECTION", "", "for vru-platform: SSH_CONNECTION, which sudo drops"),
            _container(
                "VRU_ROOT", "/opt/vru-platform", "where vru-platform keeps everything; another one for its tests"
            ),
        ),
    ),
    Group("Computed by vru for the server's own .env, never typed", tuple(_generated())),
)

VARIABLES: Mapping[str, Variable] = {variable.name: variable for group in GROUPS for variable in group.variables}

# Older names that existing code reads, each derived from the variables above.
OLDER_NAMES = (
    "DATABASE_URL",
    "REDIS_URL",
    "JWT_SECRET_KEY",
    "SECRET_KEY",
    "CORS_ORIGINS",
    "EXTERNAL_IP",
    "REACT_APP_API_URL",
    "REACT_APP_WS_URL",
    "GRAFANA_PASSWORD",
    "POSTGRES_DB",
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
)

_HEAD = """\
# VRU Platform: everything that a deployment may set.
# `vru init` writes this file as .env.production (readable by you only) and generates the passwords.
# Values hold no single quote and no line break; quote a value that holds a space or #.
"""


def layout(given: Mapping[str, str]) -> str:
    """The text of an environment file: every variable under its heading, with ``given`` values or the defaults."""
    lines = [_HEAD]
    for group in GROUPS:
        lines.append(f"# --- {group.title} ---")
        for variable in group.variables:
            lines.append(f"# {variable.about}" + (" (required)" if variable.required else ""))
            value = given.get(variable.name, variable.default)
            mark = "" if variable.scope is Scope.OPERATOR else "#"
            lines.append(f"{mark}{variable.name}={values.quoted(value)}")
        lines.append("")
    lines.append("# --- Older names ---")
    lines.append(f"# Derived from the above, never set here: {', '.join(OLDER_NAMES)}")
    lines.append("")
    lines.append(END_MARKER)
    return "\n".join(lines) + "\n"
