"""Familiar distances between the baseline and a window, from the same bin counts.

They explain an alarm; they never raise one: each depends on the number of events in the window.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from shared.drift.channel import ChannelBaseline


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Distances of one window from the baseline.

    Attributes
    ----------
    events
        Events in the window.
    psi
        Population stability index, 0 or more.
    jensen_shannon
        Jensen-Shannon distance, base 2: 0 (equal) to 1 (nothing in common).
    wasserstein
        Numeric channels: Wasserstein-1 distance in standard deviations of the baseline.
    missing, unseen
        Shares of the window, 0 to 1; ``unseen`` is None for numeric channels.
    """

    events: int
    psi: float
    jensen_shannon: float
    wasserstein: float | None
    missing: float
    unseen: float | None


def psi(reference: ArrayLike, window: ArrayLike) -> float:
    """Return the population stability index of two rows of bin counts [1]_.

    Half an event is added to every bin, so that an empty one does not make the index infinite.

    References
    ----------
    .. [1] Yurdakul, B. and Naranjo, J. (2020). Statistical properties of the population stability
       index. Journal of Risk Model Validation 14(4).

    Examples
    --------
    >>> psi([50, 50], [50, 50]), round(psi([500, 500], [250, 750]), 3)
    (0.0, 0.274)
    """
    p, q = _shares(reference, 0.5), _shares(window, 0.5)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(reference: ArrayLike, window: ArrayLike) -> float:
    """Return the Jensen-Shannon distance of two rows of bin counts: the root of the divergence in bits.

    Examples
    --------
    >>> jensen_shannon([1, 0], [0, 1]), jensen_shannon([3, 3], [1, 1])
    (1.0, 0.0)
    """
    p, q = _shares(reference), _shares(window)
    middle = (p + q) / 2
    return math.sqrt(max(0.0, (_divergence(p, middle) + _divergence(q, middle)) / 2))


def wasserstein(reference: ArrayLike, window: ArrayLike, centres: ArrayLike, sd: float) -> float:
    """Return the Wasserstein-1 distance of binned values, in standard deviations of the reference.

    Parameters
    ----------
    reference, window
        Counts of the value bins, without the missing one.
    centres
        Mean value of each bin, ascending.
    sd
        Standard deviation of the reference.

    Examples
    --------
    >>> wasserstein([10, 0, 0], [0, 0, 10], [1.0, 2.0, 3.0], 0.5)
    4.0
    """
    gaps = np.diff(np.asarray(centres, np.float64))
    difference = np.abs(np.cumsum(_shares(reference) - _shares(window)))[:-1]
    return float((difference * gaps).sum() / sd)


def figures(channel: ChannelBaseline, counts: ArrayLike) -> Figures:
    """Return the distances of a window's bin counts from a channel's baseline.

    Parameters
    ----------
    counts
        Events per bin of the channel, shape ``(bins,)``; a slot's padding after them is ignored.

    Raises
    ------
    ValueError
        The channel is not calibrated, has more bins, or the window is empty.

    Examples
    --------
    >>> from shared.drift import fit_baseline
    >>> late = fit_baseline({"late": [False, True] * 500}, {"late": "boolean"}).channels[0]
    >>> figures(late, [25, 25, 0, 0, 50]).missing
    0.5
    """
    if not channel.calibrated:
        raise ValueError(f"channel {channel.name!r} is not calibrated: {channel.reason}")
    window = np.asarray(counts)[: len(channel.counts)]
    reference = reference_counts(channel, np.asarray(counts))
    if len(window) < len(channel.counts):
        raise ValueError(f"channel {channel.name!r} has {len(channel.counts)} bins, not {len(window)}")
    events = int(window.sum())
    if events == 0:
        raise ValueError(f"the window of channel {channel.name!r} has no events")
    numeric = channel.kind == "numeric"
    usable = numeric and int(window[:-1].sum()) > 0
    return Figures(
        events=events,
        psi=psi(reference, window),
        jensen_shannon=jensen_shannon(reference, window),
        wasserstein=wasserstein(reference[:-1], window[:-1], channel.centres, channel.sd) if usable else None,
        missing=float(window[-1] / events),
        unseen=None if numeric else float(window[-2] / events),
    )


def reference_counts(channel: ChannelBaseline, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the training counts; with a season of shares, those of the hours that the window has.

    Where the counts do not tell the hours, all training rows are the reference.
    """
    trained = np.array(channel.counts, np.float64)
    cells = counts[len(trained) : channel.columns]
    if channel.shares is None or not cells.sum():
        return trained
    expected = channel.shares.shares(trained / trained.sum()).T @ (cells / cells.sum())
    shares: NDArray[np.float64] = expected * trained.sum()
    return shares


def _shares(counts: ArrayLike, more: float = 0.0) -> NDArray[np.float64]:
    padded = np.asarray(counts, np.float64) + more
    shares: NDArray[np.float64] = padded / padded.sum()
    return shares


def _divergence(p: NDArray[np.float64], middle: NDArray[np.float64]) -> float:
    some = p > 0
    return float((p[some] * np.log2(p[some] / middle[some])).sum())
