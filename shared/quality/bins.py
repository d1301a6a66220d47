"""Bins of the score that realised quality is counted in."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

_TAIL: Final = (0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005)

EDGES: Final = (
    *_TAIL,
    *(round(step / 100, 2) for step in range(1, 100)),
    *(round(1 - edge, 5) for edge in reversed(_TAIL)),
)
"""Hundredths, with finer steps at both ends: a rare class has most of its scores there."""


def edges_with(threshold: float | None) -> tuple[float, ...]:
    """Return the edges with a decision threshold among them, so that counts on either side are exact."""
    if threshold is None or threshold in EDGES or not 0 < threshold < 1:
        return EDGES
    return tuple(sorted((*EDGES, threshold)))


def bins_of(scores: npt.NDArray[np.float64], edges: tuple[float, ...]) -> npt.NDArray[np.intp]:
    """Return the bin of each score: ``edges[i - 1] <= score < edges[i]`` is bin ``i``; shape ``(n,)``.

    Examples
    --------
    >>> bins_of(np.array([0.0, 0.5, 1.0]), (0.5, 0.9)).tolist()
    [0, 1, 2]
    """
    return np.searchsorted(edges, scores, side="right")
