"""A tiny parent for one part, so that nothing is left running: ``python -I -S warden.py SCRATCH COMMAND...``.

Whoever uses a part starts a warden and holds the write end of its standard input. However that process
ends, kill -9 included, the kernel closes the pipe, and the warden kills the part's process group.
`PR_SET_PDEATHSIG` alone is not enough: it fires when the *thread* that forked ends. The warden has one
thread, so here it is safe, and it covers the case that the warden itself is killed.

SCRATCH is a folder to remove when the user of the part dies without cleaning up ("" for none). The first
line of standard output is the part's pid; its own output goes to the warden's standard error. Only the
standard library is used, isolated and without site-packages: that starts in about 20 ms.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1


def die_with_warden() -> None:
    """Ask Linux to kill this process when the warden ends; elsewhere the pipe alone must do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_for_end(child: subprocess.Popen[bytes], parent: int) -> bool:
    """Return True when the child has ended by itself, False when its user is gone."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while child.poll() is None:
        # The timeout covers a user that forked without exec: its children hold the pipe open.
        readable, _, _ = select.select([0, wake_read], [], [], 1.0)
        if wake_read in readable:
            os.read(wake_read, 4096)
        if 0 in readable or os.getppid() != parent:
            return False
    return True


def main(scratch: str, command: list[str]) -> int:
    """Run the command; return its exit code (128 + n if signal n ended it)."""
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=2,
            process_group=0,
            preexec_fn=die_with_warden,  # noqa: PLW1509 - the warden has one thread
        )
    except OSError as error:
        print(error, file=sys.stderr)
        return 127
    ended = False
    try:
        os.write(1, b"%d\n" % child.pid)
        ended = wait_for_end(child, parent)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        code = child.wait()
        if not ended and scratch:
            shutil.rmtree(scratch, ignore_errors=True)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
