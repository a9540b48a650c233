"""The bare server itself: what every other end-to-end test stands on."""

import subprocess

import pytest
from tests.e2e.bareserver import BareServer, docker_answers

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not docker_answers(), reason="no Docker engine answers")]


def test_a_bare_server_is_reached_by_its_key_and_comes_back_after_a_reboot():
    with BareServer("vruhost-self", address=None) as server:
        key = server.host_key_fingerprint()
        assert server.run("command -v docker || echo none").strip() == "none"
        first = subprocess.run(
            [*server.ssh_command("debian"), "sudo id -u"], capture_output=True, text=True, check=True
        )
        assert first.stdout.strip() == "0"

        server.write("/etc/kept", b"still here\n")
        server.restart()
        assert server.read("/etc/kept") == b"still here\n"
        assert server.host_key_fingerprint() == key

        server.change_host_keys()
        assert server.host_key_fingerprint() != key
