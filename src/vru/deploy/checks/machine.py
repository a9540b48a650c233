"""Faults of the machine itself: its size, its system, its disks, its clock, its kernel."""

import re
from collections.abc import Iterator

from vru.deploy.checks.evidence import DOCKER_PLACE, PLATFORM_PLACE, Evidence, UnknownError
from vru.deploy.checks.fault import Fault, Faults
from vru.deploy.server.host_program import OLDEST_PYTHON
from vru.host.wire import Check

GIB = 1024**3
_KIB_IN_GIB = 1024 * 1024
_NEEDED_DISK_GIB = 10  # images of all services, a build's caches, the database's first weeks
_NEEDED_DISK_AGAIN_GIB = 2  # where a release stands already
_NEEDED_MEMORY_GIB = 3
_SMALL_MEMORY_GIB = 8
_NEEDED_INODES = 200_000
_MACHINES = ("x86_64", "aarch64")
_USERLANDS = ("amd64", "arm64")
_SYSTEMS = {"debian": 12.0, "ubuntu": 22.04}
_OLDEST_KERNEL, _OLD_KERNEL = (4, 19), (5, 10)
_LARGEST_CLOCK_SKEW_S = 60
_NESTED = ("openvz", "lxc", "lxc-libvirt")
_TEMPORARY = "/tmp"  # noqa: S108 - looked at, not written to

fault = Faults()


@fault(
    "operating system",
    "The server runs a system that is not supported.",
    "Use Debian 12 or newer, or Ubuntu 22.04 or newer.",
)
def _operating_system(this: Fault, seen: Evidence) -> Iterator[Check]:
    facts = seen.facts
    oldest = _SYSTEMS.get(facts.os_id)
    try:
        supported = oldest is not None and float(facts.os_version) >= oldest
    except ValueError:
        supported = False
    yield this.ok(facts.os_name) if supported else this.problem(f"{facts.os_name} is not supported.")


@fault("processor", "The server's processor is of the wrong kind.", "Use a server with x86_64 or aarch64.")
def _processor(this: Fault, seen: Evidence) -> Iterator[Check]:
    machine = seen.facts.machine
    yield this.ok(machine) if machine in _MACHINES else this.problem(f"{machine} is not supported.")


@fault("userland", "A 32-bit system on a 64-bit processor.", "Install the 64-bit system: amd64 or arm64.")
def _userland(this: Fault, seen: Evidence) -> Iterator[Check]:
    found = seen.text("userland")
    if found in _USERLANDS:
        yield this.ok(found)
    else:
        yield this.problem(f"The system's packages are for {found or 'an unknown machine'}; no image is made for that.")


@fault("systemd", "The server does not boot with systemd.", "Use a server that boots with systemd.")
def _systemd(this: Fault, seen: Evidence) -> Iterator[Check]:
    init = seen.facts.init
    yield this.ok() if init == "systemd" else this.problem(f"The server's init is {init}, not systemd.")


@fault("units", "systemd units have failed.", "journalctl -u {unit} says why; then: systemctl restart {unit}")
def _units(this: Fault, seen: Evidence) -> Iterator[Check]:
    failed = [line.split()[0] for line in seen.lines("failed_units")]
    state = seen.text("systemd")
    if failed:
        yield this.warning(f"Failed units: {', '.join(failed)}.", unit=failed[0])
    elif state in ("maintenance", "stopping", "offline"):
        yield this.warning(f"systemd says that the system is {state}.", unit="UNIT")
    else:
        yield this.ok(state)


@fault("container inside", "The server is a container that hardly runs Docker.", "Use a virtual machine (KVM) instead.")
def _nested(this: Fault, seen: Evidence) -> Iterator[Check]:
    kind = seen.text("virtual")
    if kind in _NESTED:
        yield this.warning(f"The server is itself a container ({kind}).")
    else:
        yield this.ok(kind)


@fault(
    "python", "No Python 3.10, and no package manager to bring it.", "Install python3 (3.10 or newer) on the server."
)
def _python(this: Fault, seen: Evidence) -> Iterator[Check]:
    found = seen.facts.python
    version = tuple(int(part) for part in found.split(".")) if re.fullmatch(r"\d+(\.\d+)*", found) else ()
    if version >= OLDEST_PYTHON:
        yield this.ok(found)
    elif seen.facts.has_apt:
        yield this.ok("will be installed")
    else:
        yield this.problem(f"There is neither Python 3.10 nor apt-get (Python: {found or 'none'}).")


@fault("kernel", "The kernel is too old for Docker.", "apt-get update && apt-get dist-upgrade && reboot")
def _kernel(this: Fault, seen: Evidence) -> Iterator[Check]:
    release = seen.text("kernel")
    match = re.match(r"(\d+)\.(\d+)", release)
    if match is None:
        raise UnknownError(f"“{release}” is no kernel's version")
    version = int(match[1]), int(match[2])
    if version < _OLDEST_KERNEL:
        yield this.problem(f"Kernel {release} is too old; {_OLDEST_KERNEL[0]}.{_OLDEST_KERNEL[1]} is needed.")
    elif version < _OLD_KERNEL:
        yield this.warning(f"Kernel {release} no longer gets corrections.")
    else:
        yield this.ok(release)


@fault("memory", "The server has too little memory.", "Use a larger server.")
def _memory(this: Fault, seen: Evidence) -> Iterator[Check]:
    gib = seen.facts.memory_bytes / GIB
    # A machine sold as 4 GB shows a little less: the kernel keeps some.
    if gib < _NEEDED_MEMORY_GIB * 0.9:
        yield this.problem(f"Only {gib:.1f} GiB; {_NEEDED_MEMORY_GIB} GiB are needed.")
    else:
        yield this.ok(f"{gib:.1f} GiB")


@fault("processors", "The server has a single processor core.", "Use a server with at least 2 cores.")
def _processors(this: Fault, seen: Evidence) -> Iterator[Check]:
    count = seen.number("cpus")
    if count < 2:
        yield this.warning(f"{count} processor core: builds and inference will be slow.")
    else:
        yield this.ok(f"{count} cores")


@fault(
    "swap",
    "A small server without swap: the kernel kills processes when memory runs out.",
    "fallocate -l 2G /swapfile && chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile "
    "&& echo '/swapfile none swap sw 0 0' >> /etc/fstab",
)
def _swap(this: Fault, seen: Evidence) -> Iterator[Check]:
    kib = int(seen.words("memory").get("SwapTotal", "0"))
    memory_gib = seen.facts.memory_bytes / GIB
    if kib == 0 and memory_gib < _SMALL_MEMORY_GIB:
        yield this.warning(f"No swap beside {memory_gib:.1f} GiB of memory.")
    else:
        yield this.ok(f"{kib / _KIB_IN_GIB:.1f} GiB" if kib else "none needed")


@fault(
    "disk", "A disk is full, or nearly.", "docker builder prune -f frees build caches; else enlarge the disk: {point}"
)
def _disk(this: Fault, seen: Evidence) -> Iterator[Check]:
    needed = _NEEDED_DISK_AGAIN_GIB if seen.deployed else _NEEDED_DISK_GIB
    facts = seen.facts
    free_bytes = {PLATFORM_PLACE: facts.disk_free_bytes, DOCKER_PLACE: facts.docker_disk_free_bytes}
    for place, free in free_bytes.items():
        shown = f"{free / GIB:.1f} GiB free"
        if free < needed * GIB:
            # Which disk it is, only the doctor's probe tells.
            point = seen.disks()[place][0] if "disks" in seen.seen else "/"
            yield this.problem(f"Only {shown}; {needed} GiB are needed.", name=f"disk for {place}", point=point)
        else:
            yield this.ok(shown, name=f"disk for {place}")


@fault(
    "inodes",
    "A disk has room, but no inodes: no more files can be made.",
    "find {point} -xdev -printf '%h\\n' | sort | uniq -c | sort -n | tail names the folders with the most files",
)
def _inodes(this: Fault, seen: Evidence) -> Iterator[Check]:
    short = {}
    for point, _, _, free, total in (seen.disks()[place] for place in (PLATFORM_PLACE, DOCKER_PLACE)):
        # File systems such as btrfs have no fixed number and say 0 or "-".
        if total.isdigit() and int(total) and int(free) < _NEEDED_INODES:
            short[point] = int(free)
    if short:
        point, free_inodes = next(iter(short.items()))
        yield this.problem(f"Only {free_inodes} inodes are free on {point}.", point=point)
    else:
        yield this.ok()


def _mounts(seen: Evidence) -> dict[str, tuple[str, set[str]]]:
    found = {}
    for line in seen.lines("mounts"):
        path, _, rest = line.partition(" ")
        point, _, options = rest.rpartition(" ")
        found[path] = point, set(options.split(","))
    return found


@fault(
    "writable",
    "A file system that has to be written to is mounted read-only.",
    "dmesg | tail says why (often a dying disk); then: mount -o remount,rw {point}",
)
def _writable(this: Fault, seen: Evidence) -> Iterator[Check]:
    wrong = [(path, point) for path, (point, options) in _mounts(seen).items() if "ro" in options]
    if wrong:
        path, point = wrong[0]
        yield this.problem(f"{path} is on {point}, which is mounted read-only.", point=point)
    else:
        yield this.ok()


@fault(
    "mount options",
    "The file system forbids to run programs (noexec), or ignores their rights (nosuid).",
    "mount -o remount,exec,suid {point}, and correct /etc/fstab",
)
def _mount_options(this: Fault, seen: Evidence) -> Iterator[Check]:
    mounts = _mounts(seen)
    clean = True
    for path in (DOCKER_PLACE, PLATFORM_PLACE):
        point, options = mounts[path]
        bad = sorted(options & {"noexec", "nosuid"})
        if bad:
            clean = False
            detail = f"{path} is on {point}, which is mounted {' and '.join(bad)}."
            # Containers' programs lie below Docker's directory; below ours only data and what Python reads.
            yield this.problem(detail, point=point) if path == DOCKER_PLACE else this.warning(detail, point=point)
    if clean:
        yield this.ok()


@fault(
    "temporary files",
    "The directory for temporary files is mounted noexec: package scripts fail.",
    "mount -o remount,exec {point}, and correct /etc/fstab",
)
def _temporary(this: Fault, seen: Evidence) -> Iterator[Check]:
    point, options = _mounts(seen)[_TEMPORARY]
    if "noexec" in options and not seen.docker_installed:
        detail = f"{_TEMPORARY} is mounted noexec, and Docker's packages are still to be installed."
        yield this.warning(detail, point=point)
    else:
        yield this.ok()


@fault("clock", "The clocks of server and laptop differ.", "timedatectl set-ntp true, on the one that is wrong")
def _clock(this: Fault, seen: Evidence) -> Iterator[Check]:
    skew = seen.facts.clock_skew_s
    if abs(skew) > _LARGEST_CLOCK_SKEW_S:
        yield this.warning(
            f"The server's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the laptop's."
        )
    else:
        yield this.ok(f"{skew:+.0f} s from the laptop's")


@fault(
    "time synchronisation",
    "Nothing keeps the server's clock right.",
    "apt-get install -y systemd-timesyncd && timedatectl set-ntp true",
)
def _time_synchronisation(this: Fault, seen: Evidence) -> Iterator[Check]:
    service = seen.text("time_sync")
    yield this.ok(service) if service else this.warning("No time service runs on the server.")


@fault(
    "restart pending", "An update waits for a restart of the server.", "reboot, when it suits: the platform comes back"
)
def _restart_pending(this: Fault, seen: Evidence) -> Iterator[Check]:
    lines = seen.lines("reboot")
    if lines:
        yield this.warning(f"The server wants to be restarted{' for ' + ', '.join(lines[1:4]) if lines[1:] else ''}.")
    else:
        yield this.ok()


@fault(
    "locale",
    "SSH brings a locale that the server does not have: its programs complain in every answer.",
    "localectl set-locale LANG=C.UTF-8, or on the laptop: remove SendEnv LANG LC_* from ssh_config",
)
def _locale(this: Fault, seen: Evidence) -> Iterator[Check]:
    complaints = [line for line in seen.lines("locales") if line.startswith("locale:")]
    if complaints:
        yield this.warning(f"The locale {seen.text('locales')} is not installed: {complaints[0]}.")
    else:
        yield this.ok(seen.text("locales"))


@fault(
    "host name",
    "The server's own name resolves to nothing: sudo waits for a time-out each time.",
    "echo '127.0.1.1 {host}' >> /etc/hosts",
)
def _host_name(this: Fault, seen: Evidence) -> Iterator[Check]:
    lines = seen.lines("host_name")
    name = lines[0] if lines else "?"
    if len(lines) < 2:
        yield this.warning(f"The server does not know its own name {name}.", host=name)
    else:
        yield this.ok(name)


@fault(
    "failing disk",
    "The kernel reports errors of a disk.",
    "Save the backups elsewhere now; smartctl -a {device}; replace the disk",
)
def _failing_disk(this: Fault, seen: Evidence) -> Iterator[Check]:
    errors = [line for line in seen.lines("kernel_log") if not re.search(r"oom-kill|[Oo]ut of memory|apparmor=", line)]
    if errors:
        device = re.search(r"dev (\w+)|\((\w+)\)", errors[-1])
        name = f"/dev/{device[1] or device[2]}" if device else "/dev/DISK"
        yield this.problem(f"{len(errors)} disk errors in the last day, such as: {_message(errors[-1])}.", device=name)
    else:
        yield this.ok()


@fault(
    "killed for memory",
    "The kernel killed processes because memory ran out.",
    "Lower VRU_*_MEMORY or VRU_WORKER_REPLICAS in .env.production, or use a larger server",
)
def _out_of_memory(this: Fault, seen: Evidence) -> Iterator[Check]:
    killed = [line for line in seen.lines("kernel_log") if "Killed process" in line or "Memory cgroup out of" in line]
    if killed:
        who = re.search(r"Killed process \d+ \(([^)]+)\)", killed[-1])
        last = f", last {who[1]}" if who else ""
        yield this.warning(f"{len(killed)} processes killed for lack of memory in the last day{last}.")
    else:
        yield this.ok()


def _message(line: str) -> str:
    return re.sub(r"^\[\s*[\d.]+\]\s*", "", line)[:120].rstrip(".")


@fault(
    "control groups",
    "Control groups of version 1 or mixed: memory limits count less exactly, and Docker gives them up.",
    "Add systemd.unified_cgroup_hierarchy=1 to GRUB_CMDLINE_LINUX in /etc/default/grub; update-grub && reboot",
)
def _control_groups(this: Fault, seen: Evidence) -> Iterator[Check]:
    lines = seen.lines("cgroup")
    if lines[:1] == ("cgroup2fs",):
        yield this.ok("version 2")
    else:
        yield this.warning(
            f"The server has control groups {'of both versions' if 'hybrid' in lines else 'of version 1'}."
        )


@fault(
    "overcommit",
    "The kernel may refuse Redis the memory to save its data.",
    "sysctl -w vm.overcommit_memory=1 (vru setup writes it to /etc/sysctl.d)",
)
def _overcommit(this: Fault, seen: Evidence) -> Iterator[Check]:
    value = seen.words("settings").get("vm/overcommit_memory", "")
    if value == "1" or not seen.deployed:
        yield this.ok(value if value == "1" else "will be set")
    else:
        yield this.warning(f"vm.overcommit_memory is {value}.")


@fault(
    "SELinux",
    "SELinux enforces, and containers may not read what is mounted into them.",
    "setenforce 0, and SELINUX=permissive in /etc/selinux/config; "
    "or label: chcon -Rt container_file_t /opt/vru-platform",
)
def _selinux(this: Fault, seen: Evidence) -> Iterator[Check]:
    yield this.warning("SELinux is enforcing.") if seen.text("selinux") == "1" else this.ok("not enforcing")


@fault(
    "AppArmor",
    "AppArmor is half there, or refuses something: containers do not start or do not work.",
    "apt-get install -y apparmor && systemctl restart docker; journalctl -k | grep DENIED shows what is refused",
)
def _apparmor(this: Fault, seen: Evidence) -> Iterator[Check]:
    lines = seen.lines("apparmor")
    denied = [line for line in seen.lines("kernel_log") if 'apparmor="DENIED"' in line and "docker" in line]
    if lines[:1] == ("Y",) and len(lines) < 2 and seen.docker_installed:
        yield this.problem("The kernel enforces AppArmor, but apparmor_parser is not installed.")
    elif denied:
        yield this.warning(f"AppArmor refused containers something {len(denied)} times: {_message(denied[-1])}.")
    else:
        yield this.ok("on" if lines[:1] == ("Y",) else "off")


# What a deployment itself asks for, from the few facts that it reads anyway.
NEEDED = (_operating_system, _processor, _systemd, _python, _disk, _memory, _clock)
