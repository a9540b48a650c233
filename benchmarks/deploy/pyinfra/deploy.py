"""The platform's state as a pyinfra user would describe it."""

import json
from pathlib import Path

from pyinfra import host
from pyinfra.operations import apt, files, iptables, server, systemd

state = json.loads(Path(host.data.state_file).read_text())

apt.packages(name="packages", packages=state["packages"])

for one in state["directories"]:
    files.directory(
        name=f"directory {one['path']}", path=one["path"], user=one["owner"], group=one["group"], mode=one["mode"]
    )

placed = [
    files.put(
        name=f"file {one['path']}", src=one["source"], dest=one["path"], user="root", group="root", mode=one["mode"]
    )
    for one in state["files"]
]

archive = files.put(
    name="archive of the sources",
    src=state["archive"],
    dest=f"{state['root']}/state/sources.tar",
    user="root",
    group="root",
    mode="600",
)
server.shell(
    name="sources", commands=[f"tar -xf {state['root']}/state/sources.tar -C {state['root']}"], _if=archive.did_change
)

for version in (4, 6):
    iptables.rule(
        name="connections",
        chain="INPUT",
        jump="ACCEPT",
        version=version,
        extras="-m conntrack --ctstate RELATED,ESTABLISHED",
    )
    iptables.rule(name="this machine", chain="INPUT", jump="ACCEPT", version=version, in_interface="lo")
    iptables.rule(
        name="SSH",
        chain="INPUT",
        jump="ACCEPT",
        version=version,
        protocol="tcp",
        destination_port=state["ssh_ports"][0],
    )
    ports = ",".join(str(port) for port in state["open_ports"])
    iptables.rule(
        name="open ports",
        chain="INPUT",
        jump="ACCEPT",
        version=version,
        protocol="tcp",
        extras=f"-m multiport --dports {ports}",
    )
for port in state["closed_ports"]:
    iptables.rule(
        name="closed ports, also past Docker",
        chain="DOCKER-USER",
        jump="DROP",
        protocol="tcp",
        in_interface="eth0",
        destination_port=port,
    )

systemd.daemon_reload(name="unit files", _if=lambda: any(one.did_change() for one in placed))
server.shell(name="containers", commands=[state["compose"]])
for unit in state["units"]:
    systemd.service(name=f"unit {unit}", service=unit, running=True, enabled=True)
for url in state["urls"]:
    server.shell(
        name=f"address {url}",
        commands=[f"python3 -c \"import urllib.request as u; u.urlopen('{url}', timeout=30).read()\""],
    )
