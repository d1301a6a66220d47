"""The histograms of a comparison as one run of bins, so that they are counted in one go."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from services.shadow.sides import Floats, Ints
from shared.histograms import LATENCY_EDGES, PROBABILITY_EDGES, VALUE_EDGES

HISTOGRAMS: Final = (
    "difference", "champion_scores", "candidate_scores", "champion_latency", "candidate_latency",
)  # fmt: skip
"""Names of the histograms, in the order of their bins."""

_STEPS: Final = tuple(step * 10.0**exponent for exponent in range(-4, 0) for step in (1, 2, 5))
DIFFERENCE_EDGES: Final = (*(-step for step in reversed(_STEPS)), 0.0, *_STEPS)
"""Edges for the difference of two probabilities: 1-2-5 steps from 0.0001 to 0.5, either sign."""


class Layout:
    """Where the bins of each histogram lie in the run.

    Parameters
    ----------
    edges
        Of each histogram, in the order of :data:`HISTOGRAMS`.

    Examples
    --------
    >>> Layout((0.0,), (0.5,), (0.5,), (1.0,), (1.0,)).width
    10
    """

    def __init__(self, *edges: tuple[float, ...]) -> None:
        self.edges: dict[str, tuple[float, ...]] = dict(zip(HISTOGRAMS, edges, strict=True))
        ends = np.cumsum([0, *(len(some) + 1 for some in edges)]).tolist()
        self.slices = {name: slice(*b) for name, b in zip(HISTOGRAMS, pairwise(ends), strict=True)}
        self.width: int = ends[-1]
        self._arrays = [np.array(some) for some in edges]
        self._firsts = ends[:-1]

    def bins(self, *values: Floats) -> npt.NDArray[np.intp]:
        """Return the bin of every value.

        Parameters
        ----------
        values
            One array of shape ``(n,)`` for each histogram.

        Returns
        -------
        Shape ``(5, n)``.
        """
        found = np.empty((len(values), len(values[0])), dtype=np.intp)
        for row, edges, first, column in zip(found, self._arrays, self._firsts, values, strict=True):
            np.add(np.searchsorted(edges, column, side="right"), first, out=row)
        return found

    def parts(self, counts: Ints) -> dict[str, tuple[int, ...]]:
        """Return the counts of a run by histogram."""
        run = counts.tolist()
        return {name: tuple(run[where]) for name, where in self.slices.items()}


PROBABILITIES: Final = Layout(
    DIFFERENCE_EDGES, PROBABILITY_EDGES, PROBABILITY_EDGES, LATENCY_EDGES, LATENCY_EDGES
)
VALUES: Final = Layout(VALUE_EDGES, VALUE_EDGES, VALUE_EDGES, LATENCY_EDGES, LATENCY_EDGES)
"""Of a regression."""
