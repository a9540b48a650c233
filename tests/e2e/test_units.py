"""Our systemd units on a real server: confined, and able to do their work all the same; and who asked, as it knows."""

import re
import socket
import subprocess

import pytest
from tests.e2e.laptop import Laptop, on_server

UNITS = ("vru-platform", "vru-backup", "vru-watchdog", "vru-firewall")


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_itself_scores_it_well(deployed: Laptop, unit: str) -> None:
    said = on_server(deployed, f"systemd-analyze security --no-pager {unit}.service")
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", said)
    assert found is not None, said
    assert float(found[1]) <= 4.0


def test_a_backup_is_made_in_its_confined_unit(deployed: Laptop) -> None:
    before = on_server(deployed, "ls /opt/vru-platform/backups").split()
    said = on_server(
        deployed, "systemctl start vru-backup.service; systemctl show --property=Result vru-backup.service"
    )
    assert said.split() == ["Result=success"]
    assert len(on_server(deployed, "ls /opt/vru-platform/backups").split()) == len(before) + 1


def test_flushed_rules_are_back_when_the_firewall_s_unit_starts(deployed: Laptop) -> None:
    on_server(deployed, "ip6tables -F VRU-DOCKER && systemctl restart vru-firewall.service")
    assert "DROP" in on_server(deployed, "ip6tables -S VRU-DOCKER")


def test_the_audit_names_the_key_that_the_laptop_used(deployed: Laptop) -> None:
    key = deployed.home / ".ssh" / "id_ed25519"
    fingerprint = subprocess.check_output(["ssh-keygen", "-lf", key], text=True).split()[1]
    entries = deployed.vru_json("audit")["entries"]
    # What other tests do on the server itself came over no key of this laptop.
    mine = f"@{socket.gethostname()}"
    applied = [entry for entry in entries if entry["action"] == "apply" and entry["actor"].endswith(mine)]
    assert applied
    assert {entry["key"] for entry in applied} == {fingerprint}
