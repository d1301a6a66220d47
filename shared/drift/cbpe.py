"""Quality of a binary classifier without labels: confidence-based performance estimation (CBPE).

While a score still means what it meant (P(y | score) holds), the number of scores in each bin tells
how many predictions are right. The estimate follows a change of the inputs; it is blind to concept drift
and to a change of the base rate at equal scores, so it is not to be trusted once label given score alarms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.label_baseline import SCORE_EDGES, LabelBaseline


class EstimatedQuality(msgspec.Struct, frozen=True, kw_only=True):
    """What the scores of a window promise, if a score means what it meant.

    Attributes
    ----------
    scores
        Scores in the window.
    true_positives, false_positives, true_negatives, false_negatives
        Expected confusion matrix, events.
    accuracy, precision, recall, f1, auc
        Expected figures, 0 to 1; None where one has no denominator. ``auc`` has the resolution of
        the bins: ties within a bin count half.
    accuracy_error
        Standard error of ``accuracy`` from the chance in the labels, given the calibration.
    calibration_error
        Standard error of ``accuracy`` that comes from the calibration being an estimate itself.
    """

    scores: int
    true_positives: float
    false_positives: float
    true_negatives: float
    false_negatives: float
    accuracy: float
    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None
    accuracy_error: float
    calibration_error: float

    def band(self, width: float = 1.96) -> tuple[float, float]:
        """Return the accuracy's interval, ``width`` standard errors to either side, within 0 to 1."""
        error = width * math.hypot(self.accuracy_error, self.calibration_error)
        return max(0.0, self.accuracy - error), min(1.0, self.accuracy + error)


def count_scores(
    scores: Sequence[Any] | NDArray[Any], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many scores fall into each bin, those that are positive and those that are not.

    Parameters
    ----------
    scores
        Probabilities of the positive class.
    threshold
        A score at or above it is a positive prediction; it need not be an edge of a bin.

    Returns
    -------
    tuple
        ``(positive, negative)``, each of shape ``(12,)``; counts of several windows or partitions add up.

    Examples
    --------
    >>> positive, negative = count_scores([0.02, 0.47, 0.48, 0.97], threshold=0.475)
    >>> positive.tolist(), negative.tolist()
    ([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    """
    values = np.asarray(scores, np.float64)
    bins = np.searchsorted(SCORE_EDGES, values, side="right")
    size = len(SCORE_EDGES) + 1
    decided = values >= threshold
    return np.bincount(bins[decided], minlength=size), np.bincount(bins[~decided], minlength=size)


def estimate_quality(
    baseline: LabelBaseline, positive: NDArray[np.int64], negative: NDArray[np.int64]
) -> EstimatedQuality:
    """Return the quality that a window's scores promise [1]_.

    With N_b scores in bin b of calibration c_b, the expected true positives are the sum of N_b c_b over
    positive predictions, and so on; the variance of the number right is the sum of N_b c_b (1 - c_b).

    Parameters
    ----------
    baseline
        What a score meant: its ``calibration`` is c.
    positive, negative
        As :func:`count_scores` gives them.

    Raises
    ------
    ValueError
        The window is empty.

    References
    ----------
    .. [1] Kivimaki, J., Bialek, J., Nurminen, J. K. and Kuberski, W. (2024). Confidence-based estimators for
       predictive performance in model monitoring. arXiv:2407.08649.

    Examples
    --------
    >>> sure = LabelBaseline(labels=(999,) + (0,) * 10 + (999,), positives=(0,) + (0,) * 10 + (999,))
    >>> promised = estimate_quality(sure, *count_scores([0.01, 0.99, 0.98, 0.02], 0.5))
    >>> round(promised.accuracy, 3), round(promised.auc, 3)
    (1.0, 1.0)
    """
    total = int(positive.sum() + negative.sum())
    if total == 0:
        raise ValueError("a window without scores promises nothing")
    rates = baseline.calibration
    tp, fp = float(positive @ rates), float(positive @ (1 - rates))
    fn, tn = float(negative @ rates), float(negative @ (1 - rates))
    spread = rates * (1 - rates)
    rows = (np.array(baseline.labels, np.float64) + 1) / baseline.deff
    lever = (positive - negative) / total
    return EstimatedQuality(
        scores=total,
        true_positives=tp,
        false_positives=fp,
        true_negatives=tn,
        false_negatives=fn,
        accuracy=(tp + tn) / total,
        precision=_ratio(tp, tp + fp),
        recall=_ratio(tp, tp + fn),
        f1=_ratio(2 * tp, 2 * tp + fp + fn),
        auc=_auc(positive + negative, rates),
        accuracy_error=math.sqrt(float((positive + negative) @ spread)) / total,
        calibration_error=math.sqrt(float((lever**2 * spread / rows).sum())),
    )


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _auc(scores: NDArray[np.int64], rates: NDArray[np.float64]) -> float | None:
    """Return the expected area under the ROC curve, pairs within a bin counted half."""
    positives, negatives = scores * rates, scores * (1 - rates)
    pairs = float(positives.sum() * negatives.sum())
    below = np.concatenate([[0.0], np.cumsum(negatives)[:-1]])
    return float(positives @ (below + negatives / 2)) / pairs if pairs > 0 else None
