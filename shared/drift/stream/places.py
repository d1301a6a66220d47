"""Which record a number of events stands for: places in the stream, dense where they are recent."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from shared.messages import DriftMoment, Source

Place = tuple[int, int, int, str, int]
"""Events by then, event time, offset, topic and partition of the last record of a slot."""

_EACH: Final = 256
_STEP: Final = 8
_LEVELS: Final = 6


class Places:
    """Remembers where in the sources the stream of merged slots has been.

    The last 256 slots, the last 256 of every eighth slot, of every 64th and so on: a change that was
    found soon is placed exactly, one that took a million events to a few thousand.

    Parameters
    ----------
    slots
        How many slots there have been.
    levels
        From a former :meth:`snapshot`; empty at first.

    Examples
    --------
    >>> places = Places(0, [])
    >>> for slot in range(5_000):
    ...     places.add(16 * (slot + 1), 1_000 * slot, slot, "events", 0)
    >>> places.at(80_000).source.offset, places.at(64_000).source.offset, places.at(64_001).source.offset
    (4999, 4000, 4000)
    """

    def __init__(self, slots: int, levels: list[list[Place]]) -> None:
        self._slots = slots
        self._levels: list[list[Place]] = levels or [[] for _ in range(_LEVELS)]

    def add(self, events: int, occurred: int, offset: int, topic: str, partition: int) -> None:
        """Note a slot after which ``events`` had been seen."""
        place = (events, occurred, offset, topic, partition)
        step = 1
        for level in self._levels:
            if self._slots % step:
                break
            level.append(place)
            if len(level) > _EACH:
                del level[0]
            step *= _STEP
        self._slots += 1

    def at(self, events: int) -> DriftMoment:
        """Return the place where so many events had been seen; the nearest that is remembered."""
        level = next((one for one in self._levels if one and one[0][0] <= events), self._levels[-1])
        found = min(bisect_left(level, (events,)), len(level) - 1)
        if found and level[found][0] - events > events - level[found - 1][0]:
            found -= 1
        _, occurred, offset, topic, partition = level[found]
        return DriftMoment(events=events, occurred_at=occurred, source=Source(topic, partition, offset))

    def snapshot(self) -> list[list[Place]]:
        """Return what is remembered."""
        return [list(level) for level in self._levels]
