"""Concept drift from labels: does a score still mean what it meant when the model was built?

The channel bets on P(y = 1 | score), so a change of the scores themselves (data drift) does not
move it. Feed labels only after their maturation horizon: early labels are a biased sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from shared.drift.alternatives import FIXED_SHARE, Bets, Change
from shared.drift.slots import SlotAccumulator, Slots
from shared.errors import ValidationError

SCORE_EDGES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
MIN_LABELS_PER_BIN = 200
ODDS = (0.12, 0.25, 0.5, 1.0)
SLOPES = (0.3, 0.5, 0.65, 0.8, 0.9)


class LabelBaseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often the label was positive in each bin of the score, on data the model was not fitted to.

    Attributes
    ----------
    labels
        Labels per score bin, 12 entries.
    positives
        Those of them that were positive.
    """

    labels: tuple[int, ...]
    positives: tuple[int, ...]

    def __post_init__(self) -> None:
        bins = len(SCORE_EDGES) + 1
        pairs = zip(self.labels, self.positives, strict=False)
        if not len(self.labels) == len(self.positives) == bins or any(not 0 <= p <= n for n, p in pairs):
            raise ValueError(f"a label baseline takes {bins} bins, each with no more positives than labels")

    @property
    def calibration(self) -> NDArray[np.float64]:
        """P(y = 1 | score bin), shape ``(12,)``, strictly between 0 and 1."""
        rates: NDArray[np.float64] = (np.array(self.positives) + 0.5) / (np.array(self.labels) + 1.0)
        return rates


def fit_labels(scores: Sequence[Any] | NDArray[Any], labels: Sequence[Any] | NDArray[Any]) -> LabelBaseline:
    """Return the label baseline of held-out scores and labels.

    Parameters
    ----------
    scores
        Probabilities of the positive class, shape ``(n,)``.
    labels
        1 or True where the label was positive, shape ``(n,)``.

    Raises
    ------
    ValidationError
        No bin of the score has 200 labels, or a score or label is out of range.

    Examples
    --------
    >>> fit_labels([0.01] * 300 + [0.99] * 300, [0] * 299 + [1] * 301).positives[0]
    1
    """
    cells = _cells(np.asarray(scores, np.float64), np.asarray(labels, np.float64))
    counts = np.bincount(cells, minlength=2 * len(SCORE_EDGES) + 2).reshape(-1, 2)
    if counts.sum(axis=1).max() < MIN_LABELS_PER_BIN:
        raise ValidationError(f"too few labels: no score bin has {MIN_LABELS_PER_BIN} of {len(cells)}")
    return LabelBaseline(labels=tuple(counts.sum(axis=1).tolist()), positives=tuple(counts[:, 1].tolist()))


def label_bets(baseline: LabelBaseline) -> Bets:
    """Return the bets on P(y | score): its odds all change, or its slope does (over-confidence).

    Bins with fewer than 200 labels take no part. Every bet is fair whatever the scores are.
    """
    rates = baseline.calibration
    odds = logit(rates)
    moved: list[tuple[float, str, NDArray[np.float64]]] = []
    for size in ODDS:
        for change in (size, -size):
            moved.append((0.06, f"odds of the label x{np.exp(change):.2f}", odds + change))
    moved += [(0.10, f"over-confident scores, slope {slope:g}", odds * slope) for slope in SLOPES]
    moved.append((0.02, "under-confident scores, slope 1.4", odds * 1.4))
    after = expit(np.array([target for _, _, target in moved]))
    usable = np.array(baseline.labels) >= MIN_LABELS_PER_BIN
    negative, positive = np.log((1 - after) / (1 - rates)), np.log(after / rates)
    ratios = np.stack([negative, positive], axis=2) * usable[None, :, None]
    weights = np.array([weight for weight, _, _ in moved])
    concept: Change = "concept"
    rows = np.array(baseline.labels, np.float64) + 1.0
    joint = np.stack([1 - rates, rates], axis=1) * (rows / rows.sum())[:, None]
    return Bets(
        channel="label given score",
        probabilities=joint.ravel(),
        log_ratios=ratios.reshape(len(moved), -1),
        weights=FIXED_SHARE * weights / weights.sum(),
        changes=(concept,) * len(moved),
        details=tuple(detail for _, detail, _ in moved),
        effective_rows=float(sum(baseline.labels)),
        plug_in=False,
    )


class LabelCounter:
    """Counts matured labels into slots of 16, by score bin and outcome.

    Examples
    --------
    >>> counter = LabelCounter()
    >>> slots = counter.add([0.97] * 16, [1] * 15 + [0])
    >>> slots.counts[0, 0, -2:].tolist()
    [1, 15]
    """

    def __init__(self) -> None:
        self._slots = SlotAccumulator(1, 2 * len(SCORE_EDGES) + 2)

    def add(self, scores: Sequence[Any] | NDArray[Any], labels: Sequence[Any] | NDArray[Any]) -> Slots:
        """Return the slots that these labels complete.

        Raises
        ------
        ValidationError
            A score lies outside 0 to 1, or a label is neither 0 nor 1.
        """
        cells = _cells(np.asarray(scores, np.float64), np.asarray(labels, np.float64))
        return self._slots.add(cells[None, :])


def _cells(scores: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return twice the score bin plus the label, shape ``(n,)``."""
    if scores.shape != labels.shape:
        raise ValidationError(f"{scores.size} scores and {labels.size} labels do not pair up")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValidationError("a score lies outside 0 to 1: it is no probability")
    if not ((labels == 0) | (labels == 1)).all():
        raise ValidationError("a label is neither 0 nor 1")
    return 2 * np.searchsorted(SCORE_EDGES, scores, side="right") + labels.astype(np.int64)
