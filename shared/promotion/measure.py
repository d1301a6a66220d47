"""How much better or worse a candidate is, by the metric of its gates, and how well that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.bundle.gates import Metric
from shared.messages import Judged
from shared.promotion.evidence import Evidence
from shared.sequential import (
    LOSS_BOUNDS,
    BinnedScores,
    Interval,
    PairedSums,
    auc_difference,
    difference,
)
from shared.sequential.interval import unknown

UNITS: Final[dict[Metric, str]] = {
    "brier": "Brier score",
    "log_loss": "log loss",
    "accuracy": "accuracy",
    "win_rate": "wins minus losses",
    "auc": "AUC",
    "relative_error": "relative error",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """The candidate's advantage: above zero it is better.

    Attributes
    ----------
    interval
        The advantage in units of the metric, with its confidence sequence.
    impossible
        Whether the sums are none that pairs could have: corrections were counted whose first labels were not,
        for one. Nothing is known then.
    """

    metric: Metric
    interval: Interval
    impossible: bool = False

    @property
    def sentence(self) -> str:
        """The advantage as a person reads it.

        Examples
        --------
        >>> Measured("brier", Interval(1_000, 0.02, 0.01, 0.03)).sentence
        'better by 0.0200 Brier score (+0.0100 to +0.0300, 1,000 labels)'
        """
        i = self.interval
        if self.impossible:
            return "nothing can be said: labels were taken back that are not counted here"
        if i.n == 0:
            return "no labels yet"
        how = "better" if i.estimate >= 0 else "worse"
        kind = "" if i.exact else ", asymptotic"
        bounds = f"{i.lower:+.4f} to {i.upper:+.4f}, {i.n:,} labels{kind}"
        return f"{how} by {abs(i.estimate):.4f} {UNITS[self.metric]} ({bounds})"


def measure(evidence: Evidence, metric: Metric, alpha: float) -> Measured:
    """Return the candidate's advantage over all events."""
    if metric != "auc":
        return measure_pairs(evidence.sums.judged, metric, alpha)
    ranking = evidence.sums.ranking
    joint = (ranking.joint_positive, ranking.joint_negative)
    arms = (
        BinnedScores(ranking.champion_positive, ranking.champion_negative),
        BinnedScores(ranking.candidate_positive, ranking.candidate_negative),
    )
    if any(count < 0 for arm in arms for count in (*arm.positives, *arm.negatives)):
        return Measured(metric, unknown(1.0, exact=False), impossible=True)
    return Measured(metric, auc_difference(*arms, alpha, joint if all(joint) else None))


def measure_pairs(judged: Judged, metric: Metric, alpha: float) -> Measured:
    """Return the candidate's advantage in a metric that is a mean over pairs.

    Corrected labels can leave sums that are off by the rounding of floating point; what should be zero
    or positive is taken so. Sums that no pairs could have say nothing, for or against anybody.
    """
    if metric == "win_rate":
        won, lost = judged.wins, judged.losses
        return _measured(metric, PairedSums(judged.pairs, float(won - lost), float(won + lost)), alpha)
    kept = getattr(judged, "correct" if metric == "accuracy" else metric)
    return _measured(metric, PairedSums(kept.n, kept.total, max(kept.squares, 0.0)), alpha)


def _measured(metric: Metric, sums: PairedSums, alpha: float) -> Measured:
    bound = LOSS_BOUNDS.get(metric, 1.0)
    if not sums.possible(bound):
        return Measured(metric, unknown(bound), impossible=True)
    return Measured(metric, difference(sums, bound, alpha))
