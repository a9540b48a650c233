"""The executor: one change, from taking the lock to its last line in the journal and in the audit.

It may be killed at any moment: the next run finishes what is left.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from ..base.errors import FAILED, OK, FencedError, HostError, UserError, plain
from ..base.host import Host
from ..base.journal import Journal
from ..lock import audit
from ..lock.lock import lock
from ..release import store
from ..wire import Manifest
from .plan import state_of_release
from .steps import DEPLOY, ROLLBACK, SETUP_ONLY, Executor

__all__ = ["DEPLOY", "ROLLBACK", "SETUP_ONLY", "execute"]

_PURPOSES = {
    DEPLOY: "the deployment of release", SETUP_ONLY: "the setup for release", ROLLBACK: "the rollback to release",
}  # fmt: skip


def execute(
    host: Host,
    release: str,
    journal_path: Path,
    unit: str,
    *,
    mode: str = DEPLOY,
    expect: str | None = None,
    watch_s: float = 0.0,
) -> int:
    """Make the change and journal it; never raises for what can go wrong with a server.

    Args:
        host: the server.
        release: the release to make true; it is kept on the server.
        journal_path: where each step is written down.
        unit: the systemd unit that this process runs in.
        mode: `DEPLOY`; `SETUP_ONLY` for what does not touch the platform; `ROLLBACK` for what builds nothing.
        expect: the state of the server (`plan.state_of`) for which the change was agreed to; another one stops it.
        watch_s: how long new containers are watched, in seconds, while the old ones stand by.

    Returns:
        The exit code: 0 for a success.
    """
    journal = Journal(journal_path)
    failure: UserError | None = HostError("The change was stopped.", f"Run the same command again. ({unit})")
    begun = False
    try:
        with lock(host, f"{_PURPOSES[mode]} {release}", release=release, unit=unit, journal=str(journal_path)) as lease:
            journal.guard = lease.check
            journal.begin(release, unit, lease.token)
            audit.record(host, mode, outcome="begun", release=release)
            begun = True
            manifest = store.load(host, release)
            if expect is not None:
                _check_state(host, manifest, expect)
            Executor(host, manifest, journal, watch_s).run(mode)
            lease.check()
            if expect is not None and mode == SETUP_ONLY:
                journal.state = state_of_release(host, manifest)
            journal.audit = audit.record(
                host, mode, outcome="done", release=release, detail=f"{journal.changed} changes"
            )
            failure = None
            journal.end(release)
    except UserError as error:
        failure = error
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        failure = HostError(
            f"The server refused a step: {plain(error)}.", "Correct the cause, then run the same command again."
        )
    finally:
        if failure is not None:
            journal.fail(failure)
            outcome = "fenced" if isinstance(failure, FencedError) else "failed" if begun else "refused"
            audit.record(host, mode, outcome=outcome, release=release, detail=failure.message)
    return FAILED if failure else OK


def _check_state(host: Host, manifest: Manifest, expect: str) -> None:
    """Under the lock, so that nothing slips in between the look and the change."""
    if state_of_release(host, manifest) != expect:
        raise HostError(
            "The server has moved on since the plan was made; nothing was changed.",
            "Make a new plan and look through it: vru plan",
        )
