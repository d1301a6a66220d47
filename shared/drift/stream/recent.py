"""The bins of the newest events, one by one: to say where a change is once it is found."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

LOOKED_AT: Final = 2_048
"""Events before an alarm that are looked at, at most."""
MARGIN: Final = 256
"""Events that may come after an alarm before it is looked into: slots are detected 16 at a time."""
MOST_BYTES: Final = 1 << 18
"""With more than about 110 channels fewer events are kept."""

RecentState = list[tuple[int, bytes]]
"""Events seen by then and bins of each slot."""


class Recent:
    """Whole slots of events; what is kept depends on the slots alone, not on how they came.

    Parameters
    ----------
    channels
        Bins per event.
    state
        From a former :meth:`snapshot`.
    """

    def __init__(self, channels: int, state: RecentState | None = None) -> None:
        self.channels = channels
        most = MOST_BYTES // max(channels, 1)
        self._kept = min(LOOKED_AT + MARGIN, max(most, 2 * MARGIN))
        self._slots: deque[tuple[int, bytes]] = deque(state or [])
        self._bytes = sum(len(codes) for _, codes in self._slots)

    def add(self, events: int, codes: bytes) -> None:
        """Note a slot after which ``events`` had been seen; its bins event by event."""
        if not self.channels or not codes:
            return
        self._slots.append((events, codes))
        self._bytes += len(codes)
        while self._bytes - len(self._slots[0][1]) >= self._kept * self.channels:
            self._bytes -= len(self._slots.popleft()[1])

    def between(self, low: int, high: int) -> NDArray[np.uint8]:
        """Return the bins of the events after ``low`` up to ``high``, shape ``(channels, n)``.

        Of more than :data:`LOOKED_AT` (or what is kept, less a margin) the last ones.
        """
        low = max(low, high - min(LOOKED_AT, self._kept - MARGIN))
        some = b"".join(codes for events, codes in self._slots if low < events <= high)
        return np.frombuffer(some, np.uint8).reshape(-1, max(self.channels, 1)).T

    def snapshot(self) -> RecentState:
        """Return what is kept."""
        return list(self._slots)
