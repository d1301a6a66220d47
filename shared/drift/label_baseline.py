"""What a score meant when the model was built: how often the label was positive in each bin of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.channel import FLOOR
from shared.drift.dependence import BLOCK, beyond_chance, design_effect, reaches_beyond
from shared.errors import ValidationError

SCORE_EDGES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
MIN_LABELS_PER_BIN = 200
RATES_KNOWN = "its rates are known, but "
"""How a reason begins that keeps label given score from being watched, but not the rates from being used."""


class LabelBaseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often the label was positive in each bin of the score, on data the model was not fitted to.

    Attributes
    ----------
    labels
        Labels per score bin, 12 entries.
    positives
        Those of them that were positive.
    deff
        Variance inflation of the time-ordered labels, given their scores: late flights come in spells.
    ordered
        Whether the labels came with times. If not, ``deff`` was measured in the order that they had.
    held_out
        Whether the model was fitted to other rows. If not, the rates flatter it.
    reason
        Why label given score cannot be watched; None where it can.
    """

    labels: tuple[int, ...]
    positives: tuple[int, ...]
    deff: float = 1.0
    ordered: bool = False
    held_out: bool = True
    reason: str | None = None

    def __post_init__(self) -> None:
        bins = len(SCORE_EDGES) + 1
        pairs = zip(self.labels, self.positives, strict=False)
        if not len(self.labels) == len(self.positives) == bins or any(not 0 <= p <= n for n, p in pairs):
            raise ValueError(f"a label baseline takes {bins} bins, each with no more positives than labels")
        if self.deff < 1:
            raise ValueError("the design effect of a label baseline is 1 or more")

    @property
    def calibrated(self) -> bool:
        """Whether label given score can be watched."""
        return self.reason is None

    @property
    def rates_known(self) -> bool:
        """Whether quality can be estimated with the rates, be label given score watched or not."""
        return self.reason is None or self.reason.startswith(RATES_KNOWN)

    @property
    def effective_rows(self) -> float:
        """Number of independent labels that the labels are worth."""
        return sum(self.labels) / self.deff

    @property
    def smallest_shift(self) -> float:
        """Smallest shift of the labels' mean, given their scores, to count on, in standard deviations."""
        return FLOOR / math.sqrt(self.effective_rows) if self.effective_rows else math.inf

    @property
    def calibration(self) -> NDArray[np.float64]:
        """P(y = 1 | score bin), shape ``(12,)``, strictly between 0 and 1."""
        rates: NDArray[np.float64] = (np.array(self.positives) + 0.5) / (np.array(self.labels) + 1.0)
        return rates


def fit_labels(
    scores: Sequence[Any] | NDArray[Any],
    labels: Sequence[Any] | NDArray[Any],
    *,
    ordered: bool = False,
    held_out: bool = True,
) -> LabelBaseline:
    """Return the label baseline of held-out scores and labels.

    Parameters
    ----------
    scores
        Probabilities of the positive class, shape ``(n,)``.
    labels
        1 or True where the label was positive, shape ``(n,)``.
    ordered
        Whether they are known to be in the order of time. Their autocorrelation is measured in any case.
    held_out
        Whether the model was fitted to other rows.

    Raises
    ------
    ValidationError
        A score or label is out of range.

    Examples
    --------
    >>> fit_labels([0.01] * 300 + [0.99] * 300, [0] * 299 + [1] * 301).positives[0]
    1
    >>> fit_labels([0.5] * 10, [1] * 10).reason
    'too few labels: no bin of the score has 200 of the 10'
    """
    cells = label_cells(np.asarray(scores, np.float64), np.asarray(labels, np.float64))
    counts = np.bincount(cells, minlength=2 * len(SCORE_EDGES) + 2).reshape(-1, 2)
    baseline = LabelBaseline(
        labels=tuple(counts.sum(axis=1).tolist()),
        positives=tuple(counts[:, 1].tolist()),
        ordered=ordered,
        held_out=held_out,
    )
    reason = None
    if counts.sum(axis=1).max() < MIN_LABELS_PER_BIN:
        reason = f"too few labels: no bin of the score has {MIN_LABELS_PER_BIN} of the {len(cells)}"
    else:
        surprise = cells % 2 - baseline.calibration[cells // 2]
        if ordered or beyond_chance(surprise):
            baseline = msgspec.structs.replace(baseline, deff=design_effect(surprise))
        if reaches_beyond(surprise):
            reason = f"labels depend on each other over far more than {BLOCK} of them, given their scores"
    return msgspec.structs.replace(baseline, reason=reason)


def label_cells(scores: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return twice the score bin plus the label, shape ``(n,)``."""
    if scores.shape != labels.shape:
        raise ValidationError(f"{scores.size} scores and {labels.size} labels do not pair up")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValidationError("a score lies outside 0 to 1: it is no probability")
    if not ((labels == 0) | (labels == 1)).all():
        raise ValidationError("a label is neither 0 nor 1")
    return 2 * np.searchsorted(SCORE_EDGES, scores, side="right") + labels.astype(np.int64)
