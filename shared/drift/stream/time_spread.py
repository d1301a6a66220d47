"""How long a number of events took in event time, whatever a few wrong clocks say."""

from __future__ import annotations

from itertools import accumulate
from typing import Final

import msgspec

MOST_BUCKETS: Final = 256
TAIL: Final = 0.05
"""Share of the events at either end that does not count: clocks that are wrong."""
_FAR: Final = 0.04


class TimeSpread(msgspec.Struct):
    """Event times in a histogram of bounded size, whose buckets grow as they must.

    Attributes
    ----------
    width
        Of a bucket, milliseconds.
    events
        Events in all.
    buckets
        Events by ``time // width``; those with none are left out.

    Examples
    --------
    >>> spread = TimeSpread()
    >>> for second in range(20):
    ...     spread.add(1_700_000_000_000 + 1_000 * second, 16)
    >>> spread.add(0, 1)                                       # a clock that was never set
    >>> round(spread.milliseconds / 1_000)
    20
    """

    width: int = 1
    events: int = 0
    buckets: dict[int, int] = msgspec.field(default_factory=dict)

    def add(self, occurred: int, events: int) -> None:
        """Count events of one time, epoch milliseconds."""
        bucket = occurred // self.width
        self.buckets[bucket] = self.buckets.get(bucket, 0) + events
        self.events += events
        if len(self.buckets) > MOST_BUCKETS:
            self._shrink()

    @property
    def milliseconds(self) -> float:
        """How long the events took, at least 1: the middle nine tenths of them, and a ninth more."""
        low, high = self._quantile(TAIL), self._quantile(1 - TAIL)
        return max((high - low) / (1 - 2 * TAIL), 1.0)

    def copy(self) -> TimeSpread:
        """Return the same, to be kept."""
        return TimeSpread(self.width, self.events, dict(self.buckets))

    def _quantile(self, share: float) -> float:
        """Return the time before which a share of the events lies, linear within a bucket."""
        wanted, before = share * self.events, 0
        for bucket in sorted(self.buckets):
            inside = self.buckets[bucket]
            if before + inside >= wanted:
                return (bucket + (wanted - before) / inside) * self.width
            before += inside
        return 0.0

    def _shrink(self) -> None:
        """Put what lies furthest out with its neighbours, then double the width until half is left."""
        keys = sorted(self.buckets)
        below = list(accumulate((self.buckets[key] for key in keys), initial=0))
        inner = [
            key
            for key, before, after in zip(keys, below, below[1:], strict=False)
            if after > _FAR * self.events and before < (1 - _FAR) * self.events
        ]
        merged: dict[int, int] = {}
        for key in keys:
            near = min(max(key, inner[0]), inner[-1])
            merged[near] = merged.get(near, 0) + self.buckets[key]
        while len(merged) > MOST_BUCKETS // 2:
            self.width *= 2
            wider: dict[int, int] = {}
            for key, events in merged.items():
                wider[key // 2] = wider.get(key // 2, 0) + events
            merged = wider
        self.buckets = merged
