"""What sysctl files want, and what the kernel has -> changes."""

import hashlib
import json
from pathlib import Path

from tests.host.resources.common import HOST, names

from vru.host.base.host import Host
from vru.host.release.manifest import parse
from vru.host.resources import kernel

TEXT = "# why\nvm.overcommit_memory = 1\n-net/core/somaxconn=4096\n; old\nnet.ipv4.tcp_rmem = 1  2\t3\n"


def test_settings_are_read_as_systemd_reads_them():
    assert kernel.parse(TEXT) == {
        "vm.overcommit_memory": "1",
        "net.core.somaxconn": "4096",
        "net.ipv4.tcp_rmem": "1 2 3",
    }


def test_what_the_kernel_has_otherwise_is_named_and_what_it_does_not_know_is_left_out():
    actual = {
        "vm.overcommit_memory": kernel.Setting("/etc/sysctl.d/a.conf", "1", "0"),
        "net.core.somaxconn": kernel.Setting("/etc/sysctl.d/a.conf", "4096", "4096"),
        "no.such": kernel.Setting("/etc/sysctl.d/a.conf", "1", None),
    }
    changed = list(kernel.changes(HOST, actual))
    assert names(changed) == [("kernel", "vm.overcommit_memory", "update")]
    assert changed[0].detail == "0 -> 1"


def test_only_files_that_are_in_place_say_what_the_kernel_should_have(tmp_path: Path, monkeypatch):
    proc, file = tmp_path / "proc", tmp_path / "60-vru.conf"
    (proc / "vm").mkdir(parents=True)
    (proc / "vm" / "overcommit_memory").write_text("0\n")
    file.write_text("vm.overcommit_memory=1\n")
    monkeypatch.setattr(Host, "place", lambda self, path: file)
    entry = {"path": "/etc/sysctl.d/60-vru.conf", "size": 23, "mode": "0644"}
    manifest = {"protocol": 1, "release": "0" * 12}
    right = hashlib.sha256(file.read_bytes()).hexdigest()

    def found(sha256: str):
        parsed = parse(json.dumps({**manifest, "files": [{**entry, "sha256": sha256}]}))
        return kernel.facts(HOST, parsed, proc)

    assert found(right)["vm.overcommit_memory"] == kernel.Setting("/etc/sysctl.d/60-vru.conf", "1", "0")
    assert found("0" * 64) == {}
