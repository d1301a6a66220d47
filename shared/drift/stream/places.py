"""Which record a number of events stands for: a thinned list of places, dense where it is recent."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from shared.messages import DriftMoment, Source

Place = tuple[int, int, int, str, int]
"""Events by then, event time, offset, topic and partition of the last record of a slot."""

_MOST: Final = 1_024


class Places:
    """Remembers where in the sources the stream of merged slots has been.

    Examples
    --------
    >>> places = Places([])
    >>> for slot in range(5_000):
    ...     places.add(16 * (slot + 1), 1_000 * slot, slot, "events", 0)
    >>> places.at(79_985).source.offset, abs(places.at(16_000).source.offset - 999) < 100
    (4999, True)
    """

    def __init__(self, places: list[Place]) -> None:
        self._places = places

    def add(self, events: int, occurred: int, offset: int, topic: str, partition: int) -> None:
        """Note a slot after which ``events`` had been seen."""
        self._places.append((events, occurred, offset, topic, partition))
        if len(self._places) > _MOST:
            older = _MOST // 2
            self._places = self._places[:older:2] + self._places[older:]

    def at(self, events: int) -> DriftMoment:
        """Return the place where so many events had been seen; the nearest that is remembered."""
        found = min(bisect_left(self._places, (events,)), len(self._places) - 1)
        _, occurred, offset, topic, partition = self._places[found]
        return DriftMoment(events=events, occurred_at=occurred, source=Source(topic, partition, offset))

    def snapshot(self) -> list[Place]:
        """Return what is remembered."""
        return list(self._places)
