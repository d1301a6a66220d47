"""A window in figures a person knows, from its bin counts: mean, spread, quantiles, top categories."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from shared.drift.channel import ChannelBaseline

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """One window of one channel, or its training data.

    Attributes
    ----------
    events
        Events in the window.
    missing
        Share of missing values, 0 to 1.
    mean, sd
        Numeric: within the resolution of the bins, in the channel's unit; where the channel has a
        season, in standard deviations from the mean of its hour. None without a usable value.
    quantiles
        Numeric: at 5, 25, 50, 75 and 95 %, interpolated within bins.
    top
        Categories: name and share of the window, most frequent first, ten at most.
    """

    events: int
    missing: float
    mean: float | None = None
    sd: float | None = None
    quantiles: tuple[float, ...] = ()
    top: tuple[tuple[str, float], ...] = ()


def describe(channel: ChannelBaseline, counts: ArrayLike | None = None) -> Description:
    """Return a window's figures from its bin counts; without counts, those of the training data.

    Parameters
    ----------
    counts
        Events per bin, shape ``(bins,)``; a slot's padding after them is ignored.

    Raises
    ------
    ValueError
        The channel has no bins, or the window no events.

    Examples
    --------
    >>> from shared.drift import fit_baseline
    >>> rng = np.random.default_rng(1)
    >>> delay = fit_baseline({"delay": rng.normal(10, 2, 50_000)}, {"delay": "numeric"}).channels[0]
    >>> trained = describe(delay)
    >>> round(trained.mean), round(trained.sd), [round(q) for q in trained.quantiles]
    (10, 2, [7, 9, 10, 11, 13])
    """
    if not channel.counts:
        raise ValueError(f"channel {channel.name!r} has no bins: {channel.reason}")
    window = np.asarray(channel.counts if counts is None else counts, np.int64)[: len(channel.counts)]
    events = int(window.sum())
    if events == 0:
        raise ValueError(f"the window of channel {channel.name!r} has no events")
    missing = float(window[-1] / events)
    if channel.kind != "numeric":
        ranked = sorted(zip(channel.bin_names[:-1], window.tolist(), strict=False), key=lambda c: -c[1])
        top = tuple((name, count / events) for name, count in ranked[:10] if count)
        return Description(events=events, missing=missing, top=top)
    values = window[:-1].astype(np.float64)
    if not values.sum():
        return Description(events=events, missing=missing)
    shares, centres = values / values.sum(), np.array(channel.centres)
    mean = float(shares @ centres)
    within = _within(channel)
    return Description(
        events=events,
        missing=missing,
        mean=mean,
        sd=float(np.sqrt(shares @ (centres - mean) ** 2 + within)),
        quantiles=tuple(_quantiles(channel, shares).tolist()),
    )


def _within(channel: ChannelBaseline) -> float:
    """Return the variance inside the bins: what the centres leave of the training variance."""
    shares = np.array(channel.counts[:-1], np.float64)
    shares /= shares.sum()
    centres = np.array(channel.centres)
    return max(0.0, channel.sd**2 - float(shares @ (centres - shares @ centres) ** 2))


def _quantiles(channel: ChannelBaseline, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return quantiles, linear within bins; the outermost bins reach as far out as their centre lies in."""
    edges, centres = np.array(channel.edges), np.array(channel.centres)
    lower, upper = 2 * centres[0] - edges[0], 2 * centres[-1] - edges[-1]
    bounds = np.concatenate([[min(lower, edges[0])], edges, [max(upper, edges[-1])]])
    found: NDArray[np.float64] = np.interp(QUANTILES, np.concatenate([[0.0], np.cumsum(shares)]), bounds)
    return found
