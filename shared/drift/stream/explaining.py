"""An alarm in the units of its feature: one sentence for a person."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.drift.channel import ChannelBaseline
from shared.drift.figures import reference_counts


def explain(
    channel: ChannelBaseline,
    counts: NDArray[np.int64],
    sums: NDArray[np.float64] | None,
    *,
    new: Sequence[str] = (),
) -> str:
    """Return what is different in a window, as one sentence.

    Parameters
    ----------
    counts
        Events per bin, and per cell of a season, shape ``(columns,)``.
    sums
        Sum and sum of squares of a numeric channel, else None.
    new
        Categories that training did not contain, where they are what the alarm is about.

    Examples
    --------
    >>> from shared.drift import fit_baseline
    >>> late = fit_baseline({"late": [False, True] * 500}, {"late": "boolean"}).channels[0]
    >>> explain(late, np.array([10, 30, 0, 0, 0]), None)
    'false 25 % instead of 50 %'
    """
    window = counts[: len(channel.counts)].astype(np.float64)
    reference = reference_counts(channel, counts)
    if not window.sum():
        return ""
    if new:
        share = f"{window[-2] / window.sum():.1%}".replace("%", " %")
        return f"{share} are categories that training did not contain: {', '.join(new)}"
    missing, usual = window[-1] / window.sum(), reference[-1] / reference.sum()
    if missing > 2 * usual + 0.05:
        return f"missing {missing:.1%} instead of {usual:.1%}".replace("%", " %")
    if sums is not None and window[:-1].sum():
        return _numbers(channel, window, sums)
    return _categories(channel, window / window.sum(), reference / reference.sum())


def mean_and_sd(counts: NDArray[np.float64], sums: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return mean and standard deviation of a window's numbers; None where it has none."""
    n = float(counts[:-1].sum())
    if n <= 0:
        return None
    mean = float(sums[0]) / n
    return mean, math.sqrt(max(float(sums[1]) / n - mean * mean, 0.0))


def reference_mean_and_sd(channel: ChannelBaseline) -> tuple[float, float] | None:
    """Return mean and standard deviation of the training values; None where only the season has them."""
    counts = np.array(channel.counts[:-1], np.float64)
    if channel.kind != "numeric" or not counts.sum():
        return None
    if channel.phases is not None:
        return float(np.mean(channel.phases.mean)), float(np.mean(channel.phases.sd))
    return float((np.array(channel.centres) * counts).sum() / counts.sum()), channel.sd


def _numbers(channel: ChannelBaseline, window: NDArray[np.float64], sums: NDArray[np.float64]) -> str:
    now, usual = mean_and_sd(window, sums), reference_mean_and_sd(channel)
    if now is None or usual is None:
        return ""
    text = f"mean {now[0]:.4g} instead of {usual[0]:.4g}, spread {now[1]:.3g} instead of {usual[1]:.3g}"
    return text if channel.phases is None else f"{text} (training averaged over its {channel.phases.cycle})"


def _categories(channel: ChannelBaseline, window: NDArray[np.float64], reference: NDArray[np.float64]) -> str:
    most = int(np.abs(window - reference).argmax())
    name = channel.bin_names[most].strip("<>")
    return f"{name} {window[most]:.0%} instead of {reference[most]:.0%}".replace("%", " %")
