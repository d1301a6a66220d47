"""Event time of one partition of the log: as far as every one of its sources has come."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class SourceTime(msgspec.Struct, array_like=True):
    """Latest event time of one source, and whether it has nothing more for now."""

    high: int
    idle: bool


class EventClock:
    """The watermark: no event before it is expected any more.

    A source is one partition of predictions, shadow predictions, labels or outcomes. The watermark is
    the time of the slowest source that is not idle, so that a backlog of labels read before their
    predictions ends nobody's horizon. Where all are idle it is the time of the fastest.

    Examples
    --------
    >>> clock = EventClock(["predictions/0", "labels/0"], {}, -1)
    >>> clock.heard("labels/0", 900, idle=False), clock.heard("predictions/0", 100, idle=False)
    (-1, 100)
    >>> clock.heard("predictions/0", 100, idle=True), clock.heard("labels/0", 900, idle=True)
    (900, 900)
    """

    def __init__(self, expected: Sequence[str], times: dict[str, SourceTime], watermark: int) -> None:
        self._expected = frozenset(expected)
        self.times = {name: SourceTime(time.high, time.idle) for name, time in times.items()}
        self.watermark = watermark

    def heard(self, source: str, high: int, *, idle: bool) -> int:
        """Take what a source says of its time; return the watermark."""
        if source not in self._expected:
            return self.watermark
        known = self.times.get(source)
        self.times[source] = SourceTime(max(high, known.high if known is not None else -1), idle)
        if len(self.times.keys() & self._expected) == len(self._expected):
            times = [self.times[name] for name in self._expected]
            busy = [time.high for time in times if not time.idle]
            self.watermark = max(self.watermark, min(busy) if busy else max(time.high for time in times))
        return self.watermark
