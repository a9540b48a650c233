"""The laptop: what is looked at here (:func:`look`), and the faults that it can have."""

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from vru.deploy.checks.check import problem, problems
from vru.deploy.checks.evidence import Evidence
from vru.deploy.checks.fault import Fault, Faults
from vru.deploy.checks.validation import check_compose_file, check_configuration, missing_files
from vru.deploy.settings.environment import FILE_NAME, PRODUCTION_FILE_MODE, Environment, EnvironmentFileError
from vru.deploy.ssh.config import Hop, resolve
from vru.domain import VruError
from vru.host.wire import COMPOSE_FILE, Check

_OLDEST_PYTHON = (3, 11)
_NEEDED_DISK_MIB = 500
_TOO_MANY_KEYS = 5
_KEY_NAMES = ("id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk")
_PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")

fault = Faults()


def look(root: Path, settings: Environment | EnvironmentFileError, home: Path) -> Evidence:
    """Look at the laptop: project, settings, keys, name resolution. Changes nothing, opens no connection."""
    environment = settings if isinstance(settings, Environment) else None
    host = environment.host if environment else None
    hop = _hop(environment)
    seen: dict[str, tuple[str, ...]] = {
        "python": (".".join(map(str, sys.version_info[:3])),),
        "project": (str(root),),
        "missing": tuple(missing_files(root)),
        "settings_file": _mode(root / FILE_NAME),
        "settings_problems": tuple(
            f"{found.line or ''}\t{found.message}\t{found.fix}" for found in getattr(settings, "problems", ())
        ),
        "tracked": _git(root, "ls-files", "--", FILE_NAME, f"{FILE_NAME}.previous"),
        "ignored": _git(root, "check-ignore", "--", FILE_NAME),
        "repository": _git(root, "rev-parse", "--show-toplevel"),
        "disk": (str(shutil.disk_usage(root).free // 1024**2),),
        "writable": (str(os.access(root, os.W_OK)),),
        "keys": tuple(_keys(home, environment, hop)),
        "named_key": (str(environment.ssh_key),) if environment and environment.ssh_key else (),
        "agent": _agent_keys(hop),
        "known_hosts": _known_hosts(home),
        "host": (host,) if host else (),
        # Through a jump host or a program the name is looked up elsewhere.
        "resolves": _resolve(hop.host) if hop is not None else _resolve(host) if host else (),
        "alias": (str(hop.host),) if hop is not None and host and hop.host != host else (),
        "through": (f"through {hop.jump}",)
        if hop is not None and hop.jump
        else ("through a program",)
        if hop is not None and hop.proxy_command
        else (),
        "proxies": tuple(name for name in _PROXIES if os.environ.get(name)),
        "no_proxy": (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "",),
    }
    if environment is not None and not seen["missing"]:
        found = problems((*check_compose_file(root), *check_configuration(root, environment, None)))
        seen["rendering"] = tuple(f"{_placed(check)}\t{check.fix}" for check in found)
    return Evidence(seen, environment=environment)


def _placed(check: Check) -> str:
    return f"{check.name}: {check.detail}" if check.name.startswith(COMPOSE_FILE) else check.detail


def _mode(file: Path) -> tuple[str, ...]:
    return (f"{stat.S_IMODE(file.stat().st_mode):04o}",) if file.exists() else ()


def _git(root: Path, *arguments: str) -> tuple[str, ...]:
    git = shutil.which("git")
    if git is None:
        return ()
    done = subprocess.run([git, "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=False)
    return tuple(done.stdout.split("\n")[:-1]) if done.returncode == 0 else ()


def _hop(environment: Environment | None) -> Hop | None:
    """Where the server's name leads, an alias of ~/.ssh/config too; None where that cannot be told."""
    if environment is None or not environment.host:
        return None
    try:
        return resolve(environment.host, environment.ssh_port, environment.ssh_user)
    except VruError:
        return None  # the connection says why


def _keys(home: Path, environment: Environment | None, hop: Hop | None) -> Iterator[str]:
    """``PATH MODE KIND`` of each SSH key that would be tried."""
    named = environment.ssh_key.expanduser() if environment and environment.ssh_key else None
    usual = [home / ".ssh" / name for name in _KEY_NAMES]
    configured = [file for file in hop.identity_files if file not in usual] if hop is not None else []
    for file in [named] if named else [*configured, *usual]:
        if not file.is_file():
            continue
        mode = f"{stat.S_IMODE(file.stat().st_mode):04o}"
        if not os.access(file, os.R_OK):
            yield f"{file}\t{mode}\tunreadable"
        else:
            begin = file.read_bytes()[:40]
            kind = (
                "private"
                if begin.startswith(b"-----BEGIN")
                else "public"
                if begin[:4] in (b"ssh-", b"ecds")
                else "other"
            )
            yield f"{file}\t{mode}\t{kind}"


def _agent_keys(hop: Hop | None) -> tuple[str, ...]:
    program = shutil.which("ssh-add")
    agent = hop.agent if hop is not None else os.environ.get("SSH_AUTH_SOCK")
    if program is None or not agent:
        return ()
    environment = {**os.environ, "SSH_AUTH_SOCK": agent}
    done = subprocess.run([program, "-l"], capture_output=True, text=True, timeout=5, check=False, env=environment)
    return tuple(done.stdout.splitlines()) if done.returncode == 0 else ()


def _known_hosts(home: Path) -> tuple[str, ...]:
    file = home / ".ssh" / "known_hosts"
    place = file if file.exists() else next(at for at in file.parents if at.exists())
    return (str(file), "yes" if os.access(place, os.W_OK) else f"{place}")


def _resolve(host: str) -> tuple[str, ...]:
    try:
        return tuple(sorted({str(found[4][0]) for found in socket.getaddrinfo(host, None)}))
    except (socket.gaierror, UnicodeError):
        return ()


@fault(
    "Python",
    "The laptop's Python is too old.",
    "Install Python 3.11 or newer, and make the environment anew: make install",
)
def _python(this: Fault, seen: Evidence) -> Iterator[Check]:
    found = seen.text("python")
    version = tuple(int(part) for part in found.split(".")[:2])
    yield this.ok(found) if version >= _OLDEST_PYTHON else this.problem(f"This is Python {found}; 3.11 is needed.")


@fault(
    "project",
    "Files of the project are missing.",
    "Run vru from the project's root, or give --project; git checkout -- . brings files back",
)
def _project(this: Fault, seen: Evidence) -> Iterator[Check]:
    missing = seen.lines("missing")
    yield (
        this.problem(f"{seen.text('project')} lacks {', '.join(missing)}.")
        if missing
        else this.ok(seen.text("project"))
    )


@fault("room", "The laptop's disk is full.", "Free some space on the disk of {project}")
def _room(this: Fault, seen: Evidence) -> Iterator[Check]:
    free = seen.number("disk")
    if free < _NEEDED_DISK_MIB:
        yield this.problem(f"Only {free} MiB are free here.", project=seen.text("project"))
    else:
        yield this.ok(f"{free / 1024:.1f} GiB free")


@fault(
    "project's owner", "The project cannot be written to: no config can be generated.", "chown -R $(id -u) {project}"
)
def _project_writable(this: Fault, seen: Evidence) -> Iterator[Check]:
    if seen.text("writable") == "True":
        yield this.ok()
    else:
        yield this.problem(f"{seen.text('project')} cannot be written to.", project=seen.text("project"))


@fault("settings", ".env.production is missing.", "vru init --host ADDRESS")
def _settings(this: Fault, seen: Evidence) -> Iterator[Check]:
    yield this.ok() if seen.lines("settings_file") else this.problem("There is no .env.production.")


@fault("settings' mode", ".env.production, which holds passwords, can be read by others.", "chmod 600 .env.production")
def _settings_mode(this: Fault, seen: Evidence) -> Iterator[Check]:
    mode = seen.text("settings_file")
    if mode and int(mode, 8) != PRODUCTION_FILE_MODE:
        yield this.problem(f"The mode of .env.production is {mode}.")
    else:
        yield this.ok(mode)


@fault("settings' values", "A value in .env.production cannot be used.", "{fix}")
def _settings_values(this: Fault, seen: Evidence) -> Iterator[Check]:
    found = [line.split("\t") for line in seen.lines("settings_problems")] if seen.lines("settings_file") else []
    # The mode has a finding of its own.
    wrong = [(line, message, fix) for line, message, fix in found if "its mode is" not in message]
    for line, message, fix in wrong:
        yield this.problem(f"Line {line}: {message}" if line else message, fix=fix)
    if not wrong:
        yield this.ok()


@fault(
    "settings in git",
    ".env.production, which holds passwords, is in git, or nearly.",
    "git rm --cached {file}; echo '.env.production*' >> .gitignore; then change all passwords: they are in the history",
)
def _settings_in_git(this: Fault, seen: Evidence) -> Iterator[Check]:
    tracked = seen.lines("tracked")
    if tracked:
        yield this.problem(f"git tracks {tracked[0]}.", file=tracked[0])
    elif seen.lines("repository") and seen.lines("settings_file") and not seen.lines("ignored"):
        yield this.warning("git does not ignore .env.production: `git add .` would take it in.", file=FILE_NAME)
    else:
        yield this.ok()


@fault("configuration", "The compose file is wrong, or a template cannot be rendered.", "{fix}")
def _configuration(this: Fault, seen: Evidence) -> Iterator[Check]:
    found = [line.split("\t") for line in seen.lines("rendering")]
    for message, fix in found:
        yield this.problem(message, fix=fix)
    if not found:
        yield this.ok()


@fault(
    "SSH key",
    "There is no SSH key to log in with.",
    "ssh-keygen -t ed25519 && ssh-copy-id USER@HOST; or name a key with VRU_SSH_KEY",
)
def _key(this: Fault, seen: Evidence) -> Iterator[Check]:
    if seen.lines("keys") or seen.lines("agent"):
        yield this.ok(f"{len(seen.lines('keys'))} files, {len(seen.lines('agent'))} in the agent")
    elif seen.lines("named_key"):
        yield this.problem(f"The key {seen.text('named_key')} that VRU_SSH_KEY names does not exist.")
    else:
        yield this.problem("There is no SSH key in ~/.ssh, and none in an agent.")


@fault("SSH key's mode", "A private SSH key can be read by others: ssh refuses it.", "chmod 600 {file}")
def _key_mode(this: Fault, seen: Evidence) -> Iterator[Check]:
    wrong = [
        (path, mode)
        for path, mode, kind in (line.split("\t") for line in seen.lines("keys"))
        if kind == "private" and int(mode, 8) & 0o077
    ]
    for path, mode in wrong:
        yield this.problem(f"The mode of {path} is {mode}.", file=path)
    if not wrong:
        yield this.ok()


@fault(
    "SSH key's kind",
    "The file that should hold a private SSH key holds something else, or cannot be read.",
    "Set VRU_SSH_KEY to the private key, which has no .pub in its name, and see that it is yours: ls -l {file}",
)
def _key_kind(this: Fault, seen: Evidence) -> Iterator[Check]:
    words = {"public": "is a public key", "other": "is no SSH key", "unreadable": "cannot be read"}
    wrong = [(path, kind) for path, _, kind in (line.split("\t") for line in seen.lines("keys")) if kind != "private"]
    for path, kind in wrong:
        yield this.problem(f"{path} {words[kind]}.", file=path)
    if not wrong:
        yield this.ok()


@fault(
    "SSH agent",
    "The agent offers many keys: the server may hang up before the right one.",
    "Name the right one with VRU_SSH_KEY",
)
def _agent(this: Fault, seen: Evidence) -> Iterator[Check]:
    count = len(seen.lines("agent"))
    if count > _TOO_MANY_KEYS and not seen.lines("named_key"):
        yield this.warning(f"The agent holds {count} keys; sshd allows 6 tries.")
    else:
        yield this.ok(f"{count} keys")


@fault(
    "known hosts",
    "A server's key cannot be remembered: known_hosts cannot be written to.",
    "chown $(id -un) {place}; chmod u+w {place}",
)
def _known(this: Fault, seen: Evidence) -> Iterator[Check]:
    file, place = seen.lines("known_hosts")
    yield this.ok() if place == "yes" else this.problem(f"{file} cannot be written to.", place=place)


@fault("server's name", "No server is named.", "Set VRU_HOST in .env.production, or give --host")
def _host(this: Fault, seen: Evidence) -> Iterator[Check]:
    seen.settings()
    yield this.ok(seen.text("host")) if seen.lines("host") else this.problem("VRU_HOST is empty.")


@fault(
    "server's address",
    "The server's name resolves to nothing.",
    "Correct VRU_HOST, or the laptop's DNS; an entry of ~/.ssh/config is looked up as well",
)
def _address(this: Fault, seen: Evidence) -> Iterator[Check]:
    if not seen.lines("host"):
        yield this.ok("no server is named")
    elif seen.lines("resolves"):
        alias = f"~/.ssh/config: {seen.text('alias')}; " if seen.lines("alias") else ""
        yield this.ok(alias + ", ".join(seen.lines("resolves")))
    elif seen.lines("through"):
        yield this.ok(seen.text("through"))
    else:
        yield this.warning(f"{seen.text('host')} resolves to no address here.")


@fault(
    "laptop's proxy", "A proxy is set here, through which the check from outside would go.", "export no_proxy={host}"
)
def _proxy(this: Fault, seen: Evidence) -> Iterator[Check]:
    settings = seen.settings()
    bypassed = [name.strip() for name in seen.text("no_proxy").split(",")]
    if seen.lines("proxies") and settings.external_ip not in bypassed and "*" not in bypassed:
        yield this.warning(
            f"{seen.lines('proxies')[0]} is set, and no_proxy does not name {settings.external_ip}.",
            host=settings.external_ip,
        )
    else:
        yield this.ok()


def connection(message: str, fix: str) -> Check:
    """The finding for a server that cannot be reached, does not let us in, or shows another host key."""
    return problem("connection", message, fix)
