"""Edges of the histograms in reports, and counting into them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from shared.messages import Histogram

LATENCY_EDGES: Final = (
    0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0, 300.0,
)  # fmt: skip
"""Seconds; the goals (15 and 40 ms at p99) lie between finer steps."""

PROBABILITY_EDGES: Final = tuple(round(i / 20, 2) for i in range(1, 20))
VALUE_EDGES: Final = tuple(
    sign * step * 10.0**exponent
    for sign, exponents in ((-1, range(6, -4, -1)), (1, range(-3, 7)))
    for exponent in exponents
    for step in ((5, 2, 1) if sign < 0 else (1, 2, 5))
)
"""Edges for a regression score, whose range nobody declared: 1-2-5 steps from 0.001 to 5,000,000."""

Counts = npt.NDArray[np.int64]


def bucket_counts(values: npt.NDArray[np.floating[Any]], edges: npt.NDArray[np.float64]) -> Counts:
    """Return how many values lie between consecutive edges; shape ``(len(edges) + 1,)``.

    Examples
    --------
    >>> bucket_counts(np.array([0.1, 0.5, 0.9]), np.array([0.5]))
    array([1, 2])
    """
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)


def merged(histograms: Sequence[Histogram | None]) -> Histogram | None:
    """Return the sum of histograms over the same edges; None where there is none.

    Raises
    ------
    ValueError
        Two have other edges.

    Examples
    --------
    >>> one = Histogram(edges=(0.5,), counts=(1, 2))
    >>> merged([one, None, one]).counts
    (2, 4)
    """
    some = [histogram for histogram in histograms if histogram is not None]
    if not some:
        return None
    if any(histogram.edges != some[0].edges for histogram in some):
        raise ValueError("histograms over different edges cannot be added up")
    counts = np.sum([histogram.counts for histogram in some], axis=0)
    return Histogram(edges=some[0].edges, counts=tuple(counts.tolist()))
