"""A service that the nursery has forked, handled like any other part."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devstack.part import Part


class _Ward:
    """Stands where a part has its warden: its connection is open for as long as the process lives."""

    def __init__(self, nursery: Path, asked: dict[str, Any]) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(str(nursery))
        self._connection.sendall(json.dumps(asked).encode() + b"\n")
        self.stdout = self._connection.makefile("rb")
        self.stdin = self._connection
        self.returncode: int | None = None
        self.pid = int(self.stdout.readline())

    def poll(self) -> int | None:
        """Return an exit code once the process has ended."""
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self.returncode = 0
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for the end."""
        if self.returncode is None and not select.select([self._connection], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("service", timeout)
        self.returncode = 0
        return 0


class Nursling(Part):
    """A part whose process is a fork of the nursery's."""

    def __init__(
        self, name: str, service: str, data_dir: Path, nursery: Path, environment: dict[str, str]
    ) -> None:
        super().__init__(name, ["nursery", service], data_dir, environment=environment)
        self._nursery = nursery
        self._service = service

    def launch(self) -> None:
        """Ask for a fork."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        asked = {"service": self._service, "environment": self.environment, "log": str(self.log)}
        ward = _Ward(self._nursery, asked)
        self._warden, self.pid = ward, ward.pid  # type: ignore[assignment]

    def _reap(self) -> None:
        if self._warden is not None and self._warden.poll() is None and self.pid is not None:
            os.killpg(self.pid, signal.SIGKILL)
            self._warden.wait(10.0)
        super()._reap()


@contextmanager
def nursery() -> Iterator[Path]:
    """A nursery that serves at the path that is yielded: a short one, as sockets want it."""
    with tempfile.TemporaryDirectory(prefix="nursery-") as folder:
        path = Path(folder) / "socket"
        command = [sys.executable, "-m", "tests.faults.nursery", str(path)]
        part = Part("nursery", command, path.parent, environment={"OPENBLAS_NUM_THREADS": "1"})
        part.launch()
        try:
            part.wait_until(path.exists, 180.0)
            yield path
        finally:
            part.kill()
