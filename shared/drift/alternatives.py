"""The alternatives a channel bets on: what the bins would look like after each kind of change.

Every alternative is a distribution q over the bins of the baseline p; an event in bin j multiplies
the wealth of its bet by q_j / p_j, whose mean is 1 as long as nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr

from shared.drift.channel import FLOOR, ChannelBaseline
from shared.drift.normal_scores import bin_bounds

Change = Literal["location", "scale", "missing", "unseen", "category", "shape", "concept"]

BETS = 2
"""Version of the bets below: what a detector has won with others says nothing about these."""
LOCATIONS = (0.08, 0.16, 0.32, 0.64, 1.28, 2.2)
SCALES = (0.5, 0.75, 0.88, 1.14, 1.35, 1.8, 3.0)
TAILS = 3
"""Degrees of freedom of Student's t with the baseline's mean and spread: tails that have become heavier."""
FAR_PART = (0.1, 2.0, 1.6)
"""A part of the values far from the rest: its share, and its mean and spread in standard deviations."""
FAR_OUT = (0.1, 0.0, 3.0)
"""The same with the far part on both sides."""
JUMPS = {"t": 3.0, "part": 10.0, "both": 4.0}
"""How many times its share of the prior weight a bet on far values is given, where rows are many.

What is rare comes in jumps: such a bet has overshot A when it reaches it, and until then what it waits
for did not come. It alarms less than a quarter (far parts: a tenth) as often as a bet of its weight may,
so it may have more weight. The same goes for the larger shifts and spreads
(docs/decisions/0021-bets-that-jump-weigh-more.md).
"""
SHIFT_JUMPS = {0.64: 2.0, 1.28: 4.0, 2.2: 4.0}
SCALE_JUMPS = {0.5: 2.0, 1.14: 2.0, 1.35: 3.0, 1.8: 4.0, 3.0: 4.0}
MANY_ROWS = 10_000
"""Effective rows from which on jumps are counted: with fewer the baseline's own error uses up the reserve."""
RATIOS = (0.6, 1.5, 3.0)
CAUTION = 0.005
"""Share of p blended into every q: one outlier cannot lose a bet more than a factor of 200."""
FIXED_SHARE = 0.8
"""Prior weight of the fixed alternatives; the rest is for the plug-in ones."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """One kind of change, before it is priced.

    Attributes
    ----------
    change
        Kind of change, for the report.
    detail
        What exactly, for a person ("mean +0.32 sd").
    weight
        Prior weight, relative to the channel's other alternatives.
    shares
        q: probability of each bin after the change, shape ``(bins,)``; need not sum to 1.
    jumps
        How many times that weight it is given, once the weights have been divided.
    """

    change: Change
    detail: str
    weight: float
    shares: NDArray[np.float64]
    jumps: float = 1.0


@dataclass(frozen=True, slots=True)
class Bets:
    """The priced alternatives of one channel, ready for a detector.

    Attributes
    ----------
    channel
        Name of the channel.
    probabilities
        p, shape ``(bins,)``.
    log_ratios
        log(q / p), shape ``(bets, bins)``.
    weights
        Prior weight of each bet, shape ``(bets,)``.
    changes, details
        What each bet means, ``bets`` entries.
    effective_rows
        Independent rows that p was estimated from.
    exponent
        Tempering of autocorrelated channels, 1 / DEFF: in (0, 1].
    bin_names
        Name of each bin, for people: needed where ``plug_in`` is set.
    plug_in
        Whether the detector adds its plug-in alternatives.
    cell_shares
        Of a categorical channel with a season: p in each cell of it, shape ``(cells, bins)``. A bet
        then multiplies by q_j / p_j and divides by what that would be expected to give in the event's
        cell, so it is fair at every hour.
    joint
        Whether the channel is of several features together.
    """

    channel: str
    probabilities: NDArray[np.float64]
    log_ratios: NDArray[np.float64]
    weights: NDArray[np.float64]
    changes: tuple[Change, ...]
    details: tuple[str, ...]
    effective_rows: float
    exponent: float = 1.0
    bin_names: tuple[str, ...] = ()
    plug_in: bool = True
    cell_shares: NDArray[np.float64] | None = None
    joint: bool = False

    @property
    def columns(self) -> int:
        """Columns that the channel takes in a slot."""
        return len(self.probabilities) + (0 if self.cell_shares is None else len(self.cell_shares))


def channel_bets(channel: ChannelBaseline) -> Bets:
    """Return the bets of a calibrated channel.

    Only alternatives that the baseline can price are kept: the standard deviation of q / p must be
    at least 16 / sqrt(n_eff). Smaller changes drown in the error of the baseline itself, and
    betting on them would raise false alarms.

    Raises
    ------
    ValueError
        The channel is not calibrated.
    """
    if channel.reason is not None:
        raise ValueError(f"channel {channel.name!r} is not calibrated: {channel.reason}")
    probabilities = channel.probabilities()
    if channel.kind == "numeric":
        alternatives = _numeric(probabilities)
    else:
        alternatives = _categorical(probabilities, channel.bin_names, channel.rare is not None)
    shares = np.maximum(np.array([a.shares for a in alternatives]), 1e-12)
    shares /= shares.sum(axis=1, keepdims=True)
    ratios = (1 - CAUTION) * shares / probabilities + CAUTION
    cells = channel.shares.shares(probabilities) if channel.shares is not None else None
    spread = np.sqrt((probabilities * (ratios - 1) ** 2).sum(axis=1))
    kept = np.flatnonzero(spread * np.sqrt(channel.effective_rows) >= FLOOR)
    weights = np.array([a.weight for a in alternatives])[kept]
    sure = channel.effective_rows >= MANY_ROWS and not channel.joint
    jumps = np.array([a.jumps if sure else 1.0 for a in alternatives])[kept]
    return Bets(
        channel=channel.name,
        probabilities=probabilities,
        log_ratios=np.log(ratios[kept]),
        weights=FIXED_SHARE * weights / weights.sum() * jumps if len(kept) else weights,
        changes=tuple(alternatives[i].change for i in kept),
        details=tuple(alternatives[i].detail for i in kept),
        effective_rows=channel.effective_rows,
        exponent=1.0 / channel.deff,
        bin_names=channel.bin_names,
        cell_shares=cells,
        joint=channel.joint,
    )


def _numeric(p: NDArray[np.float64]) -> list[Alternative]:
    """Return shifts of the mean, changes of the spread and of the tails, and a rise of missing values."""
    values, missing = p[:-1], p[-1]
    lower, upper = bin_bounds(values / values.sum())

    def normal(mean: float, sd: float) -> NDArray[np.float64]:
        mass = ndtr((upper - mean) / sd) - ndtr((lower - mean) / sd)
        return np.append(mass * (1 - missing), missing)

    shifts = [sign * size for sign in (1, -1) for size in LOCATIONS]
    weight = 0.46 / len(shifts)
    found = [
        Alternative("location", f"mean {t:+g} sd", weight, normal(t, 1.0), SHIFT_JUMPS.get(abs(t), 1.0))
        for t in shifts
    ]
    weight = 0.19 / len(SCALES)
    found += [
        Alternative("scale", f"spread x{s:g}", weight, normal(0.0, s), SCALE_JUMPS.get(s, 1.0))
        for s in SCALES
    ]
    found += _shapes(normal, lower, upper, missing)
    return found + _rises(p, len(p) - 1, "missing", 0.05)


def _shapes(
    normal: Callable[[float, float], NDArray[np.float64]],
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
    missing: float,
) -> list[Alternative]:
    """Return heavier tails at the same mean and spread, and a part of the values far from the rest."""
    unit = np.sqrt(TAILS / (TAILS - 2))
    mass = stdtr(TAILS, upper * unit) - stdtr(TAILS, lower * unit)
    near = normal(0.0, 1.0)
    share, mean, sd = FAR_PART
    above, under = ((1 - share) * near + share * normal(sign * mean, sd) for sign in (1, -1))
    share, mean, sd = FAR_OUT
    both = (1 - share) * near + share * normal(mean, sd)
    return [
        Alternative("shape", "heavier tails", 0.10, np.append(mass * (1 - missing), missing), JUMPS["t"]),
        Alternative("shape", "a part of the values far above", 0.075, above, JUMPS["part"]),
        Alternative("shape", "a part of the values far below", 0.075, under, JUMPS["part"]),
        Alternative("shape", "a part of the values far out on both sides", 0.05, both, JUMPS["both"]),
    ]


def _categorical(p: NDArray[np.float64], names: tuple[str, ...], lists_unseen: bool) -> list[Alternative]:
    """Return changes of each category's share, and a rise of unseen and of missing values."""
    found = []
    for j in range(len(p) - 2):
        for ratio in RATIOS:
            shares = p.copy()
            shares[j] *= ratio
            if shares[j] < 0.95:
                found.append(Alternative("category", f"{names[j]} x{ratio:g}", 1.0, shares))
    weight = 0.85 / max(len(found), 1)
    found = [Alternative(a.change, a.detail, weight, a.shares) for a in found]
    if lists_unseen:
        found += _rises(p, len(p) - 2, "unseen", 0.10)
    return found + _rises(p, len(p) - 1, "missing", 0.05)


def _rises(
    p: NDArray[np.float64], index: int, change: Literal["missing", "unseen"], weight: float
) -> list[Alternative]:
    """Return a moderate and a large rise of one bin at the expense of all the others."""
    found = []
    for factor, least in ((2.0, 0.01), (10.0, 0.1)):
        share = min(max(p[index] * factor, least), (1 + p[index]) / 2)
        shares = p * (1 - share) / (1 - p[index])
        shares[index] = share
        found.append(Alternative(change, f"{change} {share:.2g}", weight / 2, shares))
    return found
