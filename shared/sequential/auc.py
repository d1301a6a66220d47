"""Area under the ROC curve from counts of scores by bin, and the difference of two of them.

The area is a property of all pairs of events, not a mean over events, so no exact confidence sequence
is made of sums. This one is *asymptotic*: it holds in the limit of many labels. How far the two areas vary
together comes from joint counts (champion's bin, candidate's bin); without them the widths are added as
if the areas moved against each other, which is *conservative*: two models on the same events usually move
together.

References
----------
DeLong, DeLong, Clarke-Pearson (1988), Comparing the areas under two or more correlated ROC curves,
Biometrics 44. Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (2024), Time-uniform central limit theory and
asymptotic confidence sequences, Annals of Statistics 52(6), Theorem 2.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.sequential.interval import Interval, unknown

_TUNED_FOR: Final = 2_000
"""Number of labels at which the sequence is tightest; it is near that over two orders of magnitude."""


@dataclass(frozen=True, slots=True)
class BinnedScores:
    """How often a version's score fell into each bin, by what turned out true.

    Attributes
    ----------
    positives, negatives
        Counts per bin, bins ascending in score; both of one length.

    Examples
    --------
    >>> auc(BinnedScores((0, 1, 3), (3, 1, 0)))
    0.96875
    """

    positives: tuple[int, ...]
    negatives: tuple[int, ...]

    @property
    def n(self) -> int:
        """Labelled events."""
        return sum(self.positives) + sum(self.negatives)

    def __add__(self, other: BinnedScores) -> BinnedScores:
        return BinnedScores(
            tuple(a + b for a, b in zip(self.positives, other.positives, strict=True)),
            tuple(a + b for a, b in zip(self.negatives, other.negatives, strict=True)),
        )


def auc(scores: BinnedScores) -> float:
    """Return the area: the chance that a positive event scores higher, ties within a bin counting half.

    NaN while one of the two classes has not been seen.
    """
    return _area(scores)[0]


JointCounts = Sequence[tuple[int, int, int]]
"""``(champion's bin, candidate's bin, events)``, each pair of bins once; their bins may be coarser."""


def auc_difference(
    champion: BinnedScores,
    candidate: BinnedScores,
    alpha: float,
    joint: tuple[JointCounts, JointCounts] | None = None,
) -> Interval:
    """Return the asymptotic confidence sequence of candidate's minus champion's area.

    Parameters
    ----------
    champion, candidate
        Counts over the same events.
    joint
        Joint counts of the positive and of the negative events, where they are known.
    alpha
        Chance, in the limit, of ever excluding the true difference.

    Examples
    --------
    >>> a = BinnedScores((10, 20, 70), (500, 300, 100))
    >>> b = BinnedScores((5, 15, 80), (600, 250, 50))
    >>> found = auc_difference(a, b, alpha=0.05)
    >>> round(found.estimate, 3), found.lower < 0 < found.upper, found.exact
    (0.082, True, False)
    """
    n = min(champion.n, candidate.n)
    (a, sd_a), (b, sd_b) = _area(champion), _area(candidate)
    if math.isnan(a) or math.isnan(b):
        return unknown(1.0, exact=False)
    deviation = sd_a + sd_b if joint is None else _paired_deviation(*joint)
    radius = deviation * math.sqrt(n) * _radius(n, alpha)
    return Interval(n, b - a, max(b - a - radius, -1.0), min(b - a + radius, 1.0), exact=False)


def _paired_deviation(positive: JointCounts, negative: JointCounts) -> float:
    """Return the standard error of the difference of areas: DeLong's, on differences of placements."""
    up, down = (np.array(counts, dtype=np.float64).reshape(-1, 3) for counts in (positive, negative))
    bins = 1 + int(max(up[:, :2].max(initial=0), down[:, :2].max(initial=0)))
    moved_up, moved_down = np.zeros(len(up)), np.zeros(len(down))
    for side, sign in ((0, -1.0), (1, 1.0)):
        below, above = _placements(_marginal(up, side, bins), _marginal(down, side, bins))
        moved_up += sign * below[up[:, side].astype(np.intp)]
        moved_down += sign * above[down[:, side].astype(np.intp)]
    p, n = up[:, 2].sum(), down[:, 2].sum()
    mean = float(up[:, 2] @ moved_up / p)
    return math.sqrt(_spread(up[:, 2], moved_up, mean) / p + _spread(down[:, 2], moved_down, mean) / n)


def _marginal(joint: npt.NDArray[np.float64], side: int, bins: int) -> npt.NDArray[np.float64]:
    counts = np.bincount(joint[:, side].astype(np.intp), weights=joint[:, 2], minlength=bins)
    return counts.astype(np.float64)


def _placements(
    positives: npt.NDArray[np.float64], negatives: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return by bin the share of negatives scored lower, and the share of positives scored higher."""
    below = (np.cumsum(negatives) - negatives / 2) / negatives.sum()
    return below, 1.0 - (np.cumsum(positives) - positives / 2) / positives.sum()


def _radius(n: int, alpha: float) -> float:
    """Return the half width for a standard deviation of one (Theorem 2.2, two-sided)."""
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1) / _TUNED_FOR
    t = n * rho2 + 1
    return math.sqrt(2 * t / (n * n * rho2) * math.log(math.sqrt(t) / alpha))


def _area(scores: BinnedScores) -> tuple[float, float]:
    """Return the area and its standard error (DeLong's, from placements by bin)."""
    positives = np.array(scores.positives, dtype=np.float64)
    negatives = np.array(scores.negatives, dtype=np.float64)
    p, n = positives.sum(), negatives.sum()
    if p == 0 or n == 0:
        return math.nan, math.nan
    below, above = _placements(positives, negatives)
    area = float(positives @ below / p)
    variance = _spread(positives, below, area) / p + _spread(negatives, above, area) / n
    return area, math.sqrt(variance)


def _spread(counts: npt.NDArray[np.float64], placements: npt.NDArray[np.float64], mean: float) -> float:
    """Return the variance of placements, with one more event placed as far off as a placement can be.

    Perfectly separated classes have no variance in the sample, and are no proof of none.
    """
    total = counts.sum()
    squared = float(counts @ (placements - mean) ** 2) + max(abs(mean), abs(1.0 - mean)) ** 2
    return squared / float(total)
