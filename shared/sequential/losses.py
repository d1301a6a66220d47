"""The losses that are compared pair by pair, each bounded, so that their differences are.

Examples
--------
>>> brier(0.8, True), round(log_loss(0.8, True), 4), log_loss(0.0, True) == LOSS_BOUNDS["log_loss"]
(0.03999999999999998, 0.2231, True)
"""

from __future__ import annotations

import math
from typing import Final

CLIP: Final = 0.001
"""Probabilities are taken as at least this and at most one minus it: a single certain and wrong answer
would otherwise cost infinitely much, and no bound on the mean would exist."""

LOSS_BOUNDS: Final = {"brier": 1.0, "log_loss": -math.log(CLIP), "win_rate": 1.0}
"""No difference of two losses is larger than this, by metric.

``win_rate`` is the difference of wins and losses: +1 where the candidate came closer to the truth, -1
where the champion did, 0 for a tie.
"""


def brier(score: float, positive: bool) -> float:
    """Return the squared error of a probability, 0 to 1."""
    return (score - float(positive)) ** 2


def log_loss(score: float, positive: bool) -> float:
    """Return minus the log of the probability given to what happened, clipped; 0.001 to 6.9."""
    right = score if positive else 1.0 - score
    return -math.log(min(max(right, CLIP), 1.0 - CLIP))
