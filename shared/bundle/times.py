"""The time column of training data, as seconds since 1970 UTC."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from shared.bundle.extras import need
from shared.errors import BundleError

_LARGEST_SECONDS = 1e11
"""Whole numbers below are seconds: as milliseconds they would lie before March 1973."""


def read_times(table: Any, name: str) -> npt.NDArray[np.float64]:
    """Return when each row happened, seconds since 1970 UTC, shape ``(n,)``.

    Timestamps and dates are taken as they are (as UTC where they have no zone), strings as ISO 8601
    or RFC 3339, numbers as epoch milliseconds or, below 1e11, as epoch seconds.

    Raises
    ------
    BundleError
        There is no such column, a row has no usable time, or all rows have the same one.
    """
    if name not in table.column_names:
        raise BundleError(
            f"--time-column {name!r} is no column of the data (columns: {', '.join(table.column_names)})"
        )
    seconds = _seconds(table.column(name), name)
    unusable = int((~np.isfinite(seconds)).sum())
    if unusable:
        raise BundleError(
            f"{unusable} of {len(seconds)} rows have no usable time in {name}: leave those rows out, "
            "or leave --time-column out (then seasons and autocorrelation are not measured)"
        )
    if len(seconds) > 1 and np.ptp(seconds) == 0:
        raise BundleError(
            f"every row has the same time in {name}: that orders nothing, leave --time-column out"
        )
    return seconds


def _seconds(column: Any, name: str) -> npt.NDArray[np.float64]:
    types = need("pyarrow.types", "package")
    compute = need("pyarrow.compute", "package")
    pyarrow = need("pyarrow", "package")
    kind = column.type
    if types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return np.array([_parse(text) for text in column.to_pylist()], dtype=np.float64)
    if types.is_timestamp(kind) or types.is_date(kind):
        epoch = column.cast(pyarrow.timestamp("us")) if types.is_date(kind) else column
        micros = epoch.cast(pyarrow.timestamp("us", tz=epoch.type.tz), safe=False).cast("int64")
        return _floats(compute.cast(micros, "float64")) / 1e6
    if types.is_integer(kind) or types.is_floating(kind):
        numbers = _floats(column.cast("float64"))
        largest = np.nanmax(np.abs(numbers)) if np.isfinite(numbers).any() else 0.0
        return numbers / 1000.0 if largest >= _LARGEST_SECONDS else numbers
    raise BundleError(f"the time column {name} is of type {kind}, which is no time")


def _floats(column: Any) -> npt.NDArray[np.float64]:
    """Return a column of doubles; null is NaN."""
    values: npt.NDArray[np.float64] = np.asarray(column.to_numpy(), dtype=np.float64)
    return values


def _parse(text: str | None) -> float:
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return float("nan")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
