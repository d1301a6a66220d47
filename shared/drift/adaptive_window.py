"""ADWIN without River, for a process whose image has no room for it."""

from __future__ import annotations

import math
from typing import Final

DELTA: Final = 0.002
CLOCK: Final = 32
MAX_BUCKETS: Final = 5
MIN_WINDOW: Final = 5
GRACE: Final = 10


class AdaptiveWindow:
    """The window of ADWIN [1]_ with River's defaults: a test holds it against River's, value by value.

    Values are kept in rows of buckets; a bucket of row i is the sum and the variance of 2**i of them.

    Attributes
    ----------
    width
        Values since the last change that can be seen.
    drift_detected
        Whether the last value showed a change.

    References
    ----------
    .. [1] Bifet, A. and Gavalda, R. (2007). Learning from time-changing data with adaptive windowing.
       Proceedings of the SIAM International Conference on Data Mining, 443-448.

    Examples
    --------
    >>> window = AdaptiveWindow()
    >>> changes = 0
    >>> for value in [0.1, 0.3] * 200 + [0.6, 0.8] * 50:
    ...     window.update(value)
    ...     changes += window.drift_detected
    >>> changes, window.width < 100
    (1, True)
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.width = 0
        self.drift_detected = False
        self._ticks = 0
        self._total = self._variance = 0.0
        self._rows: list[list[tuple[float, float]]] = [[]]

    def update(self, value: float) -> None:
        """Take a value in; after a change the window begins anew, as River's does."""
        if self.drift_detected:
            self._begin()
        self._ticks += 1
        self._rows[0].append((value, 0.0))
        self.width += 1
        if self.width > 1:
            before = self.width - 1
            self._variance += before * (value - self._total / before) ** 2 / self.width
        self._total += value
        self._compress()
        self.drift_detected = False
        if self._ticks % CLOCK == 0 and self.width > GRACE:
            while self._differs():
                self.drift_detected = True
                self._forget_oldest()

    def _compress(self) -> None:
        """Join the two oldest buckets of a row that is full, in the next row."""
        for level, row in enumerate(self._rows):
            if len(row) <= MAX_BUCKETS:
                return
            if level + 1 == len(self._rows):
                self._rows.append([])
            (one, v1), (two, v2) = row[:2]
            size = 2.0**level
            apart = size / 2 * ((one - two) / size) ** 2
            self._rows[level + 1].append((one + two, v1 + v2 + apart))
            del row[:2]

    def _differs(self) -> bool:
        """Return whether some older part of the window has another mean than the rest."""
        n0, n1 = 0.0, float(self.width)
        u0, u1 = 0.0, self._total
        for level in range(len(self._rows) - 1, -1, -1):
            size = 2.0**level
            for total, _ in self._rows[level]:
                n0, n1, u0, u1 = n0 + size, n1 - size, u0 + total, u1 - total
                if n1 >= MIN_WINDOW and n0 >= MIN_WINDOW and self._is_cut(n0, n1, u0 / n0 - u1 / n1):
                    return True
        return False

    def _is_cut(self, n0: float, n1: float, difference: float) -> bool:
        log = math.log(2.0 * math.log(self.width) / DELTA)
        inverse = 1.0 / (n0 - MIN_WINDOW + 1) + 1.0 / (n1 - MIN_WINDOW + 1)
        spread = self._variance / self.width
        return abs(difference) > math.sqrt(2.0 * inverse * spread * log) + 2.0 / 3.0 * log * inverse

    def _forget_oldest(self) -> None:
        row = self._rows[-1]
        total, variance = row.pop(0)
        size = 2.0 ** (len(self._rows) - 1)
        self.width -= int(size)
        self._total -= total
        rest = self._total / self.width
        self._variance -= variance + size * self.width * (total / size - rest) ** 2 / (size + self.width)
        if not row and len(self._rows) > 1:
            self._rows.pop()
