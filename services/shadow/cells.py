"""The counts of one candidate against one champion in one window of one partition."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from services.shadow.binning import PROBABILITIES, VALUES, Layout
from services.shadow.segmented import (
    KINDS,
    Counted,
    Counts,
    SegmentTable,
    add_flips,
    flip_counts,
)
from services.shadow.sides import REASONS, Floats, Ints, Texts
from shared.messages import Example, Histogram, ShadowReport, Timing, Window

MOST_EXAMPLES: Final = 10

_FIXED_POINT: Final = 2.0**32
"""Differences of probabilities are added up as whole numbers of 2**-32, so that their sum is the same
however the events were cut into batches."""


class Rows(msgspec.Struct):
    """Events to count into one cell; every array has shape ``(n,)``, labels are texts by code."""

    offsets: Ints
    kinds: npt.NDArray[np.int64]
    status: npt.NDArray[np.uint8]
    champion_scores: Floats
    candidate_scores: Floats
    champion_labels: Ints
    candidate_labels: Ints
    champion_latency: Floats
    candidate_latency: Floats
    occurred_at: Ints
    event_ids: list[str]
    segments: dict[str, Texts]


class Cell(msgspec.Struct):
    """One candidate, champion and window; sums of a regression are plain floats, ``scale`` 1.

    Attributes
    ----------
    segments
        By feature and value: how former releases kept ``tables``. Read, never written.
    tables
        By feature: the counts of its values.
    """

    model: str
    version: str
    champion: str
    start: int
    window: int
    regression: bool
    first_offset: int
    counts: Counts
    difference: Ints
    champion_scores: Ints
    candidate_scores: Ints
    champion_latency: Ints
    candidate_latency: Ints
    segments: dict[str, dict[str, Counts]] = {}
    errors: dict[str, int] = {}
    repeated: int = 0
    late: int = 0
    champion_timing: tuple[int, float] = (0, 0.0)
    candidate_timing: tuple[int, float] = (0, 0.0)
    examples: list[Example] = []
    basis: int = 0
    fallbacks: int = 0
    superseded: int = 0
    superseded_seconds: float = 0.0
    tables: dict[str, SegmentTable] = {}

    def __post_init__(self) -> None:
        """Take over what a former release has left in the state."""
        if self.segments:
            width = self.layout.width
            self.tables = {
                feature: SegmentTable.former(values, width) for feature, values in self.segments.items()
            }
            self.segments = {}

    @classmethod
    def empty(
        cls,
        model: str,
        version: str,
        champion: str,
        start: int,
        window: int,
        *,
        regression: bool,
        offset: int,
        basis: int,
    ) -> Cell:
        """Return a cell without counts."""
        edges = (VALUES if regression else PROBABILITIES).edges
        histograms: Any = {name: np.zeros(len(e) + 1, dtype=np.int64) for name, e in edges.items()}
        return cls(
            model,
            version,
            champion,
            start,
            window,
            regression,
            offset,
            Counts.none(),
            **histograms,
            basis=basis,
        )

    @property
    def layout(self) -> Layout:
        """Where the bins of the histograms lie."""
        return VALUES if self.regression else PROBABILITIES

    @property
    def scale(self) -> float:
        """What the sums are counted in."""
        return 1.0 if self.regression else _FIXED_POINT

    def count(self, rows: Rows, labels: list[str], partition: int) -> None:
        """Count events; ``labels`` gives the text of each code."""
        self.first_offset = min(self.first_offset, int(rows.offsets[0]))
        self._count_errors(rows.status)
        both = np.flatnonzero(rows.kinds == 0)
        whole = len(both) == len(rows.kinds)  # as a rule: then nothing has to be picked out
        pick: Any = slice(None) if whole else both
        scores, theirs = rows.candidate_scores[pick], rows.champion_scores[pick]
        champion, candidate = rows.champion_labels[pick], rows.candidate_labels[pick]
        difference = scores - theirs
        same, decided = champion == candidate, (champion >= 0) & (candidate >= 0)
        agreed, flipped = same & decided, np.flatnonzero(decided & ~same)
        flips = both[flipped], champion[flipped], candidate[flipped]
        waited = rows.champion_latency[pick], rows.candidate_latency[pick]
        bins = self.layout.bins(difference, theirs, scores, *waited)
        counted = Counted(rows.kinds, both, agreed, *self._summed(difference), bins, flips)
        self._count_whole(counted, labels)
        for feature, texts in rows.segments.items():
            table = self.tables.get(feature)
            if table is None:
                table = self.tables[feature] = SegmentTable.empty(self.layout.width)
            table.count(texts, counted, labels)
        self._keep_examples(rows, both, difference, labels, partition)

    def _count_whole(self, counted: Counted, labels: list[str]) -> None:
        counts, layout = self.counts, self.layout
        kinds = np.bincount(counted.kinds, minlength=len(KINDS)).tolist()
        counts.kinds = [a + b for a, b in zip(counts.kinds, kinds, strict=True)]
        counts.agreed += int(counted.agreed.sum())
        counts.total += float(counted.totals.sum())
        counts.squares += float(counted.squares.sum())
        found = np.bincount(counted.bins.ravel(), minlength=layout.width)
        for name, where in layout.slices.items():
            histogram: Ints = getattr(self, name)
            histogram += found[where]
        if len(counted.flips[0]):
            at, champion, candidate = counted.flips
            for _, one, other, size in flip_counts(len(labels), np.zeros_like(at), champion, candidate):
                add_flips(counts.flips, labels[one], labels[other], size)

    def _summed(self, difference: Floats) -> tuple[Floats, Floats]:
        """Return differences and their squares, in units of :attr:`scale`."""
        squares = difference * difference
        if self.regression:
            return difference, squares
        return np.rint(difference * _FIXED_POINT), np.rint(squares * _FIXED_POINT)

    def _count_errors(self, status: npt.NDArray[np.uint8]) -> None:
        if not status.any():
            return
        for code, count in enumerate(np.bincount(status).tolist()):
            if code and count:
                self.errors[REASONS[code]] = self.errors.get(REASONS[code], 0) + count

    def _keep_examples(
        self, rows: Rows, both: npt.NDArray[np.intp], difference: Floats, labels: list[str], partition: int
    ) -> None:
        """Keep the pairs that differ most; of two that differ as much, the earlier one."""
        apart = np.abs(difference)
        full = len(self.examples) == MOST_EXAMPLES
        least = _apart(self.examples[-1]) if full else 0.0
        chosen = np.flatnonzero(apart > least)
        if not len(chosen):
            return
        best = chosen[np.argsort(-apart[chosen], kind="stable")[:MOST_EXAMPLES]]
        more = [self._example(rows, int(both[at]), labels, partition) for at in best.tolist()]
        examples = sorted([*self.examples, *more], key=lambda e: (-_apart(e), e.offset))
        self.examples = examples[:MOST_EXAMPLES]

    def _example(self, rows: Rows, row: int, labels: list[str], partition: int) -> Example:
        champion, candidate = int(rows.champion_labels[row]), int(rows.candidate_labels[row])
        segments = {n: text for n, texts in rows.segments.items() if (text := texts.at(row)) is not None}
        return Example(
            event_id=rows.event_ids[row],
            partition=partition,
            offset=int(rows.offsets[row]),
            occurred_at=int(rows.occurred_at[row]),
            champion_score=float(rows.champion_scores[row]),
            candidate_score=float(rows.candidate_scores[row]),
            champion_label=labels[champion] if champion >= 0 else None,
            candidate_label=labels[candidate] if candidate >= 0 else None,
            segments=segments or None,
        )

    def report(self, **envelope: Any) -> ShadowReport:
        """Return the report of this cell; ``envelope`` is what only its partition knows."""
        histograms: Any = {
            name: Histogram(edges=edges, counts=tuple(getattr(self, name).tolist()))
            for name, edges in self.layout.edges.items()
        }
        return ShadowReport(
            model=self.model,
            model_version=self.version,
            champion_version=self.champion,
            basis=self.basis,
            window=Window(start=self.start, end=self.start + self.window),
            first_offset=self.first_offset,
            comparison=self.counts.message(self.scale),
            segments={
                feature: table.messages(self.layout, self.scale) for feature, table in self.tables.items()
            },
            errors=dict(self.errors),
            repeated=self.repeated,
            late=self.late,
            fallbacks=self.fallbacks,
            superseded=self.superseded,
            superseded_seconds=self.superseded_seconds,
            **histograms,
            champion_timing=Timing(events=self.champion_timing[0], seconds=self.champion_timing[1]),
            candidate_timing=Timing(events=self.candidate_timing[0], seconds=self.candidate_timing[1]),
            examples=tuple(self.examples),
            **envelope,
        )


def _apart(example: Example) -> float:
    return abs(example.candidate_score - example.champion_score)
