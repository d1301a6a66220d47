"""Free loopback ports that stay ours: outside the ephemeral range, and locked against other devstacks."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

from devstack.errors import DevstackError

LOWEST = 15_000
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
ATTEMPTS = 500


class Ports:
    """Reserves loopback ports until `release`.

    A port that the kernel hands out (bind to 0) may be given to an outgoing connection between our look
    and the server's bind, or while a killed server is down. So ports come from below the ephemeral
    range, and a file lock per port keeps two devstacks apart. Somebody else's server may still take
    one in between: the caller retries with fresh ports.
    """

    def __init__(self) -> None:
        self._locks: list[int] = []
        self._folder = Path(tempfile.gettempdir()) / f"driftline-ports-{os.getuid()}"

    def reserve(self) -> int:
        """Return a port that nobody listens on."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for _ in range(ATTEMPTS):
            port = random.randrange(LOWEST, _highest())
            lock = self._lock(port)
            if lock is None:
                continue
            if _bindable(port):
                self._locks.append(lock)
                return port
            os.close(lock)
        raise DevstackError(f"no free port on 127.0.0.1 between {LOWEST} and {_highest()}")

    def release(self) -> None:
        """Give every port back."""
        while self._locks:
            os.close(self._locks.pop())

    def _lock(self, port: int) -> int | None:
        lock = os.open(self._folder / str(port), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return None
            raise
        return lock


def _highest() -> int:
    try:
        lowest_ephemeral = int(EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError):  # not Linux: the range of IANA, which the BSDs use
        lowest_ephemeral = 49_152
    return lowest_ephemeral if lowest_ephemeral > LOWEST + 1_000 else 65_536


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
