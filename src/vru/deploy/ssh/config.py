"""What ``~/.ssh/config`` says about a server, and the chain of jump hosts before it: asked of ``ssh`` itself.

``ssh -G`` knows all of the format (``Include``, ``Match``, tokens, patterns), so that ``vru`` goes where ``ssh`` goes.
"""

import getpass
import os
import pwd
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import paramiko

from vru.domain import VruError

SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")
_LONGEST_WAY = 10
_DEFAULT_KEYS = ("id_rsa", "id_ecdsa", "id_ed25519")


class SshConfigError(VruError):
    """The SSH configuration cannot be read, or leads nowhere."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One SSH server and how it is reached: directly, through ``jump``, or through the program ``proxy_command``.

    ``key_name`` is the name under which ``known_hosts`` has its key; the first of ``known_hosts`` is the file to which
    an accepted key is added. ``agent`` is the agent's socket, None without an agent.
    """

    host: str
    port: int
    user: str
    key_name: str
    identity_files: tuple[Path, ...] = ()
    identities_only: bool = False
    agent: str | None = None
    known_hosts: tuple[Path, ...] = ()
    hash_known_hosts: bool = False
    family: str = "any"
    proxy_command: str | None = None
    jump: Self | None = None

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"

    @property
    def chain(self) -> tuple[Self, ...]:
        """All hops in the order in which they are reached; this one is the last."""
        return (*(self.jump.chain if self.jump is not None else ()), self)


def resolve(host: str, port: int | None = None, user: str | None = None) -> Hop:
    """Where a name leads: an address, or an alias of ``~/.ssh/config``. What is given goes before the configuration.

    Raises:
        SshConfigError: the configuration cannot be read, or its jump hosts lead in a circle.
    """
    return _resolve(host, port, user, None, 0)


def _resolve(host: str, port: int | None, user: str | None, through: str | None, depth: int) -> Hop:
    if depth > _LONGEST_WAY:
        raise SshConfigError(f"The jump hosts on the way to {host} lead in a circle.", "Correct ProxyJump.")
    options = _ask_ssh(host, port, user)

    def one(name: str, default: str = "") -> str:
        values = options.get(name)
        return values[0] if values and values[0] != "none" else default

    where, number, who = one("hostname", host), int(one("port", "22")), one("user", getpass.getuser())
    tokens = {
        "%": "%", "h": where, "n": host, "p": str(number), "r": who, "u": getpass.getuser(), "d": str(Path.home()),
        "k": one("hostkeyalias", host),
    }  # fmt: skip
    jump = None
    hops = (through if through is not None else one("proxyjump")).split(",")
    if hops[-1]:
        jump_user, jump_host, jump_port = parse_jump(_expand(hops[-1], tokens))
        before = ",".join(hops[:-1]) or None
        jump = _resolve(jump_host, jump_port, jump_user, before, depth + 1)
    return Hop(
        host=where,
        port=number,
        user=who,
        key_name=_key_name(one("hostkeyalias"), where, number),
        identity_files=tuple(
            Path(_expand(name, tokens)).expanduser() for name in options.get("identityfile", ()) if name != "none"
        ),
        identities_only=one("identitiesonly") == "yes",
        agent=_agent(options.get("identityagent", ["SSH_AUTH_SOCK"])[0], tokens),
        known_hosts=_known_hosts(options, tokens),
        hash_known_hosts=one("hashknownhosts") == "yes",
        family=one("addressfamily", "any"),
        proxy_command=None if jump is not None else _expand(one("proxycommand"), tokens) or None,
        jump=jump,
    )


def parse_jump(text: str) -> tuple[str | None, str, int | None]:
    """``[user@]host[:port]`` or ``ssh://...`` as user, host and port; None for what it does not say.

    Raises:
        SshConfigError: it is neither.
    """
    found = re.fullmatch(
        r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:/]+|[^/]*:[^/]*:[^/]*))(?::(?P<port>\d+))?/?",
        text.strip(),
    )
    if found is None:
        raise SshConfigError(f"“{text}” is no jump host.", "Write ProxyJump [user@]host[:port].")
    return found["user"], found["v6"] or found["host"], int(found["port"]) if found["port"] else None


def _ask_ssh(host: str, port: int | None, user: str | None) -> dict[str, list[str]]:
    program = shutil.which("ssh")
    own = Path.home() / ".ssh" / "config"
    if program is None:
        return _read_without_ssh(host, port, user, own)
    command = [program, "-G"]
    if Path(pwd.getpwuid(os.getuid()).pw_dir) != Path.home():
        # ssh takes its home from the user database; we take ours from HOME, as all else here does.
        command += ["-F", str(own if own.is_file() else SYSTEM_CONFIG if SYSTEM_CONFIG.is_file() else "none")]
    command += ["-p", str(port)] if port is not None else []
    command += ["-l", user] if user is not None else []
    done = subprocess.run(
        [*command, "--", host], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise SshConfigError(f"ssh cannot use its configuration: {said}.", f"Correct {own}.")
    options: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        options.setdefault(name.lower(), []).append(value)
    return options


def _read_without_ssh(host: str, port: int | None, user: str | None, own: Path) -> dict[str, list[str]]:
    """The same where no OpenSSH is installed: paramiko reads most of the format."""
    config = paramiko.SSHConfig()
    for file in (own, SYSTEM_CONFIG):
        if not file.is_file():
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        if file == own and re.search(r"(?im)^\s*include\b", text):
            raise SshConfigError(f"{file} includes other files, which only ssh can read.", "Install openssh-client.")
        try:
            config.parse(text.splitlines())
        except paramiko.ConfigParseError as error:
            raise SshConfigError(f"{file} cannot be read: {error}.", f"Correct {shlex.quote(str(file))}.") from error
    looked_up: dict[str, Any] = dict(config.lookup(host))
    found = {
        name: list(value) if isinstance(value, list) else [value]
        for name, value in looked_up.items()
        if value is not None
    }
    found.setdefault("identityfile", [f"~/.ssh/{name}" for name in _DEFAULT_KEYS])
    if port is not None:
        found["port"] = [str(port)]
    if user is not None:
        found["user"] = [user]
    return found


def _key_name(alias: str, host: str, port: int) -> str:
    if alias:
        return alias
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


def _known_hosts(options: dict[str, list[str]], tokens: dict[str, str]) -> tuple[Path, ...]:
    default = Path.home() / ".ssh" / "known_hosts"
    theirs = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".ssh"
    found: list[Path] = []
    for name in ("userknownhostsfile", "globalknownhostsfile"):
        for word in options.get(name, [""])[0].split():
            path = Path(_expand(word, tokens)).expanduser()
            # ssh prints the defaults below its own idea of home.
            path = default.with_name(path.name) if path.parent == theirs else path
            if word != "none" and path not in found:
                found.append(path)
    if not options.get("userknownhostsfile"):
        found.insert(0, default)
    if not options.get("globalknownhostsfile"):
        found.append(Path("/etc/ssh/ssh_known_hosts"))
    return tuple(found)


def _agent(configured: str, tokens: dict[str, str]) -> str | None:
    if configured == "none":
        return None
    if configured == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK") or None
    if configured.startswith("$"):
        return os.environ.get(configured.strip("${}")) or None
    return str(Path(_expand(configured, tokens)).expanduser())


def _expand(text: str, tokens: dict[str, str]) -> str:
    return re.sub(r"%(.)", lambda found: tokens.get(found[1], found[0]), text)
