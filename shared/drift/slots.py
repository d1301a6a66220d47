"""Integer bin counts per slot: all that the detector sees, and all that partitions must merge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.baseline import Baseline
from shared.drift.bins import Coder
from shared.drift.joint import JointScores
from shared.drift.values import as_category, as_numbers

SLOT = 16
MAX_TALLIED = 256


@dataclass(frozen=True, slots=True)
class Slots:
    """Consecutive slots of one stream.

    Attributes
    ----------
    counts
        Events per bin, integers, shape ``(slots, channels, bins)``; channels with fewer bins end in zeros.
        A categorical channel with a season has, after its bins, the events per cell of the season.
    events
        Events per slot, shape ``(slots,)``.
    """

    counts: NDArray[np.int64]
    events: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.events)


def merge(parts: Sequence[Slots]) -> Slots:
    """Return the slots of several partitions as those of one stream: sums, slot by slot.

    Sums of integers do not depend on the order of the parts, nor on which replica counted which.

    Raises
    ------
    ValueError
        The parts differ in their number of slots, channels or bins, or there are none.

    Examples
    --------
    >>> one = Slots(np.array([[[3, 1]]]), np.array([4]))
    >>> merge([one, one]).counts.tolist(), merge([one, one]).events.tolist()
    ([[[6, 2]]], [8])
    """
    shapes = {part.counts.shape for part in parts}
    if len(shapes) != 1:
        raise ValueError(f"only slots of one shape can be merged, these are {sorted(shapes)}")
    return Slots(
        np.sum([part.counts for part in parts], axis=0), np.sum([part.events for part in parts], axis=0)
    )


class SlotAccumulator:
    """Cuts coded events into slots by number of events; an incomplete slot waits for more.

    Parameters
    ----------
    channels, bins
        Shape of a slot.
    rows
        Channel of each row of codes; by default each channel has one.
    """

    def __init__(self, channels: int, bins: int, rows: Sequence[int] | None = None) -> None:
        self._shape = (channels, bins)
        self._offsets = (np.arange(channels) if rows is None else np.array(rows, np.int64))[:, None] * bins
        self.pending = np.zeros(self._shape, np.int64)
        self.pending_events = 0

    def add(self, codes: NDArray[np.int64]) -> Slots:
        """Return the slots that these events complete.

        Parameters
        ----------
        codes
            Column of every value, shape ``(rows, events)``.
        """
        channels, bins = self._shape
        size = channels * bins
        total = self.pending_events + codes.shape[1]
        complete = total // SLOT
        slot = np.arange(self.pending_events, total) // SLOT
        cells = codes + self._offsets + slot * size
        counts = np.bincount(cells.ravel(), minlength=(complete + 1) * size)
        counts = counts.reshape(complete + 1, channels, bins)
        counts[0] += self.pending
        self.pending, self.pending_events = counts[complete].copy(), total % SLOT
        return Slots(counts[:complete], np.full(complete, SLOT))

    def snapshot(self) -> bytes:
        """Return the incomplete slot as bytes."""
        pending = self.pending.astype("<i8").tobytes()
        return msgspec.msgpack.encode(_Pending(pending=pending, events=self.pending_events))

    def restore(self, raw: bytes) -> None:
        """Continue from a snapshot.

        Raises
        ------
        ValueError
            The bytes are not an incomplete slot of this shape.
        """
        try:
            state = msgspec.msgpack.decode(raw, type=_Pending)
            pending = np.frombuffer(state.pending, "<i8").astype(np.int64).reshape(self._shape)
        except (msgspec.DecodeError, ValueError) as error:
            raise ValueError(f"the bytes are not an incomplete slot of {self._shape}: {error}") from error
        self.pending, self.pending_events = pending, state.events


class _Pending(msgspec.Struct, frozen=True):
    pending: bytes
    events: int


class _JointCoder:
    """Bins of the calibrated joint channels, from those of the features."""

    def __init__(self, baseline: Baseline) -> None:
        joint = baseline.joint
        if joint is None:
            raise ValueError("the baseline has no joint channels")
        names = [channel.name for channel in baseline.calibrated]
        self._rows = [names.index(name) for name in joint.features]
        self._scores = JointScores(joint)
        self._kept = [i for i, channel in enumerate(joint.channels) if channel.calibrated]
        self.channels = len(self._kept)
        self._first = len(names) - self.channels

    def code(
        self, codes: NDArray[np.int64], coders: Sequence[Coder], times: NDArray[np.float64] | None
    ) -> None:
        """Write the rows of the joint channels into ``codes``."""
        if not self.channels:
            return
        values = self._scores.values([codes[row] for row in self._rows])[self._kept]
        for i, (coder, row) in enumerate(zip(coders, values, strict=True)):
            codes[self._first + i] = coder.code(row, times)


class _CounterState(msgspec.Struct, frozen=True):
    fingerprint: str
    slot: bytes
    unseen: dict[str, dict[str, int]]


class SlotCounter:
    """Counts events into slots of 16, by number of events alone: values and batches never matter.

    Parameters
    ----------
    baseline
        Its calibrated channels are counted, in their order.

    Attributes
    ----------
    unseen
        Per categorical channel, how often each unseen category came: the first 256 of them.

    Examples
    --------
    >>> from shared.drift.fitting import fit_baseline
    >>> baseline = fit_baseline({"late": [False, True] * 500}, {"late": "boolean"})
    >>> counter = SlotCounter(baseline)
    >>> len(counter.add({"late": [True] * 10})), len(counter.add({"late": [False, None, "?"] * 3}))
    (0, 1)
    """

    def __init__(self, baseline: Baseline) -> None:
        self._fingerprint = baseline.fingerprint()
        channels = baseline.calibrated
        self._coders = [Coder(channel) for channel in channels]
        self._seasonal = [i for i, channel in enumerate(channels) if channel.shares is not None]
        self._joint = _JointCoder(baseline) if baseline.joint is not None else None
        bins = max((channel.columns for channel in channels), default=1)
        self._slots = SlotAccumulator(len(channels), bins, [*range(len(channels)), *self._seasonal])
        self.unseen: dict[str, Counter[str]] = {
            c.channel.name: Counter() for c in self._coders if c.unseen is not None
        }

    def add(
        self,
        columns: Mapping[str, Sequence[Any] | NDArray[Any]],
        times: Sequence[Any] | NDArray[Any] | None = None,
    ) -> Slots:
        """Return the slots that these events complete; the rest waits for the next call.

        Parameters
        ----------
        columns
            Values per feature, all of the same length. A feature that is absent is missing in every event.
        times
            Seconds since 1970 UTC of each event; needed where a channel has a season.

        Raises
        ------
        ValueError
            Columns differ in length, or times are needed and not given.
        """
        lengths = {len(values) for values in columns.values()} | (
            {len(times)} if times is not None else set()
        )
        if len(lengths) > 1:
            raise ValueError(f"columns differ in length: {sorted(lengths)}")
        events = lengths.pop() if lengths else 0
        return self._slots.add(self._codes(columns, as_numbers(times) if times is not None else None, events))

    def _codes(
        self,
        columns: Mapping[str, Sequence[Any] | NDArray[Any]],
        times: NDArray[np.float64] | None,
        events: int,
    ) -> NDArray[np.int64]:
        """Return the column of every value, and of the season's cell, shape ``(rows, events)``."""
        size = len(self._coders)
        codes = np.empty((size + len(self._seasonal), events), np.int64)
        features = size - (self._joint.channels if self._joint else 0)
        for row, coder in zip(codes, self._coders[:features], strict=False):
            values = columns.get(coder.channel.name)
            if values is None:
                row[:] = len(coder.channel.counts) - 1
                continue
            row[:] = coder.code(values, times)
            if coder.unseen is not None:
                self._tally(coder.channel.name, values, np.flatnonzero(row == coder.unseen))
        if self._joint is not None:
            self._joint.code(codes, self._coders[features:], times)
        for row, i in zip(codes[size:], self._seasonal, strict=True):
            row[:] = self._coders[i].cell(times)
        return codes

    def _tally(self, name: str, values: Sequence[Any] | NDArray[Any], where: NDArray[np.int64]) -> None:
        tally = self.unseen[name]
        for i in where.tolist():
            category = str(as_category(values[i]))[:200]
            if category in tally or len(tally) < MAX_TALLIED:
                tally[category] += 1

    def snapshot(self) -> bytes:
        """Return the state as bytes: the incomplete slot and the unseen categories."""
        return msgspec.msgpack.encode(
            _CounterState(
                fingerprint=self._fingerprint,
                slot=self._slots.snapshot(),
                unseen={name: dict(tally) for name, tally in self.unseen.items()},
            )
        )

    def restore(self, raw: bytes) -> None:
        """Continue from a snapshot.

        Raises
        ------
        ValueError
            The bytes are not a snapshot, or belong to another baseline.
        """
        try:
            state = msgspec.msgpack.decode(raw, type=_CounterState)
        except msgspec.DecodeError as error:
            raise ValueError(f"the bytes are not a counter's snapshot: {error}") from error
        if state.fingerprint != self._fingerprint:
            raise ValueError("the counter's snapshot belongs to another baseline")
        self._slots.restore(state.slot)
        self.unseen = {name: Counter(tally) for name, tally in state.unseen.items()}
