"""The one-process servers: what Redis and the embedded broker share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from devstack.errors import DevstackError
from devstack.folder import DataFolder
from devstack.part import Part
from devstack.ports import Ports

START_ATTEMPTS = 3


class Server(ABC):
    """A server of one process and one port, as a context manager.

    Parameters
    ----------
    data_dir
        Its data folder; a scratch one by default.
    start_timeout
        Seconds until it must answer.
    """

    name: ClassVar[str]
    environment: ClassVar[Mapping[str, str]] = {}

    def __init__(self, data_dir: Path | str | None = None, *, start_timeout: float = 20.0) -> None:
        self.start_timeout = start_timeout
        self.port = 0
        self._given_dir = data_dir
        self._folder: DataFolder | None = None
        self._ports = Ports()
        self._part: Part | None = None

    @abstractmethod
    def command(self, data_dir: Path) -> list[str]:
        """Return the command line that serves on `self.port`."""

    @abstractmethod
    def ready(self) -> bool:
        """Ask the server something in its own protocol; return whether it answered."""

    @property
    def part(self) -> Part:
        """The process behind it.

        Raises
        ------
        DevstackError
            Outside the ``with`` block.
        """
        if self._part is None:
            raise DevstackError(f"{self.name} is not started: use it in a with statement")
        return self._part

    def __enter__(self) -> Self:
        self._folder = DataFolder(self.name.lower().replace(" ", "-"), self._given_dir)
        try:
            self._start_on_a_free_port(self._folder)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop it, give its port back and remove a scratch folder."""
        if self._part is not None:
            if self._folder is not None and self._folder.kept:
                self._part.stop()
            self._part.kill()
        self._ports.release()
        if self._folder is not None:
            self._folder.remove()
        self._part = self._folder = None

    def start(self) -> None:
        """Start it again after `stop` or `kill`: same port, same data folder."""
        self.part.launch()
        self.part.wait_until(self.ready, self.start_timeout)

    def stop(self) -> None:
        """SIGTERM, and wait until it is gone."""
        self.part.stop()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.part.kill()

    def suspend(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self.part.suspend()

    def resume(self) -> None:
        """SIGCONT."""
        self.part.resume()

    def _start_on_a_free_port(self, folder: DataFolder) -> None:
        for attempt in range(1, START_ATTEMPTS + 1):
            self.port = self._ports.reserve()
            self._part = Part(
                self.name,
                self.command(folder.path),
                folder.path,
                scratch=folder.scratch,
                environment=self.environment,
            )
            try:
                self.start()
            except DevstackError:
                self._part.kill()
                if attempt == START_ATTEMPTS or not self._part.port_was_taken():
                    raise
            else:
                return
