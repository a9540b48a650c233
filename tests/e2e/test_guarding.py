"""The operator's lock, the executor's lease and the audit on a real server."""

import json
import os
import subprocess
import sys
import time

import pytest
from tests.e2e.laptop import VRU, Laptop, container_ids, on_server
from tests.e2e.test_crash_safety import Deploy, Watcher
from tests.e2e.updates import ROOT, assert_whole, change, changed_project, live_title

AUDIT = f"{ROOT}/state/audit.jsonl"


def test_an_operators_lock_stops_the_others_and_not_its_owner(
    deployed: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VRU_ACTOR", "ada@workbench")
    with changed_project(deployed):
        assert "Only ada@workbench" in deployed.vru("lock", "take", "--reason", "new disk", "--for", "10m").stdout
        change(deployed, "Locked", minute=51)
        before = container_ids(deployed)
        monkeypatch.setenv("VRU_ACTOR", "bob@notebook")
        for command in (["deploy", "--watch", "0"], ["lock", "take", "--reason", "mine"], ["lock", "release"]):
            refused = deployed.vru(*command, check=False)
            assert refused.returncode == 1
            assert "ada@workbench" in refused.stderr
            assert "new disk" in refused.stderr
        restart = deployed.server.exec(["env", "VRU_ACTOR=bob@notebook", "vru-platform", "restart", "frontend"])
        assert restart.returncode == 4
        assert "new disk" in restart.stderr
        assert deployed.vru_json("lock")["lock"]["reason"] == "new disk"
        assert container_ids(deployed) == before
        monkeypatch.setenv("VRU_ACTOR", "ada@workbench")
        deployed.vru("deploy", "--watch", "0")
        assert live_title(deployed) == "Locked"
        monkeypatch.setenv("VRU_ACTOR", "bob@notebook")
        assert "Released: ada@workbench's lock" in deployed.vru("lock", "release", "--force").stdout
    refusals = [
        entry for entry in deployed.vru_json("audit", "--tail", "200")["entries"] if entry["outcome"] == "refused"
    ]
    assert ("restart", "bob@notebook") in {(entry["action"], entry["actor"]) for entry in refusals}


def test_a_lock_is_held_while_a_command_runs_and_ends_with_a_killed_laptop(deployed: Laptop) -> None:
    shown = deployed.vru("lock", "take", "--reason", "a test", "--", str(VRU), "lock")
    assert "has locked all changes" in shown.stdout
    assert "Nobody has locked changes" in deployed.vru("lock").stdout
    failed = deployed.vru("lock", "take", "--reason", "a test", "--", sys.executable, "-c", "exit(7)", check=False)
    assert failed.returncode == 7

    holding = subprocess.Popen(
        [VRU, "lock", "take", "--reason", "killed", "--", "sleep", "600"],
        cwd=deployed.root,
        env={**os.environ, "HOME": str(deployed.home)},
        start_new_session=True,
    )
    end = time.monotonic() + 180
    while (deployed.vru_json("lock")["lock"] or {}).get("reason") != "killed":
        assert time.monotonic() < end
    os.killpg(holding.pid, 9)
    holding.wait()
    end = time.monotonic() + 180
    while deployed.vru_json("lock")["lock"] is not None:
        assert time.monotonic() < end


def test_a_stopped_executor_is_taken_over_and_changes_nothing_when_it_wakes(deployed: Laptop) -> None:
    with changed_project(deployed):
        change(deployed, "Taken over", minute=52)
        with Watcher(deployed, "freeze", set()) as watcher:
            deploy = Deploy(deployed)
            while watcher.await_step(len(watcher.steps) + 1, deploy):
                if watcher.steps[-1] == "switch nginx":
                    break
                watcher.go()
            frozen = on_server(deployed, f"ls -t {ROOT}/state/journal | head -1").strip()
            assert deploy.end(240) == 1
            assert "stopped before its end" in deploy.text
            second = deployed.vru("deploy", "--watch", "0")
            assert 'cut off at the step "switch nginx"' in second.stdout
            assert live_title(deployed) == "Taken over"
            before = container_ids(deployed), on_server(deployed, f"cat {ROOT}/data/routes/upstreams.conf")
            watcher.go()
            end = time.monotonic() + 180
            while True:
                last = json.loads(on_server(deployed, f"tail -n 1 {ROOT}/state/journal/{frozen}"))
                if last["event"] == "end":
                    break
                assert time.monotonic() < end
                time.sleep(0.5)
        assert "fenced: this change had token" in last["message"]
        assert before == (container_ids(deployed), on_server(deployed, f"cat {ROOT}/data/routes/upstreams.conf"))
        outcomes = [entry["outcome"] for entry in deployed.vru_json("audit")["entries"]]
        assert outcomes.index("taken over") < outcomes.index("fenced")
        assert_whole(deployed)


def test_an_altered_audit_is_found_and_the_line_named(deployed: Laptop) -> None:
    on_server(deployed, "vru-platform restart frontend")
    assert "the chain is whole" in deployed.vru("audit").stdout
    kept = on_server(deployed, f"cp -a {AUDIT} /root/audit.kept; wc -l < {AUDIT}").strip()
    try:
        for damage, said in (
            (f'sed -i \'2s/"outcome":"[a-z]*"/"outcome":"never"/\' {AUDIT}', "Line 2 was altered"),
            (f"sed -i 2d {AUDIT}", "Line 2 has the number 3"),
            (f"sed -i '$d' {AUDIT}", "The last line was cut off"),
            # Root forged all of it: this server cannot tell, but the laptop saw another one.
            (f"rm {AUDIT} {ROOT}/state/audit-head.json; vru-platform restart frontend", "this laptop saw"),
        ):
            on_server(deployed, f"cp -a {ROOT}/state/audit-head.json /root/audit-head.kept; {damage}")
            found = deployed.vru("audit", check=False)
            assert found.returncode == 1
            assert said in found.stderr
            on_server(deployed, f"cp -a /root/audit.kept {AUDIT}")
            on_server(deployed, f"cp -a /root/audit-head.kept {ROOT}/state/audit-head.json")
    finally:
        on_server(deployed, f"cp -a /root/audit.kept {AUDIT}; rm /root/audit*.kept")
    assert f"{kept} lines, the chain is whole" in deployed.vru("audit").stdout
