"""What a rule can speak about: for each kind of report its labels and its figures.

A report is cut into :class:`Part` s as it comes: sums, which are added over partitions, and peaks, of
which the largest counts. The figures are computed from the merged part. Only parts are kept, so that
what alerting remembers of a model does not grow with the size of its reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from shared.messages import Report, ServiceReport

Labels = tuple[tuple[str, str], ...]
"""Names and values, sorted: what tells one thing that is watched from another."""


class Part(msgspec.Struct):
    """What one report says about one thing.

    Attributes
    ----------
    labels
        Name and value, sorted.
    sums
        Added when parts are merged.
    peaks
        Of several parts the largest counts.
    counts, edges
        A histogram (of latencies), added when parts are merged.
    notes
        Words for a person, of the newest part.
    """

    labels: Labels
    sums: dict[str, float] = msgspec.field(default_factory=dict)
    peaks: dict[str, float] = msgspec.field(default_factory=dict)
    counts: tuple[int, ...] = ()
    edges: tuple[float, ...] = ()
    notes: dict[str, str] = msgspec.field(default_factory=dict)


def labels(**values: str) -> Labels:
    """Return labels in their order."""
    return tuple(sorted(values.items()))


def merge(parts: Iterable[Part]) -> Part:
    """Return several parts of one thing as one.

    Examples
    --------
    >>> merge([Part((), {"n": 1.0}, {"lag": 3.0}), Part((), {"n": 2.0}, {"lag": 1.0})])
    Part(labels=(), sums={'n': 3.0}, peaks={'lag': 3.0}, counts=(), edges=(), notes={})
    """
    first, *rest = parts
    if not rest:
        return first
    sums, peaks, notes = dict(first.sums), dict(first.peaks), dict(first.notes)
    counts, edges = list(first.counts), first.edges
    for part in rest:
        for name, value in part.sums.items():
            sums[name] = sums.get(name, 0.0) + value
        for name, value in part.peaks.items():
            peaks[name] = max(peaks.get(name, value), value)
        notes.update(part.notes)
        if part.counts and part.edges == edges:
            counts = [a + b for a, b in zip(counts, part.counts, strict=True)]
        elif part.counts and not counts:
            counts, edges = list(part.counts), part.edges
    return Part(first.labels, sums, peaks, tuple(counts), edges, notes)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What can be said about one kind of report.

    Attributes
    ----------
    kind
        The word after ``reports:`` in a rule.
    labels
        Names of the labels.
    figures
        What each figure is, by its name.
    read
        Cuts a report into parts.
    count
        The figure that ``min_count`` is about.
    pooled
        Whether the sums of all windows are taken together, instead of the newest window's.
    shared
        Whether the processes of a service have the thing in common, as they have a topic: what it grew by
        is added over them.
    derive
        Computes figures from a merged part, beside its sums and peaks.
    """

    kind: str
    labels: tuple[str, ...]
    figures: dict[str, str]
    read: Callable[[Any], list[Part]]
    count: str = ""
    pooled: bool = False
    shared: bool = False
    derive: Callable[[Part], dict[str, float]] = field(default=lambda part: {})

    def values(self, part: Part) -> dict[str, float]:
        """Return every figure of a merged part by its name; one that cannot be computed is left out."""
        return part.sums | part.peaks | self.derive(part)


def ratio(name: str, part: float, whole: float) -> dict[str, float]:
    """Return one figure, or none where there is nothing to divide by."""
    return {name: part / whole} if whole else {}


def quantile(share: float, edges: tuple[float, ...], counts: tuple[int, ...]) -> float | None:
    """Return a quantile of a histogram, interpolated in its bucket; the last bucket counts as its edge.

    None of an empty one, and where edges and counts do not fit: a report may come from anybody.

    Examples
    --------
    >>> quantile(0.5, (1.0, 2.0), (0, 10, 0)), quantile(0.99, (1.0, 2.0), (0, 0, 5))
    (1.5, 2.0)
    >>> quantile(0.5, (), (0, 10, 0)), quantile(0.5, (), (10,))
    (None, None)
    """
    total = sum(counts)
    if not total or not edges or len(counts) != len(edges) + 1:
        return None
    rank, seen = share * total, 0
    for index, count in enumerate(counts):
        if count and seen + count >= rank:
            if index == len(edges):
                return edges[-1]
            low = edges[index - 1] if index else 0.0
            return low + (edges[index] - low) * (rank - seen) / count
        seen += count
    return edges[-1]


AnyReportT = Report | ServiceReport
MODEL: Final = ("model", "model_version")
