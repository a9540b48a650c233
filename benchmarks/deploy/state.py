"""The state that a live release describes, written down for other tools: the same files, modes, units, rules, checks.

What the tools are asked to hold true is taken from the server itself, so it is what `vru` keeps there: every generated
file, the compose file and ``.env`` one by one with owner and mode; the sources, which nobody describes file by file
in these tools, as one archive that is unpacked when it changes (so they look at one checksum, `vru` at each file);
directories with owner and mode; packages; units; firewall rules; containers; addresses that answer.
"""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from benchmarks.deploy.scene import ROOT, Scene

# The sources and what else the images are built from: one archive.
_TREES = ("src/", "models/", "Dockerfile", "pyproject.toml", "uv.lock", ".dockerignore")
# Files of the tool itself; the others have theirs elsewhere.
_OWN = ("bin/", "/usr/local/bin/vru-platform")


def export(scene: Scene, folder: Path) -> dict[str, Any]:
    """Write ``state.json``, the single files and the archive to ``folder``; return the state."""
    release = scene.server.run(f"cat {ROOT}/releases/current").strip()
    manifest = json.loads(scene.server.run(f"cat {ROOT}/releases/{release}/manifest.json"))
    (folder / "files").mkdir(parents=True)
    single, tree = [], []
    for entry in manifest["files"]:
        path = entry["path"]
        if path.startswith(_OWN):
            continue
        if path.startswith(_TREES):
            tree.append(path)
            continue
        source = folder / "files" / entry["sha256"]
        source.write_text(scene.server.run(f"cat {ROOT}/releases/objects/{entry['sha256']}"))
        place = path if path.startswith("/") else f"{ROOT}/{path}"
        single.append({"path": place, "source": str(source), "mode": entry["mode"]})
    _archive(scene, tree, folder / "sources.tar")
    state = {
        "root": ROOT,
        "packages": ["docker.io", "docker-compose"],
        "directories": [
            {
                "path": f"{ROOT}/{one['path']}",
                "owner": str(one["uid"]),
                "group": str(one["gid"]),
                "mode": one["mode"],
            }
            for one in manifest["directories"]
        ],
        "files": single,
        "archive": str(folder / "sources.tar"),
        "archived": len(tree),
        "units": [unit["name"] for unit in manifest["units"]],
        "ssh_ports": manifest["firewall"]["ssh_ports"],
        "open_ports": manifest["firewall"]["open"],
        "closed_ports": [int(port) for port in manifest["firewall"]["restricted"]],
        "compose": f"docker compose -f {ROOT}/docker-compose.production.yml up -d --wait",
        "urls": [f"http://127.0.0.1:{port}/" for port in (80, 3000)] + ["http://127.0.0.1:8000/health"],
    }
    (folder / "state.json").write_text(json.dumps(state, indent=1))
    return state


def described(state: dict[str, Any]) -> str:
    """How much that is, in a sentence."""
    return (
        f"{len(state['files'])} files and {len(state['directories'])} directories with owner and mode, "
        f"{state['archived']} sources in one archive, {len(state['packages'])} packages, {len(state['units'])} units, "
        f"9 firewall rules, all containers by one `docker compose up -d --wait`, {len(state['urls'])} addresses"
    )


def _archive(scene: Scene, paths: list[str], target: Path) -> None:
    with tarfile.open(target, "w") as archive:
        for path in paths:
            data = (scene.laptop.root / path).read_bytes()
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))
