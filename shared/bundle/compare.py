"""How far the graph's scores are from the original model's, on the same rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shared.bundle.convert.original import Floats
from shared.errors import BundleError

DEFAULT_TOLERANCE = 1e-4
"""Graphs compute in float32 (7 digits), the original libraries mostly in float64; sums over some
hundred trees differ by 1e-6 or so, and a wrong column order, a lost category or a row that takes
another branch by far more."""

_HINT = (
    "Is it the same model, with the features in the same order, the categories coded as in training, and "
    "'' in place of missing strings in training? Numbers above 16,777,216 lose digits in float32, "
    "a scaler before trees moves rows across a split by rounding, and trees need no scaler"
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The graph against the original model.

    Attributes
    ----------
    rows
        Rows compared.
    max_difference
        Largest absolute difference of a score.
    worst_row
        Where it is.
    above
        Rows whose difference is above the tolerance, which is absolute up to scores of 1 and
        relative beyond, so that it suits probabilities and regressions of any size.
    """

    rows: int
    max_difference: float
    worst_row: int
    above: int
    ours: float
    theirs: float


def compare(ours: Floats, theirs: Floats, tolerance: float) -> Comparison:
    """Return how far two sets of scores are apart, shapes ``(n,)`` or ``(n, k)``.

    Examples
    --------
    >>> compare(np.array([0.5, 1000.05]), np.array([0.5, 1000.0]), 1e-4).above
    0
    >>> compare(np.array([0.5, 0.7]), np.array([0.5, 0.6]), 1e-4).above
    1
    """
    if ours.shape != theirs.shape:
        raise BundleError(
            f"the graph answers in the shape {ours.shape}, the original model in {theirs.shape}"
        )
    size = len(ours)
    difference = np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).reshape(size, -1)
    difference[np.isnan(difference)] = np.inf
    scale = np.maximum(1.0, np.abs(theirs.astype(np.float64))).reshape(size, -1)
    row, column = np.unravel_index(int(difference.argmax()), difference.shape)
    return Comparison(
        rows=size,
        max_difference=float(difference[row, column]),
        worst_row=int(row),
        above=int((difference > tolerance * scale).any(axis=1).sum()),
        ours=float(ours.reshape(size, -1)[row, column]),
        theirs=float(theirs.reshape(size, -1)[row, column]),
    )


def refuse_difference(comparison: Comparison, tolerance: float) -> None:
    """Check that no row is above the tolerance.

    Raises
    ------
    BundleError
        One is; the message says how many, and by how much.
    """
    if comparison.above:
        raise BundleError(
            f"the ONNX graph and the original model differ by up to {comparison.max_difference:.3g} "
            f"({comparison.ours:.6g} against {comparison.theirs:.6g} in checked row {comparison.worst_row}), "
            f"above the tolerance {tolerance:g} in {comparison.above} of {comparison.rows} rows. {_HINT}"
        )
