"""Generated configs, judged by the programs that read them, in the images that run them."""

import textwrap
import time
from pathlib import Path

import pytest
import yaml
from tests.deploy.conftest import ROOT, Containers, configs_in_container, docker

from vru.deploy.release.configuration import CONFIG, render
from vru.deploy.settings.environment import Environment

Files = dict[str, bytes]


@pytest.fixture
def files(example: Environment) -> Files:
    return configs_in_container(render(ROOT, example, None))


def until_it_works(containers: Containers, name: str, *command: str, seconds: float = 40) -> str:
    """Repeat a command in a container until its exit code is 0."""
    end = time.monotonic() + seconds
    while True:
        code, output = containers.exec(name, *command)
        if code == 0:
            return output
        assert time.monotonic() < end, output + containers.logs(name)
        time.sleep(0.3)


def test_nginx_accepts_its_config(files: Files, containers: Containers, example: Environment) -> None:
    code, output = containers.run(example["VRU_NGINX_IMAGE"], files, ["nginx", "-t", "-c", "/etc/vru/nginx.conf"])
    assert code == 0, output
    assert "[warn]" not in output


def test_promtool_accepts_the_config_and_the_rules(files: Files, containers: Containers, example: Environment) -> None:
    image = example["VRU_PROMETHEUS_IMAGE"]
    code, output = containers.run(image, files, ["promtool", "check", "config", "/etc/vru/prometheus.yml"])
    assert code == 0, output
    assert "10 rules found" in output


def test_alertmanager_accepts_its_config(containers: Containers, example: Environment) -> None:
    for url in ("", "http://alerts.example/hook"):
        rendered = render(ROOT, example.replace(VRU_ALERT_WEBHOOK_URL=url), None)
        code, output = containers.run(
            example["VRU_ALERTMANAGER_IMAGE"],
            configs_in_container(rendered),
            ["amtool", "check-config", "/etc/vru/alertmanager.yml"],
        )
        assert code == 0, output


def test_blackbox_exporter_accepts_its_config(files: Files, containers: Containers, example: Environment) -> None:
    image = example["VRU_BLACKBOX_EXPORTER_IMAGE"]
    arguments = ["--config.check", "--config.file=/etc/vru/blackbox.yml"]
    name = containers.create(image, files, [], arguments)
    done = docker("start", "--attach", name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_postgres_takes_the_config_and_lets_in_only_who_may(
    files: Files, containers: Containers, example: Environment
) -> None:
    initdb = files["/etc/vru/initdb/10-monitoring.sql"]
    name = containers.start(
        example["VRU_POSTGRES_IMAGE"],
        {**files, "/docker-entrypoint-initdb.d/10-monitoring.sql": initdb},
        ["postgres", "-c", "config_file=/etc/vru/postgresql.conf"],
        [
            "--user=999:999",
            "--shm-size=256m",
            f"--env=POSTGRES_PASSWORD={example['VRU_DATABASE_PASSWORD']}",
            "--env=POSTGRES_USER=vru",
            "--env=POSTGRES_DB=vru",
            "--env=POSTGRES_INITDB_ARGS=--auth-host=scram-sha-256 --data-checksums",
        ],
    )
    until_it_works(containers, name, "pg_isready", "-q", "-h", "127.0.0.1", "-U", "vru", "-d", "vru")

    def sql(query: str) -> str:
        code, output = containers.exec(name, "psql", "-U", "vru", "-d", "vru", "-Atc", query)
        assert code == 0, output
        return output.strip()

    # Every line of the three files was understood, and what counts is in force.
    assert sql("select count(*) from pg_file_settings where error is not null or not applied") == "0"
    assert sql("select count(*) from pg_hba_file_rules where error is not null") == "0"
    assert sql("select count(*) from pg_ident_file_mappings where error is not null") == "0"
    assert sql("show shared_buffers") == "512MB"
    assert sql("show data_checksums") == "on"
    assert sql("show max_connections") == "100"

    def login(user: str, password: str) -> tuple[int, str]:
        address = f"host=127.0.0.1 user={user} dbname=vru"
        return containers.exec(
            name, "psql", address, "-Atc", "select current_user", options=[f"--env=PGPASSWORD={password}"]
        )

    assert login("vru", example["VRU_DATABASE_PASSWORD"]) == (0, "vru\n")
    assert login("vru", "wrong")[0] != 0
    assert login("vru_monitor", "")[0] != 0, "the exporter's user got in over the network"

    # Over the socket: nobody is the exporter's user and nothing else.
    def as_nobody(user: str, query: str) -> tuple[int, str]:
        return containers.exec(name, "psql", "-U", user, "-d", "vru", "-Atc", query, options=["--user=65534:65534"])

    assert as_nobody("vru_monitor", "select count(*) > 0 from pg_stat_activity")[1] == "t\n"
    assert as_nobody("vru_monitor", "create table t (x int)")[0] != 0
    assert as_nobody("vru", "select 1")[0] != 0


def test_redis_takes_the_config_and_each_user_may_do_only_its_own(
    files: Files, containers: Containers, example: Environment
) -> None:
    name = containers.start(
        example["VRU_REDIS_IMAGE"], files, ["/etc/vru/redis.conf"], ["--user=999:999", "--entrypoint=redis-server"]
    )

    def redis(user: str, password: str, *command: str) -> tuple[int, str]:
        return containers.exec(
            name, "redis-cli", "-e", "--no-auth-warning", "--user", user, *command,
            options=[f"--env=REDISCLI_AUTH={password}"],
        )  # fmt: skip

    until_it_works(containers, name, "redis-cli", "-e", "--no-auth-warning", "--user", "probe", "--pass", "x", "ping")
    password = example["VRU_REDIS_PASSWORD"]
    assert redis("app", password, "set", "vru:x", "1")[0] == 0
    assert redis("app", password, "get", "vru:x") == (0, "1\n")
    assert "NOPERM" in redis("app", password, "set", "other", "1")[1]
    assert "NOPERM" in redis("app", password, "flushall")[1]
    assert "NOPERM" in redis("app", password, "config", "get", "*")[1]
    assert "WRONGPASS" in redis("app", "wrong", "get", "vru:x")[1]
    gateway, worker = (
        example.service_secrets[f"VRU_{name}_REDIS_PASSWORD"] for name in ("API_GATEWAY", "VALIDATION_WORKER")
    )
    assert redis("api_gateway", gateway, "set", "vru:session:x", "1")[0] == 0
    assert redis("validation_worker", worker, "hset", "vru:run:x:frames", "1", "1")[0] == 0
    assert "NOPERM" in redis("validation_worker", worker, "get", "vru:session:x")[1]
    assert "WRONGPASS" in redis("validation_worker", gateway, "ping")[1]
    for freeze in (["client", "pause", "1000"], ["client", "kill", "type", "normal"], ["slowlog", "get"]):
        for user, secret in (("exporter", "any"), ("api_gateway", gateway), ("validation_worker", worker)):
            assert "NOPERM" in redis(user, secret, *freeze)[1], (user, freeze)
    for figures in (["info"], ["latency", "latest"], ["latency", "histogram"], ["slowlog", "len"], ["dbsize"]):
        assert redis("exporter", "any", *figures)[0] == 0, figures
    assert redis("exporter", password, "info", "memory")[0] == 0
    assert "NOPERM" in redis("exporter", password, "get", "vru:x")[1]
    assert "NOPERM" in redis("probe", "x", "get", "vru:x")[1]
    assert "NOAUTH" in containers.exec(name, "redis-cli", "-e", "ping")[1]
    code, output = redis("exporter", password, "config", "get", "maxmemory*")
    assert code == 0
    assert "noeviction" in output
    assert str(192 * 1024 * 1024) in output


def test_redis_keeps_its_data_over_a_restart(files: Files, containers: Containers, example: Environment) -> None:
    name = containers.start(
        example["VRU_REDIS_IMAGE"], files, ["/etc/vru/redis.conf"], ["--user=999:999", "--entrypoint=redis-server"]
    )
    ping = ("redis-cli", "-e", "--no-auth-warning", "--user", "probe", "--pass", "x", "ping")
    app = ["--no-auth-warning", "--user", "app"]
    password = [f"--env=REDISCLI_AUTH={example['VRU_REDIS_PASSWORD']}"]
    until_it_works(containers, name, *ping)
    transaction = f"printf 'multi\\nset vru:a 1\\nset vru:session one\\nexec\\n' | redis-cli {' '.join(app)}"
    assert containers.exec(name, "sh", "-c", transaction, options=password)[0] == 0
    assert docker("restart", name).returncode == 0
    until_it_works(containers, name, *ping)
    assert containers.exec(name, "redis-cli", "-e", *app, "get", "vru:session", options=password) == (0, "one\n")


RULE_TESTS = textwrap.dedent(
    """\
    rule_files: [/etc/vru/rules/vru.yml]
    evaluation_interval: 15s
    tests:
      - interval: 15s
        name: an idle healthy platform is quiet
        input_series:
          - {series: 'up{job="api_gateway",instance="172.18.0.4:8000"}', values: '1x80'}
          - {series: 'up{job="ml_engine",instance="172.18.0.5:8001"}', values: '1x80'}
          - {series: 'up{job="camera_service",instance="172.18.0.6:8002"}', values: '1x80'}
          - {series: 'up{job="validation_engine",instance="172.18.0.7:8003"}', values: '1x80'}
          - {series: 'up{job="frontend",instance="172.18.0.8:3000"}', values: '1x80'}
          - {series: 'up{job="validation_worker",instance="172.18.0.9:9100"}', values: '1x80'}
          - {series: 'up{job="signer",instance="172.18.0.10:8005"}', values: '1x80'}
          - {series: 'probe_success{instance="http://nginx:8080/"}', values: '1x80'}
          - {series: 'vru_http_requests_total{job="api_gateway",status="200"}', values: '0+1x80'}
          - {series: 'node_filesystem_avail_bytes{mountpoint="/"}', values: '50x80'}
          - {series: 'node_filesystem_size_bytes{mountpoint="/"}', values: '100x80'}
          - {series: 'node_memory_MemAvailable_bytes', values: '50x80'}
          - {series: 'node_memory_MemTotal_bytes', values: '100x80'}
          - {series: 'pg_stat_database_numbackends{datname="vru"}', values: '20x80'}
          - {series: 'pg_settings_max_connections', values: '100x80'}
          - {series: 'redis_memory_used_bytes', values: '10x80'}
          - {series: 'redis_memory_max_bytes', values: '100x80'}
          - {series: 'vru_queue_oldest_job_seconds', values: '20x80'}
        alert_rule_test: &quiet
          - {eval_time: 20m, alertname: ServiceDown}
          - {eval_time: 20m, alertname: ServiceGone}
          - {eval_time: 20m, alertname: WorkersGone}
          - {eval_time: 20m, alertname: ClipsWaitLong}
          - {eval_time: 20m, alertname: UsersCannotReach}
          - {eval_time: 20m, alertname: ManyErrors}
          - {eval_time: 20m, alertname: DiskAlmostFull}
          - {eval_time: 20m, alertname: MemoryAlmostFull}
          - {eval_time: 20m, alertname: DatabaseConnectionsAlmostUsedUp}
          - {eval_time: 20m, alertname: RedisAlmostFull}
      - interval: 15s
        name: a restart is no alarm
        input_series:
          - {series: 'up{job="api_gateway",instance="172.18.0.4:8000"}', values: '1x8 0x4 1x68'}
          - {series: 'up{job="validation_worker",instance="172.18.0.9:9100"}', values: '1x80'}
        alert_rule_test:
          - {eval_time: 3m, alertname: ServiceDown}
          - {eval_time: 20m, alertname: ServiceDown}
      - interval: 15s
        name: an update is no alarm, though two containers run for a while and the old one is gone at its end
        input_series:
          - {series: 'up{job="api_gateway",instance="172.18.0.4:8000"}', values: '1x20 0 stale'}
          - {series: 'up{job="api_gateway",instance="172.18.0.5:8000"}', values: '_x16 1x64'}
        alert_rule_test:
          - {eval_time: 6m, alertname: ServiceDown}
          - {eval_time: 8m, alertname: ServiceDown}
        promql_expr_test:
          - expr: count(ALERTS{alertname="ServiceGone",job="api_gateway"})
            eval_time: 20m
            exp_samples: []
    """
)

# What makes each rule fire: series, and labels of the alert besides alertname and severity.
FIRING = {
    "ServiceDown": ({'up{job="ml_engine",instance="172.18.0.5:8001"}': "0x80"}, {"job": "ml_engine"}),
    "ServiceGone": ({'up{job="api_gateway"}': "1x80"}, {"job": "ml_engine"}),
    "WorkersGone": ({'up{job="api_gateway"}': "1x80"}, {"job": "validation_worker"}),
    "ClipsWaitLong": ({"vru_queue_oldest_job_seconds": "2000x80"}, {}),
    "UsersCannotReach": ({'probe_success{instance="http://nginx:8080/"}': "0x80"}, {"instance": "http://nginx:8080/"}),
    "ManyErrors": (
        {
            'vru_http_requests_total{job="api_gateway",status="200"}': "0+9x80",
            'vru_http_requests_total{job="api_gateway",status="503"}': "0+1x80",
        },
        {"job": "api_gateway"},
    ),
    "DiskAlmostFull": (
        {
            'node_filesystem_avail_bytes{mountpoint="/"}': "9x80",
            'node_filesystem_size_bytes{mountpoint="/"}': "100x80",
        },
        {"mountpoint": "/"},
    ),
    "MemoryAlmostFull": ({"node_memory_MemAvailable_bytes": "4x80", "node_memory_MemTotal_bytes": "100x80"}, {}),
    "DatabaseConnectionsAlmostUsedUp": (
        {'pg_stat_database_numbackends{datname="vru"}': "90x80", "pg_settings_max_connections": "100x80"},
        {},
    ),
    "RedisAlmostFull": ({"redis_memory_used_bytes": "90x80", "redis_memory_max_bytes": "100x80"}, {}),
}


def firing_query(alert: str) -> str:
    """A test that looks at ALERTS, so that the texts of annotations need not be repeated here."""
    series, labels = FIRING[alert]
    inputs = "\n".join(f"      - {{series: '{name}', values: '{values}'}}" for name, values in series.items())
    matchers = ",".join(
        f'{key}="{value}"' for key, value in {"alertname": alert, "alertstate": "firing", **labels}.items()
    )
    return textwrap.dedent(
        """\
          - interval: 15s
            name: {alert} fires
            input_series:
        {inputs}
            promql_expr_test:
              - expr: count(ALERTS{{{matchers}}})
                eval_time: 20m
                exp_samples: [{{labels: '{{}}', value: 1}}]
        """
    ).format(alert=alert, inputs=inputs, matchers=matchers)


def test_each_alert_fires_when_it_should_and_none_on_a_healthy_platform(
    files: Files, containers: Containers, example: Environment
) -> None:
    cases = RULE_TESTS + "".join(firing_query(alert) for alert in FIRING)
    code, output = containers.run(
        example["VRU_PROMETHEUS_IMAGE"],
        {**files, "/etc/vru/test.yml": cases.encode()},
        ["promtool", "test", "rules", "/etc/vru/test.yml"],
    )
    assert code == 0, output


def test_every_alert_is_tested(example: Environment) -> None:
    rules = yaml.safe_load(render(ROOT, example, None)[f"{CONFIG}/rules/vru.yml"])
    names = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    assert names == set(FIRING)
    assert all(f"alertname: {name}" in RULE_TESTS for name in names)


def test_systemd_accepts_the_units(example: Environment, containers: Containers) -> None:
    units: Files = {
        path: content for path, content in render(ROOT, example, None).items() if path.startswith("/etc/systemd/")
    }
    names = [Path(path).name for path in units]
    # Debian's own tool; the programs and units that ours name are put there, as they are on a server.
    docker_unit = b"[Service]\nExecStart=/bin/true\n"
    dockerfile = (
        b"FROM debian:trixie-slim\n"
        b"RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends systemd >/dev/null\n"
    )
    image = "vru-test-systemd"
    if docker("image", "inspect", image).returncode != 0:
        built = docker("build", "-q", "-t", image, "-", stdin=dockerfile)
        if built.returncode != 0:
            pytest.skip(f"systemd cannot be had: {built.stderr.decode()[-300:]}")
    code, output = containers.run(
        image,
        {**units, "/etc/systemd/system/docker.service": docker_unit},
        [
            "sh",
            "-c",
            "for f in /usr/local/bin/vru-platform /usr/bin/docker; do install -m 755 /bin/true $f; done;"
            f" cd /etc/systemd/system && systemd-analyze verify --man=no {' '.join(names)}",
        ],
    )
    assert code == 0, output
    assert "vru-" not in output, output
