"""What was counted in each window of event time, for the figures of a report."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.stream.new_categories import NewCategories


class WindowCounts:
    """One group's counts in one window.

    Attributes
    ----------
    counts
        Shape ``(channels, bins)``.
    sums
        Sum and sum of squares, shape ``(numeric, 2)``.
    events, late, slots
        Events counted, those of them whose own window had closed, and slots.
    peak, evidence
        Highest and last evidence of each channel on the model's scale, shape ``(channels,)``.
    """

    def __init__(self, channels: int, bins: int, numeric: int) -> None:
        self.counts: NDArray[np.int64] = np.zeros((channels, bins), np.int64)
        self.sums: NDArray[np.float64] = np.zeros((numeric, 2))
        self.events = self.late = self.first = 0
        self.peak: NDArray[np.float64] = np.zeros(channels)
        self.evidence: NDArray[np.float64] = np.zeros(channels)

    def count(self, counts: NDArray[np.integer[Any]]) -> None:
        """Count the bins of some slots, shape ``(slots, channels, bins)``."""
        self.counts[:, : counts.shape[2]] += counts.sum(axis=0, dtype=np.int64)

    def add(self, sums: NDArray[np.float64], events: int, late: int) -> None:
        """Count the rest of one slot; the order of the slots decides about the last bit of a sum."""
        self.sums += sums
        self.events += events
        self.late += late

    def weigh(self, evidence: NDArray[np.float64]) -> None:
        """Note the evidence as it is now."""
        self.evidence = evidence
        np.maximum(self.peak, evidence, out=self.peak)

    def snapshot(self) -> WindowState:
        """Return the state."""
        return WindowState(
            self.counts.astype("<i8").tobytes(),
            self.sums.astype("<f8").tobytes(),
            self.peak.astype("<f8").tobytes(),
            self.evidence.astype("<f8").tobytes(),
            self.events,
            self.late,
            self.first,
        )

    @classmethod
    def restored(cls, state: WindowState, channels: int, bins: int, numeric: int) -> WindowCounts:
        """Return the window that a state describes."""
        made = cls(channels, bins, numeric)
        made.counts = np.frombuffer(state.counts, "<i8").astype(np.int64).reshape(channels, bins)
        made.sums = np.frombuffer(state.sums, "<f8").astype(np.float64).reshape(numeric, 2)
        made.peak = np.frombuffer(state.peak, "<f8").astype(np.float64)
        made.evidence = np.frombuffer(state.evidence, "<f8").astype(np.float64)
        made.events, made.late, made.first = state.events, state.late, state.first
        return made


class WindowState(msgspec.Struct, frozen=True, array_like=True):
    """A window as it is kept between processes."""

    counts: bytes
    sums: bytes
    peak: bytes
    evidence: bytes
    events: int
    late: int
    first: int


class Windows:
    """The windows of one group that are still of interest.

    A slot belongs to the window of its event time. One that is more than a whole window behind the
    newest is counted there, as late.

    Parameters
    ----------
    length
        Of a window, milliseconds.
    channels, bins, numeric
        Shape of what is counted.
    """

    def __init__(self, length: int, channels: int, bins: int, numeric: int) -> None:
        self._length = length
        self._shape = (channels, bins, numeric)
        self.watermark = -1
        self.open: dict[int, WindowCounts] = {}
        self.new: dict[int, NewCategories] = {}

    def window_of(self, occurred: int, arrived: int) -> tuple[WindowCounts, int, bool]:
        """Return the window a slot is counted in, its start, and whether the slot is late for its own."""
        self.watermark = max(self.watermark, occurred)
        newest = self.watermark - self.watermark % self._length
        start = occurred - occurred % self._length
        late = start < newest - self._length
        start = newest if late else start
        window = self.open.get(start)
        if window is None:
            window = self.open[start] = WindowCounts(*self._shape)
            window.first = arrived
        return window, start, late

    def note_unseen(self, unseen: tuple[tuple[int, str], ...]) -> None:
        """Tally categories that training did not contain, the most frequent ones of each channel."""
        for channel, name in unseen:
            tally = self.new.get(channel)
            if tally is None:
                tally = self.new[channel] = NewCategories()
            tally.add(name)

    def most_new(self, channel: int, most: int) -> list[tuple[str, int]]:
        """Return a channel's most frequent categories of those that training did not contain."""
        tally = self.new.get(channel)
        return [] if tally is None else tally.most_common(most)

    def is_closed(self, start: int) -> bool:
        """Return whether no slot can be counted there any more."""
        newest = self.watermark - self.watermark % self._length
        return self.watermark >= 0 and start < newest - self._length
