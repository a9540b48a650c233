"""Ansible and pyinfra in an environment of their own, each keeping the same state on the same server."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.deploy.scene import Scene

HERE = Path(__file__).parent


def install(folder: Path) -> Path:
    """Make the environment; return its directory of programs."""
    target = folder / "peers"
    requirements = str(HERE / "requirements.txt")
    if uv := shutil.which("uv"):
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(target)], check=True)
        command = [uv, "pip", "install", "--quiet", "--python", str(target / "bin" / "python"), "-r", requirements]
    else:
        subprocess.run([sys.executable, "-m", "venv", str(target)], check=True)
        command = [str(target / "bin" / "pip"), "install", "--quiet", "-r", requirements]
    subprocess.run(command, check=True)
    return target / "bin"


@dataclass(frozen=True)
class Peers:
    """The two tools, pointed at the server, or at another way to it."""

    programs: Path
    scene: Scene
    state_file: Path
    folder: Path
    host: str
    port: int

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        where = self.host if self.port == 22 else f"[{self.host}]:{self.port}"
        self._known.write_text(f"{where} {self.scene.server.host_key()}\n")
        # Kept connections stay open between runs, as they do for somebody who works with Ansible all day.
        sockets = Path("/tmp") / f"vru-bench-{os.getpid()}"  # a socket's path is short
        sockets.mkdir(mode=0o700, exist_ok=True)
        arguments = (
            f"-o ControlMaster=auto -o ControlPersist=600s -o ControlPath={sockets}/%C -o IdentitiesOnly=yes "
            f"-o UserKnownHostsFile={self._known}"
        )
        (self.folder / "inventory.ini").write_text(
            f"server ansible_host={self.host} ansible_port={self.port} ansible_user=root "
            f"ansible_ssh_private_key_file={self.scene.server.key_path} ansible_ssh_common_args='{arguments}'\n"
        )
        (self.folder / "inventory.py").write_text(
            "server = [('server', {"
            f"'ssh_hostname': {self.host!r}, 'ssh_port': {self.port}, 'ssh_user': 'root', "
            f"'ssh_key': {str(self.scene.server.key_path)!r}, 'ssh_known_hosts_file': {str(self._known)!r}, "
            f"'ssh_strict_host_key_checking': 'yes', 'state_file': {str(self.state_file)!r}"
            "})]\n"
        )

    @property
    def _known(self) -> Path:
        return self.folder / "known_hosts"

    def ansible(self) -> str:
        """Run the playbook; return its recap."""
        command = [
            str(self.programs / "ansible-playbook"), "-i", str(self.folder / "inventory.ini"),
            "-e", f"state_file={self.state_file}", str(HERE / "ansible" / "playbook.yml"),
        ]  # fmt: skip
        return self._run(command, ANSIBLE_CONFIG=str(HERE / "ansible" / "ansible.cfg"), ANSIBLE_NOCOLOR="1")

    def pyinfra(self) -> str:
        """Run the deploy; return what it said."""
        command = [
            str(self.programs / "pyinfra"), "-y", str(self.folder / "inventory.py"),
            str(HERE / "pyinfra" / "deploy.py"),
        ]  # fmt: skip
        return self._run(command)

    def close(self) -> None:
        """End the kept connections."""
        sockets = Path("/tmp") / f"vru-bench-{os.getpid()}"
        for socket in sockets.glob("*"):
            subprocess.run(["ssh", "-O", "exit", "-o", f"ControlPath={socket}", "x"], capture_output=True, check=False)
        shutil.rmtree(sockets, ignore_errors=True)

    def _run(self, command: list[str], **variables: str) -> str:
        path = f"{self.programs}:{os.environ['PATH']}"
        environment = {**os.environ, "HOME": str(self.folder), "PATH": path, **variables}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} failed:\n{done.stdout[-5000:]}\n{done.stderr[-5000:]}")
        return done.stdout + done.stderr
