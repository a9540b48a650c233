"""A real sshd of this test's own, on a free port of 127.0.0.1."""

import getpass
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vru.deploy.ssh.connection import Address, Server, connect

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_sshd = pytest.mark.skipif(SSHD is None, reason="needs sshd (package openssh-server)")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def new_key(file: Path, *options: str) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file, *options], check=True)
    return file


def patience() -> list[str]:
    """From 9.8 on sshd makes those wait who fail often; some tests fail on purpose."""
    assert SSHD is not None
    said = subprocess.run([SSHD, "-V"], capture_output=True, text=True, check=False).stderr
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", said)
    return ["PerSourcePenalties no"] if found and (int(found[1]), int(found[2])) >= (9, 8) else []


@dataclass
class Sshd:
    folder: Path
    port: int
    options: tuple[str, ...] = ()
    process: "subprocess.Popen[bytes] | None" = None
    home: Path = field(default_factory=Path.home)

    @property
    def key(self) -> Path:
        """The client's key that it accepts."""
        return self.folder / "client"

    @property
    def fingerprint(self) -> str:
        return subprocess.check_output(["ssh-keygen", "-lf", self.folder / "host.pub"], text=True).split()[1]

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def new_host_key(self) -> None:
        for file in (self.folder / "host", self.folder / "host.pub"):
            file.unlink(missing_ok=True)
        new_key(self.folder / "host")

    def start(self) -> None:
        assert SSHD is not None
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        lines = [
            "ListenAddress 127.0.0.1", f"Port {self.port}", f"HostKey {self.folder}/host", "PidFile none",
            f"AuthorizedKeysFile {self.folder}/authorized_keys", "StrictModes no", "UsePAM no", "PermitRootLogin yes",
            "LogLevel VERBOSE", *patience(), *self.options,
        ]  # fmt: skip
        (self.folder / "sshd_config").write_text("\n".join(lines) + "\n")
        self.process = subprocess.Popen(
            [SSHD, "-D", "-f", self.folder / "sshd_config", "-E", self.folder / "log"], stderr=subprocess.DEVNULL
        )
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            threading.Event().wait(0.02)
        raise TimeoutError("sshd did not start")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def authorize(self, *keys: Path) -> None:
        """Accept these keys and no other."""
        (self.folder / "authorized_keys").write_text("".join(Path(f"{key}.pub").read_text() for key in keys))

    def known(self, name: str | None = None) -> str:
        """Its line for known_hosts."""
        return f"{name or f'[127.0.0.1]:{self.port}'} {(self.folder / 'host.pub').read_text()}"


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Sshd]:
    """An sshd with a key for the client, stopped at the end."""
    folder.mkdir(exist_ok=True)
    server = Sshd(folder, free_port(), options)
    server.new_host_key()
    new_key(server.key)
    server.authorize(server.key)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def address(sshd: Sshd, **others: object) -> Address:
    values = {"host": "127.0.0.1", "port": sshd.port, "user": getpass.getuser(), "key_file": sshd.key} | others
    return Address(**values)  # type: ignore[arg-type]


def opened(sshd: Sshd) -> Server:
    return connect(address(sshd), accept_host_key=sshd.fingerprint)


def known_hosts() -> Path:
    return Path.home() / ".ssh" / "known_hosts"
