"""Windowed counts of what the service did, per input partition, in event time.

Everything here is a function of the records alone (their values, offsets and order), so that a
replay arrives at the same state; only latencies depend on when the scoring happened.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from shared.bundle.spec import ModelSpec
from shared.histograms import LATENCY_EDGES, PROBABILITY_EDGES, VALUE_EDGES, Counts, bucket_counts
from shared.messages import Histogram, InferenceReport, Window

_Key = tuple[str, str, int]
"""Model, version and start of a window."""


class CountedAs(msgspec.Struct, frozen=True):
    """Whose windows something is counted in.

    Attributes
    ----------
    window
        Length of the model's windows, milliseconds.
    regression
        Whether its scores are values of an unknown range rather than probabilities.
    """

    model: str
    version: str
    window: int
    regression: bool

    @classmethod
    def of(cls, spec: ModelSpec) -> CountedAs:
        """Return where the events of a model version are counted."""
        return cls(spec.name, spec.version, spec.window * 1000, spec.task == "regression")


UNROUTED: Final = CountedAs("unrouted", "-", 60_000, regression=False)
"""Where refused events are counted that name no served model."""


class _Cell(msgspec.Struct):
    """The counts of one model version in one window."""

    of: CountedAs
    start: int
    first_offset: int
    latency: list[int]
    scores: list[int]
    predictions: int = 0
    late: int = 0
    errors: dict[str, int] = {}

    @property
    def key(self) -> _Key:
        return self.of.model, self.of.version, self.start


class _Early(msgspec.Struct):
    """Dead letters that came before any event time was known."""

    of: CountedAs
    reason: str
    offset: int
    count: int = 0


class _State(msgspec.Struct):
    """What survives of one partition."""

    watermark: int = -1
    cells: list[_Cell] = []
    early: list[_Early] = []


_LATENCY = np.array(LATENCY_EDGES)
_PROBABILITY = np.array(PROBABILITY_EDGES)
_VALUE = np.array(VALUE_EDGES)


class PartitionReports:
    """The open windows of one input partition.

    A window closes when the watermark (the latest event time seen) is a whole window past its end;
    an event that comes later still is counted, as ``late``, in the newest window. The watermark moves
    record by record, so that the counts do not depend on how records were cut into batches.
    """

    def __init__(self, topic: str, partition: int, state: bytes | None) -> None:
        self._topic = topic
        self._partition = partition
        restored = msgspec.msgpack.decode(state, type=_State) if state else _State()
        self._watermark = restored.watermark
        self._cells = {cell.key: cell for cell in restored.cells}
        self._early = {(early.of, early.reason): early for early in restored.early}
        self._dirty: set[_Key] = set(self._cells)  # what was reported is not remembered

    def snapshot(self) -> bytes:
        """Return the state to commit."""
        state = _State(self._watermark, list(self._cells.values()), list(self._early.values()))
        return msgspec.msgpack.encode(state)

    def advance(self, occurred_at: Counts) -> Counts:
        """Move the watermark over consecutive records; return it as it was after each, shape ``(n,)``.

        ``occurred_at`` is in epoch milliseconds, negative where a record has no readable time.
        """
        watermarks = np.maximum.accumulate(np.maximum(occurred_at, self._watermark))
        self._watermark = int(watermarks[-1])
        return watermarks

    def count(
        self,
        of: CountedAs,
        *,
        offsets: Counts,
        occurred_at: Counts,
        watermarks: Counts,
        scores: npt.NDArray[np.floating[Any]],
        latencies: npt.NDArray[np.float64],
    ) -> None:
        """Count scored events; all arrays have shape ``(n,)``."""
        newest = watermarks - watermarks % of.window
        starts = occurred_at - occurred_at % of.window
        late = starts < newest - of.window
        starts = np.where(late, newest, starts)
        edges = _VALUE if of.regression else _PROBABILITY
        for start in np.unique(starts).tolist():
            rows = starts == start
            cell = self._cell(of, start, int(offsets[rows][0]))
            cell.predictions += int(rows.sum())
            cell.late += int((rows & late).sum())
            cell.latency = _plus(cell.latency, bucket_counts(latencies[rows], _LATENCY))
            cell.scores = _plus(cell.scores, bucket_counts(scores[rows], edges))

    def count_error(self, of: CountedAs, reason: str, *, offset: int, watermark: int) -> None:
        """Count one dead letter in the newest window, since its own event time may be unreadable.

        Those that come before any readable event time wait for the first window there is.
        """
        if watermark < 0:
            self._early.setdefault((of, reason), _Early(of, reason, offset)).count += 1
            return
        cell = self._cell(of, watermark - watermark % of.window, offset)
        cell.errors[reason] = cell.errors.get(reason, 0) + 1

    def settle_early(self, watermark: int) -> None:
        """Put dead letters that waited for an event time into the window of the first one."""
        for early in self._early.values():
            cell = self._cell(early.of, watermark - watermark % early.of.window, early.offset)
            cell.errors[early.reason] = cell.errors.get(early.reason, 0) + early.count
        self._early.clear()

    def due(self, next_offset: int, now: int) -> Iterator[InferenceReport]:
        """Yield a report per window that changed since the last call or is closed; the latter go."""
        for key in sorted(self._cells):
            cell = self._cells[key]
            final = cell.start < self._watermark - self._watermark % cell.of.window - cell.of.window
            if final:
                del self._cells[key]
            if final or key in self._dirty:
                yield self._report(cell, next_offset, now, final=final)
        self._dirty.clear()

    def _cell(self, of: CountedAs, start: int, offset: int) -> _Cell:
        key = (of.model, of.version, start)
        self._dirty.add(key)
        cell = self._cells.get(key)
        if cell is None:
            score_edges = VALUE_EDGES if of.regression else PROBABILITY_EDGES
            cell = self._cells[key] = _Cell(
                of, start, offset, [0] * (len(LATENCY_EDGES) + 1), [0] * (len(score_edges) + 1)
            )
        cell.first_offset = min(cell.first_offset, offset)
        return cell

    def _report(self, cell: _Cell, next_offset: int, now: int, *, final: bool) -> InferenceReport:
        score_edges = VALUE_EDGES if cell.of.regression else PROBABILITY_EDGES
        return InferenceReport(
            model=cell.of.model,
            model_version=cell.of.version,
            window=Window(start=cell.start, end=cell.start + cell.of.window),
            source_topic=self._topic,
            partition=self._partition,
            first_offset=cell.first_offset,
            next_offset=next_offset,
            written_at=now,
            final=final,
            predictions=cell.predictions,
            errors=dict(cell.errors),
            late=cell.late,
            latency=Histogram(edges=LATENCY_EDGES, counts=tuple(cell.latency)),
            scores=Histogram(edges=score_edges, counts=tuple(cell.scores)),
        )


def _plus(counts: list[int], more: Counts) -> list[int]:
    total: list[int] = (np.array(counts, dtype=np.int64) + more).tolist()
    return total
