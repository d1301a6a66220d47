"""Delays as cells of a table: medians with misses, and means against means."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np

Delays = list[int | None]
"""Delay of each try in events; None for a miss."""


def shown_median(delays: Sequence[int | None]) -> str:
    """Return the median delay, and how many tries missed.

    Examples
    --------
    >>> shown_median([16, None, 48]), shown_median([None])
    ('48 (1 of 3)', 'missed (1 of 1)')
    """
    if not delays:
        return "-"
    missed = sum(1 for d in delays if d is None)
    ordered = sorted(np.inf if d is None else float(d) for d in delays)
    middle = median(ordered)
    shown = f"{middle:,.0f}" if np.isfinite(middle) else "missed"
    return f"{shown} ({missed} of {len(delays)})" if missed else shown


def middle(delays: Sequence[int | None]) -> float:
    """Return the median delay, infinite where half of the tries missed."""
    return float(median(sorted(np.inf if d is None else float(d) for d in delays)))


def mean_ratio(ours: Sequence[int | None], knowing: Sequence[int | None]) -> float | None:
    """Return mean over mean of the tries that both found."""
    pairs = [(a, b) for a, b in zip(ours, knowing, strict=True) if a is not None and b is not None]
    return sum(a for a, _ in pairs) / sum(b for _, b in pairs) if pairs else None
