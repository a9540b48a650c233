"""Recorded facts and an expectation -> the changes still needed, for each kind of resource."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.host.tiny import Tiny

from vru.host.compose import Compose, Service, View, parse_container
from vru.host.database import scram, scram_matches
from vru.host.errors import HostError
from vru.host.host import Host, read_env_text
from vru.host.manifest import DirectoryEntry, FirewallEntry, Manifest, UnitEntry
from vru.host.resources import containers, directories, files, firewall, images, migration, packages, units
from vru.host.rules import Policy, Table

HOST = Host(Path("/nowhere"))
FULL = frozenset({"docker", "compose", "buildx", "docker-compose", "iptables", "logrotate", "apparmor"})
# What setup itself writes: with it in place there is nothing to add.
SETTLED = packages.merged_daemon_json(None)


def system(**differences):
    values = {
        "os_id": "debian",
        "os_like": "",
        "os_version": "13",
        "codename": "trixie",
        "present": FULL,
        "docker_ce": False,
        "docker_running": True,
        "docker_enabled": True,
        "apparmor": False,
        "daemon_json": SETTLED,
    }
    return packages.PackageFacts(**{**values, **differences})


def names(changes):
    return [(change.resource, change.name, change.action) for change in changes]


# -- packages ---------------------------------------------------------------------------------------------------------


def test_a_complete_server_needs_nothing():
    assert names(packages.changes(HOST, "distribution", system())) == []


def test_a_bare_debian_gets_settings_before_packages():
    bare = system(present=frozenset(), docker_running=False, docker_enabled=False, daemon_json=None)
    assert names(packages.changes(HOST, "distribution", bare)) == [
        ("docker", "/etc/docker/daemon.json", "create"),
        ("package", "docker.io docker-cli docker-compose docker-buildx iptables logrotate", "install"),
        ("unit", "docker.service", "start"),
    ]


@pytest.mark.parametrize(
    ("facts", "source", "wanted"),
    [
        (
            {"os_id": "ubuntu", "os_version": "24.04", "present": frozenset({"iptables", "logrotate"})},
            "distribution",
            ["docker.io", "docker-compose-v2", "docker-buildx"],
        ),
        (
            {"present": frozenset({"iptables", "logrotate"})},
            "docker",
            ["docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin", "docker-buildx-plugin"],
        ),
        # What came from Docker's repository is completed from there, whatever the release says.
        (
            {"docker_ce": True, "present": FULL - {"compose"}},
            "distribution",
            ["docker-compose-plugin"],
        ),
        # A kernel with AppArmor and no parser: Docker could not start a container.
        ({"apparmor": True, "present": FULL - {"apparmor"}}, "distribution", ["apparmor"]),
        ({"os_id": "linuxmint", "os_like": "ubuntu debian", "present": FULL - {"compose"}}, "distribution",
         ["docker-compose-v2"]),
    ],
)  # fmt: skip
def test_what_is_missing_comes_from_the_right_place(facts, source, wanted):
    assert packages.wanted_packages(system(**facts), source) == wanted


def test_without_the_old_command_a_shim_takes_its_name():
    there = names(packages.changes(HOST, "distribution", system(present=FULL - {"docker-compose"})))
    assert there == [("file", "/usr/local/bin/docker-compose", "create")]


@pytest.mark.parametrize("facts", [{"os_version": "12"}, {"os_id": "fedora"}])
def test_a_system_without_the_packages_is_an_error_with_its_fix(facts):
    with pytest.raises(HostError) as caught:
        packages.wanted_packages(system(present=frozenset(), **facts), "distribution")
    assert caught.value.fix


def test_the_servers_own_docker_settings_are_kept():
    own = {"registry-mirrors": ["http://10.0.0.1:5000"], "log-driver": "journald", "live-restore": False}
    assert packages.merged_daemon_json(json.dumps(own)) is None
    merged = json.loads(packages.merged_daemon_json(json.dumps({"registry-mirrors": ["http://10.0.0.1:5000"]})))
    assert merged["registry-mirrors"] == ["http://10.0.0.1:5000"]
    assert merged["live-restore"] is True
    assert merged["log-opts"]["max-size"] == "10m"


@pytest.mark.parametrize("text", ["{", "[]", '"x"'])
def test_a_broken_daemon_json_is_left_alone(text):
    with pytest.raises(HostError, match=r"daemon\.json"):
        packages.merged_daemon_json(text)


# -- directories and files --------------------------------------------------------------------------------------------


def test_directories_are_created_and_mended():
    wanted = [DirectoryEntry("a", 999, 999, 0o700), DirectoryEntry("b", None, None, 0o755)]
    good = directories.Found(True, 999, 999, 0o700)
    assert names(directories.changes(HOST, wanted, {"a": None, "b": directories.Found(True, 5, 5, 0o755)})) == [
        ("directory", "a", "create")
    ]
    changed = list(directories.changes(HOST, wanted[:1], {"a": directories.Found(True, 0, 999, 0o755)}))
    assert changed[0].detail == "owner 0 -> 999, mode 0755 -> 0700"
    assert names(directories.changes(HOST, wanted[:1], {"a": good})) == []


def test_a_file_where_a_directory_must_be_is_an_error():
    with pytest.raises(HostError, match="no directory"):
        list(
            directories.changes(
                HOST, [DirectoryEntry("a", None, None, 0o700)], {"a": directories.Found(False, 0, 0, 0o644)}
            )
        )


def test_files_are_compared_by_content_mode_and_owner_and_old_ones_removed():
    manifest = Manifest.parse(json.dumps(Tiny().manifest()))
    entry = manifest.files[0]
    same = {item.path: files.Found(item.sha256, item.mode, item.uid or 0, item.gid or 0) for item in manifest.files}
    everything = frozenset(item.path for item in manifest.files)

    def changed(found, owned=everything):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("os.geteuid", lambda: 0)
            patch.setattr("os.getegid", lambda: 0)
            return [
                (change.name, change.action, change.detail)
                for change in files.changes(HOST, manifest, files.FileFacts(found, owned))
            ]

    assert changed(same) == []
    assert changed({**same, entry.path: None})[0][:2] == (entry.path, "create")
    assert changed({**same, entry.path: files.Found(None, entry.mode, 0, 0)}) == [(entry.path, "update", "content")]
    assert changed({**same, ".env": files.Found(manifest.file(".env").sha256, 0o644, 0, 0)}) == [
        (".env", "update", "mode 0644 -> 0600")
    ]
    assert changed(same, everything | {"src/old.py"}) == [("src/old.py", "remove", "no longer part of the release")]


# -- units ------------------------------------------------------------------------------------------------------------

# As `systemctl show` of systemd 257 printed it.
SHOWN = """Id=vru-platform.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
NeedDaemonReload=no

Id=vru-backup.timer
LoadState=loaded
ActiveState=inactive
UnitFileState=disabled
NeedDaemonReload=yes

Id=gone.timer
LoadState=not-found
ActiveState=inactive
UnitFileState=
NeedDaemonReload=no
"""


def test_units_are_reloaded_enabled_and_started_where_they_differ():
    wanted = [UnitEntry(name, True, True) for name in ("vru-platform.service", "vru-backup.timer", "gone.timer")]
    assert names(units.changes(HOST, wanted, units.parse(SHOWN))) == [
        ("systemd", "unit files", "update"),
        ("unit", "vru-backup.timer", "enable"),
        ("unit", "vru-backup.timer", "start"),
        ("unit", "gone.timer", "enable"),
        ("unit", "gone.timer", "start"),
    ]
    assert names(units.changes(HOST, wanted[:1], {"vru-platform.service": units.parse(SHOWN)[wanted[0].name]})) == []


def test_a_unit_may_be_wanted_stopped():
    off = [UnitEntry("vru-platform.service", False, False)]
    found = {"vru-platform.service": units.parse(SHOWN)["vru-platform.service"]}
    assert [change.action for change in units.changes(HOST, off, found)] == ["disable", "stop"]


# -- firewall ---------------------------------------------------------------------------------------------------------

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
        "sockets": firewall.parse_sockets(LISTENING),
        "ufw_active": False,
        "ufw_allowed": frozenset(),
        "firewalld_active": False,
        "unit_current": True,
        "confirmed": None,
    }
    return firewall.FirewallFacts(**{**values, **differences})


def test_listeners_leave_out_loopback():
    found = firewall.parse_sockets(LISTENING)
    assert firewall.tcp_ports(found) == {2222: "sshd", 25: "exim4", 9999: "docker-proxy"}
    assert [(one.port, one.version) for one in found if one.process == "docker-proxy"] == [(9999, 4), (9999, 6)]


def test_ssh_is_found_by_settings_socket_unit_and_sockets():
    listeners = firewall.tcp_ports(firewall.parse_sockets(LISTENING))
    assert firewall.ssh_ports("port 2200\n", "Listen=[::]:2201 (Stream)\n", listeners) == {2200, 2201, 2222}


def test_the_live_ssh_port_is_open_whatever_the_release_says():
    assert firewall.policy(ENTRY, tables()).only_open() == [22, 80, 2222]


def test_rules_are_one_change_that_says_how_it_is_taken_back():
    changed = list(firewall.changes(HOST, ENTRY, tables()))
    assert names(changed) == [("firewall", "rules", "update")]
    assert "taken back unless confirmed" in changed[0].detail


def test_what_will_be_closed_is_told_before():
    assert firewall.notes(ENTRY, tables()) == [
        "Port 25 (exim4) will no longer be reached from outside.",
        "UDP port 51820 (some process) will no longer be reached from outside.",
    ]
    known = Policy((22, 80, 2222), ENTRY.restricted)
    assert firewall.notes(ENTRY, tables(confirmed=known)) == []


def test_with_ufw_active_its_rules_are_added_to():
    changed = list(firewall.changes(HOST, ENTRY, tables(ufw_active=True, ufw_allowed=frozenset({22}))))
    assert ("firewall", "ufw", "update") in names(changed)
    assert next(change.detail for change in changed if change.name == "ufw") == "allow 80, 2222"
    assert firewall.policy(ENTRY, tables(ufw_active=True)).judge_input is False


# -- images, containers, migrations -----------------------------------------------------------------------------------


def test_only_absent_images_are_pulled_and_built():
    manifest = Manifest.parse(json.dumps(Tiny().manifest()))
    tag = manifest.images[0].image
    assert names(images.pull_changes(HOST, manifest, {"postgres:17-trixie"})) == [
        ("image", "nginxinc/nginx-unprivileged:1.28-trixie", "pull")
    ]
    assert names(images.build_changes(manifest, set())) == [("image", tag, "build")]
    assert names(images.build_changes(manifest, {tag})) == []


def service(name, digest="d1", **differences):
    values = {"image": f"{name}:1", "ports": (), "healthcheck": True, "restart": "unless-stopped", "depends_on": ()}
    return Service(name=name, digest=digest, **{**values, **differences})


def container(name, digest="d1", *, state="running", health="healthy", started=None, image=None, code=0):
    return parse_container(
        {
            "Id": f"id-{name}",
            "Name": f"/vru-platform-{name}-1",
            "RestartCount": 0,
            "Args": [],
            "State": {
                "Status": state,
                "ExitCode": code,
                "Pid": 1,
                "StartedAt": (started or "2026-01-31T12:00:00.123456789Z"),
                "Health": {"Status": health, "Log": [{"Output": "said\nthis"}]},
            },
            "Config": {
                "Image": image or f"{name}:1",
                "Env": ["A=b=c"],
                "Labels": {"com.docker.compose.service": name, "com.docker.compose.config-hash": digest},
            },
            "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}},
        }
    )


def view(*services):
    return View({item.name: item for item in services}, {"migrate": service("migrate", "", image="engine:2")})


def found(*there, written=None, loaded=None):
    return containers.ContainerFacts(there, written, loaded)


def test_containers_that_are_as_wanted_need_nothing():
    assert names(containers.changes(view(service("api")), found(container("api")))) == []


def test_containers_are_created_recreated_started_and_removed():
    wanted = view(service("new"), service("api", "d2"), service("worker"), service("image", "d2", image="image:2"))
    there = found(container("api"), container("worker", state="exited", code=1), container("old"), container("image"))
    changed = list(containers.changes(wanted, there))
    assert names(changed) == [
        ("container", "new", "create"),
        ("container", "api", "update"),
        ("container", "worker", "start"),
        ("container", "image", "update"),
        ("container", "vru-platform-old-1", "remove"),
    ]
    assert changed[1].detail == "settings"
    assert changed[3].detail == "image image:1 -> image:2"


def test_the_number_of_containers_is_compared_although_composes_digest_leaves_it_out():
    assert names(containers.changes(view(service("worker", replicas=2)), found(container("worker")))) == [
        ("container", "worker", "update")
    ]
    assert names(containers.changes(view(service("worker", replicas=0)), found())) == []
    assert view(service("worker", replicas=0), service("api")).running == ["api"]


def test_a_one_off_container_is_none_of_the_services():
    raw = {"Config": {"Labels": {"com.docker.compose.oneoff": "True"}}}
    assert parse_container(raw) is None


def test_a_containers_time_health_and_environment_are_read():
    parsed = container("api")
    assert parsed.started == datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
    assert parsed.environment == {"A": "b=c"}
    assert parsed.probe == "said this"
    assert parsed.settled
    assert not container("api", health="starting").settled


def test_nginx_is_reloaded_only_when_its_files_are_newer():
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    compose = Compose(HOST)
    newer, older = moment + timedelta(seconds=1), moment - timedelta(seconds=1)
    assert names(containers.nginx_changes(compose, found(written=newer, loaded=moment))) == [
        ("nginx", "configuration", "reload")
    ]
    assert names(containers.nginx_changes(compose, found(written=older, loaded=moment))) == []
    assert names(containers.nginx_changes(compose, found(written=newer))) == []


def test_what_a_service_needs_is_found_through_others():
    wanted = view(service("postgres"), service("api", depends_on=("postgres",)), service("web", depends_on=("api",)))
    assert wanted.before("web") == {"api", "postgres"}


@pytest.mark.parametrize(
    ("image", "recorded", "version", "needed"),
    [
        ("engine:2", "0003", "0003", False),
        ("engine:1", "0003", "0003", True),  # another image may bring more
        ("engine:2", "0003", "0002", True),  # an older backup came back
        ("engine:2", "0003", "", True),  # the database was dropped
        ("engine:2", "0003", None, True),  # the database does not run yet
        ("", "", "", True),
    ],
)
def test_migrations_run_when_the_image_or_the_schema_is_another(image, recorded, version, needed):
    facts = migration.MigrationFacts(image, recorded, version)
    changed = names(migration.changes(Compose(HOST), "migrate", view(), facts))
    assert changed == ([("migration", "migrate", "run")] if needed else [])


def test_a_missing_migration_service_is_named():
    with pytest.raises(HostError, match="'upgrade'"):
        list(migration.changes(Compose(HOST), "upgrade", view(), migration.MigrationFacts("", "", "")))


# -- small things -----------------------------------------------------------------------------------------------------


def test_a_stored_password_is_recognised():
    # RFC 7677's example: user "user", password "pencil", this salt, 4096 iterations.
    stored = (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )
    assert scram_matches(stored, "pencil")
    assert not scram_matches(stored, "pencils")
    assert not scram_matches("md5abc", "pencil")
    assert not scram_matches("", "pencil")
    assert scram_matches(scram("another", b"0123456789abcdef"), "another")


def test_env_files_are_read_as_compose_reads_them():
    text = "# comment\nA=1\nexport B='two words'\nC=\"three\"\nD=four # comment\n\nbroken\nE=a=b\n"
    assert read_env_text(text) == {"A": "1", "B": "two words", "C": "three", "D": "four", "E": "a=b"}
