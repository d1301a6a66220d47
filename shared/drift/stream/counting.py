"""One input partition: its clock, and the slots of every version counted from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.stream.coding import Coded
from shared.drift.stream.cutting import CutSlots, Shape, SlotCutter
from shared.drift.stream.learning import encode_rows
from shared.drift.stream.partials import Group, Partial, pack
from shared.drift.stream.reading import Rows
from shared.drift.stream.watched import Watched

PARTIAL_BYTES: Final = 1 << 18
"""Bin counts in one partial, before compression: a record stays well below Kafka's limit."""

VERSIONS_KEPT: Final = 3

VersionKey = tuple[str, str]
"""Model and version."""


@dataclass(slots=True)
class Countable:
    """The rows of one version among the records of one batch.

    Attributes
    ----------
    rows
        Position of each row among the records, ascending.
    coded
        Their bins; without channels while a baseline is learnt.
    raw
        The raw columns then, else None.
    """

    watched: Watched
    rows: NDArray[np.intp]
    occurred: NDArray[np.int64]
    coded: Coded
    raw: list[Sequence[Any]] | None = None

    def select(self, kept: NDArray[np.bool_]) -> Countable:
        """Return only the rows that are kept."""
        if kept.all():
            return self
        some = np.flatnonzero(kept)
        raw: list[Sequence[Any]] | None = None
        if self.raw is not None:
            raw = [[column[i] for i in some.tolist()] for column in self.raw]
        return Countable(self.watched, self.rows[some], self.occurred[some], self.coded.select(some), raw)


def countable(watched: Watched, group: Group, kept: NDArray[np.intp], rows: Rows) -> Countable:
    """Return rows with the bin of every value; ``kept`` are their positions among the records."""
    coder = watched.coders[group]
    if coder is None:
        empty = Coded(np.empty((0, len(rows)), np.uint8), np.empty((0, len(rows))))
        raw: list[Sequence[Any]] = [_as_list(column) for column in rows.columns]
        return Countable(watched, kept, rows.occurred, empty, raw)
    return Countable(watched, kept, rows.occurred, coder.code(rows.columns, rows.occurred, plain=rows.plain))


def _as_list(column: Any) -> list[Any]:
    """Return values as events carried them; a missing number is null."""
    if isinstance(column, np.ndarray):
        return np.where(np.isnan(column), None, column.astype(object)).tolist()  # type: ignore[call-overload,no-any-return]
    return list(column)


class _CutterState(msgspec.Struct, frozen=True, array_like=True):
    shape: Shape
    cutter: bytes
    times: list[int]
    raw: list[list[Any]] | None
    learns: bool


class _State(msgspec.Struct, frozen=True, array_like=True):
    clock: int
    next_offset: int
    last_source: int
    skipped: dict[str, dict[str, int]]
    cutters: list[tuple[str, str, _CutterState]]
    left_at: list[tuple[str, str, int]] = []


class VersionCounts:
    """The slots of one version in one partition."""

    def __init__(self, shape: Shape, *, learns: bool) -> None:
        self.shape = shape
        self._cutter = SlotCutter(shape)
        self._times: list[int] = []
        self._raw: list[list[Any]] | None = None
        self.learns = learns

    @classmethod
    def of(cls, watched: Watched, group: Group) -> VersionCounts:
        """Return the counts of a version, none of whose events are kept."""
        coder = watched.coders[group]
        if coder is None:
            return cls(Shape(0, 1, 0, ()), learns=True)
        told = len(coder.channels) if coder.located else 0
        shape = Shape(len(coder.channels), coder.columns, len(coder.numeric), tuple(coder.rows), told)
        return cls(shape, learns=False)

    @property
    def next_slot(self) -> int:
        """Number of the next slot that will be complete."""
        return self._cutter.next_slot

    def begin_at(self, slot: int) -> None:
        """Number slots from here on: those before it were told when the version was counted last."""
        self._cutter.next_slot = slot

    def add(
        self, part: Countable, clocks: NDArray[np.int64], offsets: NDArray[np.int64]
    ) -> tuple[CutSlots, list[bytes]]:
        """Return the slots that these rows complete, and their raw values while a baseline is learnt."""
        if part.raw is not None:
            self._times += part.occurred.tolist()
            held = self._raw or [[] for _ in part.raw]
            self._raw = [[*column, *more] for column, more in zip(held, part.raw, strict=True)]
        slots = self._cutter.add(part.coded, clocks, part.occurred, offsets)
        return slots, self._rows(slots)

    def settle(self, clock: int) -> tuple[CutSlots, list[bytes]]:
        """Return the slot that waits, if its time is over."""
        slots = self._cutter.settle(clock)
        return slots, self._rows(slots)

    def _rows(self, slots: CutSlots) -> list[bytes]:
        if self._raw is None or not self.learns:
            return []
        rows, at = [], 0
        for size in slots.events:
            rows.append(
                encode_rows(self._times[at : at + size], [column[at : at + size] for column in self._raw])
            )
            at += size
        self._times = self._times[at:]
        self._raw = [column[at:] for column in self._raw]
        return rows

    def snapshot(self) -> _CutterState:
        """Return the state."""
        return _CutterState(self.shape, self._cutter.snapshot(), self._times, self._raw, self.learns)

    @classmethod
    def restored(cls, state: _CutterState) -> VersionCounts:
        """Return what a state describes."""
        made = cls(state.shape, learns=state.learns)
        made._cutter.restore(state.cutter)
        made._times, made._raw = list(state.times), state.raw
        return made


class SourcePartition:
    """Counts one partition of events or of predictions.

    Everything follows from its records alone: the same ones give the same slots, however they are
    cut into batches and whoever counts them.

    Parameters
    ----------
    group
        What its channels are.
    topic, partition, partitions
        Where it lies, and how many its topic has.
    state
        From a former :meth:`snapshot`, else None.
    """

    def __init__(
        self, group: Group, topic: str, partition: int, partitions: int, state: bytes | None = None
    ) -> None:
        self._group: Group = group
        self._topic, self._partition, self._partitions = topic, partition, partitions
        self.clock = -1
        self.next_offset = -1
        self._last_source = -1
        self._skipped: dict[str, dict[str, int]] = {}
        self._versions: dict[VersionKey, VersionCounts] = {}
        self._left_at: dict[VersionKey, int] = {}
        """Next slot of each version not kept: a number that comes again would pass for a repetition."""
        self._told: dict[str, int] = {}
        self._introduced: dict[str, list[str]] = {}
        """The versions of each model that were told last: whoever merges still knows them."""
        if state:
            self._restore(msgspec.msgpack.decode(state, type=_State))

    def _restore(self, state: _State) -> None:
        self.clock, self.next_offset = state.clock, state.next_offset
        self._last_source, self._skipped = state.last_source, dict(state.skipped)
        self._versions = {(m, v): VersionCounts.restored(inner) for m, v, inner in state.cutters}
        self._left_at = {(model, version): slot for model, version, slot in state.left_at}

    def _is_known(self, model: str, version: str) -> bool:
        """Return whether whoever merges still knows a version; from now on it does.

        One that comes back after others may be forgotten there. Of predictions the last two are taken as
        known: those of a former champion come in between.
        """
        last = self._introduced.setdefault(model, [])
        known = version in last
        most = 2 if self._group == "predictions" else 1
        last[:] = [*(other for other in last if other != version), version][-most:]
        return known

    def snapshot(self) -> bytes:
        """Return the state to commit."""
        cutters = [(m, v, counts.snapshot()) for (m, v), counts in self._versions.items()]
        left_at = [(model, version, slot) for (model, version), slot in self._left_at.items()]
        state = _State(self.clock, self.next_offset, self._last_source, self._skipped, cutters, left_at)
        return msgspec.msgpack.encode(state)

    def count(
        self,
        parts: Sequence[Countable],
        skipped: dict[str, dict[str, int]],
        *,
        offsets: NDArray[np.int64],
        timestamps: NDArray[np.int64],
        sources: NDArray[np.int64] | None = None,
    ) -> list[Partial]:
        """Count consecutive records; return what is to be told about them.

        Records that were counted before (an at-least-once reader reads some again) are passed over,
        and so are predictions of an event that has one already.

        Parameters
        ----------
        parts
            The rows of each version.
        skipped
            By model and reason, how many records were no event of it.
        offsets, timestamps
            Of all records of the batch, shape ``(n,)``.
        sources
            For predictions: offset of the event that each record answers, -1 where it is none.
        """
        fresh = offsets >= self.next_offset
        clocks = np.maximum.accumulate(np.maximum(timestamps, self.clock))
        if sources is not None:
            before = np.maximum.accumulate(np.concatenate([[self._last_source], sources[:-1]]))
            again = fresh & (sources >= 0) & (sources <= before)
            fresh &= ~again
            self._last_source = max(self._last_source, int(sources.max(initial=-1)))
        if fresh.any():
            for model, reasons in skipped.items():
                held = self._skipped.setdefault(model, {})
                for reason, count in reasons.items():
                    held[reason] = held.get(reason, 0) + count
        self.clock = max(self.clock, int(clocks[-1]))
        self.next_offset = max(self.next_offset, int(offsets[-1]) + 1)
        told: list[Partial] = []
        for part in parts:
            kept = part.select(fresh[part.rows])
            counts = self._counts_of(part.watched)
            slots, rows = counts.add(kept, clocks[kept.rows], offsets[kept.rows])
            told += self._tell(part.watched.model, part.watched.version, slots, rows, part.watched)
        return self._with_clock(told)

    def _counts_of(self, watched: Watched) -> VersionCounts:
        key = (watched.model, watched.version)
        fresh = VersionCounts.of(watched, self._group)
        fresh.begin_at(self._left_at.pop(key, 0))
        counts = self._versions.pop(key, fresh)
        if counts.shape != fresh.shape:  # the same name, but another baseline: nothing of it can be added to
            fresh.begin_at(counts.next_slot)
            counts = fresh
        self._versions[key] = counts  # the last one used stands last
        mine = [other for other in self._versions if other[0] == watched.model]
        for other in mine[:-VERSIONS_KEPT]:
            self._left_at[other] = self._versions.pop(other).next_slot
        return counts

    def settle(self, watched: Sequence[Watched], idle_until: int | None) -> list[Partial]:
        """Return what is to be told although no record came: slots whose time is over, and the clock.

        Parameters
        ----------
        watched
            The versions that are active.
        idle_until
            Where the partition has been read to its end: a time such that every record still to come
            is later; epoch milliseconds. None where nothing is known.
        """
        if idle_until is not None:
            self.clock = max(self.clock, idle_until)
        active = {one.model: one for one in watched}
        told: list[Partial] = []
        for (model, version), counts in self._versions.items():
            slots, rows = counts.settle(self.clock)
            if len(slots):
                told += self._tell(model, version, slots, rows, active.get(model))
        for model, one in active.items():
            if self._told.get(model, -2) < self.clock:
                empty, _ = self._counts_of(one).settle(-1)
                told += self._tell(model, one.version, empty, [], one, always=True)
        return self._with_clock(told)

    def _with_clock(self, told: list[Partial]) -> list[Partial]:
        """Return the partials, the last one of each model with the clock as it is now.

        The others keep the clock that was last told: until all slots are told, none of another
        partition may be merged as if there were no more.
        """
        last = {partial.model: number for number, partial in enumerate(told)}
        for model, number in last.items():
            told[number] = msgspec.structs.replace(told[number], clock=self.clock)
            self._told[model] = self.clock
        return told

    def _tell(
        self,
        model: str,
        version: str,
        slots: CutSlots,
        rows: list[bytes],
        watched: Watched | None,
        *,
        always: bool = False,
    ) -> Iterator[Partial]:
        """Yield partials, each of a bounded size."""
        begin = None
        if watched is not None and watched.version == version and not self._is_known(model, version):
            begin = watched.begin
        if not len(slots) and begin is None and not always:
            return
        ends = list(accumulate(slots.events, initial=0))
        wide = len(slots.codes) // max(ends[-1], 1)
        each = max(1, PARTIAL_BYTES // max(slots.counts[0].size if len(slots) else 1, 1))
        for low in range(0, max(len(slots), 1), each):
            high = min(low + each, len(slots))
            yield Partial(
                model=model,
                version=version,
                group=self._group,
                topic=self._topic,
                partition=self._partition,
                partitions=self._partitions,
                clock=self._told.get(model, -1),
                first=slots.first + low,
                times=tuple(slots.times[low:high]),
                occurred=tuple(slots.occurred[low:high]),
                offsets=tuple(slots.offsets[low:high]),
                events=tuple(slots.events[low:high]),
                counts=b"" if rows else pack(slots.counts[low:high]),
                sums=b"" if rows else slots.sums[low:high].astype("<f8").tobytes(),
                unseen=tuple((s - low, c, name) for s, c, name in slots.unseen if low <= s < high),
                rows=tuple(rows[low:high]),
                skipped=dict(self._skipped.get(model, {})),
                active=watched is not None and watched.version == version,
                begin=begin if low == 0 else None,
                codes=slots.codes[ends[low] * wide : ends[high] * wide],
            )
