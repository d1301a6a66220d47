"""Histograms of reports: merged, and read at a percentile."""

from __future__ import annotations

from collections.abc import Iterable

from shared.histograms import merged as added_up
from shared.messages import Histogram


def merged(histograms: Iterable[Histogram | None]) -> Histogram | None:
    """Return the sum of histograms; those with other edges than the first one are left out."""
    some = [histogram for histogram in histograms if histogram is not None]
    return added_up([histogram for histogram in some if histogram.edges == some[0].edges])


def percentile(histogram: Histogram | None, percent: float) -> float | None:
    """Return the value that ``percent`` of the counts lie below, interpolated within its bin.

    The bins at both ends are open: there the edge is returned. ``None`` of nothing counted.

    Examples
    --------
    >>> percentile(Histogram(edges=(0.0, 1.0, 2.0), counts=(0, 4, 4, 0)), 75)
    1.5
    """
    if histogram is None or not (total := sum(histogram.counts)):
        return None
    wanted, below = total * percent / 100, 0
    edges = histogram.edges
    for at, count in enumerate(histogram.counts):
        if count and below + count >= wanted:
            if at == 0:
                return edges[0]
            if at == len(edges):
                return edges[-1]
            return edges[at - 1] + (edges[at] - edges[at - 1]) * (wanted - below) / count
        below += count
    return edges[-1]
