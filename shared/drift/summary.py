"""Window statistics of raw values with River, for columns that have no bins (yet).

Where a baseline has bins, :func:`shared.drift.describe.describe` gives the same from bin counts for
nothing. These take some microseconds per value, so they serve the cold start, columns that cannot be
calibrated, and the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from river.sketch import HeavyHitters, Histogram
from river.stats import Quantile, Var

from shared.drift.values import as_category, as_numbers

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class NumericSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a numeric column.

    Attributes
    ----------
    values, missing
        Usable values, and values that were not.
    mean, sd
        None without a usable value.
    quantiles
        At 5, 25, 50, 75 and 95 % (the P-square estimate of River's ``Quantile``); empty without a value.
    histogram
        ``(from, to, count)`` of at most 32 bins that the sketch chose.
    """

    values: int
    missing: int
    mean: float | None
    sd: float | None
    quantiles: tuple[float, ...]
    histogram: tuple[tuple[float, float, int], ...]


class NumericColumn:
    """Summarises numbers one after the other, in a fixed amount of memory.

    Examples
    --------
    >>> column = NumericColumn()
    >>> column.update([1.0, 2.0, 3.0, None, "four"])
    >>> found = column.summary()
    >>> found.values, found.missing, found.mean, found.sd, found.quantiles[2]
    (3, 2, 2.0, 1.0, 2.0)
    """

    def __init__(self) -> None:
        self._missing = 0
        self._var = Var()
        self._quantiles = [Quantile(q) for q in QUANTILES]
        sketch: Any = Histogram  # untyped in River
        self._histogram: Any = sketch(max_bins=32)

    def update(self, values: Sequence[Any] | NDArray[Any]) -> None:
        """Take values of any type; what is no usable number counts as missing."""
        numbers = as_numbers(values)
        usable = numbers[~np.isnan(numbers)]
        self._missing += len(numbers) - len(usable)
        if len(usable):
            self._var.update_many(usable)
        for value in usable.tolist():
            self._histogram.update(value)
            for quantile in self._quantiles:
                quantile.update(value)

    def summary(self) -> NumericSummary:
        """Return the figures so far."""
        count = int(self._var.n)
        return NumericSummary(
            values=count,
            missing=self._missing,
            mean=self._var.mean.get() if count else None,
            sd=self._var.get() ** 0.5 if count else None,
            quantiles=tuple(q.get() or 0.0 for q in self._quantiles) if count else (),
            histogram=tuple((b.left, b.right, b.count) for b in self._histogram),
        )


class CategoricalColumn:
    """Finds the most frequent categories among any number of them, by lossy counting.

    Examples
    --------
    >>> column = CategoricalColumn()
    >>> column.update(["JFK"] * 50 + ["EWR"] * 30 + [f"id {i}" for i in range(1_000)] + [None])
    >>> column.missing, [name for name, _ in column.top(2)]
    (1, ['JFK', 'EWR'])
    """

    def __init__(self) -> None:
        self.missing = 0
        self.values = 0
        self._hitters = HeavyHitters(support=0.001, epsilon=0.005, fading_factor=1.0)

    def update(self, values: Sequence[Any]) -> None:
        """Take values of any type."""
        for value in values:
            category = as_category(value)
            if category is None:
                self.missing += 1
            else:
                self.values += 1
                self._hitters.update(category[:200])

    def top(self, most: int = 10) -> list[tuple[str, int]]:
        """Return the most frequent categories and how often each came, at least, most frequent first."""
        return [(str(name), int(count)) for name, count in self._hitters.most_common(most)]
