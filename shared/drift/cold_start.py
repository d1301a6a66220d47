"""A baseline learnt from the first events, for a model whose bundle has none."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.baseline import Baseline
from shared.drift.channel import Kind
from shared.drift.fitting import fit_baseline
from shared.drift.long_start import first_effects
from shared.drift.rhythm import span_of
from shared.drift.values import as_category, as_numbers

ROWS = 5_000
LEAST = 600
MAX_BYTES = 640 * 1024
_LONGEST_CATEGORY = 100


class ColdStart:
    """Collects the first events of a stream, and then yields the baseline that they make.

    What it learns from may itself have drifted already, and a few thousand events cannot show a
    season: the baseline says ``learnt``, and reports repeat it. Events are taken by number alone,
    so the baseline does not depend on how they came in batches.

    Parameters
    ----------
    kinds
        Kind of each feature.
    rows
        Events to learn from; left out, 5,000, or as many as keep the snapshot below 640 KiB, but
        at least 600.
    segments
        Features by which a change is broken down.

    Attributes
    ----------
    rows
        Events it learns from.
    taken
        Events taken so far.

    Examples
    --------
    >>> cold = ColdStart({"late": "boolean"}, rows=1_000)
    >>> cold.add({"late": [True, False] * 400}), cold.baseline()
    (800, None)
    >>> cold.add({"late": [True, False] * 400})                      # the rest is for the detector
    200
    >>> cold.baseline().channels[0].counts, cold.baseline().learnt
    ((500, 500, 0, 0, 0), True)
    """

    def __init__(
        self, kinds: Mapping[str, Kind], rows: int | None = None, segments: Sequence[str] = ()
    ) -> None:
        if not kinds:
            raise ValueError("a cold start needs at least one feature")
        if rows is not None and rows < LEAST:
            raise ValueError(f"a cold start takes {LEAST} events or more: fewer are no baseline")
        self.rows = rows or max(LEAST, min(ROWS, MAX_BYTES // (8 * (len(kinds) + 1))))
        self.taken = 0
        self._kinds = dict(kinds)
        self._segments = tuple(segments)
        self._numbers: dict[str, list[NDArray[np.float64]]] = {
            n: [] for n, k in kinds.items() if k == "numeric"
        }
        self._categories: dict[str, list[str | None]] = {n: [] for n, k in kinds.items() if k != "numeric"}
        self._times: list[NDArray[np.float64]] = []

    def add(self, columns: Mapping[str, Sequence[Any]], times: Sequence[Any] | None = None) -> int:
        """Take events until there are enough; return how many of these were taken.

        Parameters
        ----------
        columns
            Values per feature, all of the same length. A feature that is absent is missing in every event.
        times
            Seconds since 1970 UTC of each event, in every call or in none.

        Raises
        ------
        ValueError
            Columns differ in length.
        """
        lengths = {len(values) for values in columns.values()} | (
            {len(times)} if times is not None else set()
        )
        if len(lengths) > 1:
            raise ValueError(f"columns differ in length: {sorted(lengths)}")
        taken = min(lengths.pop() if lengths else 0, self.rows - self.taken)
        for name, numbers in self._numbers.items():
            values = columns.get(name)
            numbers.append(as_numbers(values[:taken]) if values is not None else np.full(taken, np.nan))
        for name, categories in self._categories.items():
            values = columns.get(name)
            categories.extend(map(_short, values[:taken]) if values is not None else [None] * taken)
        self._times.append(as_numbers(times[:taken]) if times is not None else np.full(taken, np.nan))
        self.taken += taken
        return taken

    def baseline(self) -> Baseline | None:
        """Return what the events make, None while there are too few.

        Where an event had no usable time, the order of their arrival stands for all: autocorrelation is
        then measured, seasons are not.
        """
        if self.taken < self.rows:
            return None
        columns, times = self._rows()
        fitted = fit_baseline(columns, self._kinds, times, self._segments)
        return msgspec.structs.replace(fitted, learnt=True)

    def _rows(self) -> tuple[dict[str, Any], NDArray[np.float64]]:
        """Return the columns, and the times; zeros where an event had no usable one."""
        times = np.concatenate(self._times)
        known = bool(np.isfinite(times).all()) and np.ptp(times) > 0
        columns: dict[str, Any] = {name: np.concatenate(parts) for name, parts in self._numbers.items()}
        columns.update(self._categories)
        return columns, times if known else np.zeros(self.taken)

    def effects(self, baseline: Baseline) -> dict[str, float]:
        """Return the design effects of the channels of :meth:`baseline`, those that could be told."""
        columns, times = self._rows()
        order = np.argsort(times, kind="stable")
        places = order.tolist()
        ordered = {
            n: v[order] if isinstance(v, np.ndarray) else [v[i] for i in places] for n, v in columns.items()
        }
        return first_effects(baseline, ordered, times[order])

    @property
    def span(self) -> float:
        """Seconds that the events took, whatever a few wrong clocks say; 0 where one has no usable time."""
        times = np.concatenate([*self._times, np.empty(0)])
        return span_of(times) if np.isfinite(times).all() else 0.0

    def snapshot(self) -> bytes:
        """Return what was collected as bytes, equal for equal histories."""
        numbers = {name: _packed(parts) for name, parts in self._numbers.items()}
        state = _State(self._kinds, self.rows, self.taken, numbers, self._categories, _packed(self._times))
        return zlib.compress(msgspec.msgpack.encode(state), 1)

    def restore(self, raw: bytes) -> None:
        """Continue from a snapshot.

        Raises
        ------
        ValueError
            The bytes are not a snapshot, or one of other features.
        """
        try:
            state = msgspec.msgpack.decode(zlib.decompress(raw), type=_State)
        except (zlib.error, msgspec.DecodeError) as error:
            raise ValueError(f"the bytes are not the snapshot of a cold start: {error}") from error
        if (state.kinds, state.rows) != (self._kinds, self.rows):
            raise ValueError("the snapshot belongs to a cold start of other features or length")
        self.taken = state.taken
        self._numbers = {name: [_unpacked(raw)] for name, raw in state.numbers.items()}
        self._categories = {name: list(values) for name, values in state.categories.items()}
        self._times = [_unpacked(state.times)]


class _State(msgspec.Struct, frozen=True, array_like=True):
    kinds: dict[str, Kind]
    rows: int
    taken: int
    numbers: dict[str, bytes]
    categories: dict[str, list[str | None]]
    times: bytes


def _packed(parts: list[NDArray[np.float64]]) -> bytes:
    return np.concatenate([*parts, np.empty(0)]).astype("<f8").tobytes()


def _unpacked(raw: bytes) -> NDArray[np.float64]:
    return np.frombuffer(raw, "<f8").astype(np.float64)


def _short(value: Any) -> str | None:
    category = as_category(value)
    return None if category is None else category[:_LONGEST_CATEGORY]
