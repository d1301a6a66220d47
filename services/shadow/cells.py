"""The counts of one candidate against one champion in one window of one partition."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from services.shadow.sides import REASONS, Floats, Ints
from shared.histograms import LATENCY_EDGES, PROBABILITY_EDGES, VALUE_EDGES, bucket_counts
from shared.messages import Comparison, Example, Histogram, Segment, ShadowReport, Sums, Timing, Window

KINDS: Final = ("both", "champion_only", "candidate_only", "neither", "canary")
"""What became of an event, in the order of :class:`shared.messages.Comparison`."""

MOST_VALUES: Final = 50
OTHER: Final = "(other)"
MOST_EXAMPLES: Final = 10

_STEPS: Final = tuple(step * 10.0**exponent for exponent in range(-4, 0) for step in (1, 2, 5))
DIFFERENCE_EDGES: Final = (*(-step for step in reversed(_STEPS)), 0.0, *_STEPS)
"""Edges for the difference of two probabilities: 1-2-5 steps from 0.0001 to 0.5, either sign."""

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
    segments: dict[str, list[str | None]]


class Counts(msgspec.Struct):
    """What is counted of a whole window and of each of its segments."""

    kinds: list[int]
    agreed: int = 0
    flips: dict[str, dict[str, int]] = {}
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def none(cls) -> Counts:
        """Return no counts."""
        return cls([0] * len(KINDS))

    def message(self, scale: float) -> Comparison:
        """Return the counts as a report carries them."""
        both = self.kinds[0]
        difference = Sums(n=both, total=self.total / scale, squares=self.squares / scale)
        return Comparison(
            **dict(zip(KINDS, self.kinds, strict=True)),
            agreed=self.agreed,
            flips={champion: dict(by) for champion, by in self.flips.items()},
            difference=difference,
        )

    def add_flip(self, champion: str, candidate: str, count: int) -> None:
        """Count decisions that went from one label to another."""
        by = self.flips.setdefault(champion, {})
        by[candidate] = by.get(candidate, 0) + count


class Cell(msgspec.Struct):
    """One candidate, champion and window; sums of a regression are plain floats, ``scale`` 1."""

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
        scores = len(VALUE_EDGES if regression else PROBABILITY_EDGES) + 1
        differences = len(VALUE_EDGES if regression else DIFFERENCE_EDGES) + 1
        return cls(
            model,
            version,
            champion,
            start,
            window,
            regression,
            offset,
            Counts.none(),
            difference=_zeros(differences),
            champion_scores=_zeros(scores),
            candidate_scores=_zeros(scores),
            champion_latency=_zeros(len(LATENCY_EDGES) + 1),
            candidate_latency=_zeros(len(LATENCY_EDGES) + 1),
            basis=basis,
        )

    @property
    def scale(self) -> float:
        """What the sums are counted in."""
        return 1.0 if self.regression else _FIXED_POINT

    def count(self, rows: Rows, labels: list[str], partition: int) -> None:
        """Count events; ``labels`` gives the text of each code."""
        self.first_offset = min(self.first_offset, int(rows.offsets[0]))
        both = np.flatnonzero(rows.kinds == 0)
        difference = rows.candidate_scores[both] - rows.champion_scores[both]
        decided = (rows.champion_labels[both] >= 0) & (rows.candidate_labels[both] >= 0)
        agreed = decided & (rows.champion_labels[both] == rows.candidate_labels[both])
        flips = both[decided & ~agreed]
        self._count_histograms(rows, both, difference)
        self._count_errors(rows.status)
        sums = self._summed(difference)
        counts = self.counts
        counts.kinds = _plus(counts.kinds, np.bincount(rows.kinds, minlength=len(KINDS)))
        counts.agreed += int(agreed.sum())
        counts.total += float(sums[0].sum())
        counts.squares += float(sums[1].sum())
        _add_flips(counts, rows, flips, labels)
        for feature, texts in rows.segments.items():
            self._count_segment(feature, texts, rows, (both, agreed, sums, flips), labels)
        self._keep_examples(rows, both, difference, labels, partition)

    def _summed(self, difference: Floats) -> tuple[Floats, Floats]:
        """Return differences and their squares, in units of :attr:`scale`."""
        squares = difference * difference
        if self.regression:
            return difference, squares
        return np.rint(difference * _FIXED_POINT), np.rint(squares * _FIXED_POINT)

    def _count_histograms(self, rows: Rows, both: npt.NDArray[np.intp], difference: Floats) -> None:
        scores = _VALUE if self.regression else _PROBABILITY
        self.difference += bucket_counts(difference, _VALUE if self.regression else _DIFFERENCE)
        self.champion_scores += bucket_counts(rows.champion_scores[both], scores)
        self.candidate_scores += bucket_counts(rows.candidate_scores[both], scores)
        self.champion_latency += bucket_counts(rows.champion_latency[both], _LATENCY)
        self.candidate_latency += bucket_counts(rows.candidate_latency[both], _LATENCY)

    def _count_errors(self, status: npt.NDArray[np.uint8]) -> None:
        if not status.any():
            return
        for code, count in enumerate(np.bincount(status).tolist()):
            if code and count:
                self.errors[REASONS[code]] = self.errors.get(REASONS[code], 0) + count

    def _count_segment(
        self, feature: str, texts: list[str | None], rows: Rows, paired: tuple[Any, ...], labels: list[str]
    ) -> None:
        both, agreed, (totals, squares), flips = paired
        order = list(dict.fromkeys(texts))  # by first appearance: the same however events were cut up
        codes = {text: code for code, text in enumerate(order)}
        at = np.fromiter(map(codes.__getitem__, texts), np.int64, len(texts))
        kinds = np.bincount(at * len(KINDS) + rows.kinds, minlength=len(order) * len(KINDS))
        by_code = kinds.reshape(len(order), len(KINDS)).tolist()
        sizes = {"minlength": len(order)}
        agree = np.bincount(at[both], weights=agreed, **sizes)
        total = np.bincount(at[both], weights=totals, **sizes)
        square = np.bincount(at[both], weights=squares, **sizes)
        values = self.segments.setdefault(feature, {})
        for code, text in enumerate(order):
            if text is None:
                continue
            if text not in values and len(values) >= MOST_VALUES:
                text = OTHER  # noqa: PLW2901
            counts = values.get(text)
            if counts is None:
                counts = values[text] = Counts.none()
            counts.kinds = _plus(counts.kinds, by_code[code])
            counts.agreed += int(agree[code])
            counts.total += float(total[code])
            counts.squares += float(square[code])
        for row in flips.tolist():
            if (text := texts[row]) is not None:
                counts = values.get(text) or values[OTHER]
                counts.add_flip(labels[rows.champion_labels[row]], labels[rows.candidate_labels[row]], 1)

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
        segments = {name: text for name, texts in rows.segments.items() if (text := texts[row]) is not None}
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
        scores = VALUE_EDGES if self.regression else PROBABILITY_EDGES
        differences = VALUE_EDGES if self.regression else DIFFERENCE_EDGES
        return ShadowReport(
            model=self.model,
            model_version=self.version,
            champion_version=self.champion,
            basis=self.basis,
            window=Window(start=self.start, end=self.start + self.window),
            first_offset=self.first_offset,
            comparison=self.counts.message(self.scale),
            segments={
                feature: {text: Segment(comparison=c.message(self.scale)) for text, c in values.items()}
                for feature, values in self.segments.items()
            },
            errors=dict(self.errors),
            repeated=self.repeated,
            late=self.late,
            fallbacks=self.fallbacks,
            superseded=self.superseded,
            superseded_seconds=self.superseded_seconds,
            difference=_histogram(differences, self.difference),
            champion_scores=_histogram(scores, self.champion_scores),
            candidate_scores=_histogram(scores, self.candidate_scores),
            champion_latency=_histogram(LATENCY_EDGES, self.champion_latency),
            candidate_latency=_histogram(LATENCY_EDGES, self.candidate_latency),
            champion_timing=Timing(events=self.champion_timing[0], seconds=self.champion_timing[1]),
            candidate_timing=Timing(events=self.candidate_timing[0], seconds=self.candidate_timing[1]),
            examples=tuple(self.examples),
            **envelope,
        )


_PROBABILITY = np.array(PROBABILITY_EDGES)
_VALUE = np.array(VALUE_EDGES)
_DIFFERENCE = np.array(DIFFERENCE_EDGES)
_LATENCY = np.array(LATENCY_EDGES)


def _zeros(size: int) -> Ints:
    return np.zeros(size, dtype=np.int64)


def _histogram(edges: tuple[float, ...], counts: Ints) -> Histogram:
    return Histogram(edges=edges, counts=tuple(counts.tolist()))


def _apart(example: Example) -> float:
    return abs(example.candidate_score - example.champion_score)


def _plus(counts: list[int], more: Any) -> list[int]:
    return [a + int(b) for a, b in zip(counts, more, strict=True)]


def _add_flips(counts: Counts, rows: Rows, flips: npt.NDArray[np.intp], labels: list[str]) -> None:
    if not len(flips):
        return
    pairs = np.stack((rows.champion_labels[flips], rows.candidate_labels[flips]))
    found, sizes = np.unique(pairs, axis=1, return_counts=True)
    for champion, candidate, size in zip(*found.tolist(), sizes.tolist(), strict=True):
        counts.add_flip(labels[champion], labels[candidate], size)
