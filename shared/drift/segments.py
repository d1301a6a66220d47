"""Where a change is: which category of a feature has the rows that explain it ("at origin=LGA").

The baseline keeps, for every channel, how its bins are filled within each category of a few features. Once
a channel alarms, the events since the change are compared with that, category by category: where the
others are as they were and the rows of one are not, that one explains the change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.channel import ChannelBaseline

MOST_FEATURES: Final = 4
MOST_CELLS: Final = 200_000
"""Counts in all tables of a baseline together: further features are left out."""
MOST_CATEGORIES: Final = 3
"""Named at once: a change in more of them is not one of a place."""
MOST_EVENTS: Final = 0.75
"""Share of the events beyond which a category is nearly everything, and says little about where."""
MUCH_MORE: Final = 4.0
"""How many times as much a named category must have changed, per event, as all the others together."""
MOST_OF_IT: Final = 0.7
"""Share of all change that the named categories must explain."""
SURE: Final = 6.0
"""Standard deviations by which it must exceed chance: the most striking of many categories is taken."""


class SegmentTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How training rows fell, within each category of one feature.

    Attributes
    ----------
    feature
        Its name; categorical or boolean.
    counts
        By channel: a row per bin of the feature, rows per bin of the channel in it.
    """

    feature: str
    counts: dict[str, tuple[tuple[int, ...], ...]]


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """The categories of one feature whose rows explain a change.

    Attributes
    ----------
    feature, categories
        What to look at.
    explained
        Share of the change that is in their rows, 0 to 1.
    events
        Share of the events that are theirs, 0 to 1.
    """

    feature: str
    categories: tuple[str, ...]
    explained: float
    events: float


def fit_segments(
    channels: Sequence[ChannelBaseline], codes: Sequence[NDArray[np.integer]], features: Sequence[str]
) -> tuple[SegmentTable, ...]:
    """Return the tables of training rows.

    Parameters
    ----------
    channels
        Those with bins.
    codes
        Bin of every row, one array of shape ``(n,)`` per channel.
    features
        By which to break down; those that are numeric or have no bins are left out.
    """
    of = {channel.name: row for row, channel in enumerate(channels)}
    tables: list[SegmentTable] = []
    cells = 0
    for name in features:
        row = of.get(name)
        if row is None or channels[row].kind == "numeric":
            continue
        size = len(channels[row].counts)
        cells += size * sum(len(channel.counts) for channel in channels)
        if len(tables) == MOST_FEATURES or cells > MOST_CELLS:
            break
        counts = {
            channel.name: _crossed(codes[row], size, theirs, len(channel.counts))
            for channel, theirs in zip(channels, codes, strict=True)
            if channel.name != name
        }
        tables.append(SegmentTable(feature=name, counts=counts))
    return tuple(tables)


def _crossed(
    categories: NDArray[np.integer], rows: int, bins: NDArray[np.integer], columns: int
) -> tuple[tuple[int, ...], ...]:
    counts = np.bincount(categories.astype(np.int64) * columns + bins, minlength=rows * columns)
    return tuple(map(tuple, counts.reshape(rows, columns).tolist()))


def locate(
    name: str,
    channels: Mapping[str, tuple[int, ChannelBaseline]],
    tables: Sequence[SegmentTable],
    codes: NDArray[np.integer],
) -> Segment | None:
    """Return the categories that explain why a channel has changed; None where no few of them do.

    Parameters
    ----------
    name
        Of the channel.
    channels
        Row in ``codes`` and baseline of each.
    tables
        Of the baseline.
    codes
        Bins of the events since the change, shape ``(channels, n)``.

    Examples
    --------
    >>> from shared.drift import fit_baseline
    >>> rng = np.random.default_rng(1)
    >>> def rows(n, wrong):
    ...     origin = rng.choice(["EWR", "JFK", "LGA"], n)
    ...     miles = rng.normal(1_000, 300, n) * np.where(origin == "LGA", wrong, 1)
    ...     return {"miles": miles, "origin": origin}
    >>> kinds = {"miles": "numeric", "origin": "categorical"}
    >>> baseline = fit_baseline(rows(20_000, 1.0), kinds, segments=["origin"])
    >>> from shared.drift.stream.coding import GroupCoder
    >>> coder, later = GroupCoder(baseline), rows(300, 1.609)
    >>> known = {c.name: (row, c) for row, c in enumerate(coder.channels)}
    >>> codes = coder.code([later["miles"], later["origin"].tolist()], np.zeros(300, np.int64)).codes
    >>> found = locate("miles", known, baseline.segments, codes)
    >>> found.feature, found.categories, found.explained > 0.95
    ('origin', ('LGA',), True)
    """
    row = channels[name][0]
    best: Segment | None = None
    for table in tables:
        trained = table.counts.get(name)
        if trained is None or table.feature not in channels:
            continue
        at, feature = channels[table.feature]
        reference = np.array(trained, np.float64)
        size, columns = reference.shape
        cells = codes[at].astype(np.int64) * columns + codes[row]
        observed = np.bincount(cells, minlength=size * columns).reshape(size, columns).astype(np.float64)
        found = _explaining(observed, _expected(observed, reference))
        if found is None:
            continue
        chosen, explained = found
        share = float(observed[chosen].sum() / observed.sum())
        told = explained - share / 2 - len(chosen) / 10  # the least that explains the most
        if best is None or told > best.explained - best.events / 2 - len(best.categories) / 10:
            names = tuple(feature.bin_names[i].strip("<>") for i in chosen)
            best = Segment(
                feature=table.feature,
                categories=names,
                explained=round(explained, 4),
                events=round(share, 4),
            )
    return best


def _expected(observed: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each category's events would be like; one that training hardly had is like all of them."""
    columns = reference.shape[1]
    overall = (reference.sum(axis=0) + 0.5) / (reference.sum() + 0.5 * columns)
    smoothed = reference + columns * overall
    shares = smoothed / smoothed.sum(axis=1, keepdims=True)
    expected: NDArray[np.float64] = observed.sum(axis=1, keepdims=True) * shares
    return expected


def _explaining(
    observed: NDArray[np.float64], expected: NDArray[np.float64]
) -> tuple[list[int], float] | None:
    """Return which rows explain a change, and what share of it; None where no few of them do.

    What the others have changed is the larger of their sum seen as one, which shows a little of the same
    everywhere, and of what each shows by itself: a fault at an airport is one at several airlines too.
    """
    change = np.array([_change(observed[i], expected[i]) for i in range(len(observed))])
    chance = np.sqrt(2.0 * observed.shape[1])
    order = np.argsort(-change, kind="stable").tolist()
    every = observed.sum()
    for most in range(1, MOST_CATEGORIES + 1):
        chosen, rest = order[:most], order[most:]
        events = observed[chosen].sum()
        if not 0 < events <= MOST_EVENTS * every or change[chosen[-1]] <= chance:
            return None
        theirs = _change(observed[chosen].sum(axis=0), expected[chosen].sum(axis=0))
        together = _change(observed[rest].sum(axis=0), expected[rest].sum(axis=0))
        others = max(together, float(np.maximum(change[rest] - chance, 0.0).sum()), 0.0)
        explained = theirs / (theirs + others) if theirs > 0 else 0.0
        much = theirs / events >= MUCH_MORE * others / (every - events)
        if theirs > SURE * chance and explained >= MOST_OF_IT and much:
            return chosen, explained
    return None


def _change(observed: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Return how far counts are from those expected: the G statistic less what chance gives it.

    That is 1 for a bin in which something is expected, and less for one in which hardly anything is.
    """
    some = observed > 0
    if not some.any():
        return 0.0
    g = 2.0 * float((observed[some] * np.log(observed[some] / expected[some])).sum())
    rare = np.minimum(expected, 0.5)
    return g - float(np.where(expected > 0.5, 1.0, -2.0 * rare * np.log(np.maximum(rare, 1e-12))).sum() - 1)
