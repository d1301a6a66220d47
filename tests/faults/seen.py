"""What a soak has seen: memory, open files, lag and faults over time."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Final

ENDING: Final = (
    "kill-before-commit",
    "kill-after-send",
    "zombie",
    "scale",
    "broker-outage",
    "poison",
)
"""Faults that end processes, or that take long: their successors are compared from their own beginning on."""

SURVIVABLE: Final = (
    "broker-stop",
    "broker-kill",
    "broker-freeze",
    "partition",
    "delay",
    "redis-restart",
    "blocked-loop",
)
"""Faults after which the same processes must still be there: what they hold can be compared."""

ENDING_SHARE: Final = 0.1
"""So rare that most processes live for some minutes."""

LOOKS: Final = 90
"""Looks at a process (three minutes) before it is compared with itself: a younger one is still given
partitions, each of which has connections of its own."""

MOST_GROWTH: Final = 0.10
SLACK_MIB: Final = 16.0
MORE_HANDLES: Final = 8


@dataclass(slots=True)
class Series:
    """What was seen of one process, or of the lag.

    Attributes
    ----------
    at
        Seconds since the beginning.
    mib, handles
        Resident memory and open file handles.
    """

    at: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)

    def growth(self) -> tuple[float, float]:
        """Return by how much memory (MiB) and handles grew from the second quarter to the last, by medians.

        The first quarter is the warming up.
        """
        quarter = len(self.at) // 4
        early, late = slice(quarter, 2 * quarter), slice(-quarter, None)
        return (
            statistics.median(self.mib[late]) - statistics.median(self.mib[early]),
            statistics.median(self.handles[late]) - statistics.median(self.handles[early]),
        )

    def complaints(self, name: str) -> list[str]:
        """Return what is not flat; nothing where too little was seen."""
        if len(self.at) < LOOKS:
            return []
        mib, handles = self.growth()
        early = statistics.median(self.mib[len(self.mib) // 4 : len(self.mib) // 2])
        found = []
        if mib > MOST_GROWTH * early + SLACK_MIB:
            found.append(f"{name}: memory grew by {mib:.0f} MiB, from {early:.0f}")
        if handles > MORE_HANDLES:
            found.append(f"{name}: {handles:.0f} more open files")
        return found


@dataclass(slots=True)
class Seen:
    """What a soak has seen."""

    started: float = field(default_factory=time.monotonic)
    processes: dict[str, Series] = field(default_factory=dict)
    lag: list[tuple[float, int]] = field(default_factory=list)
    faults: list[tuple[float, str, float | None]] = field(default_factory=list)

    def now(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.started

    def growth(self) -> dict[str, tuple[float, float]]:
        """Return by how much memory (MiB) and open files of the processes that lived long enough grew."""
        return {name: series.growth() for name, series in self.processes.items() if len(series.at) >= LOOKS}
