"""Raw values of any type as numbers or category names; whatever is neither is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 1e150


def as_numbers(values: Sequence[Any] | NDArray[Any]) -> NDArray[np.float64]:
    """Return the values as float64, shape ``(n,)``; NaN where one is not a usable number.

    Null, NaN, infinities, strings, lists and numbers beyond 1e150 (whose square overflows) are
    all missing: a numeric channel measures how often it gets no usable number, whatever the reason.

    Examples
    --------
    >>> as_numbers([1, None, True, "7", float("inf"), 2.5])
    array([1. , nan, 1. , nan, nan, 2.5])
    """
    array = values if isinstance(values, np.ndarray) else None
    if array is None or array.dtype.kind not in "fiub":
        array = _convert(values)
    numbers = array.astype(np.float64)
    usable = np.abs(numbers) <= LARGEST
    if not usable.all():
        numbers[~usable] = np.nan
    return numbers


def _convert(values: Sequence[Any] | NDArray[Any]) -> NDArray[np.float64]:
    """Return float64 values: in one call where all are floats, one by one where they are mixed."""
    if set(map(type, values)) <= {float, int, bool, type(None)}:
        try:
            return np.array(values, dtype=np.float64)
        except OverflowError:
            pass  # an integer beyond float64: the slow way finds which one
    return np.fromiter((_number(value) for value in values), np.float64, len(values))


def _number(value: Any) -> float:
    if not isinstance(value, (bool, int, float, np.number, np.bool_)) or isinstance(value, complex):
        return np.nan
    try:
        return float(value)
    except OverflowError:
        return np.nan


def as_category(value: Any) -> str | None:
    """Return the category that a value names, None where it is missing.

    Numbers and their text are the same category, so that codes read from CSV match those from JSON.
    A list or an object is a category too (its text): one that training cannot have seen.

    Examples
    --------
    >>> [as_category(v) for v in ("JFK", 4, 4.0, True, None, float("nan"))]
    ['JFK', '4', '4', 'true', None, None]
    """
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, (float, np.floating)) and np.isnan(value)):
        return None
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)
