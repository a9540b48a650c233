"""Tables, listeners and sshd as they are, and a policy -> changes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.host.resources.common import HOST, names

from vru.host.base.errors import HostError
from vru.host.base.host import Host
from vru.host.base.journal import Journal, Step
from vru.host.base.run import Done, Runner
from vru.host.firewall import confirmation, sockets
from vru.host.firewall.rules import Policy, Table, differences, docker_rules, input_rules
from vru.host.resources import firewall
from vru.host.wire import FirewallEntry

# As `ss -Htulnp` printed it.
LISTENING = """udp   UNCONN 0      0            0.0.0.0:68         0.0.0.0:*    users:(("dhclient",pid=7,fd=7))
udp   UNCONN 0      0            0.0.0.0:51820      0.0.0.0:*
tcp   LISTEN 0      128          0.0.0.0:2222       0.0.0.0:*    users:(("sshd",pid=120,fd=3))
tcp   LISTEN 0      4096       127.0.0.1:38217      0.0.0.0:*    users:(("containerd",pid=80,fd=9))
tcp   LISTEN 0      100             [::]:25            [::]:*    users:(("exim4",pid=300,fd=4))
tcp   LISTEN 0      4096         0.0.0.0:9999       0.0.0.0:*    users:(("docker-proxy",pid=1217,fd=4))
tcp   LISTEN 0      4096            [::]:9999          [::]:*    users:(("docker-proxy",pid=1222,fd=4))
tcp   LISTEN 0      4096   127.0.0.53%lo:53         0.0.0.0:*    users:(("systemd-resolve",pid=9,fd=1))
"""
ENTRY = FirewallEntry(ssh_ports=(22,), open=(80,), restricted={3001: ("10.0.0.0/8",)})


def tables(**differences):
    values = {
        "tables": {4: Table.parse(":INPUT ACCEPT [0:0]"), 6: None},
        "ssh_ports": frozenset({2222}),
        "sockets": sockets.parse_sockets(LISTENING),
        "ufw_active": False,
        "ufw_allowed": frozenset(),
        "firewalld_active": False,
        "unit_current": True,
        "confirmed": None,
    }
    return firewall.FirewallFacts(**{**values, **differences})


def test_listeners_leave_out_loopback():
    found = sockets.parse_sockets(LISTENING)
    assert sockets.tcp_ports(found) == {2222: "sshd", 25: "exim4", 9999: "docker-proxy"}
    assert [(one.port, one.version) for one in found if one.process == "docker-proxy"] == [(9999, 4), (9999, 6)]


def test_ssh_is_found_by_settings_socket_unit_and_sockets():
    listeners = sockets.tcp_ports(sockets.parse_sockets(LISTENING))
    off, on = "ActiveState=inactive\n", "ActiveState=active\n"
    assert sockets.ssh_ports("port 2200\n", off + "Listen=[::]:22 (Stream)\n", listeners) == {2200, 2222}
    # Where the socket unit listens, sshd's own settings say nothing.
    assert sockets.ssh_ports("port 22\n", "Listen=[::]:2201 (Stream)\n" + on, listeners) == {2201, 2222}
    assert sockets.ssh_ports("port 2200\n", off, {}) == {2200}


def test_the_live_ssh_port_is_open_whatever_the_release_says():
    assert firewall.policy(ENTRY, tables()).only_open() == [22, 80, 2222]


def test_rules_are_one_change_that_says_how_it_is_taken_back():
    changed = list(firewall.changes(HOST, ENTRY, tables()))
    assert names(changed) == [("firewall", "rules", "update")]
    assert "taken back unless confirmed" in changed[0].detail


def test_what_stood_open_stays_open_and_that_is_told_before():
    assert firewall.notes(ENTRY, tables()) == [
        "Port 25 (exim4) stays open, as it is.",
        "UDP port 51820 (some process) stays open, as it is.",
    ]
    wanted = firewall.policy(ENTRY, tables())
    assert wanted.own == (("tcp", 25), ("udp", 51820))
    for version in (4, 6):
        assert "-p tcp -m tcp --dport 25 -j ACCEPT" in input_rules(wanted, version)
        assert "-p udp -m udp --dport 51820 -j ACCEPT" in input_rules(wanted, version)
    assert Policy.from_json(wanted.as_json()) == wanted
    # What begins to listen after the rules were confirmed stays shut, what ended keeps its port.
    assert firewall.policy(ENTRY, tables(confirmed=wanted, sockets=())).own == wanted.own
    known = Policy((22, 80, 2222), ENTRY.restricted)
    assert firewall.policy(ENTRY, tables(confirmed=known)).own == ()
    assert firewall.notes(ENTRY, tables(confirmed=known)) == []
    # A release that brings the port itself needs no second rule.
    assert firewall.policy(replace(ENTRY, open=(25, 80)), tables()).own == (("udp", 51820),)


def test_it_is_closed_where_the_operator_agreed_and_that_is_told_before():
    agreed = replace(ENTRY, close_others=True)
    closed = [
        "Port 25 (exim4) will no longer be reached from outside.",
        "UDP port 51820 (some process) will no longer be reached from outside.",
    ]
    assert firewall.notes(agreed, tables()) == closed
    assert firewall.policy(agreed, tables()).own == ()
    kept = firewall.policy(ENTRY, tables())
    assert firewall.notes(agreed, tables(confirmed=kept)) == closed


def test_a_programs_own_way_of_asking_is_no_port_to_keep_open():
    asking = sockets.parse_sockets('udp UNCONN 0 0 0.0.0.0:45123 0.0.0.0:* users:(("chronyd",pid=3,fd=5))\n')
    assert firewall.policy(ENTRY, tables(sockets=asking)).own == ()


def test_with_ufw_active_its_rules_are_added_to():
    changed = list(firewall.changes(HOST, ENTRY, tables(ufw_active=True, ufw_allowed=frozenset({22}))))
    assert ("firewall", "ufw", "update") in names(changed)
    assert next(change.detail for change in changed if change.name == "ufw") == "allow 80, 2222"
    assert firewall.policy(ENTRY, tables(ufw_active=True)).judge_input is False


def test_each_rule_that_lacks_or_is_too_much_is_named():
    wanted = firewall.policy(ENTRY, tables())
    right = [rule for rule in input_rules(wanted, 4) if "--dport 2222 " not in rule]
    chains = {
        "INPUT": ("-j VRU-INPUT",),
        "FORWARD": ("-j DOCKER-USER",),
        "DOCKER-USER": (),
        "VRU-INPUT": ("-p tcp -m tcp --dport 9999 -j ACCEPT", *right),
        "VRU-DOCKER": tuple(docker_rules(wanted, 4)),
    }
    assert differences(wanted, Table(chains), 4) == [
        "+ IPv4 VRU-INPUT -p tcp -m tcp --dport 2222 -j ACCEPT",
        "- IPv4 VRU-INPUT -p tcp -m tcp --dport 9999 -j ACCEPT",
        "+ IPv4 DOCKER-USER -j VRU-DOCKER",
    ]


class CommandsStandIn(Runner):
    """Notes every command, and what was pending when it came; iptables and ufw are not touched."""

    def __init__(self, state: Path) -> None:
        self.pending = state / "firewall" / "pending.json"
        self.commands: list[tuple[str, bool]] = []
        self.refused = ""

    def __call__(self, argv: Sequence[str], *, check: bool = True, **others: Any) -> Done:
        text = " ".join(argv)
        self.commands.append((text, self.pending.exists()))
        if self.refused and text.startswith(self.refused):
            if check:
                raise HostError(f"`{self.refused}` ended with 1.")
            return Done(tuple(argv), 1, "", "")
        return Done(tuple(argv), 0, ":INPUT ACCEPT [0:0]\n" if "-save" in argv[0] else "", "")

    def named(self, *beginnings: str) -> list[str]:
        return [text for text, _ in self.commands if text.startswith(beginnings)]


@pytest.fixture
def server(tmp_path: Path) -> tuple[Host, CommandsStandIn, Step]:
    commands = CommandsStandIn(tmp_path / "state")
    return Host(tmp_path, commands), commands, Step(Journal(tmp_path / "journal.jsonl"), "setup", "firewall")


def apply(host: Host, step: Step, **found: Any) -> None:
    for change in firewall.changes(host, ENTRY, tables(**found)):
        assert change.apply is not None
        change.apply(step)


def test_the_take_back_is_armed_before_any_rule_is_applied(server: tuple[Host, CommandsStandIn, Step]) -> None:
    host, commands, step = server
    apply(host, step)
    told = [word for text, _ in commands.commands if (word := text.split()[0]) in ("systemd-run", "iptables-restore")]
    assert told[0] == "systemd-run"
    assert "iptables-restore" in told[1:]
    (timer,) = commands.named("systemd-run")
    assert f"--on-active={confirmation.CONFIRM_S}" in timer
    assert timer.endswith("firewall-revert")
    assert all(pending for text, pending in commands.commands if text.startswith("iptables-restore"))


def test_nothing_is_applied_where_the_take_back_cannot_be_armed(server: tuple[Host, CommandsStandIn, Step]) -> None:
    host, commands, step = server
    commands.refused = "systemd-run"
    with pytest.raises(HostError, match="systemd-run"):
        apply(host, step)
    assert commands.named("iptables-restore", "ip6tables-restore", "ufw") == []
    assert not confirmation.pending(host)


@pytest.mark.parametrize("end", [confirmation.revert, confirmation.apply_at_boot])
def test_a_take_back_takes_out_what_it_told_ufw_and_nothing_else(
    server: tuple[Host, CommandsStandIn, Step], end: Any
) -> None:
    host, commands, step = server
    apply(host, step, ufw_active=True, ufw_allowed=frozenset({22}))
    assert commands.named("ufw") == ["ufw allow 80/tcp", "ufw allow 2222/tcp"]
    end(host)
    assert commands.named("ufw delete") == ["ufw delete allow 80/tcp", "ufw delete allow 2222/tcp"]
    assert not confirmation.pending(host)
    end(host)
    assert len(commands.named("ufw delete")) == 2


def test_what_was_confirmed_stays_in_ufw(server: tuple[Host, CommandsStandIn, Step]) -> None:
    host, commands, step = server
    apply(host, step, ufw_active=True)
    confirmation.confirm(host)
    confirmation.revert(host)
    confirmation.apply_at_boot(host)
    assert commands.named("ufw delete") == []


def test_a_take_back_that_ufw_refuses_is_tried_again(server: tuple[Host, CommandsStandIn, Step]) -> None:
    host, commands, step = server
    apply(host, step, ufw_active=True)
    commands.refused = "ufw delete"
    with pytest.raises(HostError):
        confirmation.revert(host)
    assert confirmation.pending(host)
    commands.refused = ""
    assert confirmation.revert(host).startswith("taken back")
    assert commands.named("ufw delete")[-3:] == [f"ufw delete allow {port}/tcp" for port in (22, 80, 2222)]
