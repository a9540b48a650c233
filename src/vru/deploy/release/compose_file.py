"""The compose file, checked on the laptop: what Compose would refuse on the server, with file, line and service."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from vru.deploy.release.topology import LABELS
from vru.deploy.settings.variables import BUILT, CONFIGURED, LIMITED, VARIABLES
from vru.domain import VruError
from vru.host.wire import COMPOSE_FILE

# What the deployer has variables for; more services than these may stand in the file.
NEEDED_SERVICES = tuple(sorted({*BUILT, *LIMITED, *CONFIGURED, "nginx", "migrate"} - {"exporter"}))

_MERGE_MARKER = re.compile(r"^(<{7}|={7}|>{7}|\|{7})( .*)?$")
_SERVICE_LINE = re.compile(r"^  ([A-Za-z0-9._-]+):")
_VARIABLE = re.compile(r"(?<!\$)(?:\$\$)*\$\{?([A-Za-z_][A-Za-z0-9_]*)")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The names that the Compose specification knows.
_TOP = _words("version name include services networks volumes secrets configs models")
_SERVICE = _words(
    "annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs "
    "container_name cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares "
    "cpus cpuset credential_spec depends_on deploy develop device_cgroup_rules devices dns dns_opt "
    "dns_search domainname entrypoint env_file environment expose extends external_links extra_hosts gpus "
    "group_add healthcheck hostname image init ipc isolation label_file labels links logging mac_address "
    "mem_limit mem_reservation mem_swappiness memswap_limit models network_mode networks oom_kill_disable "
    "oom_score_adj pid pids_limit platform ports post_start pre_stop privileged profiles provider "
    "pull_policy read_only restart runtime scale secrets security_opt shm_size stdin_open "
    "stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode "
    "uts volumes volumes_from working_dir"
)
_WITHIN: Mapping[str, frozenset[str]] = {
    "build": _words(
        "additional_contexts args cache_from cache_to context dockerfile dockerfile_inline entitlements "
        "extra_hosts isolation labels network no_cache platforms privileged provenance pull sbom secrets "
        "shm_size ssh tags target ulimits"
    ),
    "deploy": _words(
        "endpoint_mode labels mode placement replicas resources restart_policy rollback_config update_config"
    ),
    "healthcheck": _words("disable interval retries start_interval start_period test timeout"),
    "logging": _words("driver options"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that Compose would refuse. ``service`` is empty where it is about no single one."""

    line: int
    message: str
    fix: str
    service: str = ""

    @property
    def place(self) -> str:
        """``docker-compose.production.yml, line 12, service postgres``."""
        return f"{COMPOSE_FILE}, line {self.line}" + (f", service {self.service}" if self.service else "")


class ComposeFileError(VruError):
    """The compose file cannot be used; the first of its faults."""

    def __init__(self, faults: list[Fault]) -> None:
        first, more = faults[0], len(faults) - 1
        tail = f" ({more} more: vru validate --local shows all.)" if more else ""
        super().__init__(f"{first.place}: {first.message}{tail}", first.fix)


def require(root: Path) -> None:
    """Stop where the compose file cannot be used.

    Raises:
        ComposeFileError: it has faults.
    """
    if found := check((root / COMPOSE_FILE).read_bytes()):
        raise ComposeFileError(found)


def check(raw: bytes) -> list[Fault]:
    """All faults of a compose file, in the order of their lines; empty where it can be used."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return [Fault(raw[: error.start].count(b"\n") + 1, "This is not UTF-8 text.", "Get the file back from git.")]
    lines = text.splitlines()
    markers = [
        Fault(
            number, "A merge marker stands here.", "Resolve the merge, and remove the marker.", _within(lines, number)
        )
        for number, line in enumerate(lines, 1)
        if _MERGE_MARKER.match(line)
    ]
    if markers:
        return markers
    try:
        document = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        return [_no_yaml(error, lines)]
    if not isinstance(document, yaml.MappingNode):
        return [Fault(1, "There are no services in it.", "Get the file back from git.")]
    found: dict[tuple[int, str], Fault] = {}
    for fault in _check_document(document):
        found.setdefault((fault.line, fault.message), fault)  # what services share is said once
    return sorted(found.values(), key=lambda fault: fault.line)


def _no_yaml(error: yaml.YAMLError, lines: list[str]) -> Fault:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    number = min(mark.line + 1, len(lines)) if mark is not None else 1
    said = getattr(error, "problem", None) or "it cannot be read"
    return Fault(number, f"This is no YAML: {said}.", "Correct the line, or the one before it.", _within(lines, number))


def _within(lines: list[str], number: int) -> str:
    """The service that a line belongs to, by indentation: of use where the file is no YAML."""
    for line in reversed(lines[:number]):
        if found := _SERVICE_LINE.match(line):
            return found[1]
        if line and line[0].isalpha():
            return ""
    return ""


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


Entries = dict[str, tuple[yaml.Node, yaml.Node]]


def _entries(node: yaml.MappingNode) -> Entries:
    """Name -> its two nodes, those that ``<<`` brings in included; what stands here goes before."""
    merged: Entries = {}
    own: Entries = {}
    for key, value in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            for one in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if isinstance(one, yaml.MappingNode):
                    merged = {**_entries(one), **merged}
        else:
            own[str(key.value)] = (key, value)
    return {**merged, **own}


def _check_document(document: yaml.MappingNode) -> Iterator[Fault]:
    yield from _repeated(document, (), set())
    top = _entries(document)
    yield from _unknown(top, _TOP, "")
    services = top.get("services")
    if services is None or not isinstance(services[1], yaml.MappingNode):
        yield Fault(
            _line(services[0]) if services else 1, "There are no services in it.", "Get the file back from git."
        )
        return
    defined = _entries(services[1])
    for name in NEEDED_SERVICES:
        if name not in defined:
            close = difflib.get_close_matches(name, [one for one in defined if one not in NEEDED_SERVICES], n=1)
            yield Fault(
                _line(defined[close[0]][0]) if close else _line(services[0]),
                f"Service {name} is missing" + (f"; is {close[0]} meant?" if close else "."),
                "Write its name as it was, or get the service back from git.",
                name,
            )
    own_networks = _name_nodes(top["networks"][1]) if "networks" in top else []
    networks = {"default", *(str(node.value) for node in own_networks)}
    # A needed service that is missing was named above; those that depend on it are not at fault.
    services_known = {*defined, *NEEDED_SERVICES}
    for name, (key, value) in defined.items():
        yield from _check_service(name, key, value, services_known, networks)


def _check_service(
    name: str, key: yaml.Node, value: yaml.Node, services: set[str], networks: set[str]
) -> Iterator[Fault]:
    if not isinstance(value, yaml.MappingNode):
        yield Fault(_line(key), "The service is empty.", "Indent what belongs to it below its name.", name)
        return
    entries = _entries(value)
    unknown = list(_unknown(entries, _SERVICE, name))
    yield from unknown
    if not {"image", "build", "provider"} & set(entries) and not unknown:
        yield Fault(_line(key), "The service has neither an image nor a build.", "Give it an image.", name)
    for part, known in _WITHIN.items():
        node = entries[part][1] if part in entries else None
        if isinstance(node, yaml.MappingNode):
            yield from _unknown(_entries(node), known, name)
    for part, there, what in (("depends_on", services, "service"), ("networks", networks, "network")):
        for node in _name_nodes(entries[part][1]) if part in entries else ():
            if str(node.value) not in there:
                yield Fault(_line(node), f"There is no {what} {node.value}.", _suggestion(str(node.value), there), name)
    labels = entries["labels"][1] if "labels" in entries else None
    for label, (node, _) in _entries(labels).items() if isinstance(labels, yaml.MappingNode) else ():
        if label.startswith("vru.") and label not in LABELS:
            yield Fault(_line(node), f"There is no label {label}.", _suggestion(label, LABELS), name)
    yield from _variables(value, name, services)


def _unknown(entries: Entries, known: frozenset[str], service: str) -> Iterator[Fault]:
    for name, (key, _) in entries.items():
        if name not in known and not name.startswith("x-"):
            yield Fault(_line(key), f"Compose does not know {name}.", _suggestion(name, known), service)


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"Did you mean {close[0]}?" if close else "Correct the name, or remove it."


def _name_nodes(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [key for key, _ in _entries(node).values()]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _variables(value: yaml.Node, service: str, services: Iterable[str]) -> Iterator[Fault]:
    """Variables that no .env would ever bring: Compose would stop for want of them."""
    computed = {f"VRU_{one.upper()}_{ending}" for one in services for ending in ("TAG", "CONFIG_DIGEST")}
    for node in _scalars(value, set()):
        for name in _VARIABLE.findall(node.value):
            if name.startswith("VRU_") and name not in VARIABLES and name not in computed:
                yield Fault(
                    _line(node), f"{name} is not a variable of this platform.", _suggestion(name, VARIABLES), service
                )


def _scalars(node: yaml.Node, seen: set[int]) -> Iterator[yaml.ScalarNode]:
    """All texts below a node; what anchors share comes once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.SequenceNode):
        for one in node.value:
            yield from _scalars(one, seen)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _scalars(key, seen)
            yield from _scalars(value, seen)


def _repeated(node: yaml.Node, path: tuple[str, ...], seen: set[int]) -> Iterator[Fault]:
    """Names that stand twice in one mapping: YAML's readers would take the last one."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for one in node.value:
            yield from _repeated(one, path, seen)
    if not isinstance(node, yaml.MappingNode):
        return
    service = path[1] if len(path) > 1 and path[0] == "services" else ""
    first: dict[str, int] = {}
    for key, value in node.value:
        name = str(key.value)
        if name in first:
            yield Fault(_line(key), f"{name} stands here again, first on line {first[name]}.", "Keep one.", service)
        first.setdefault(name, _line(key))
        yield from _repeated(value, (*path, name), seen)
