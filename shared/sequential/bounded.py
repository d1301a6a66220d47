"""Exact confidence sequence for the mean of bounded paired differences, from sums alone.

For every difference ``x`` in ``[-1, 1]`` and every bet ``0 <= l < 1``

    exp(l x - psi(l) x^2) <= 1 + l x,        psi(l) = -log(1 - l) - l

(Fan, Grama and Liu 2015, Proposition 4.1, which needs no more than ``x >= -1``), hence
``exp(l sum(x_i - m_i) - psi(l) sum(x_i^2))`` is a non-negative supermartingale when ``m_i`` is the
expectation of ``x_i`` given the past. It is the empirical Bernstein supermartingale of Howard, Ramdas,
McAuliffe and Sekhon (2021, Theorem 4) with the predictable guess zero: the natural guess for a difference
of two models, and the one that makes the process a function of two sums. A mixture of it over a grid of
bets is one too, and by Ville's inequality it exceeds ``2 / alpha`` at any time with probability at most
``alpha / 2``; inverted to both sides, that is the interval.

Three things follow. Sums of windows, segments and partitions are added, and the answer does not depend on
how the stream was cut. Observations may depend on each other: what is bounded is the running average of
the conditional expectations ``m_i``, in the order of counting. And nothing is asymptotic: the promise
holds from the first observation on. The price, against an interval made to be looked at once, is a
factor of about two in width.

References
----------
Fan, Grama, Liu (2015), Exponential inequalities for martingales with applications, Electronic Journal of
Probability 20, Proposition 4.1. Howard, Ramdas, McAuliffe, Sekhon (2021), Time-uniform, nonparametric,
nonasymptotic confidence sequences, Annals of Statistics 49(2), Theorem 4. Waudby-Smith, Ramdas (2024),
Estimating means of bounded random variables by betting, JRSS B 86(1), section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.sequential.interval import Interval, unknown

_GRID: Final = np.arange(26)
_BETS: Final = 0.9 * 0.5**_GRID
"""0.9 down to 3e-8: the best bet for a sum of squares V is about sqrt(2 log(1/alpha) / V)."""
_PSI: Final = -np.log1p(-_BETS) - _BETS
_LOG_WEIGHTS: Final = -np.log((_GRID + 1.0) * (_GRID + 2.0))
"""1 / ((j + 1)(j + 2)): sums to less than 1, so the mixture is a supermartingale."""


@dataclass(frozen=True, slots=True)
class PairedSums:
    """What is kept of paired differences, champion's loss minus candidate's: positive is for the candidate.

    Attributes
    ----------
    n
        Pairs.
    total, squares
        Sum of the differences and of their squares.

    Examples
    --------
    >>> PairedSums(2, 0.5, 0.25) + PairedSums(1, -0.5, 0.25)
    PairedSums(n=3, total=0.0, squares=0.5)
    """

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: PairedSums) -> PairedSums:
        return PairedSums(self.n + other.n, self.total + other.total, self.squares + other.squares)

    def possible(self, bound: float) -> bool:
        """Return whether there are pairs, none farther apart than ``bound``, that add up to this.

        Examples
        --------
        >>> PairedSums(1, 2.0, 2.0).possible(1.0), PairedSums(-1, 0.0, 0.0).possible(1.0)
        (False, False)
        """
        slack = 1.0 + 1e-9
        within = abs(self.total) <= self.n * bound * slack and self.squares <= self.n * bound**2 * slack
        return self.n >= 0 and within

    def __neg__(self) -> PairedSums:
        return PairedSums(self.n, -self.total, self.squares)


def log_evidence(total: npt.ArrayLike, squares: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the log of the mixture supermartingale against "the mean is at most zero".

    Parameters
    ----------
    total, squares
        Sums of differences in ``[-1, 1]`` (at least ``-1``) and of their squares; arrays are broadcast.

    Examples
    --------
    >>> bool(log_evidence(30.0, 40.0) > math.log(1 / 0.05)), bool(log_evidence(0.0, 40.0) < 0)
    (True, True)
    """
    t = np.asarray(total, dtype=np.float64)[..., np.newaxis]
    v = np.asarray(squares, dtype=np.float64)[..., np.newaxis]
    exponents = _LOG_WEIGHTS + _BETS * t - _PSI * v
    peak = exponents.max(axis=-1)
    evidence: npt.NDArray[np.float64] = peak + np.log(np.exp(exponents - peak[..., np.newaxis]).sum(axis=-1))
    return evidence


def boundary(squares: float, alpha: float) -> float:
    """Return the sum of differences at which the evidence reaches ``log(1 / alpha)``.

    Examples
    --------
    >>> round(boundary(100.0, 0.025), 1)
    39.9
    """
    goal = math.log(1.0 / alpha)
    low, high = 0.0, 1.0
    while float(log_evidence(high, squares)) < goal:
        low, high = high, 2.0 * high
    while high - low > 1e-9 * high:
        middle = (low + high) / 2.0
        low, high = (middle, high) if float(log_evidence(middle, squares)) < goal else (low, middle)
    return high  # the wider side of the rounding


def difference(sums: PairedSums, bound: float, alpha: float) -> Interval:
    """Return the confidence sequence of the mean difference at this moment.

    Parameters
    ----------
    sums
        Of all pairs so far.
    bound
        No difference is larger than this in either direction.
    alpha
        Chance of ever excluding the true value, both sides together.

    Raises
    ------
    ValueError
        The sums cannot be those of differences within the bound.

    Examples
    --------
    >>> found = difference(PairedSums(2_000, 40.0, 120.0), bound=1.0, alpha=0.05)
    >>> round(found.lower, 4), found.estimate, round(found.upper, 4)
    (-0.0015, 0.02, 0.0415)
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is {alpha}, and lies between 0 and 1")
    if sums.n == 0:
        return unknown(bound)
    scale = 1.0 / bound
    if not sums.possible(bound):
        raise ValueError(f"{sums} are not the sums of differences within {bound:g}")
    radius = boundary(sums.squares * scale**2, alpha / 2.0) * bound / sums.n
    mean = sums.total / sums.n
    return Interval(sums.n, mean, max(mean - radius, -bound), min(mean + radius, bound))
