"""``python -m tests.faults.nursery SOCKET``: has imported every service, and forks one wherever it is asked.

Importing a service takes one to three seconds of processor time, and a campaign starts hundreds. Whoever
wants one connects, sends a line of JSON, and is told the process id; the connection is closed when the
process has ended, and the process is killed when the connection is closed.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import random
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

from devstack.warden import PR_SET_PDEATHSIG
from shared.pipeline import crash_points
from tests.faults import inside
from tests.faults.fleet import SERVICES


def _become(asked: dict[str, Any]) -> NoReturn:
    """Turn this fork into the service that was asked for, as if it had been started by itself."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgid(0, 0)
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(asked["environment"])
    random.seed()
    importlib.reload(crash_points)  # it reads the environment once
    sys.argv = ["inside", asked["service"]]
    code = 1
    try:
        inside.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Nursery:
    """The loop that forks, and tells who has ended."""

    def __init__(self, path: str) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(path + ".new")
        self._server.listen(64)
        Path(path + ".new").rename(path)  # who finds it may connect
        self._children: dict[int, socket.socket] = {}
        self._woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> NoReturn:
        """Serve for ever."""
        while True:
            waiting = [self._server, self._woken, *self._children.values()]
            readable, _, _ = select.select(waiting, [], [], 1.0)
            if self._woken in readable:
                os.read(self._woken, 4096)
            self._bury()
            if self._server in readable:
                self._bear(self._server.accept()[0])
            for pid, asker in list(self._children.items()):
                if asker in readable and not asker.recv(1):
                    os.killpg(pid, signal.SIGKILL)

    def _bear(self, asker: socket.socket) -> None:
        asked = json.loads(asker.makefile().readline())
        pid = os.fork()
        if pid == 0:
            for other in (self._server, asker, *self._children.values()):
                other.close()
            _become(asked)
        self._children[pid] = asker
        asker.sendall(b"%d\n" % pid)

    def _bury(self) -> None:
        while self._children:
            pid, _status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # what it has started goes with it
            self._children.pop(pid).close()


def main() -> None:
    """Import everything, then serve."""
    for service in SERVICES:
        importlib.import_module(f"services.{service}.app")
    gc.collect()
    gc.freeze()
    Nursery(str(Path(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
