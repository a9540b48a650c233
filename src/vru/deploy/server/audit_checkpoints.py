"""What this laptop has seen of each server's audit, so that a rewritten or shortened one is found."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vru.deploy.ssh.connection import Address
from vru.host.base.disk import write_json
from vru.host.wire import AuditHead

_KEPT = 100


def record(address: Address, head: AuditHead | None) -> None:
    """Keep the newest line's ``seq`` and ``hash``; the last hundred that were seen are kept."""
    if head is None:
        return
    seen = _load(address)
    if any(one["hash"] == head.hash for one in seen):
        return
    seen.append({"seq": head.seq, "hash": head.hash, "time": time.strftime("%Y-%m-%d %H:%M", time.gmtime())})
    file = _file(address)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_json(file, {"server": _name(address), "seen": seen[-_KEPT:]})


def contradictions(address: Address, entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a server's audit no longer holds of what was seen: one sentence, or none."""
    hashes = {entry.get("seq"): entry.get("hash") for entry in entries}
    for one in _load(address):
        if hashes.get(one["seq"]) == one["hash"]:
            continue
        line = f"line {one['seq']}, which this laptop saw at {one['time']} UTC"
        if one["seq"] in hashes:
            return [f"The audit has another {line}: it was rewritten, or the server was set up anew."]
        return [f"The audit no longer has {line}: it was shortened, or the server was set up anew."]
    return []


def forget(address: Address) -> None:
    """Begin anew: the server was set up anew, and that is known."""
    _file(address).unlink(missing_ok=True)


def _load(address: Address) -> list[dict[str, Any]]:
    file = _file(address)
    if not file.is_file():
        return []
    try:
        seen = json.loads(file.read_text())["seen"]
        return [one for one in seen if isinstance(one["seq"], int) and isinstance(one["hash"], str)]
    except (ValueError, KeyError, TypeError):
        return []


def _name(address: Address) -> str:
    return f"{address.host}:{address.port or 22}"


def _file(address: Address) -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "vru" / "audit" / f"{_name(address).replace(':', '_').replace('/', '_')}.json"
