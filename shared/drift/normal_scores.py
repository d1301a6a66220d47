"""Bins of any distribution laid out on the scale of a standard normal one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri


def bin_bounds(shares: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lower and upper normal scores of consecutive bins, each of shape ``(bins,)``.

    Parameters
    ----------
    shares
        Probability of each bin, in ascending order of their values; they sum to 1.

    Examples
    --------
    >>> lower, upper = bin_bounds(np.array([0.5, 0.5]))
    >>> lower.tolist(), upper.tolist()
    ([-inf, 0.0], [0.0, inf])
    """
    cumulative = np.minimum(np.concatenate([[0.0], np.cumsum(shares)]), 1.0)
    cumulative[-1] = 1.0
    scores = ndtri(cumulative)
    return scores[:-1], scores[1:]


def bin_scores(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean normal score of each bin, E[z | bin], shape ``(bins,)``.

    Examples
    --------
    >>> bin_scores(np.array([0.5, 0.5])).round(4).tolist()
    [-0.7979, 0.7979]
    """
    lower, upper = bin_bounds(shares)
    scores: NDArray[np.float64] = (_density(lower) - _density(upper)) / np.maximum(shares, 1e-12)
    return scores


def _density(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    density: NDArray[np.float64] = np.exp(-(scores**2) / 2) / np.sqrt(2 * np.pi)
    return density
