"""What a regression's errors were like when the model was built: their law, given what was predicted."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from shared.drift.channel import FLOOR, ChannelBaseline
from shared.drift.dependence import BLOCK, beyond_chance, design_effect, reaches_beyond
from shared.drift.normal_scores import bin_scores
from shared.errors import ValidationError

RESIDUAL_BINS: Final = 16
_EDGE_SCORES: Final = np.linspace(-2.2, 2.2, RESIDUAL_BINS - 1)
"""Normal scores whose quantiles of the residuals are the edges of their bins."""

MOST_CELLS: Final = 8
LEAST_LABELS: Final = 8_000
"""Four cells: with fewer, other predictions alone (data drift) may look like other errors."""

ROWS_PER_CELL: Final = 2_000
"""The outermost bins hold 1.4 % of a cell's residuals: 28 of so many."""

_MOST_KNOTS: Final = 32
_ROWS_PER_KNOT: Final = 500
_OUTSIDE: Final = 0.001
"""Share of the predictions on either side that lie outside: beyond them nobody knows what errors are like."""


class ResidualBaseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """How residuals (truth minus prediction) were spread, apart for low and high predictions.

    Attributes
    ----------
    knots, centres, spreads
        Ascending predictions, and the median and the mean absolute deviation of the residuals near each.
        Residuals are standardised by both, along straight lines between the knots and beyond them.
    cuts
        Ascending predictions between the cells, the lowest and the highest of which are the range that is
        watched: one cell fewer than cuts.
    edges
        Ascending standardised residuals between the bins of each cell, at the same quantiles in every cell.
    counts
        Labels by cell and bin, on data the model was not fitted to.
    deff
        Variance inflation of the time-ordered residuals, given their predictions.
    ordered
        Whether the labels came with times. If not, ``deff`` was measured in the order that they had.
    held_out
        Whether the model was fitted to other rows. If not, residuals are smaller than they will be.
    reason
        Why residuals cannot be watched; None where they can.
    """

    knots: tuple[float, ...] = ()
    centres: tuple[float, ...] = ()
    spreads: tuple[float, ...] = ()
    cuts: tuple[float, ...] = ()
    edges: tuple[tuple[float, ...], ...] = ()
    counts: tuple[tuple[int, ...], ...] = ()
    deff: float = 1.0
    ordered: bool = False
    held_out: bool = True
    reason: str | None = None

    def __post_init__(self) -> None:
        shapes = {len(row) for row in self.edges}, {len(row) for row in self.counts}
        if self.reason is None and shapes != ({RESIDUAL_BINS - 1}, {RESIDUAL_BINS}):
            raise ValueError(f"a residual baseline takes {RESIDUAL_BINS} bins in every cell")
        if not len(self.edges) == len(self.counts) == max(0, len(self.cuts) - 1):
            raise ValueError("a residual baseline has one cell fewer than cuts around them")
        if not len(self.knots) == len(self.centres) == len(self.spreads):
            raise ValueError("a residual baseline has a centre and a spread at every knot")
        if self.reason is None and (len(self.knots) < 2 or min(self.spreads) <= 0):
            raise ValueError("a residual baseline takes two knots, and spreads above 0")
        if self.deff < 1:
            raise ValueError("the design effect of a residual baseline is 1 or more")

    @property
    def calibrated(self) -> bool:
        """Whether residuals can be watched."""
        return self.reason is None

    @property
    def cells(self) -> int:
        """Cells of the prediction."""
        return len(self.counts)

    @property
    def effective_rows(self) -> float:
        """Independent labels that the smallest cell rests on: predictions may come to lie all in it."""
        return min((sum(row) for row in self.counts), default=0) / self.deff

    @property
    def smallest_shift(self) -> float:
        """Smallest shift of the residuals' mean to count on, in standard deviations of a cell's residuals."""
        return FLOOR / math.sqrt(self.effective_rows) if self.effective_rows else math.inf

    @property
    def bin_names(self) -> tuple[str, ...]:
        """Name of each bin, by normal scores of the residual among those of its cell."""
        bounds = ["-inf", *(f"{score:.2g}" for score in _EDGE_SCORES), "inf"]
        return tuple(f"{low} to {high} sd" for low, high in pairwise(bounds))

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """Probability of each bin in each cell, shape ``(cells, bins)``, drawn a little to the overall."""
        counts = np.array(self.counts, np.float64)
        overall = self.overall
        drawn: NDArray[np.float64] = (counts + RESIDUAL_BINS * overall) / (
            counts.sum(axis=1, keepdims=True) + RESIDUAL_BINS
        )
        return drawn

    @property
    def overall(self) -> NDArray[np.float64]:
        """Probability of each bin in all cells together, shape ``(bins,)``, all positive."""
        counts = np.array(self.counts, np.float64).sum(axis=0) + 0.5
        overall: NDArray[np.float64] = counts / counts.sum()
        return overall

    def channel(self, name: str) -> ChannelBaseline:
        """Return the residuals as a numeric channel of so many rows as the smallest cell has."""
        counts = np.rint(self.overall * min(sum(row) for row in self.counts)).astype(int).tolist()
        return ChannelBaseline(
            name=name, kind="numeric", rows=sum(counts), edges=tuple(_EDGE_SCORES.tolist()),
            centres=tuple(bin_scores(self.overall).tolist()), sd=1.0, counts=(*counts, 0), deff=self.deff,
            ordered=self.ordered,
        )  # fmt: skip

    def code(self, prediction: float, truth: float) -> int:
        """Return ``16 * cell + bin`` of one label; ``16 * cells`` where the prediction is outside the range.

        Examples
        --------
        >>> rng = np.random.default_rng(3)
        >>> x = rng.normal(size=8_000)
        >>> baseline = fit_residuals(x, x + rng.normal(size=8_000))
        >>> baseline.code(-1.0, -1.0), baseline.code(1.0, 9.0), baseline.code(9.0, 9.0)
        (8, 63, 64)
        """
        cell = bisect_right(self.cuts, prediction) - 1
        if not 0 <= cell < self.cells:
            return RESIDUAL_BINS * self.cells
        knots = self.knots
        at = min(max(bisect_right(knots, prediction) - 1, 0), len(knots) - 2)
        part = (prediction - knots[at]) / (knots[at + 1] - knots[at])
        centre = self.centres[at] + part * (self.centres[at + 1] - self.centres[at])
        spread = self.spreads[at] + part * (self.spreads[at + 1] - self.spreads[at])
        standardised = (truth - prediction - centre) / max(spread, self._least)
        return RESIDUAL_BINS * cell + bisect_right(self.edges[cell], standardised)

    @cached_property
    def _least(self) -> float:
        """Spread that no line beyond the knots leads below."""
        return min(self.spreads) / 4


def fit_residuals(
    predictions: Sequence[Any] | NDArray[Any],
    truths: Sequence[Any] | NDArray[Any],
    *,
    ordered: bool = False,
    held_out: bool = True,
) -> ResidualBaseline:
    """Return the residual baseline of held-out predictions and labels; what is no number is left out.

    Parameters
    ----------
    predictions, truths
        Shape ``(n,)``.
    ordered
        Whether they are known to be in the order of time. Their autocorrelation is measured in any case.
    held_out
        Whether the model was fitted to other rows.

    Raises
    ------
    ValidationError
        There are not as many predictions as labels.
    """
    predicted, truth = np.asarray(predictions, np.float64), np.asarray(truths, np.float64)
    if predicted.shape != truth.shape:
        raise ValidationError(f"{predicted.size} predictions and {truth.size} labels do not pair up")
    known = np.isfinite(predicted) & np.isfinite(truth)
    predicted, residuals = predicted[known], truth[known] - predicted[known]
    blank = ResidualBaseline(ordered=ordered, held_out=held_out, reason="not fitted yet")
    if len(residuals) < LEAST_LABELS:
        return _without(blank, f"too few labels: {len(residuals)} of at least {LEAST_LABELS}")
    lined = _lined(blank, predicted, residuals)
    if lined is None:
        return _without(blank, "predictions or residuals are too much alike")
    return _binned(lined, predicted, residuals)


def _without(baseline: ResidualBaseline, reason: str) -> ResidualBaseline:
    return msgspec.structs.replace(baseline, reason=reason)


def _lined(
    blank: ResidualBaseline, predicted: NDArray[np.float64], residuals: NDArray[np.float64]
) -> ResidualBaseline | None:
    """Return the baseline with knots: centre and spread of the residuals near so many predictions."""
    order = np.argsort(predicted, kind="stable")
    parts = np.array_split(order, min(_MOST_KNOTS, len(order) // _ROWS_PER_KNOT))
    knots = [float(predicted[part].mean()) for part in parts]
    centres = [float(np.median(residuals[part])) for part in parts]
    spreads = [float(np.abs(residuals[part] - c).mean()) for part, c in zip(parts, centres, strict=True)]
    if min(np.diff(knots)) <= 0 or min(spreads) <= 0:
        return None
    return msgspec.structs.replace(blank, knots=tuple(knots), centres=tuple(centres), spreads=tuple(spreads))


def _standardised(
    baseline: ResidualBaseline, predicted: NDArray[np.float64], residuals: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return residuals by the lines between the knots, as :meth:`ResidualBaseline.code` does; ``(n,)``."""
    knots, centres, spreads = map(np.array, (baseline.knots, baseline.centres, baseline.spreads))
    at = np.clip(np.searchsorted(knots, predicted, side="right") - 1, 0, len(knots) - 2)
    part = (predicted - knots[at]) / np.diff(knots)[at]
    centre, spread = (values[at] + part * np.diff(values)[at] for values in (centres, spreads))
    standardised: NDArray[np.float64] = (residuals - centre) / np.maximum(spread, baseline._least)
    return standardised


def _binned(
    baseline: ResidualBaseline, predicted: NDArray[np.float64], residuals: NDArray[np.float64]
) -> ResidualBaseline:
    """Return the baseline with cells and bins, and its dependence; the rows come in the order of time."""
    cells = min(MOST_CELLS, len(residuals) // ROWS_PER_CELL)
    low, high = np.quantile(predicted, [_OUTSIDE, 1 - _OUTSIDE])
    inner = np.quantile(predicted, np.arange(1, cells) / cells)
    cuts = np.array([low, *inner, np.nextafter(high, np.inf)])
    inside = (predicted >= low) & (predicted <= high)
    predicted, residuals = predicted[inside], residuals[inside]
    cell = np.searchsorted(cuts, predicted, side="right") - 1
    values = _standardised(baseline, predicted, residuals)
    if (np.diff(cuts) <= 0).any() or np.bincount(cell, minlength=cells).min() < ROWS_PER_CELL // 2:
        return _without(baseline, "many predictions are the same: they have no quantiles")
    edges = [np.quantile(values[cell == c], ndtr(_EDGE_SCORES)) for c in range(cells)]
    if any((np.diff(row) <= 0).any() for row in edges):
        return _without(baseline, "many residuals are the same: they have no quantiles")
    bins = np.empty(len(values), np.int64)
    for c, row in enumerate(edges):
        bins[cell == c] = np.searchsorted(row, values[cell == c], side="right")
    counts = np.bincount(RESIDUAL_BINS * cell + bins, minlength=RESIDUAL_BINS * cells)
    fitted = msgspec.structs.replace(
        baseline,
        cuts=tuple(cuts.tolist()),
        edges=tuple(tuple(row.tolist()) for row in edges),
        counts=tuple(map(tuple, counts.reshape(-1, RESIDUAL_BINS).tolist())),
        reason=None,
    )
    return _with_dependence(fitted, bin_scores(fitted.overall)[bins])


def _with_dependence(baseline: ResidualBaseline, scores: NDArray[np.float64]) -> ResidualBaseline:
    """Return the baseline with its design effect: of the residuals' normal scores, and of their squares."""
    series = [scores, scores**2]
    if any(map(reaches_beyond, series)):
        reason = f"residuals depend on each other over far more than {BLOCK} of them, given their predictions"
        return msgspec.structs.replace(baseline, reason=reason)
    if baseline.ordered or any(map(beyond_chance, series)):
        return msgspec.structs.replace(baseline, deff=max(map(design_effect, series)))
    return baseline
