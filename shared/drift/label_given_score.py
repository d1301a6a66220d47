"""Concept drift from labels: does a score still mean what it meant when the model was built?

The channel bets on P(y = 1 | score), so a change of the scores themselves (data drift) does not
move it. Feed labels only after their maturation horizon: early labels are a biased sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from shared.drift.alternatives import FIXED_SHARE, Bets, Change
from shared.drift.label_baseline import (
    MIN_LABELS_PER_BIN,
    SCORE_EDGES,
    LabelBaseline,
    fit_labels,
    label_cells,
)
from shared.drift.slots import SlotAccumulator, Slots

__all__ = ["LabelBaseline", "LabelCounter", "fit_labels", "label_bets"]

ODDS = (0.12, 0.25, 0.5, 1.0)
SLOPES = (0.3, 0.5, 0.65, 0.8, 0.9)


def label_bets(baseline: LabelBaseline) -> Bets:
    """Return the bets on P(y | score): its odds all change, or its slope does (over-confidence).

    Bins with fewer than 200 labels take no part. Every bet is fair whatever the scores are.

    Raises
    ------
    ValueError
        The baseline is not calibrated.
    """
    if baseline.reason is not None:
        raise ValueError(f"label given score is not calibrated: {baseline.reason}")
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
        effective_rows=baseline.effective_rows,
        exponent=1.0 / baseline.deff,
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
        cells = label_cells(np.asarray(scores, np.float64), np.asarray(labels, np.float64))
        return self._slots.add(cells[None, :])

    def snapshot(self) -> bytes:
        """Return the incomplete slot as bytes, equal for equal histories."""
        return self._slots.snapshot()

    def restore(self, raw: bytes) -> None:
        """Continue from a snapshot.

        Raises
        ------
        ValueError
            The bytes are not a snapshot of a label counter.
        """
        self._slots.restore(raw)
