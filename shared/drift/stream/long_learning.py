"""Learning goes on where the first events span too little to show a rhythm of the day or the week.

A sample of all rows so far is kept; once they span two rounds of the rhythm, a baseline is fitted from
it. Until then channels have bins and figures, from the first events, but are not calibrated.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.bundle.spec import Seasonality
from shared.drift.baseline import Baseline
from shared.drift.channel import Kind
from shared.drift.long_start import fit_spread
from shared.drift.rhythm import unseen_rhythm
from shared.drift.row_sample import RowSample
from shared.drift.stream.ordering import ReadySlot
from shared.drift.stream.time_spread import TimeSpread

LOOK_SLOTS: Final = 64
"""It is looked whether the rows span enough after so many slots: at places of the stream."""
_SLOT_ROWS: Final = 256
"""No slot has more events: each has a number of its own."""


class LongLearner:
    """Samples the rows of a group until they show the rhythm that its events may have.

    Parameters
    ----------
    kinds
        Kind of each column.
    seasonality
        The longest rhythm that events may have.
    segments
        Features by which a change is broken down.
    first
        Baseline of the first events, which were consecutive.
    effects
        Design effects of its channels.
    """

    def __init__(
        self,
        kinds: dict[str, Kind],
        seasonality: Seasonality,
        segments: Sequence[str],
        first: Baseline | None = None,
        effects: dict[str, float] | None = None,
    ) -> None:
        self._kinds, self._seasonality, self._segments = kinds, seasonality, segments
        self._effects = effects or {}
        self._centres = {} if first is None else {c.name: c.centre for c in first.channels}
        self._sample = RowSample(kinds, self._centres)
        self._spread = TimeSpread()
        self.slots = 0

    @property
    def events(self) -> int:
        """Events so far."""
        return self._sample.seen

    @property
    def span(self) -> float:
        """Seconds that they took, whatever a few wrong clocks say."""
        return self._spread.milliseconds / 1000 if self._spread.events else 0.0

    @property
    def reason(self) -> str:
        """Why channels are not calibrated yet."""
        waits = unseen_rhythm(self._seasonality, self.span) or "about to begin"
        return f"a baseline is being learnt: {self.events:,} events so far, {waits}"

    def until_looked(self, slots: int) -> int:
        """Return how many of so many slots may be taken before it must be looked whether they suffice."""
        return min(slots, LOOK_SLOTS - self.slots % LOOK_SLOTS)

    def add(self, slots: Sequence[ReadySlot]) -> bool:
        """Take slots, no more than :meth:`until_looked` says; return whether a baseline can be had now."""
        sizes = np.array([slot.events for slot in slots], np.int64)
        keys, ends = _keys(slots, sizes), np.cumsum(sizes)
        wanted = self._sample.wanted(keys)
        for slot, end, size in zip(slots, ends.tolist(), sizes.tolist(), strict=True):
            some = np.flatnonzero(wanted[end - size : end])
            self._sample.pass_over(size - len(some))
            if len(some):
                times, *columns = msgspec.json.decode(slot.rows)
                kept = {
                    name: [column[i] for i in some.tolist()]
                    for name, column in zip(self._kinds, columns, strict=True)
                }
                self._sample.add(keys[end - size + some], [times[i] for i in some.tolist()], kept)
            self._spread.add(slot.occurred, size)
        self.slots += len(slots)
        return self.slots % LOOK_SLOTS == 0 and unseen_rhythm(self._seasonality, self.span) is None

    def baseline(self) -> Baseline:
        """Return the baseline of all rows so far."""
        fitted = fit_spread(
            self._sample.columns(),
            self._kinds,
            self._sample.times() / 1000,
            self._segments,
            effects=self._effects,
            each=max(self.events / max(len(self._sample), 1), 1.0),
        )
        return msgspec.structs.replace(fitted, learnt=True, span=self.span)

    def snapshot(self) -> bytes:
        """Return the state as bytes, equal for equal histories."""
        state = _State(self._effects, self._centres, self._sample.snapshot(), self._spread.copy(), self.slots)
        return msgspec.msgpack.encode(state)

    @classmethod
    def restored(
        cls, raw: bytes, kinds: dict[str, Kind], seasonality: Seasonality, segments: Sequence[str]
    ) -> LongLearner:
        """Return the learner that a snapshot describes.

        Raises
        ------
        ValueError
            It is the sample of other columns.
        """
        state = msgspec.msgpack.decode(raw, type=_State)
        made = cls(kinds, seasonality, segments)
        made._effects, made._centres = state.effects, state.centres
        made._sample = RowSample(kinds, state.centres)
        made._sample.restore(state.sample)
        made._spread, made.slots = state.spread, state.slots
        return made


class _State(msgspec.Struct, frozen=True, array_like=True):
    effects: dict[str, float]
    centres: dict[str, float]
    sample: bytes
    spread: TimeSpread
    slots: int


def _keys(slots: Sequence[ReadySlot], sizes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a key for every row, as good as random, but the same whoever merges (SplitMix64's mixing)."""
    source = [zlib.crc32(slot.topic.encode()) << 32 | slot.partition << 8 for slot in slots]
    number = np.array([slot.number * _SLOT_ROWS for slot in slots], np.uint64)
    within = np.concatenate([np.arange(size) for size in sizes.tolist()] or [np.empty(0)]).astype(np.uint64)
    with np.errstate(over="ignore"):
        state = _mixed(np.repeat(np.array(source, np.uint64), sizes)) + np.repeat(number, sizes) + within
        return _mixed(state * np.uint64(0x9E3779B97F4A7C15))


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
