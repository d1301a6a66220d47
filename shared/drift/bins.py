"""Bins fitted to a training column, and the bin of every new value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from shared.drift.channel import MIN_ROWS_PER_BIN, ChannelBaseline
from shared.drift.values import as_category, as_numbers

BINS = 32
TAIL_SHARES = (3e-4, 5e-5)
"""Where the tail is divided beyond the outermost quantile: share of the rows that lie further out."""
TAIL_ROWS = 5
TAIL_ROWS_NEEDED = 10_000
"""With fewer rows the tails are not divided: on so few of them no bet can be priced."""
BEYOND = 1e-6
"""How far beyond the outermost training value the last edge lies: more than rounding to float32 moves it."""
MAX_RARE = 20_000
BOOLEANS = {"false": 0, "true": 1, "0": 0, "1": 1}
"""What a boolean channel takes for false and true, and their bins."""


def numeric_edges(
    ordered: NDArray[np.float64], bins: int = BINS, *, tails: bool = True
) -> NDArray[np.float64]:
    """Return the inner edges of numeric bins, ascending.

    The edges are the quantiles at equally spaced normal scores, so the tails are resolved as well
    as the middle, and each bin between them has at least 20 rows. Each lies halfway between two training
    values: rounding a value to float32 does not move it into another bin.

    Beyond the outermost of them, given 10,000 values, the tail is divided once more, where 3 and 0.5 rows in
    10,000 lie (at least five), and where training ends: the last bin on either side holds what is beyond
    everything that training had. What so few rows say is priced by an upper estimate
    (:meth:`ChannelBaseline.probabilities`).

    Parameters
    ----------
    ordered
        Training values in ascending order, finite, shape ``(n,)``.
    bins
        Wanted number of bins; ties and merging leave fewer.
    tails
        Whether tails are divided; if not, all the bins are between the quantiles.

    Examples
    --------
    >>> numeric_edges(np.repeat([1.0, 2.0, 4.0], 100))
    array([1.5, 3. ])
    >>> numeric_edges(np.repeat([1.0, 2.0, 4.0], 10_000)).round(3)
    array([1. , 1.5, 3. , 4. ])
    """
    tails = tails and len(ordered) >= TAIL_ROWS_NEEDED
    inner = bins - 1 - (2 * len(TAIL_SHARES) + 2 if tails else 0)
    reach = -ndtri(max(MIN_ROWS_PER_BIN / max(len(ordered), 2 * MIN_ROWS_PER_BIN), 1e-3))
    grid = ndtr(np.linspace(-reach, reach, inner))
    above = np.unique(np.searchsorted(ordered, np.quantile(ordered, grid), side="left"))
    above = above[(above > 0) & (above < len(ordered))]
    edges = _merge_thin(np.unique(_between(ordered, above)), ordered)
    if not tails or not len(edges):
        return edges
    below = [-edge for edge in reversed(_tail(-ordered[::-1], -edges[0]))]
    return np.array([*below, *edges, *_tail(ordered, edges[-1])])


def _between(ordered: NDArray[np.float64], above: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return edges halfway between the values before and at these positions."""
    below, upper = ordered[above - 1], ordered[above]
    middle: NDArray[np.float64] = below / 2 + upper / 2
    return np.where(middle > below, middle, upper)


def _tail(ordered: NDArray[np.float64], outermost: float) -> list[float]:
    """Return the edges beyond the outermost one of the middle, ascending."""
    rows, found = len(ordered), list[float]()
    beyond = rows - int(np.searchsorted(ordered, outermost, side="left"))
    for share in TAIL_SHARES:
        wanted = max(round(share * rows), TAIL_ROWS)
        first = int(np.searchsorted(ordered, ordered[rows - wanted], side="left"))
        if TAIL_ROWS <= rows - first <= beyond - TAIL_ROWS:
            found.append(float(_between(ordered, np.array([first]))[0]))
            beyond = rows - first
    largest = float(ordered[-1])
    return [*found, largest + BEYOND * max(abs(largest), float(ordered[-1] - ordered[0]))]


def _merge_thin(edges: NDArray[np.float64], ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the edges without those that bound a bin of fewer than 20 rows, thinnest first."""
    while len(edges):
        rows = np.diff(np.searchsorted(ordered, edges, side="left"), prepend=0, append=len(ordered))
        thin = int(rows.argmin())
        if rows[thin] >= MIN_ROWS_PER_BIN:
            break
        edges = np.delete(edges, min(thin, len(edges) - 1))
    return edges


class CategoryBins(msgspec.Struct, frozen=True):
    """Which categories get a bin, which share one, and how many were singletons."""

    categories: tuple[str, ...]
    rare: tuple[str, ...] | None
    singletons: int


def category_bins(values: Sequence[str | None], bins: int = BINS) -> CategoryBins:
    """Return the bins of a categorical column: its most frequent categories with 20 rows or more.

    Examples
    --------
    >>> category_bins(["a"] * 50 + ["b"] * 30 + ["c"] * 2 + ["d", None])
    CategoryBins(categories=('a', 'b'), rare=('c', 'd'), singletons=1)
    """
    tally = Counter(value for value in values if value is not None)
    ranked = sorted(tally.items(), key=lambda item: (-item[1], item[0]))
    top = [name for name, rows in ranked[: bins - 2] if rows >= MIN_ROWS_PER_BIN]
    rare = tuple(sorted(name for name, _ in ranked[len(top) :]))
    if len(rare) > MAX_RARE:
        return CategoryBins(categories=tuple(top), rare=None, singletons=0)
    return CategoryBins(
        categories=tuple(top), rare=rare, singletons=sum(1 for rows in tally.values() if rows == 1)
    )


class Coder:
    """Maps the values of one channel to its bins.

    Parameters
    ----------
    channel
        A channel with bins.

    Attributes
    ----------
    unseen
        Index of the bin of unseen categories; None where the channel cannot tell them.
    """

    def __init__(self, channel: ChannelBaseline) -> None:
        self.channel = channel
        self._edges = np.array(channel.edges)
        self._missing = len(channel.counts) - 1
        self._bin: dict[str | None, int] = {name: i for i, name in enumerate(channel.categories)}
        other = len(channel.categories)
        self._bin.update((name, other) for name in channel.rare or () if name not in self._bin)
        if channel.kind == "boolean":
            self._bin.update(BOOLEANS)
        self._bin[None] = self._missing
        listed = channel.rare is not None
        self._fallback = other + 1 if listed else other
        self.unseen = other + 1 if listed and channel.kind != "numeric" else None

    def code(
        self, values: Sequence[Any] | NDArray[Any], times: NDArray[np.float64] | None = None
    ) -> NDArray[np.int64]:
        """Return the bin of each value, shape ``(n,)``.

        Parameters
        ----------
        values
            Raw values of any type; what cannot be used is missing.
        times
            Seconds since 1970 UTC, shape ``(n,)``: needed where the channel has a season.

        Raises
        ------
        ValueError
            The channel has a season and no times are given.
        """
        if self.channel.kind == "numeric":
            return self._code_numbers(as_numbers(values), times)
        find, fallback = self._bin.get, self._fallback
        raw = values.tolist() if isinstance(values, np.ndarray) else values
        return np.fromiter((find(as_category(value), fallback) for value in raw), np.int64, len(raw))

    def cell(self, times: NDArray[np.float64] | None) -> NDArray[np.int64]:
        """Return the column of each event's cell of the season, shape ``(n,)``.

        Raises
        ------
        ValueError
            The channel has no table of shares, or no times are given.
        """
        table = self.channel.shares
        if table is None or times is None:
            raise ValueError(f"channel {self.channel.name!r} has a season: the events' times are needed")
        return table.cell(times) + len(self.channel.counts)

    def code_names(self, names: Sequence[str | None]) -> NDArray[np.int64]:
        """Return the bin of each value, all of them known to be text or None, shape ``(n,)``."""
        return np.fromiter(map(self._bin.get, names, repeat(self._fallback)), np.int64, len(names))

    def _code_numbers(
        self, numbers: NDArray[np.float64], times: NDArray[np.float64] | None
    ) -> NDArray[np.int64]:
        if self.channel.phases is not None:
            if times is None:
                raise ValueError(f"channel {self.channel.name!r} has a season: the events' times are needed")
            numbers = self.channel.phases.standardise(numbers, times)
        codes = np.searchsorted(self._edges, numbers, side="right").astype(np.int64)
        codes[np.isnan(numbers)] = self._missing
        return codes
