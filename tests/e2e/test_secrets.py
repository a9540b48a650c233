"""Every secret of .env.production is looked for everywhere, before, during and after a deployment that changes one.

The generated values are the sentinels: each is unique. They go to the searching programs on standard input only.
"""

import json
import os
import re
import secrets as random_secrets
import stat
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.deploy.secrecy import NEEDED
from tests.e2e.laptop import Laptop, on_server, wait_healthy

from vru.deploy.settings.service_secrets import DATABASE_SERVICES, service_secrets

CHANGED = "VRU_DATABASE_PASSWORD"
PLATFORM = "/opt/vru-platform"
# Where Docker and containerd keep what a container was started with, in directories that root alone may enter.
ENGINE = re.compile(
    r"(?:/var/lib/docker/containers|/run/containerd/io.containerd.runtime.v2.task/moby)/([0-9a-f]{64})/.+"
    r"|/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db"
)

# Looks at every process there is until the file $1 appears: which program had a secret in its arguments or environment.
SAMPLER = r"""
import json, pathlib, re, subprocess, sys, time
secrets = {name: value.encode() for name, value in json.loads(sys.stdin.read()).items()}
stop, found, services, rounds = pathlib.Path(sys.argv[1]), {}, {}, 0
def service_of(pid):
    ids = re.findall(r"[0-9a-f]{64}", (pid / "cgroup").read_text())
    if not ids:
        return ""
    if ids[-1] not in services:
        form = '{{index .Config.Labels "com.docker.compose.service"}}'
        told = subprocess.run(["docker", "inspect", "-f", form, ids[-1]], capture_output=True, text=True)
        services[ids[-1]] = told.stdout.strip() or ids[-1]
    return services[ids[-1]]
while not stop.exists():
    rounds += 1
    for pid in pathlib.Path("/proc").iterdir():
        if not pid.name.isdigit():
            continue
        for kind in ("cmdline", "environ"):
            try:
                data = (pid / kind).read_bytes()
                for name, value in secrets.items():
                    if value in data:
                        program = (pid / "cmdline").read_bytes().split(b"\0")[0].decode()
                        found[f"{name} {kind} {service_of(pid)}"] = program
            except OSError:
                continue
    time.sleep(0.02)
print(json.dumps({"found": found, "rounds": rounds}))
"""

# Searches files for the secrets (JSON on stdin); prints path, mode, owner, group of each that holds one.
SEARCH = r"""
import json, os, stat, sys
given = json.loads(sys.stdin.read())
secrets, longest = [v.encode() for v in given["secrets"].values()], 64
for root in given["roots"]:
    for folder, names, files in os.walk(root):
        below = {name: os.path.join(folder, name) for name in names}
        names[:] = [n for n, path in below.items() if path not in given["without"] and not os.path.ismount(path)]
        for name in files:
            path = os.path.join(folder, name)
            try:
                status = os.lstat(path)
                if not stat.S_ISREG(status.st_mode) or not status.st_size:
                    continue
                with open(path, "rb") as file:
                    rest = b""
                    while chunk := file.read(1 << 22):
                        if any(s in rest + chunk for s in secrets):
                            print(json.dumps([path, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid]))
                            break
                        rest = chunk[-longest:]
            except OSError:
                continue
"""


def secrets_of(laptop: Laptop) -> dict[str, str]:
    environment = laptop.environment
    masters = (environment[f"VRU_{name}"] for name in ("SECRET_KEY", "REDIS_PASSWORD", "DATABASE_PASSWORD"))
    given = {**environment, **service_secrets(*masters)}
    return {name: given[name] for name in NEEDED}


def search(
    laptop: Laptop, secrets: Mapping[str, str], roots: list[str], without: list[str], user: str = "root"
) -> list[tuple[str, int]]:
    question = json.dumps({"secrets": secrets, "roots": roots, "without": without})
    script = f"cat > /run/vru-search.py <<'END'\n{SEARCH}\nEND\n"
    on_server(laptop, script)
    listed = on_server(laptop, "python3 /run/vru-search.py", stdin=question.encode(), timeout=600, user=user)
    return [(path, mode) for path, mode, *_ in map(json.loads, listed.splitlines())]


class LaptopSampler:
    """Looks at `vru` and everything that it starts on this machine, while it runs."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self.secrets = {name: value.encode() for name, value in secrets.items()}
        self.found: set[str] = set()
        self.seen: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "LaptopSampler":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            for pid in self._tree():
                self.seen.add(pid)
                for kind in ("cmdline", "environ"):
                    try:
                        data = Path(f"/proc/{pid}/{kind}").read_bytes()
                    except OSError:
                        continue
                    self.found |= {f"{name} {kind}" for name, value in self.secrets.items() if value in data}

    @staticmethod
    def _tree() -> list[int]:
        children: list[int] = []
        waiting = [os.getpid()]
        while waiting:
            try:
                tasks = Path(f"/proc/{waiting.pop()}/task").iterdir()
                new = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
            except OSError:
                continue
            children += new
            waiting += new
        return children


class Rotation:
    """The deployment that changes a secret, and what was seen meanwhile."""

    def __init__(self, laptop: Laptop, temporary: Path) -> None:
        self.laptop = laptop
        self.before = secrets_of(laptop)
        self.pids = database_connections(laptop)
        file = laptop.root / ".env.production"
        new = random_secrets.token_urlsafe(32)
        file.write_text(file.read_text().replace(self.before[CHANGED], new))
        self.secrets = {**secrets_of(laptop), f"{CHANGED} (old)": self.before[CHANGED]}
        self.outputs = [laptop.vru("plan").stdout, laptop.vru("plan", "--json").stdout]
        temporary.mkdir()
        previous = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = str(temporary)
        try:
            with LaptopSampler(self.secrets) as self.sampler, ServerSampler(laptop, self.secrets) as self.server:
                done = laptop.vru("deploy", "--watch", "0", "--json")
        finally:
            os.environ.pop("TMPDIR") if previous is None else os.environ.update(TMPDIR=previous)
        self.left = list(temporary.rglob("*"))
        self.outputs += [done.stdout, done.stderr]
        self.end = json.loads(done.stdout.splitlines()[-1])


class ServerSampler:
    """The sampler on the server, in the background."""

    def __init__(self, laptop: Laptop, secrets: Mapping[str, str]) -> None:
        self.laptop = laptop
        self.secrets = secrets
        self.answer: dict[str, Any] = {}

    def __enter__(self) -> "ServerSampler":
        on_server(self.laptop, f"rm -f /run/vru-stop; cat > /run/vru-sampler.py <<'END'\n{SAMPLER}\nEND\n")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        question = json.dumps(self.secrets).encode()
        self.answer = json.loads(on_server(self.laptop, "python3 /run/vru-sampler.py /run/vru-stop", stdin=question,
                                           timeout=900))  # fmt: skip

    def __exit__(self, *error: object) -> None:
        on_server(self.laptop, "touch /run/vru-stop")
        self._thread.join(30)


def database_connections(laptop: Laptop) -> str:
    return on_server(laptop, "docker ps -q --filter label=com.docker.compose.service=postgres")


@pytest.fixture(scope="module")
def rotation(deployed: Laptop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rotation]:
    yield Rotation(deployed, tmp_path_factory.mktemp("laptop") / "tmp")
    on_server(deployed, "rm -f /run/vru-stop /run/vru-sampler.py /run/vru-search.py")


def hidden(text: str, secrets: Mapping[str, str]) -> list[str]:
    return [name for name, value in secrets.items() if value in text]


def test_a_changed_password_takes_effect_in_the_database_and_in_every_service(rotation: Rotation) -> None:
    laptop = rotation.laptop
    assert rotation.end["changed"] > 0
    wait_healthy(laptop)
    attempt = (
        "import os, psycopg, sys; given = sys.stdin.read();"
        "psycopg.connect(host='postgres', user=sys.argv[1], password=given,"
        " dbname=os.environ['VRU_DATABASE_NAME'], connect_timeout=10); print('in')"
    )
    gateway = on_server(laptop, "docker ps -q --filter label=com.docker.compose.service=api_gateway").split()[0]
    # The owner's, and those of the services' roles, which are made from it.
    users = {laptop.environment["VRU_DATABASE_USER"]: CHANGED} | {
        f"vru_{service}": f"VRU_{service.upper()}_DATABASE_PASSWORD" for service in DATABASE_SERVICES
    }
    for user, name in users.items():
        command = f'docker exec -i {gateway} python -c "{attempt}" {user}'
        assert on_server(laptop, command, stdin=rotation.secrets[name].encode()).strip() == "in"
        refused = on_server(laptop, command + " 2>&1", stdin=rotation.before[name].encode(), check=False)
        assert "password authentication failed" in refused, user
    ready = httpx2.get(laptop.url(8000, "/health"), timeout=30)
    assert ready.status_code == 200


def test_no_program_had_a_secret_in_its_arguments_or_where_it_did_not_need_it(rotation: Rotation) -> None:
    answer = rotation.server.answer
    assert answer["rounds"] > 20, "the sampler hardly ran"
    wrong = []
    for key, program in answer["found"].items():
        name, kind, service = (key.replace(" (old)", "") + " ").split(" ")[:3]
        if kind == "cmdline" or service not in NEEDED[name]:
            wrong.append(f"{key}: {program}")
    assert wrong == []
    # The sampler does see what there is to see.
    assert any(key.startswith("VRU_SECRET_KEY environ api_gateway") for key in answer["found"])
    assert rotation.sampler.seen
    assert rotation.sampler.found == set()
    assert rotation.left == [], "temporary files on the laptop"


def test_each_container_was_given_just_what_it_needs(rotation: Rotation) -> None:
    containers = json.loads(on_server(rotation.laptop, "docker inspect $(docker ps -aq)"))
    services = {container["Config"]["Labels"].get("com.docker.compose.service"): container for container in containers}
    for name, needed in NEEDED.items():
        value = rotation.secrets[name]
        having = {service for service, container in services.items() if value in json.dumps(container)}
        assert having == needed - {"migrate"}, name
        in_argv = [s for s, c in services.items() if value in json.dumps([c["Path"], c["Args"], c["Config"]["Cmd"]])]
        assert in_argv == []
    old = rotation.before[CHANGED]
    assert [service for service, container in services.items() if old in json.dumps(container)] == []


def test_nothing_that_was_said_or_written_down_holds_a_secret(rotation: Rotation) -> None:
    laptop = rotation.laptop
    told = {
        "plan and deploy": "".join(rotation.outputs),
        "earlier outputs": "".join(output.stdout + output.stderr for output in laptop.outputs.values()),
        "containers' logs": on_server(laptop, "for c in $(docker ps -aq); do docker logs $c 2>&1; done"),
        "journald": on_server(laptop, "journalctl --no-pager --all -o export"),
        "journal and audit": on_server(laptop, f"cat {PLATFORM}/state/journal/* {PLATFORM}/state/*.json*"),
    }
    for command in (["status"], ["audit"], ["releases"], ["logs", "--tail", "200"], ["validate"], ["verify"]):
        for options in ([], ["--json"]):
            done = laptop.vru(*command, *options, check=False)
            told[" ".join(["vru", *command, *options])] = done.stdout + done.stderr
    assert {name: found for name, text in told.items() if (found := hidden(text, rotation.secrets))} == {}


def test_on_the_server_only_private_files_hold_a_secret(rotation: Rotation) -> None:
    laptop = rotation.laptop
    on_server(laptop, "vru-platform backup")
    without = ["/var/lib/docker"]
    places = ["/opt", "/etc", "/home", "/root", "/run", "/srv", "/tmp", "/usr/local", "/var"]
    roots = [*places, "/var/lib/docker/containers"]
    found = search(laptop, rotation.secrets, roots, without)
    # Of the content that was sent, .env alone: that of the kept releases, and of a transfer that was just made.
    header = "^# Written by vru at each deployment"
    environments = on_server(laptop, f"cd {PLATFORM}/releases/objects && grep -l '{header}' *").split()
    ours = re.compile(rf"{PLATFORM}/(\.env|releases/objects/({'|'.join(environments)})|backups/.+)")
    assert [path for path, _ in found if not ours.fullmatch(path) and not ENGINE.fullmatch(path)] == []
    assert [path for path, mode in found if ours.fullmatch(path) and mode != 0o600] == []
    paths = {path for path, _ in found}
    assert f"{PLATFORM}/.env" in paths, "the search does not find what there is"
    # What Docker keeps of containers, it keeps of those that need it.
    listed = on_server(laptop, "docker ps -a --no-trunc --format '{{.ID}} {{.Label \"com.docker.compose.service\"}}'")
    services = dict(line.split() for line in listed.splitlines() if " " in line.strip())
    holders = {services.get(match[1], "?") for path in paths if (match := ENGINE.fullmatch(path)) and match[1]}
    assert holders <= {service for needed in NEEDED.values() for service in needed}
    # And somebody without rights finds nothing at all.
    assert search(laptop, rotation.secrets, places, [], user="debian") == []


def test_no_image_and_no_layer_holds_a_secret(rotation: Rotation) -> None:
    laptop = rotation.laptop
    ours = "docker image ls --filter label=vru.project=vru-platform --format '{{.Repository}}:{{.Tag}}' | grep -v none"
    history = on_server(laptop, f"for i in $({ours}); do docker history --no-trunc $i; docker image inspect $i; done")
    assert "CMD" in history
    assert hidden(history, rotation.secrets) == []
    live = "docker ps --filter label=vru.project=vru-platform --format '{{.Image}}' | grep ^vru-platform/ | sort -u"
    form = "{{.GraphDriver.Data.UpperDir}}:{{.GraphDriver.Data.LowerDir}}"
    layers = set(on_server(laptop, f"docker image inspect --format '{form}' $({live})").replace("\n", ":").split(":"))
    roots = sorted(path for path in layers if path.startswith("/"))
    assert len(roots) > 10
    assert search(laptop, rotation.secrets, roots, []) == []


def test_on_the_laptop_only_the_environment_files_hold_a_secret(rotation: Rotation) -> None:
    laptop = rotation.laptop
    values = "\n".join(rotation.secrets.values()).encode()
    listed = subprocess.run(
        ["grep", "-rlFf", "-", "--exclude-dir=.git", str(laptop.root), str(laptop.home)],
        input=values, capture_output=True, check=False,
    )  # fmt: skip
    found = [Path(line) for line in listed.stdout.decode().splitlines()]
    allowed = {".env.production", ".env.production.previous"}
    assert [path for path in found if path.name not in allowed] == []
    assert [path for path in found if stat.S_IMODE(path.stat().st_mode) != 0o600] == []
    assert found


def test_shell_histories_hold_none(rotation: Rotation) -> None:
    histories = on_server(rotation.laptop, "cat /root/.*history /home/*/.*history 2>/dev/null || true")
    assert hidden(histories, rotation.secrets) == []
