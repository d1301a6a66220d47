"""Sums of doubles without rounding: the same whatever the order, and what was added can be taken back.

A replay cuts its micro-batches elsewhere, and a corrected label takes its former contribution back; with
floating-point sums both would leave traces in the last digits, and state after recovery would differ.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

UNIT: Final = 100
"""Sums are whole multiples of 2**-100; what a value has below that is cut off."""

_HALF: Final = 27


def exact_sums(values: npt.NDArray[np.float64], groups: npt.NDArray[Any], count: int) -> list[int]:
    """Return the sum of each group in units of 2**-100, as Python integers; list of ``count``.

    Parameters
    ----------
    values
        Finite numbers, shape ``(n,)``, n below 2**36.
    groups
        Group of each, 0 to ``count - 1``, shape ``(n,)``.

    Examples
    --------
    >>> one, two = exact_sums(np.array([0.1, 1e16, -1e16]), np.array([0, 0, 0]), 1), exact_sums(
    ...     np.array([0.1]), np.array([0]), 1)
    >>> one == two, as_float(one[0])
    (True, 0.1)
    """
    totals = [0] * count
    if not len(values):
        return totals
    fractions, exponents = np.frexp(values)
    whole = (fractions * (1 << 53)).astype(np.int64)
    shifts = exponents.astype(np.int64) - 53 + UNIT
    below = shifts < 0
    # Towards zero, so that what is cut off a value is cut off its negative too.
    whole[below] = np.sign(whole[below]) * (np.abs(whole[below]) >> np.minimum(-shifts[below], 62))
    shifts[below] = 0
    width = int(shifts.max()) + 1
    keys, where = np.unique(groups * width + shifts, return_inverse=True)
    high, low = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
    np.add.at(high, where, whole >> _HALF)
    np.add.at(low, where, whole & ((1 << _HALF) - 1))
    for key, more, less in zip(keys.tolist(), high.tolist(), low.tolist(), strict=True):
        totals[key // width] += ((more << _HALF) + less) << (key % width)
    return totals


def as_float(total: int) -> float:
    """Return an exact sum as the nearest double."""
    return total / (1 << UNIT)
