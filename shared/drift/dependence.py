"""Autocorrelation: how many independent rows a time-ordered column is worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

SHORT_BLOCK = 64
BLOCK = 512
LONG_BLOCK = 4096
MIN_BLOCKS = 8
BEYOND_CHANCE = 1e-4


def design_effect(series: NDArray[np.float64], block: int | None = None) -> float:
    """Return the variance inflation of block sums against independent rows, at least 1.

    Sums of consecutive values of an independent series have as much variance as the values
    together; autocorrelation inflates that by the same factor by which it shrinks the sample
    (the design effect, DEFF). For an AR(1) series with coefficient r it is (1 + r) / (1 - r).

    Blocks of 512 events see far dependence, blocks of 64 are eight times as many and so more
    precise; the larger answer counts. Blocks of 4,096 count too where they inflate more than chance would
    make them, two standard deviations. Too low an answer costs false alarms, too high a one delay.

    Parameters
    ----------
    series
        Time-ordered, shape ``(n,)``, finite. Fewer than 512 rows answer 1.
    block
        Rows in one round of a season that was left in: blocks of that length count as well.

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(size=200_000)
    >>> design_effect(noise) < 1.2, round(design_effect(noise.repeat(5)))
    (True, 5)
    """
    short, far = _short_effect(series), _inflation(series, LONG_BLOCK)
    if block is not None:
        return max(short, far, _inflation(series, block))
    blocks = len(series) // LONG_BLOCK
    chance = 1.0 + 2.0 * np.sqrt(2.0 / max(blocks - 1, 1))
    return far if far > short * chance else short


def beyond_chance(series: NDArray[np.float64]) -> bool:
    """Return whether sums over blocks vary more than those of independent rows may (chi-squared, p < 0.0001).

    Of rows whose order is not known to be that of time, less than that is not taken for dependence.
    """
    for block in (SHORT_BLOCK, BLOCK, LONG_BLOCK):
        freedom = len(series) // block - 1
        if freedom > 0 and chdtrc(freedom, freedom * _inflation(series, block)) < BEYOND_CHANCE:
            return True
    return False


def _short_effect(series: NDArray[np.float64]) -> float:
    return max(_inflation(series, SHORT_BLOCK), _inflation(series, BLOCK))


def reaches_beyond(series: NDArray[np.float64]) -> bool:
    """Return whether dependence reaches so far that no block of the design effect covers it.

    That is the case where blocks of 4,096 events inflate more than three times as much as shorter
    ones: a trend, a season that was not taken out, or a random walk.
    """
    return _inflation(series, LONG_BLOCK) > 3.0 * max(_short_effect(series), 1.5)


def _inflation(series: NDArray[np.float64], block: int) -> float:
    blocks = len(series) // block
    variance = float(series.var()) if len(series) else 0.0
    if blocks < MIN_BLOCKS or variance == 0:
        return 1.0
    sums = series[: blocks * block].reshape(blocks, block).sum(axis=1)
    return max(1.0, float(sums.var(ddof=1)) / (block * variance))
