"""Become another program that cannot outlive its parent. Run as a script: it knows the standard library only.

Usage: ``python -I -S guard.py PARENT_PID DEATH_SIGNAL UID:GID|- PROGRAM [ARGUMENT...]``

The kernel sends DEATH_SIGNAL to the program when its parent dies, even by kill -9 (PR_SET_PDEATHSIG, Linux). That
setting survives exec but not a change of user, so the user is changed here, first. A script and not ``preexec_fn``,
which may deadlock in a process with threads.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(arguments: list[str]) -> None:
    """Set up as described above, then exec. Exits with 1 if the parent is already gone."""
    parent, death_signal, account, *program = arguments
    if account != "-":
        uid, gid = (int(part) for part in account.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != int(parent):  # it died before the line above took effect
        sys.exit(1)
    os.execvp(program[0], program)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
