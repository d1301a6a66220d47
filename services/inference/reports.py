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

from shared.messages import Histogram, InferenceReport, Window

LATENCY_EDGES: Final = (
    0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0, 300.0,
)  # fmt: skip
"""Seconds; the goals (15 and 40 ms at p99) lie between finer steps."""

PROBABILITY_EDGES: Final = tuple(round(i / 20, 2) for i in range(1, 20))
VALUE_EDGES: Final = tuple(
    sign * step * 10.0**exponent
    for sign, exponents in ((-1, range(6, -4, -1)), (1, range(-3, 7)))
    for exponent in exponents
    for step in ((5, 2, 1) if sign < 0 else (1, 2, 5))
)
"""Edges for a regression score, whose range nobody declared: 1-2-5 steps from 0.001 to 5,000,000."""

Counts = npt.NDArray[np.int64]

UNROUTED: Final = "unrouted"
"""Model name under which refused events are counted when they name no served model."""


class _Cell(msgspec.Struct):
    """The counts of one model version in one window."""

    model: str
    version: str
    start: int
    length: int
    first_offset: int
    predictions: int = 0
    errors: dict[str, int] = {}
    late: int = 0
    latency: list[int] = []
    scores: list[int] = []
    regression: bool = False


class _State(msgspec.Struct):
    """What survives of one partition."""

    watermark: int = -1
    cells: list[_Cell] = []


def bucket_counts(values: npt.NDArray[np.floating[Any]], edges: npt.NDArray[np.float64]) -> Counts:
    """Return how many values lie between consecutive edges; shape ``(len(edges) + 1,)``.

    Examples
    --------
    >>> bucket_counts(np.array([0.1, 0.5, 0.9]), np.array([0.5]))
    array([1, 2])
    """
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)


_LATENCY = np.array(LATENCY_EDGES)
_PROBABILITY = np.array(PROBABILITY_EDGES)
_VALUE = np.array(VALUE_EDGES)


class PartitionReports:
    """The open windows of one input partition.

    A window closes when the watermark (the latest event time seen) is a whole window past its end;
    an event that comes later still is counted, as ``late``, in the newest window.
    """

    def __init__(self, topic: str, partition: int, state: bytes | None) -> None:
        self._topic = topic
        self._partition = partition
        restored = msgspec.msgpack.decode(state, type=_State) if state else _State()
        self._watermark = restored.watermark
        self._cells = {(cell.model, cell.version, cell.start): cell for cell in restored.cells}
        self._dirty: set[tuple[str, str, int]] = set(self._cells)  # what was reported is not remembered

    def snapshot(self) -> bytes:
        """Return the state to commit."""
        return msgspec.msgpack.encode(_State(self._watermark, list(self._cells.values())))

    def count(
        self,
        model: str,
        version: str,
        length: int,
        *,
        regression: bool,
        offsets: npt.NDArray[np.int64],
        occurred_at: npt.NDArray[np.int64],
        scores: npt.NDArray[np.floating[Any]],
        latencies: npt.NDArray[np.float64],
    ) -> None:
        """Count scored events; all arrays have shape ``(n,)``, ``length`` is in milliseconds."""
        self._watermark = max(self._watermark, int(occurred_at.max()))
        starts = occurred_at - occurred_at % length
        closed = starts < self._oldest_open(length)
        if closed.any():
            starts = np.where(closed, self._newest(length), starts)
        edges = _VALUE if regression else _PROBABILITY
        for start in np.unique(starts).tolist():
            rows = starts == start
            cell = self._cell(model, version, start, length, int(offsets[rows][0]), regression)
            cell.predictions += int(rows.sum())
            cell.late += int((rows & closed).sum())
            cell.latency = _plus(cell.latency, bucket_counts(latencies[rows], _LATENCY))
            cell.scores = _plus(cell.scores, bucket_counts(scores[rows], edges))

    def count_error(self, model: str, version: str, length: int, reason: str, offset: int, at: int) -> None:
        """Count one dead letter in the newest window, since its own event time may be unreadable.

        ``at`` (the record's timestamp, epoch milliseconds) stands in before any event was scored.
        """
        start = self._newest(length) if self._watermark >= 0 else at - at % length
        cell = self._cell(model, version, start, length, offset, regression=False)
        cell.errors[reason] = cell.errors.get(reason, 0) + 1

    def due(self, next_offset: int, now: int) -> Iterator[InferenceReport]:
        """Yield a report per window that changed since the last call; closed ones are final and go."""
        for key in sorted(self._dirty):
            cell = self._cells[key]
            final = cell.start < self._oldest_open(cell.length)
            if final:
                del self._cells[key]
            yield self._report(cell, next_offset, now, final=final)
        self._dirty.clear()
        for key, cell in list(self._cells.items()):
            if cell.start < self._oldest_open(cell.length):
                del self._cells[key]
                yield self._report(cell, next_offset, now, final=True)

    def _cell(
        self, model: str, version: str, start: int, length: int, offset: int, regression: bool
    ) -> _Cell:
        key = (model, version, start)
        self._dirty.add(key)
        cell = self._cells.get(key)
        if cell is None:
            cell = _Cell(model, version, start, length, offset, errors={}, regression=regression)
            cell.latency = [0] * (len(LATENCY_EDGES) + 1)
            cell.scores = [0] * (len(VALUE_EDGES if regression else PROBABILITY_EDGES) + 1)
            self._cells[key] = cell
        return cell

    def _newest(self, length: int) -> int:
        return self._watermark - self._watermark % length

    def _oldest_open(self, length: int) -> int:
        return self._newest(length) - length

    def _report(self, cell: _Cell, next_offset: int, now: int, *, final: bool) -> InferenceReport:
        return InferenceReport(
            model=cell.model,
            model_version=cell.version,
            window=Window(start=cell.start, end=cell.start + cell.length),
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
            scores=Histogram(
                edges=VALUE_EDGES if cell.regression else PROBABILITY_EDGES, counts=tuple(cell.scores)
            ),
        )


def _plus(counts: list[int], more: Counts) -> list[int]:
    return (np.array(counts, dtype=np.int64) + more).tolist()
