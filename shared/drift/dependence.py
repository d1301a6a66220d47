"""Autocorrelation: how many independent rows a time-ordered column is worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK = 512
LONG_BLOCK = 4096
MIN_BLOCKS = 8


def design_effect(series: NDArray[np.float64], block: int = BLOCK) -> float:
    """Return the variance inflation of block sums against independent rows, at least 1.

    Sums of ``block`` consecutive values of an independent series have ``block`` times its
    variance; autocorrelation inflates that by the same factor by which it shrinks the sample
    (the design effect, DEFF). For an AR(1) series with coefficient r it is (1 + r) / (1 - r).

    Parameters
    ----------
    series
        Time-ordered, shape ``(n,)``, finite.
    block
        Events per block. A series with fewer than eight blocks answers 1.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> bool(design_effect(rng.normal(size=200_000)) < 1.2)
    True
    """
    blocks = len(series) // block
    variance = float(series.var())
    if blocks < MIN_BLOCKS or variance == 0:
        return 1.0
    sums = series[: blocks * block].reshape(blocks, block).sum(axis=1)
    return max(1.0, float(sums.var(ddof=1)) / (block * variance))


def reaches_beyond(series: NDArray[np.float64], deff: float) -> bool:
    """Return whether dependence reaches so far that ``deff`` from short blocks understates it.

    That is the case where blocks eight times as long inflate more than three times as much:
    a trend, a season that was not taken out, or a random walk.
    """
    return design_effect(series, LONG_BLOCK) > 3.0 * max(deff, 1.5)
