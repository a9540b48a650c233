"""A fresh Debian 13 server as a container: systemd as PID 1, sshd, apt and its own nested Docker engine.

It needs a Docker engine that this user may use, and nothing else. A registry mirror on port 5000 of this machine and
the CA bundle that ``SSL_CERT_FILE`` names are passed on to the server where they exist.

    with BareServer() as server:
        server.run("apt-get update")
        print(server.ssh_command())

Run as a program, it starts one server and says how to reach it: ``python -m tests.e2e.bareserver NAME``.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

CONTEXT = Path(__file__).parent
IMAGE = "vru-bareserver"
LABEL = "vru.bareserver"
PORTS = (22, 80, 443, 3000, 3001, 8000)
MIRROR = "http://127.0.0.1:5000/v2/"
# A privileged container, but without the one capability that some machines refuse to give away.
RUN_OPTIONS = (
    "--cap-add=ALL",
    "--cap-drop=SYS_RESOURCE",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--security-opt=systempaths=unconfined",
    "--device-cgroup-rule=a *:* rwm",
    "--cgroupns=private",
    "--tmpfs=/run",
    "--tmpfs=/run/lock",
    "--tmpfs=/tmp:exec",
    "--env=container=docker",
)


class ServerError(Exception):
    """The bare server, or the Docker engine that carries it, did not do what was asked."""


def docker(*arguments: str, stdin: bytes | None = None, timeout: float = 600, check: bool = True) -> str:
    """Run the Docker client and return its output; raise ServerError with its last words when it fails."""
    client = shutil.which("docker")
    if client is None:
        raise ServerError("the `docker` command is not installed")
    done = subprocess.run([client, *arguments], input=stdin, capture_output=True, timeout=timeout, check=False)
    if check and done.returncode != 0:
        words = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise ServerError(f"docker {' '.join(arguments[:3])} ended with {done.returncode}: {words[-2000:]}")
    return done.stdout.decode(errors="replace")


def docker_answers() -> bool:
    """Whether a Docker engine answers, so that a test may skip with a reason where none does."""
    try:
        docker("version", "--format", "{{.Server.Version}}", timeout=20)
    except (ServerError, subprocess.TimeoutExpired):
        return False
    return True


def mirror_answers() -> bool:
    """Whether a registry answers on port 5000 of this machine."""
    try:
        with urllib.request.urlopen(MIRROR, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def free_port(address: str) -> int:
    """A TCP port of an address of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


class BareServer:
    """One server. Its name is unique, its ports are published on a loopback address, it is removed on exit.

    ``address`` is where ports 22, 80, 443, 3000, 3001 and 8000 appear under their own numbers; with ``None`` each
    gets a free port of 127.0.0.1 instead, and `port` says which (another one after each restart). ``ssh_on`` puts
    port 22 on a free port of another address, where it stays. ``network`` is the Docker network to be on, where it is
    not the default one.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        address: str | None = "127.0.0.42",
        ports: Sequence[int] = PORTS,
        directory: Path | None = None,
        mirror: bool = True,
        ssh_on: str | None = None,
        network: str | None = None,
    ) -> None:
        self.name = f"{name or 'vru-server'}-{secrets.token_hex(3)}"
        self.volume = f"{self.name}-docker"
        self.address = address or "127.0.0.1"
        self.ssh_address = ssh_on or self.address
        self._ssh_port = free_port(ssh_on) if ssh_on else None
        self._fixed = address is not None
        self._ports = tuple(ports)
        self._mirror = mirror
        self._network = [f"--network={network}"] if network else []
        self._temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.key_path = self.directory / "id_ed25519"

    # -- life -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> BareServer:
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    @staticmethod
    def build_image() -> str:
        """Build the server's image unless this exact recipe was built before; return its tag."""
        digest = hashlib.sha256()
        for file in ("Dockerfile", "boot"):
            digest.update((CONTEXT / file).read_bytes())
        tag = f"{IMAGE}:{digest.hexdigest()[:12]}"
        if not docker("image", "ls", "-q", tag).strip():
            docker("build", "--quiet", "--tag", tag, str(CONTEXT), timeout=900)
        return tag

    def start(self, timeout: float = 90) -> BareServer:
        """Create the server, prepare its keys, and wait until systemd is running and sshd answers."""
        image = self.build_image()
        self._make_key()
        publish = [
            f"--publish={self.address}:{port}:{port}" if self._fixed else f"--publish={self.address}::{port}"
            for port in self._ports
            if port != 22 or self._ssh_port is None
        ]
        if self._ssh_port is not None:
            publish.append(f"--publish={self.ssh_address}:{self._ssh_port}:22")
        docker(
            "run", "--detach", f"--name={self.name}", f"--hostname={self.name}", f"--label={LABEL}={os.getpid()}",
            *RUN_OPTIONS, *self._network, f"--volume={self.volume}:/var/lib/docker", *publish, image,
        )  # fmt: skip
        self._authorize()
        self._pass_on_ca_bundle()
        if self._mirror and mirror_answers():
            gateway = self.run("ip -4 route show default | awk '{print $3}'").strip()
            # BuildKit speaks TLS to a mirror, whatever its address says, unless the registry is named insecure.
            settings = {"registry-mirrors": [f"http://{gateway}:5000"], "insecure-registries": [f"{gateway}:5000"]}
            self.write("/etc/docker/daemon.json", json.dumps(settings, indent=2).encode() + b"\n")
        self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout: float = 90, states: Sequence[str] = ("running",)) -> None:
        """Wait until systemd has started everything and sshd sends its greeting; raise ServerError when it does not."""
        deadline = time.monotonic() + timeout
        state = "unknown"
        while time.monotonic() < deadline:
            state = docker("exec", self.name, "systemctl", "is-system-running", check=False).strip()
            if state in states and self._greets():
                return
            if state == "degraded" and "degraded" not in states:
                failed = self.run("systemctl --failed --no-legend --plain", check=False)
                raise ServerError(f"{self.name} started with failed units:\n{failed}")
            time.sleep(0.2)
        raise ServerError(f"{self.name} was not ready after {timeout:.0f} s: systemd says {state!r}")

    def restart(self, timeout: float = 180, states: Sequence[str] = ("running",)) -> None:
        """Reboot: stop everything in order, start again, wait until ready."""
        docker("restart", "-t", "60", self.name, timeout=timeout)
        self.wait_ready(timeout, states)

    def crash(self, timeout: float = 180, states: Sequence[str] = ("running",)) -> None:
        """Cut the power: kill everything at once, start again, wait until ready."""
        docker("kill", self.name)
        docker("start", self.name)
        self.wait_ready(timeout, states)

    def stop(self) -> None:
        """Shut the server down and leave it there."""
        docker("stop", "-t", "60", self.name, timeout=120)

    def remove(self) -> None:
        """Remove the server, its volume and its keys; never fails on what is already gone."""
        docker("rm", "--force", "--volumes", self.name, check=False, timeout=300)
        docker("volume", "rm", "--force", self.volume, check=False, timeout=300)
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    # -- what is done on it -----------------------------------------------------------------------------------------

    def exec(
        self,
        arguments: Sequence[str],
        *,
        stdin: bytes | None = None,
        user: str = "root",
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Run one program on the server, not over SSH; return its exit code, output and errors."""
        client = shutil.which("docker") or "docker"
        command = [client, "exec", *(["--interactive"] if stdin is not None else []), f"--user={user}", self.name]
        done = subprocess.run([*command, *arguments], input=stdin, capture_output=True, timeout=timeout, check=False)
        return subprocess.CompletedProcess(
            list(arguments), done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )

    def run(
        self, script: str, *, stdin: bytes | None = None, user: str = "root", timeout: float = 300, check: bool = True
    ) -> str:
        """Run a shell script on the server and return its output; raise ServerError when it fails."""
        done = self.exec(["sh", "-c", script], stdin=stdin, user=user, timeout=timeout)
        if check and done.returncode != 0:
            words = done.stdout[-3000:] + done.stderr[-3000:]
            raise ServerError(f"on {self.name}: `{script[:200]}` ended with {done.returncode}:\n{words}")
        return done.stdout

    def write(self, path: str, content: bytes, mode: int = 0o644, owner: int = 0) -> None:
        """Put a file on the server, and the folders above it."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.mode, member.uid, member.gid = len(content), mode, owner, owner
            member.mtime = int(time.time())
            tar.addfile(member, io.BytesIO(content))
        self.run("tar -x -C / -f -", stdin=archive.getvalue())

    def read(self, path: str) -> bytes:
        """Return a file's content."""
        return self.run(f"cat {path}").encode()

    # -- how it is reached ------------------------------------------------------------------------------------------

    def port(self, inside: int) -> int:
        """Return the port on `address` behind which the server's port `inside` stands."""
        if self._fixed:
            return inside
        found = re.search(r":(\d+)$", docker("port", self.name, f"{inside}/tcp").splitlines()[0])
        if found is None:
            raise ServerError(f"{self.name} does not publish port {inside}")
        return int(found[1])

    @property
    def ssh_port(self) -> int:
        """The port of `ssh_address` where sshd is reached."""
        return self._ssh_port or self.port(22)

    def url(self, inside: int = 80, path: str = "/") -> str:
        """Return the address of a page that the server publishes."""
        return f"http://{self.address}:{self.port(inside)}{path}"

    def inner_address(self) -> str:
        """Return the server's own IPv4 address on the Docker bridge."""
        return docker("inspect", "--format={{.NetworkSettings.IPAddress}}", self.name).strip()

    def host_key(self) -> str:
        """Return the public host key as `ssh-ed25519 AAAA...`."""
        return " ".join(self.run("cat /etc/ssh/ssh_host_ed25519_key.pub").split()[:2])

    def host_key_fingerprint(self) -> str:
        """Return the host key's fingerprint as OpenSSH prints it: `SHA256:...`."""
        digest = hashlib.sha256(b64decode(self.host_key().split()[1])).digest()
        return "SHA256:" + b64encode(digest).decode().rstrip("=")

    def change_host_keys(self) -> None:
        """Give the server new host keys, as a reinstalled (or another) server would have."""
        self.run("rm -f /etc/ssh/ssh_host_*; ssh-keygen -A >/dev/null; systemctl restart ssh")

    def known_hosts_line(self) -> str:
        """Return the line that makes this server known to OpenSSH and paramiko."""
        where = self.ssh_address if self.ssh_port == 22 else f"[{self.ssh_address}]:{self.ssh_port}"
        return f"{where} {self.host_key()}\n"

    def ssh_command(self, user: str = "root") -> list[str]:
        """Return the OpenSSH client's command line for this server."""
        known = self.directory / "known_hosts"
        known.write_text(self.known_hosts_line())
        return [
            "ssh", "-i", str(self.key_path), "-p", str(self.ssh_port), "-o", f"UserKnownHostsFile={known}",
            "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", f"{user}@{self.ssh_address}",
        ]  # fmt: skip

    # -- inside -----------------------------------------------------------------------------------------------------

    def _make_key(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.key_path.exists():
            return
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        self.key_path.touch(mode=0o600)
        self.key_path.write_bytes(private)
        self.key_path.with_suffix(".pub").write_bytes(public + b"\n")

    def _authorize(self) -> None:
        public = self.key_path.with_suffix(".pub").read_bytes()
        for home, owner in (("/root", 0), ("/home/debian", 1000)):
            self.run(f"install -d -m 0700 -o {owner} -g {owner} {home}/.ssh")
            self.write(f"{home}/.ssh/authorized_keys", public, mode=0o600, owner=owner)

    def _pass_on_ca_bundle(self) -> None:
        bundle = os.environ.get("SSL_CERT_FILE", "")
        if bundle and Path(bundle).is_file():
            self.write("/etc/ssl/certs/ca-certificates.crt", Path(bundle).read_bytes())

    def _greets(self) -> bool:
        try:
            with socket.create_connection((self.ssh_address, self.ssh_port), timeout=2) as link:
                link.settimeout(2)
                return link.recv(4) == b"SSH-"
        except OSError:
            return False
