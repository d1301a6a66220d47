"""One real process under a warden: start, stop, kill, suspend, resume, and the tail of its log."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from devstack.errors import DevstackError

WARDEN = Path(__file__).with_name("warden.py")
POLL_SECONDS = 0.02


class Part:
    """A server process of devstack, with its own data folder and log.

    Parameters
    ----------
    name
        What a person calls it ("Redis", "Kafka node 2"); also names its log.
    command
        Program and arguments.
    data_dir
        Its folder; the log is ``<data_dir>/<name>.log`` (appended to over restarts).
    scratch
        Folder that the warden removes if this process dies without cleaning up; None keeps the data.
    environment
        Variables on top of ours.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        data_dir: Path,
        *,
        scratch: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.data_dir = data_dir
        self.scratch = scratch
        self.environment = dict(environment or {})
        self.log = data_dir / f"{name.lower().replace(' ', '-')}.log"
        self._warden: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._suspended = False
        self.pid: int | None = None

    @property
    def running(self) -> bool:
        """Whether the process exists (a suspended one does)."""
        return self._warden is not None and self._warden.poll() is None

    def launch(self) -> None:
        """Start the process without waiting until it serves."""
        if self.running:
            raise DevstackError(f"{self.name} is running already (pid {self.pid})")
        self._reap()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._warden = subprocess.Popen(
                [sys.executable, "-I", "-S", str(WARDEN), str(self.scratch or ""), *self.command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | self.environment,
                start_new_session=True,  # Ctrl-C reaches us only, and we stop the parts in order
            )
        assert self._warden.stdout is not None
        line = self._warden.stdout.readline()
        if not line:
            self._reap()
            raise DevstackError(f"{self.name} could not be started: {self.command[0]}{self.explain()}")
        self.pid = int(line)

    def stop(self, timeout: float = 15.0) -> None:
        """SIGTERM, then SIGKILL after `timeout` seconds; does nothing if it is not running."""
        if self.running:
            self._signal(signal.SIGTERM)
            self.resume()  # a suspended process would never see it
            self.join(timeout)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone; works on a suspended process, and on none."""
        if self.running:
            self._signal(signal.SIGKILL)
            self.join(10.0)
        self._reap()

    def join(self, timeout: float) -> bool:
        """Wait for the process to end by itself; return whether it did within `timeout` seconds."""
        if self._warden is None:
            return True
        try:
            self._warden.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def suspend(self) -> None:
        """SIGSTOP: it keeps its connections and ports, and answers nobody."""
        self._signal(signal.SIGSTOP)
        self._suspended = True

    def resume(self) -> None:
        """SIGCONT after `suspend`."""
        if self._suspended:
            self._suspended = False
            self._signal(signal.SIGCONT)

    def wait_until(self, ready: Callable[[], bool], timeout: float) -> None:
        """Poll `ready` until it is true.

        Raises
        ------
        DevstackError
            The process ended, or `timeout` seconds passed; with the tail of the log.
        """
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.running:
                code = self._warden.returncode if self._warden else None
                raise DevstackError(f"{self.name} ended while starting (exit code {code}){self.explain()}")
            if time.monotonic() > deadline:
                raise DevstackError(f"{self.name} was not ready after {timeout:g} s{self.explain()}")
            time.sleep(POLL_SECONDS)

    def log_tail(self, lines: int = 25) -> str:
        """Return the last lines that it logged since its last launch."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])

    def port_was_taken(self) -> bool:
        """Whether the log says that somebody else holds the port."""
        # The C libraries word it differently: glibc says "already", musl (Tansu) does not.
        return re.search("address (already )?in use", self.log_tail(200), re.IGNORECASE) is not None

    def explain(self) -> str:
        """Return the tail of the log as the second half of an error message."""
        return f"; the end of {self.log}:\n{self.log_tail()}"

    def _signal(self, number: int) -> None:
        if not self.running or self.pid is None:
            raise DevstackError(f"{self.name} is not running")
        os.kill(self.pid, number)

    def _reap(self) -> None:
        """Close the pipes of an ended warden (or end it), so that nothing is left unclosed."""
        if self._warden is not None:
            assert self._warden.stdin is not None
            assert self._warden.stdout is not None
            self._warden.stdin.close()
            self._warden.wait(10.0)
            self._warden.stdout.close()
        self._warden, self.pid, self._suspended = None, None, False
