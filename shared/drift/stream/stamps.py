"""Record timestamps that can be believed: none lies far ahead of whoever reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_AHEAD_MS: Final = 3_600_000
"""As Kafka 4 has it (``message.timestamp.after.max.ms``): a record was written before it is read."""


class Stamps(NamedTuple):
    """Timestamps of some records, epoch milliseconds, shape ``(n,)``.

    Attributes
    ----------
    latest
        What events are compared with: none is later than an hour from now.
    clock
        What moves the partition's clock: -1, which does not, for those that were later.
    """

    latest: NDArray[np.int64]
    clock: NDArray[np.int64]


def believable(timestamps: Sequence[int], now: int) -> Stamps:
    """Return record timestamps with those put right that lie more than an hour after ``now``.

    One record of 2050 would hold all other partitions up until then, and let its event move the windows. It
    is in the future for whoever reads it again, too, so a replay does the same.

    Examples
    --------
    >>> believable([5, 2_524_608_000_000, 7], now=10).clock.tolist()
    [5, -1, 7]
    """
    stamps = np.array(timestamps, np.int64)
    limit = now + MAX_AHEAD_MS
    ahead = stamps > limit
    if not ahead.any():
        return Stamps(stamps, stamps)
    return Stamps(np.where(ahead, limit, stamps), np.where(ahead, -1, stamps))
