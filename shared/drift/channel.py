"""One channel of a drift baseline: what ``baseline.json`` keeps of a training column."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.phases import Cycle, PhaseTable
from shared.drift.share_table import ShareTable

Kind = Literal["numeric", "categorical", "boolean"]

FLOOR = 16.0
"""A bet needs a standard deviation of at least FLOOR / sqrt(n_eff) under the baseline."""

MIN_ROWS_PER_BIN = 20


class ChannelBaseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The bins of one channel and how many training rows fell into each.

    Numeric bins are ``[value bins..., missing]``; categorical and boolean ones are
    ``[categories..., other, unseen, missing]``.

    Attributes
    ----------
    name
        Name of the feature.
    kind
        ``numeric``, ``categorical`` or ``boolean``.
    rows
        Training rows, missing ones included.
    edges
        Numeric: ascending inner edges; bin ``i`` holds ``edges[i - 1] <= x < edges[i]``.
    centres
        Numeric: mean training value of each value bin (standardised where ``phases`` is set); of the bins
        beyond all training values, which have none, the edge.
    sd
        Numeric: standard deviation of the training values, same unit as ``centres``.
    categories
        Categories with a bin of their own, most frequent first.
    rare
        Categories seen in training but too rarely for a bin: they are counted as ``other``.
        None where there were too many to list: then nothing is ever ``unseen``.
    singletons
        Categories seen in exactly one row (the Good-Turing estimate of unseen ones needs it).
    counts
        Rows per bin.
    deff
        Variance inflation of the time-ordered rows, at least 1: what autocorrelation costs.
    ordered
        Whether the rows came with times. If not, ``deff`` was measured in the order that they had, and no
        season was looked for.
    phases
        Numeric: mean and spread by hour or weekday, taken out before binning; None where there is no season.
    shares
        Categorical and boolean: rows per bin by hour or weekday; None where there is no season.
    joint
        Whether it is of several features together, not of one.
    reason
        Why the channel is not calibrated and never alarms; None where it is.
    """

    name: str
    kind: Kind
    rows: int
    edges: tuple[float, ...] = ()
    centres: tuple[float, ...] = ()
    sd: float = 0.0
    categories: tuple[str, ...] = ()
    rare: tuple[str, ...] | None = ()
    singletons: int = 0
    counts: tuple[int, ...] = ()
    deff: float = 1.0
    ordered: bool = False
    phases: PhaseTable | None = None
    shares: ShareTable | None = None
    joint: bool = False
    reason: str | None = None

    def __post_init__(self) -> None:
        bins = len(self.edges) + 2 if self.kind == "numeric" else len(self.categories) + 3
        if self.counts and len(self.counts) != bins:
            raise ValueError(f"channel {self.name!r} has {len(self.counts)} counts for {bins} bins")
        if not self.counts and self.reason is None:
            raise ValueError(f"channel {self.name!r} has neither counts nor a reason why not")
        if self.shares is not None and len(self.shares.counts[0]) != bins:
            raise ValueError(f"channel {self.name!r}: the table of shares has other bins than the channel")
        if any(a >= b for a, b in pairwise(self.edges)):
            raise ValueError(f"channel {self.name!r}: edges must ascend")
        if self.deff < 1 or self.rows < 0 or min(self.counts, default=0) < 0:
            raise ValueError(f"channel {self.name!r}: rows and counts must be 0 or more, deff 1 or more")

    @property
    def calibrated(self) -> bool:
        """Whether the channel takes part in detection."""
        return self.reason is None

    @property
    def effective_rows(self) -> float:
        """Number of independent rows that the training rows are worth.

        With a season it is that of one cell: while its hour lasts, the error of that cell's own
        estimates is what an alarm could mistake for drift.
        """
        cells = 1 if self.phases is None else len(self.phases.mean)
        cells = cells if self.shares is None else self.shares.occurring
        return self.rows / self.deff / cells

    @property
    def cycle(self) -> Cycle | None:
        """The season that is taken account of; events must then come with times."""
        season = self.phases or self.shares
        return None if season is None else season.cycle

    @property
    def centre(self) -> float:
        """Numeric: a value amid the training ones, which sums of values are taken from; else 0.

        The square of a time since 1970 leaves no digit for a spread of seconds.
        """
        if self.kind != "numeric" or not self.counts:
            return 0.0
        if self.phases is not None:
            return float(np.mean(self.phases.mean))
        weights = np.array(self.counts[:-1], np.float64)
        return float(np.array(self.centres) @ weights / max(float(weights.sum()), 1.0))

    @property
    def columns(self) -> int:
        """Columns that the channel takes in a slot: its bins, and one per cell of a table of shares."""
        return len(self.counts) + (self.shares.cells if self.shares else 0)

    @property
    def smallest_shift(self) -> float:
        """Smallest shift of the mean the channel can see, in standard deviations."""
        return FLOOR / math.sqrt(self.effective_rows) if self.rows else math.inf

    @property
    def bin_names(self) -> tuple[str, ...]:
        """Name of every bin, in order, for people."""
        if self.kind != "numeric":
            return (*self.categories, "<other>", "<unseen>", "<missing>")
        if not self.counts:
            return ()
        bounds = ["-inf", *(f"{edge:.6g}" for edge in self.edges), "inf"]
        names = [f"[{a}, {b})" for a, b in pairwise(bounds)]
        if not self.counts[0]:
            names[0] = f"below {bounds[1]}"
        if not self.counts[-2]:
            names[-1] = f"above {bounds[-2]}"
        return (*names, "<missing>")

    def probabilities(self) -> NDArray[np.float64]:
        """Return the probability of each bin under no drift, shape ``(bins,)``, all positive.

        The shares of missing and unseen values are upper estimates, ``(c + 2 sqrt(c) + 1) / n``:
        what the training data happened not to contain must not be priced as impossible.
        For unseen categories ``c`` is the number of singletons (Good-Turing); that share is taken
        from the rare categories, whose rows in production it replaces. A bin of fewer than
        20 rows (a boolean that is almost never true, the far tail of a number) is treated alike.
        """
        counts = np.array(self.counts, dtype=np.float64)
        values = counts[:-1] if self.kind == "numeric" else counts[:-2]
        if self.kind == "categorical":
            values[-1] = max(values[-1] - upper_share(self.singletons, 1), 1.0)
        values = np.where(values < MIN_ROWS_PER_BIN, values + 2 * np.sqrt(values) + 1, values)
        room = float(values.sum()) / float(values.sum() + counts[-1] + 1)
        missing = min(upper_share(int(counts[-1]), self.rows), 1 - room / 2)
        special = [missing]
        if self.kind != "numeric":
            special.insert(0, upper_share(self.singletons, self.rows) * (1 - missing))
        return np.append(values / values.sum() * (1 - sum(special)), special)


def upper_share(count: int, rows: int) -> float:
    """Return an upper estimate, two standard deviations up, of a share seen ``count`` times in ``rows``.

    Examples
    --------
    >>> upper_share(0, 1000), upper_share(100, 1000)
    (0.001, 0.121)
    """
    return (count + 2 * math.sqrt(count) + 1) / rows
