"""What labels are held against: the score of a classifier, or the prediction of a regression."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from services.performance.facts import Facts
from shared.drift.alternatives import Bets
from shared.drift.label_baseline import SCORE_EDGES, LabelBaseline
from shared.drift.label_given_score import label_bets
from shared.drift.residual_baseline import RESIDUAL_BINS, ResidualBaseline
from shared.drift.residual_bets import residual_bets, residual_rows
from shared.drift.slots import SlotAccumulator

Ints = NDArray[np.int64]


class Given(Protocol):
    """How the cells of matured labels are bet on and reported.

    Attributes
    ----------
    kind
        Kind of the channel.
    cells
        Cells that a label may be in.
    labels
        Labels of the baseline.
    floor
        Smallest shift to count on, in standard deviations.
    names, reference
        Name of each bin of the report, and the labels of the baseline in it.
    meaning
        What an alarm means, for a person.
    errors
        How wrong the model was, 0 to 1, by the first columns of a slot.
    """

    kind: str
    cells: int
    labels: int
    floor: float
    names: tuple[str, ...]
    reference: tuple[int, ...]
    meaning: str
    errors: NDArray[np.float64]

    def bets(self) -> Bets:
        """Return the bets on a label, given the score or the prediction."""
        ...

    def slots(self) -> SlotAccumulator:
        """Return an empty accumulator of slots."""
        ...

    def rows(self, cells: Ints) -> Ints:
        """Return cells as that accumulator takes them, shape ``(rows, n)``."""
        ...

    def current(self, counts: Ints) -> Ints:
        """Return labels per cell as labels per bin of the report."""
        ...


class GivenScore:
    """Labels of a classifier: twice the bin of the score, plus one where they were positive."""

    kind: str = "boolean"
    cells: int = 2 * len(SCORE_EDGES) + 2
    meaning: str = "a score no longer means what it meant"

    def __init__(self, baseline: LabelBaseline, threshold: float | None) -> None:
        self._baseline = baseline
        self.errors = _wrong(threshold)
        self.labels = sum(baseline.labels)
        self.floor = baseline.smallest_shift
        lows = ("0", *(f"{edge:g}" for edge in SCORE_EDGES))
        self.names = tuple(f"{what} from {low}" for low in lows for what in ("negative", "positive"))
        counts = zip(baseline.labels, baseline.positives, strict=True)
        self.reference = tuple(n for labels, positives in counts for n in (labels - positives, positives))

    def bets(self) -> Bets:
        """Return the bets on P(y | score)."""
        return label_bets(self._baseline)

    def slots(self) -> SlotAccumulator:
        """Return an empty accumulator of slots."""
        return SlotAccumulator(1, self.cells)

    def rows(self, cells: Ints) -> Ints:
        """Return the cells as they are."""
        return cells[None, :]

    def current(self, counts: Ints) -> Ints:
        """Return the counts as they are."""
        return counts


class GivenPrediction:
    """Labels of a regression, by cell of the prediction and bin of the residual."""

    kind: str = "numeric"
    meaning: str = "errors are no longer what they were for such predictions"

    def __init__(self, baseline: ResidualBaseline) -> None:
        self._baseline = baseline
        self.cells = RESIDUAL_BINS * baseline.cells + 1
        self.floor = baseline.smallest_shift
        self.names = (*baseline.bin_names, _OUTSIDE)
        self.reference = (*np.array(baseline.counts).sum(axis=0).tolist(), 0)
        self.labels = sum(self.reference)
        # the share of the baseline's residuals that are as far out, or less
        far = np.abs(np.arange(RESIDUAL_BINS) - (RESIDUAL_BINS - 1) / 2)
        self.errors = np.array([baseline.overall[far <= one].sum() for one in far])

    def bets(self) -> Bets:
        """Return the bets on the residual given the prediction."""
        return residual_bets(self._baseline)

    def slots(self) -> SlotAccumulator:
        """Return an empty accumulator of slots: bins of the residual beside cells of the prediction."""
        return SlotAccumulator(1, self.bets().columns, rows=(0, 0))

    def rows(self, cells: Ints) -> Ints:
        """Return bin and cell of each label, shape ``(2, n)``."""
        return residual_rows(self._baseline, cells)

    def current(self, counts: Ints) -> Ints:
        """Return the labels of all cells by bin, and those outside of the range that is watched."""
        summed: Ints = counts[:-1].reshape(-1, RESIDUAL_BINS).sum(axis=0)
        return np.append(summed, counts[-1])


_OUTSIDE: Final = "prediction outside the range of the baseline"


def _wrong(threshold: float | None) -> NDArray[np.float64]:
    """Return whether the class decided on was wrong, by cell: twice the score's bin, plus one if positive.

    Parameters
    ----------
    threshold
        Score from which on a binary model decides for the positive class: a bin with it inside counts as what
        its middle is. None where positive means that the model was right.

    Examples
    --------
    >>> _wrong(0.5)[:2], _wrong(0.5)[-2:], _wrong(None)[:2]
    (array([0., 1.]), array([1., 0.]), array([1., 0.]))
    """
    edges = np.array([0.0, *SCORE_EDGES, 1.0])
    decided = np.ones(len(edges) - 1) if threshold is None else (edges[:-1] + edges[1:]) / 2 >= threshold
    positive = decided.astype(np.float64)
    return np.stack([positive, 1 - positive], axis=1).ravel()


def given_of(facts: Facts) -> Given | None:
    """Return what a version's labels are held against; None where its bundle does not know."""
    if facts.label_baseline is not None and facts.label_baseline.calibrated:
        return GivenScore(facts.label_baseline, facts.threshold if facts.task == "binary" else None)
    return GivenPrediction(facts.residual_baseline) if facts.residual_baseline is not None else None
