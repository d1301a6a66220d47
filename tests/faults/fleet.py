"""The processes of a run: started, hurt one by one, and watched until their end."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
from functools import cache
from pathlib import Path
from typing import Final

from devstack.part import Part
from devstack.ports import Ports
from shared.settings import ServiceSettings
from tests.faults.evidence import lines
from tests.faults.journal import Journal
from tests.faults.limits import SESSION, STOPS_WITHIN
from tests.faults.nursling import Nursling

HOLD: Final = ":hold=0.3"
"""Widens the window in which a transaction is open, so that a stop falls into it."""

SERVICES: Final = ("inference", "shadow", "drift", "performance", "alerting")
"""Those that are asked for run together; what they read, the others or the traffic must write."""

_NEVER: Final = "3600"
"""Idle seconds: nothing counts as late, however long a broker is away: an oracle knows what is due."""

_OF_SERVICE: Final[dict[str, dict[str, str]]] = {
    "drift": {"DRIFTLINE_IDLE_SECONDS": _NEVER},
    "performance": {
        "DRIFTLINE_IDLE_SECONDS": _NEVER,
        "DRIFTLINE_GRACE_SECONDS": "0",
        "DRIFTLINE_REPORT_SECONDS": "0.5",
        "DRIFTLINE_CHECKPOINT_SECONDS": "1",
    },
}
"""Settings on top of the common ones."""


@cache
def _known(service: str) -> frozenset[str]:
    """The variables that a service takes: it refuses others."""
    config = importlib.import_module(f"services.{service}.config")
    (fields,) = (
        made.model_fields
        for made in vars(config).values()
        if isinstance(made, type)
        and issubclass(made, ServiceSettings)
        and vars(made).get("service") == service
    )
    return frozenset(f"DRIFTLINE_{name.upper()}" for name in fields)


class Fleet:
    """Processes of the services, each of which can be hurt by itself."""

    def __init__(self, settings: dict[str, str], journal: Journal, nursery: Path | None = None) -> None:
        self._nursery = nursery
        self._settings = settings
        self._journal = journal
        self._ports = Ports()
        self._count = 0
        self.parts: dict[str, list[Part]] = {}
        self._told: set[str] = set()
        self._hung: list[str] = []

    def start(self, service: str, *, crash: str = "", **extra: str) -> Part:
        """Start one more process of a service.

        Parameters
        ----------
        crash
            A crash point, see :mod:`shared.pipeline.crash_points`.
        extra
            Settings that this process alone has.
        """
        self._count += 1
        name = f"{service}-{self._count}"
        folder = self._journal.folder / name
        environment = self._settings | _OF_SERVICE.get(service, {})
        environment["DRIFTLINE_HTTP_PORT"] = str(self._ports.reserve())
        environment["DRIFTLINE_JOIN_DIR"] = str(folder / "join")  # a disk of its own, empty at the start
        environment |= extra
        environment = {k: v for k, v in environment.items() if k in _known(service) or k[:6] == "FAULTS"}
        environment["FAULTS_CLOCK"] = str(folder / "clock")
        environment["FAULTS_BLOCK_SECONDS"] = str(SESSION + 4)
        if crash:
            environment["DRIFTLINE_CRASH_POINT"] = crash
        if self._nursery is not None:
            part: Part = Nursling(name, service, folder, self._nursery, environment)
        else:
            command = [sys.executable, "-m", "tests.faults.inside", service]
            part = Part(name, command, folder, environment=environment)
        part.launch()
        self.parts.setdefault(service, []).append(part)
        if ":1000000" not in crash and crash:
            self._told.add(name)
        self._journal.note("start", process=name, pid=part.pid, crash=crash)
        return part

    def alive(self, service: str) -> list[Part]:
        """Return the processes of a service that exist."""
        return [part for part in self.parts.get(service, []) if part.running]

    async def stop(self, part: Part) -> None:
        """SIGTERM, and SIGKILL to whoever is there half a minute later; that is a violation.

        Never blocks the proxies' loop.
        """
        self._journal.note("stop", process=part.name)
        self._told.add(part.name)
        began = asyncio.get_running_loop().time()
        await asyncio.to_thread(part.stop, STOPS_WITHIN)
        if asyncio.get_running_loop().time() - began >= STOPS_WITHIN:
            self._journal.note("did not stop", process=part.name)
            self._hung.append(part.name)

    async def kill(self, part: Part) -> None:
        """SIGKILL."""
        self._journal.note("kill", process=part.name)
        self._told.add(part.name)
        await asyncio.to_thread(part.kill)

    def is_doomed(self, part: Part) -> None:
        """Expect a process to end by itself."""
        self._told.add(part.name)

    def misbehaved(self) -> list[str]:
        """Return a sentence for every process that ended although nobody told it to, or did not when told."""
        parts = [part for parts in self.parts.values() for part in parts]
        return [
            *(f"{name} did not stop within {STOPS_WITHIN:g} s of SIGTERM" for name in self._hung),
            *(
                f"{part.name} ended by itself: see {part.log}"
                for part in parts
                if not part.running and part.name not in self._told
            ),
        ]

    def signal(self, part: Part, number: signal.Signals) -> None:
        """Send a signal to the process itself."""
        assert part.pid is not None
        self._journal.note("signal", process=part.name, signal=number.name)
        os.kill(part.pid, number)

    def shift_clock(self, part: Part, seconds: float) -> None:
        """Set the clock of one process forward or back."""
        self._journal.note("clock", process=part.name, seconds=seconds)
        (part.data_dir / "clock").write_text(str(seconds))

    def trace(self) -> None:
        """Have every process print where its tasks are."""
        for parts in self.parts.values():
            for part in parts:
                if part.running:
                    part.resume()
                    self.signal(part, signal.SIGUSR1)

    def close(self) -> None:
        """End every process."""
        for parts in self.parts.values():
            for part in parts:
                part.kill()
        self._ports.release()


def knew_of_no_candidate(part: Part) -> bool:
    """Whether a shadow process says that for a while it had nothing to ask."""
    changes = [line for line in lines(part.log) if line.get("event") == "candidates changed"]
    return any(not change["running"] and not change["absent"] for change in changes)
