"""Columns of raw values to the bin of every value, and what figures need beside the bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from shared.drift.bins import Coder
from shared.drift.channel import ChannelBaseline
from shared.drift.stream.reading import Column
from shared.drift.values import as_category, as_numbers

LONGEST_CATEGORY = 80


@dataclass(slots=True)
class Coded:
    """Rows of one group of channels, ready to be cut into slots.

    Attributes
    ----------
    codes
        Bin of every value, shape ``(channels, n)``.
    numbers
        Values of the numeric channels, 0 where missing, shape ``(numeric, n)``.
    unseen
        ``(row, channel, category)`` of values that training did not contain, by row.
    """

    codes: NDArray[np.uint8]
    numbers: NDArray[np.float64]
    unseen: list[tuple[int, int, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return int(self.codes.shape[1])

    def select(self, rows: NDArray[np.intp]) -> Coded:
        """Return only these rows, ascending positions."""
        place = {row: i for i, row in enumerate(rows.tolist())} if self.unseen else {}
        unseen = [(place[row], channel, name) for row, channel, name in self.unseen if row in place]
        return Coded(self.codes[:, rows], self.numbers[:, rows], unseen)

    def between(self, low: int, high: int) -> Coded:
        """Return the rows ``low`` to ``high``."""
        unseen = [(row - low, channel, name) for row, channel, name in self.unseen if low <= row < high]
        return Coded(self.codes[:, low:high], self.numbers[:, low:high], unseen)


class GroupCoder:
    """Codes the channels of one group, those with bins, calibrated or not.

    A channel that is not calibrated never alarms, but its figures are still worth showing.

    Parameters
    ----------
    channels
        All channels of the group; ``positions`` says which of them have bins.

    Examples
    --------
    >>> from shared.drift import fit_baseline
    >>> late = fit_baseline({"late": [False, True] * 500}, {"late": "boolean"})
    >>> GroupCoder(late.channels).code([[True, None]], np.zeros(2, np.int64)).codes.tolist()
    [[1, 4]]
    """

    def __init__(self, channels: Sequence[ChannelBaseline]) -> None:
        self.positions = [i for i, channel in enumerate(channels) if channel.counts]
        self.channels = tuple(channels[i] for i in self.positions)
        self.bins = max((len(channel.counts) for channel in self.channels), default=1)
        self.numeric = [row for row, channel in enumerate(self.channels) if channel.kind == "numeric"]
        self._coders = [Coder(channel) for channel in self.channels]
        self._seasons = any(channel.phases is not None for channel in self.channels)

    def code(self, columns: Sequence[Column], occurred: NDArray[np.int64], *, plain: bool = True) -> Coded:
        """Return the rows coded.

        Parameters
        ----------
        columns
            One per channel of the group, those without bins too.
        occurred
            Event time, epoch milliseconds, shape ``(n,)``.
        plain
            Whether every value has the type its channel expects, or is missing.
        """
        n = len(occurred)
        seconds = occurred / 1000 if self._seasons else None
        coded = Coded(np.empty((len(self.channels), n), np.uint8), np.zeros((len(self.numeric), n)))
        number = 0
        for row, (position, coder) in enumerate(zip(self.positions, self._coders, strict=True)):
            column = columns[position]
            if coder.channel.kind == "numeric":
                values = as_numbers(column)
                coded.codes[row] = coder.code(values, seconds)
                coded.numbers[number] = np.where(np.isnan(values), 0.0, values)
                number += 1
            elif plain and coder.channel.kind == "categorical":
                coded.codes[row] = coder.code_names(column)  # type: ignore[arg-type]
            else:
                coded.codes[row] = coder.code(column)
            if coder.unseen is not None and coder.channel.kind == "categorical":
                where = np.flatnonzero(coded.codes[row] == coder.unseen).tolist()
                names = (str(as_category(column[i]))[:LONGEST_CATEGORY] for i in where)
                coded.unseen += zip(where, repeat(row), names, strict=False)
        coded.unseen.sort()
        return coded
