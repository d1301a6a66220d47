"""Event time of one partition of the log: as far as every one of its sources has come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

_MARKS: Final = 8
"""So finely the grace is kept: it is longer by one part in eight at most."""


class SourceTime(msgspec.Struct, array_like=True):
    """Latest event time of one source, and whether it has nothing more for now."""

    high: int
    idle: bool


class Mark(msgspec.Struct, array_like=True):
    """Event time that was reached, and the log's time at which it was; epoch milliseconds."""

    reached: int
    begun_at: int
    at: int


class EventClock:
    """The watermark: no event before it is expected any more.

    A source is one partition of predictions, shadow predictions, labels or outcomes. Event time is
    that of the slowest source that is not idle, so that a backlog of labels read before their
    predictions ends nobody's horizon. Where all are idle it is the time of the fastest.

    The watermark follows it once the log has gone on for the grace: a source that was called idle may have
    records again before the log knows of them, and meanwhile the others, in a backlog, come hours further.

    Parameters
    ----------
    grace
        Milliseconds of the log's time.
    marks
        Event times that the watermark has still to follow, of the checkpoint.

    Examples
    --------
    >>> clock = EventClock(["predictions/0", "labels/0"], {}, -1)
    >>> clock.heard("labels/0", 900, idle=False, at=0), clock.heard("predictions/0", 100, idle=False, at=1)
    (-1, 100)
    >>> clock.heard("predictions/0", 100, idle=True, at=2), clock.heard("labels/0", 900, idle=True, at=3)
    (900, 900)
    """

    def __init__(
        self,
        expected: Sequence[str],
        times: dict[str, SourceTime],
        watermark: int,
        *,
        grace: int = 0,
        marks: Iterable[Mark] = (),
    ) -> None:
        self._expected = frozenset(expected)
        self.times = {name: SourceTime(time.high, time.idle) for name, time in times.items()}
        self.watermark = watermark
        self.marks = list(marks)
        self._grace = grace

    def heard(self, source: str, high: int, *, idle: bool, at: int) -> int:
        """Take what a source says of its time, at a time of the log; return the watermark."""
        if source in self._expected:
            known = self.times.get(source)
            self.times[source] = SourceTime(max(high, known.high if known is not None else -1), idle)
            if len(self.times.keys() & self._expected) == len(self._expected):
                self._mark(self._reached(), at)
        while self.marks and self.marks[0].at + self._grace <= at:
            self.watermark = self.marks.pop(0).reached
        return self.watermark

    def _reached(self) -> int:
        times = [self.times[name] for name in self._expected]
        busy = [time.high for time in times if not time.idle]
        return min(busy) if busy else max(time.high for time in times)

    def _mark(self, reached: int, at: int) -> None:
        """Note an event time if it is further than any before it."""
        last = self.marks[-1] if self.marks else None
        if reached <= (last.reached if last is not None else self.watermark):
            return
        if last is not None and at - last.begun_at < self._grace // _MARKS:
            last.reached, last.at = reached, max(at, last.at)
        else:
            self.marks.append(Mark(reached, at, at))
