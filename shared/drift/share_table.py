"""Seasons of categories: how often each came in every hour of the day or every day of the week."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.phases import CELLS, Cycle, phase, pool_sparse

TABLE_CYCLES: tuple[Cycle, ...] = ("hour-of-day", "day-of-week")
"""The hour of the week would take 168 columns per channel in every slot: four times all the others' work."""


class ShareTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Training rows per bin of a channel in each cell of a cycle (UTC).

    Attributes
    ----------
    cycle
        ``hour-of-day`` (24 cells) or ``day-of-week`` (7, Monday first).
    counts
        Rows per bin, one row per cell. Cells with few rows share the sum of theirs; a cell that never
        occurred is empty, and the overall shares stand in for it.
    """

    cycle: Cycle
    counts: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.counts}
        if len(self.counts) != CELLS[self.cycle] or len(widths) != 1:
            raise ValueError(f"a table of the {self.cycle} takes {CELLS[self.cycle]} rows of equal length")
        if min(map(min, self.counts)) < 0:
            raise ValueError("a table of shares takes counts of 0 or more")

    @property
    def cells(self) -> int:
        """Cells an event may be counted in: those of the cycle, and one for events without a usable time."""
        return len(self.counts) + 1

    @property
    def occurring(self) -> int:
        """Cells of the cycle that occurred in training."""
        return sum(any(row) for row in self.counts)

    def cell(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the cell of each time, seconds since 1970 UTC, shape ``(n,)``."""
        known = np.isfinite(times)
        return np.where(known, phase(np.where(known, times, 0.0), self.cycle), len(self.counts))

    def shares(self, overall: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of each bin in each cell, shape ``(cells, bins)``; rows sum to 1.

        Each cell is drawn towards the overall shares with the weight of one row per bin: so what a
        cell happened not to contain is not priced as impossible in it.

        Parameters
        ----------
        overall
            p of the whole channel, shape ``(bins,)``.
        """
        counts = np.vstack([np.array(self.counts, np.float64), np.zeros(len(overall))])
        weight = float(len(overall))
        drawn: NDArray[np.float64] = (counts + weight * overall) / (
            counts.sum(axis=1, keepdims=True) + weight
        )
        return drawn


def fit_shares(
    codes: NDArray[np.int64], bins: int, times: NDArray[np.float64], cycle: Cycle
) -> ShareTable | None:
    """Return the table of a cycle, None where too many rows lie in cells of fewer than 500.

    Parameters
    ----------
    codes
        Bin of each row, shape ``(n,)``.
    bins
        Number of bins.
    times
        Seconds since 1970 UTC, shape ``(n,)``.
    """
    cell = phase(times, cycle)
    rows = np.bincount(cell, minlength=CELLS[cycle])
    shared = pool_sparse(rows)
    if shared is None:
        return None
    counts = np.bincount(shared[cell] * bins + codes, minlength=(CELLS[cycle] + 1) * bins)
    table = counts.reshape(-1, bins)[shared]
    table[rows == 0] = 0
    return ShareTable(cycle=cycle, counts=tuple(tuple(row) for row in table.tolist()))
