"""Seasonality: values standardised by hour of the day or hour of the week before they are binned."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from shared.drift.dependence import design_effect

Cycle = Literal["hour-of-day", "day-of-week", "hour-of-week"]
LENGTH: dict[Cycle, float] = {"hour-of-day": 86_400.0, "day-of-week": 604_800.0, "hour-of-week": 604_800.0}
"""Seconds in one round of each cycle."""
CELLS: dict[Cycle, int] = {"hour-of-day": 24, "day-of-week": 7, "hour-of-week": 168}
MIN_ROWS_PER_CELL = 500
MAX_SPARSE = 0.05
"""Share of the rows that may lie in cells with fewer rows than that; those cells share their estimates."""
SIGNIFICANT = 1e-4


class PhaseTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Mean and standard deviation of a channel in each cell of a cycle (UTC).

    Attributes
    ----------
    cycle
        ``hour-of-day`` (24 cells), ``day-of-week`` (7, Monday first) or ``hour-of-week`` (168).
    mean, sd
        One per cell, in the unit of the channel; ``sd`` is positive.
    """

    cycle: Cycle
    mean: tuple[float, ...]
    sd: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.sd) == CELLS[self.cycle]:
            raise ValueError(f"a table of the {self.cycle} takes {CELLS[self.cycle]} cells")

    def standardise(self, values: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values, in standard deviations from the mean of their cell, shape ``(n,)``.

        Parameters
        ----------
        values
            Shape ``(n,)``; NaN stays NaN.
        times
            Seconds since 1970 UTC, shape ``(n,)``. A value without a usable time becomes NaN.
        """
        known = np.isfinite(times)
        cell = phase(np.where(known, times, 0.0), self.cycle)
        standard = (values - np.array(self.mean)[cell]) / np.array(self.sd)[cell]
        return np.where(known, standard, np.nan)


def phase(times: NDArray[np.float64], cycle: Cycle) -> NDArray[np.int64]:
    """Return the cell of each time, shape ``(n,)``.

    Examples
    --------
    >>> phase(np.array([0.0, 3600.0 * 25]), "hour-of-day").tolist()   # 1970-01-01 was a Thursday
    [0, 1]
    >>> phase(np.array([0.0]), "day-of-week").tolist()
    [3]
    """
    hours = np.floor_divide(times, 3600.0)
    hour: NDArray[np.int64] = np.mod(hours, 24).astype(np.int64)
    if cycle == "hour-of-day":
        return hour
    day: NDArray[np.int64] = np.mod(np.floor_divide(hours, 24) + 3, 7).astype(np.int64)
    return day if cycle == "day-of-week" else day * 24 + hour


def rows_per_cycle(times: NDArray[np.float64], cycle: Cycle) -> int:
    """Return how many rows one round of a cycle takes on average, at least 1.

    Examples
    --------
    >>> rows_per_cycle(np.arange(10_000) * 60.0, "hour-of-day")
    1441
    """
    span = max(float(times[-1] - times[0]), 1.0)
    return max(1, int(len(times) * LENGTH[cycle] / span) + 1)


def fit_phases(values: NDArray[np.float64], times: NDArray[np.float64]) -> PhaseTable | None:
    """Return the coarsest cycle that explains the values, None where they follow none.

    A cycle is taken where the cells that occur have 500 rows (up to 5 % of the rows may lie in
    sparser ones, which share their estimates) and its cells differ in mean or spread far beyond
    chance (F test, p < 0.0001, allowing for autocorrelation). The hour of the week is taken only
    where the hour of the day leaves something for it to explain: each cell has its own estimates,
    so more cells need more rows. Values are clipped to the 0.1 and 99.9 % quantiles first, so that
    one outlier does not make a season.

    Parameters
    ----------
    values
        Time-ordered, shape ``(n,)``.
    times
        Seconds since 1970 UTC, ascending, shape ``(n,)``.
    """
    kept = np.isfinite(values) & np.isfinite(times)
    clipped, when = values[kept], times[kept]
    if len(clipped) < 2 * MIN_ROWS_PER_CELL or np.ptp(clipped) == 0:
        return None
    clipped = np.clip(clipped, *np.quantile(clipped, (0.001, 0.999)))
    by_hour = _fit_cycle(clipped, clipped, when, "hour-of-day")
    if by_hour is None:
        return _fit_cycle(clipped, clipped, when, "day-of-week")
    return _fit_cycle(clipped, by_hour.standardise(clipped, when), when, "hour-of-week") or by_hour


def _fit_cycle(
    values: NDArray[np.float64], unexplained: NDArray[np.float64], times: NDArray[np.float64], cycle: Cycle
) -> PhaseTable | None:
    """Return the table of a cycle, None where ``unexplained`` does not follow it or rows are too few."""
    cell = phase(times, cycle)
    rows = np.bincount(cell, minlength=CELLS[cycle])
    shared = pool_sparse(rows)
    if shared is None or not _differs(unexplained, cell, rows):
        return None
    return _table(values, shared[cell], shared, rows > 0, cycle)


def pool_sparse(rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the pool of each cell: itself, or for cells of fewer than 500 rows one that they share.

    Parameters
    ----------
    rows
        Rows in each cell, shape ``(cells,)``.

    Returns
    -------
    numpy.ndarray or None
        Shape ``(cells,)``; the common pool has the number ``cells``. None where fewer than two
        cells have 500 rows, or more than 5 % of all rows lie in such that have not.

    Examples
    --------
    >>> pool_sparse(np.array([9_000, 8_000, 300, 0, 200]))
    array([0, 1, 5, 3, 5])
    >>> pool_sparse(np.array([9_000, 300])) is None
    True
    """
    sparse = (rows > 0) & (rows < MIN_ROWS_PER_CELL)
    full = rows >= MIN_ROWS_PER_CELL
    if full.sum() < 2 or rows[sparse].sum() > MAX_SPARSE * rows.sum():
        return None
    return np.where(sparse, len(rows), np.arange(len(rows)))


def differs_by_phase(series: NDArray[np.float64], times: NDArray[np.float64], cycle: Cycle) -> bool:
    """Return whether the mean of a series changes within a cycle."""
    cell = phase(times, cycle)
    rows = np.bincount(cell, minlength=CELLS[cycle])
    return bool((rows > 0).sum() > 1) and _f_test(series, cell, rows) < SIGNIFICANT


def apart_from_hours(series: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a series less the mean of its hour of the week, shape ``(n,)``.

    Examples
    --------
    >>> apart_from_hours(np.array([1.0, 3.0, 10.0]), np.array([0.0, 60.0, 7_200.0])).tolist()
    [-1.0, 1.0, 0.0]
    """
    cell = phase(times, "hour-of-week")
    rows = np.bincount(cell, minlength=CELLS["hour-of-week"])
    means = np.bincount(cell, series, len(rows)) / np.maximum(rows, 1)
    rest: NDArray[np.float64] = series - means[cell]
    return rest


def season_left_in(values: NDArray[np.float64], times: NDArray[np.float64]) -> Cycle | None:
    """Return the longest cycle that values follow, whether or not there are rows for a table of it.

    Parameters
    ----------
    values
        Time-ordered, shape ``(n,)``; those that are not finite are left out.
    times
        Seconds since 1970 UTC, shape ``(n,)``.
    """
    kept = np.isfinite(values) & np.isfinite(times)
    clipped, when = values[kept], times[kept]
    clipped = np.clip(clipped, *np.quantile(clipped, (0.001, 0.999)))
    cycles: tuple[Cycle, ...] = ("day-of-week", "hour-of-day")
    for cycle in cycles:
        cell = phase(when, cycle)
        rows = np.bincount(cell, minlength=CELLS[cycle])
        if (rows > 0).sum() > 1 and _differs(clipped, cell, rows):
            return cycle
    return None


def _differs(values: NDArray[np.float64], cell: NDArray[np.int64], rows: NDArray[np.int64]) -> bool:
    spread = np.abs(values - np.median(values))
    return min(_f_test(values, cell, rows), _f_test(spread, cell, rows)) < SIGNIFICANT


def _f_test(values: NDArray[np.float64], cell: NDArray[np.int64], rows: NDArray[np.int64]) -> float:
    """Return the p-value of "all cells have the same mean" (one-way analysis of variance).

    The ratio is divided by the design effect of what the cells leave unexplained: neighbours that
    resemble each other make cells differ too, and that is no season.
    """
    means = np.bincount(cell, values, len(rows)) / np.maximum(rows, 1)
    residual = values - means[cell]
    within, between = float((residual**2).sum()), float((rows * (means - values.mean()) ** 2).sum())
    groups = int((rows > 0).sum())
    if within <= 1e-12 * between:
        return 0.0 if between > 0 else 1.0
    freedom = len(values) - groups
    ratio = (between / (groups - 1)) / (within / freedom) / design_effect(residual)
    return float(fdtrc(groups - 1, freedom, ratio))


def _table(
    values: NDArray[np.float64],
    pool: NDArray[np.int64],
    shared: NDArray[np.int64],
    occurs: NDArray[np.bool_],
    cycle: Cycle,
) -> PhaseTable:
    """Return the table; a cell that never occurred or has no spread takes that of all rows.

    Parameters
    ----------
    pool
        Pool of each value.
    shared
        Pool of each cell.
    """
    size = CELLS[cycle] + 1
    some = np.maximum(np.bincount(pool, minlength=size), 1)
    mean = np.bincount(pool, values, size) / some
    square = np.bincount(pool, (values - mean[pool]) ** 2, size) / some
    by_cell = np.where(occurs, mean[shared], values.mean())
    spread = np.where(occurs & (square[shared] > 1e-12 * values.var()), square[shared], values.var())
    return PhaseTable(cycle=cycle, mean=tuple(by_cell.tolist()), sd=tuple(np.sqrt(spread).tolist()))
