"""Statistics that stay true however often they are looked at: confidence sequences for paired differences.

A comparison that runs in production is looked at every minute. A confidence interval that is made to be
looked at once is then wrong far more often than it says; a confidence sequence holds at all moments at
once, so that a rule may act on the first moment that convinces it.
"""

from shared.sequential.auc import BinnedScores, auc, auc_difference
from shared.sequential.bounded import PairedSums, difference
from shared.sequential.interval import Interval
from shared.sequential.losses import LOSS_BOUNDS, brier, log_loss

__all__ = [
    "LOSS_BOUNDS",
    "BinnedScores",
    "Interval",
    "PairedSums",
    "auc",
    "auc_difference",
    "brier",
    "difference",
    "log_loss",
]
