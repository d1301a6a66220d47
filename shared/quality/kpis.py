"""KPIs read from their sums: what a decision was worth, which version was worth more, and where to decide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
import numpy as np

from shared.messages import KpiSums, Sums
from shared.quality.figures import Figure, mean

_TUNED_FOR: Final = 2_000
"""Decisions at which the sequences are tightest; they are near that over two orders of magnitude."""

Goal = Literal["max", "min"]


def worth(kpi: KpiSums) -> Figure | None:
    """Return a KPI per decision with its interval; None where no decision has been counted."""
    return mean(kpi.value) if kpi.value.n else None


def mean_sequence(sums: Sums, alpha: float) -> tuple[float, float]:
    """Return an interval for the mean that holds at all times at once, in the limit of many decisions.

    An ordinary interval that is looked at every minute is wrong far more often than it says; this is a
    confidence sequence, so a rule may act on the first moment that convinces it.

    References
    ----------
    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), Time-uniform central limit theory and
    asymptotic confidence sequences, Annals of Statistics 52(6), Theorem 2.2.

    Examples
    --------
    >>> low, high = mean_sequence(Sums(n=10_000, total=5_000.0, squares=5_000.0), 0.05)
    >>> round(low, 3), round(high, 3)
    (0.484, 0.516)
    """
    if sums.n < 2:
        return -math.inf, math.inf
    n = sums.n
    variance = max(0.0, (sums.squares - sums.total**2 / n) / (n - 1))
    surprise = -2 * math.log(alpha)
    rho = (surprise + math.log(surprise + 1)) / _TUNED_FOR
    width = math.sqrt(variance * 2 * (n * rho + 1) / (n * n * rho) * math.log(math.sqrt(n * rho + 1) / alpha))
    return sums.total / n - width, sums.total / n + width


def difference(one: KpiSums, other: KpiSums, alpha: float = 0.05) -> Figure | None:
    """Return by how much a KPI of one version exceeds another's, with a confidence sequence.

    The two answered different events, so each mean has a sequence of its own at half of ``alpha``: their
    difference is within both with at least ``1 - alpha``, at all times at once. None without decisions.
    """
    a, b = one.value, other.value
    if not a.n or not b.n:
        return None
    (low, high), (low_other, high_other) = mean_sequence(a, alpha / 2), mean_sequence(b, alpha / 2)
    return Figure(a.total / a.n - b.total / b.n, low - high_other, high - low_other, a.n + b.n)


class Advice(msgspec.Struct, frozen=True):
    """What a cut-off would have been worth.

    Attributes
    ----------
    threshold
        The cut-off that would have been best; ``inf`` where it had been best never to decide for the
        positive class.
    value
        The KPI per decision with it, had every outcome been the same whatever was decided.
    now, value_now
        The cut-off in force, and the KPI per decision with it.
    decisions
        Decisions that this rests on.
    curve
        Cut-offs and the KPI per decision with each.
    """

    threshold: float
    value: float
    now: float
    value_now: float
    decisions: int
    curve: tuple[tuple[float, float], ...]

    @property
    def matters(self) -> bool:
        """Whether the KPI depends on the cut-off at all."""
        values = [value for _, value in self.curve]
        return max(values) - min(values) > 1e-9 * max(map(abs, values))


def advise(kpi: KpiSums, edges: Sequence[float], threshold: float, goal: Goal = "max") -> Advice | None:
    """Return which cut-off of the score would have been best for a KPI; None where nobody can know.

    Examples
    --------
    >>> kpi = KpiSums(value=Sums(n=4, total=0.0), if_positive=(-6.0, -1.0, 8.0), if_negative=(0.0, 0.0, 0.0))
    >>> advice = advise(kpi, (0.3, 0.6), 0.3)
    >>> advice.threshold, advice.value, advice.value_now
    (0.6, 2.0, 1.75)
    """
    if not kpi.value.n or not (kpi.if_positive or kpi.if_negative):
        return None
    bins = len(edges) + 1
    positive = np.array(kpi.if_positive or (0.0,) * bins)
    negative = np.array(kpi.if_negative or (0.0,) * bins)
    above = np.concatenate([np.cumsum(positive[::-1])[::-1], [0.0]])
    below = np.concatenate([[0.0], np.cumsum(negative)])
    values = (above + below) / kpi.value.n
    cuts = np.array([0.0, *edges, math.inf])
    at_now = int(np.flatnonzero(cuts >= threshold)[0])
    best = int(values.argmax() if goal == "max" else values.argmin())
    if values[best] == values[at_now]:
        best = at_now  # no advice without a gain
    return Advice(
        float(cuts[best]),
        float(values[best]),
        threshold,
        float(values[at_now]),
        kpi.value.n,
        tuple(zip(cuts[:-1].tolist(), values[:-1].tolist(), strict=True)),
    )
