"""Columns of raw values to the bin of every value, and what figures need beside the bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from shared.drift.baseline import Baseline
from shared.drift.bins import Coder
from shared.drift.joint import JointScores
from shared.drift.stream.reading import Column
from shared.drift.values import as_category, as_numbers

LONGEST_CATEGORY = 80


@dataclass(slots=True)
class Coded:
    """Rows of one group of channels, ready to be cut into slots.

    Attributes
    ----------
    codes
        Column of every value, and of the season's cell where shares have one, shape ``(rows, n)``.
    numbers
        Values of the numeric channels less their centre, 0 where missing, shape ``(numeric, n)``.
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
    baseline
        Of the group.

    Attributes
    ----------
    channels
        The channels that have bins, joint ones last.
    columns
        Columns per channel in a slot: the largest number of bins, and of cells of a season.
    numeric
        Rows of the numeric channels.
    rows
        Channel of each row of codes: one per channel, then one per channel whose shares have a season.
    located
        Whether it can be said where a change is: the merger then needs the bins of every event.

    Examples
    --------
    >>> from shared.drift import fit_baseline
    >>> late = fit_baseline({"late": [False, True] * 500}, {"late": "boolean"})
    >>> GroupCoder(late).code([[True, None]], np.zeros(2, np.int64)).codes.tolist()
    [[1, 4]]
    """

    def __init__(self, baseline: Baseline) -> None:
        self._positions = [i for i, channel in enumerate(baseline.channels) if channel.counts]
        joint = baseline.joint
        own = [baseline.channels[i] for i in self._positions]
        together = [] if joint is None else [channel for channel in joint.channels if channel.counts]
        self.channels = (*own, *together)
        self.columns = max((channel.columns for channel in self.channels), default=1)
        self.numeric = [row for row, channel in enumerate(self.channels) if channel.kind == "numeric"]
        self._coders = [Coder(channel) for channel in self.channels]
        self._centres = [channel.centre for channel in self.channels]
        self._timed = any(channel.cycle is not None for channel in self.channels)
        self._seasonal = [row for row, channel in enumerate(self.channels) if channel.shares is not None]
        self.rows = [*range(len(self.channels)), *self._seasonal]
        self._joint = None if joint is None else JointScores(joint)
        names = [channel.name for channel in own]
        self._joint_rows = [] if joint is None else [names.index(name) for name in joint.features]
        self.located = bool(baseline.segments)
        self._joint_kept = (
            [] if joint is None else [i for i, channel in enumerate(joint.channels) if channel.counts]
        )

    def code(self, columns: Sequence[Column], occurred: NDArray[np.int64], *, plain: bool = True) -> Coded:
        """Return the rows coded.

        Parameters
        ----------
        columns
            One per channel of the baseline, those without bins too, but none of the joint ones.
        occurred
            Event time, epoch milliseconds, shape ``(n,)``.
        plain
            Whether every value has the type its channel expects, or is missing.
        """
        n = len(occurred)
        seconds = occurred / 1000 if self._timed else None
        coded = Coded(np.empty((len(self.rows), n), np.uint8), np.zeros((len(self.numeric), n)))
        numbers = iter(coded.numbers)
        for row, position in enumerate(self._positions):
            column, coder = columns[position], self._coders[row]
            if coder.channel.kind == "numeric":
                self._numeric(row, as_numbers(column), seconds, coded, next(numbers))
            elif plain and coder.channel.kind == "categorical":
                coded.codes[row] = coder.code_names(column)  # type: ignore[arg-type]
            else:
                coded.codes[row] = coder.code(column)
            if coder.unseen is not None and coder.channel.kind == "categorical":
                where = np.flatnonzero(coded.codes[row] == coder.unseen).tolist()
                names = (str(as_category(column[i]))[:LONGEST_CATEGORY] for i in where)
                coded.unseen += zip(where, repeat(row), names, strict=False)
        if self._joint is not None and self._joint_kept:
            values = self._joint.values([coded.codes[row] for row in self._joint_rows])
            for row, kept in enumerate(self._joint_kept, start=len(self._positions)):
                self._numeric(row, values[kept], seconds, coded, next(numbers))
        for row, channel in enumerate(self._seasonal, start=len(self.channels)):
            coded.codes[row] = self._coders[channel].cell(seconds)
        coded.unseen.sort()
        return coded

    def _numeric(
        self,
        row: int,
        values: NDArray[np.float64],
        seconds: NDArray[np.float64] | None,
        coded: Coded,
        numbers: NDArray[np.float64],
    ) -> None:
        coded.codes[row] = self._coders[row].code(values, seconds)
        numbers[:] = np.where(np.isnan(values), 0.0, values - self._centres[row])
