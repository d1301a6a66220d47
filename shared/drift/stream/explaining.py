"""An alarm in the units of its feature: one sentence for a person."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.drift.channel import ChannelBaseline
from shared.drift.figures import reference_counts

_MOST_DIGITS: Final = 15


def explain(
    channel: ChannelBaseline,
    counts: NDArray[np.int64],
    sums: NDArray[np.float64] | None,
    *,
    change: str,
    detail: str,
    new: Sequence[str] = (),
) -> str:
    """Return what is different in some events, as one sentence about what the alarm is about.

    Parameters
    ----------
    counts
        Events per bin, and per cell of a season, shape ``(columns,)``.
    sums
        Sum and sum of squares of a numeric channel's values less its centre, else None.
    change, detail
        Of the alarm.
    new
        Categories that training did not contain, where they are what the alarm is about.

    Examples
    --------
    >>> from shared.drift import fit_baseline
    >>> late = fit_baseline({"late": [False, True] * 500}, {"late": "boolean"}).channels[0]
    >>> explain(late, np.array([30, 10, 0, 0, 0]), None, change="category", detail="true x0.6")
    'true 25 % instead of 50 %'
    >>> explain(late, np.array([10, 9, 0, 0, 1]), None, change="missing", detail="missing 0.1")
    'missing 5 % instead of 0 %'
    """
    window = counts[: len(channel.counts)].astype(np.float64)
    reference = reference_counts(channel, counts)
    if not window.sum():
        return ""
    window, reference = window / window.sum(), reference / reference.sum()
    if change == "missing":
        return f"missing {_instead(window[-1], reference[-1])}"
    if change == "unseen":
        named = f": {', '.join(new)}" if new else ""
        return f"{_percent(window[-2], 0.0)} are categories that training did not contain{named}"
    numbers = ""
    if sums is not None and window[:-1].sum():
        numbers = _numbers(channel, counts[: len(channel.counts)].astype(np.float64), sums)
    most = _bin_of(channel, detail)
    if most is None:
        if numbers:
            return numbers
        most = int(np.abs(window - reference).argmax())
    share = f"{channel.bin_names[most].strip('<>')} {_instead(window[most], reference[most])}"
    return f"{share}; {numbers}" if numbers else share


def mean_and_sd(
    channel: ChannelBaseline, counts: NDArray[np.float64], sums: NDArray[np.float64]
) -> tuple[float, float] | None:
    """Return mean and standard deviation of some numbers; None where there are none.

    Parameters
    ----------
    counts
        Events per bin of the channel.
    sums
        Sum and sum of squares of the values less the channel's centre.
    """
    n = float(counts[:-1].sum())
    if n <= 0:
        return None
    mean = float(sums[0]) / n
    return channel.centre + mean, math.sqrt(max(float(sums[1]) / n - mean * mean, 0.0))


def reference_mean_and_sd(channel: ChannelBaseline) -> tuple[float, float] | None:
    """Return mean and standard deviation of the training values; None where only the season has them."""
    if channel.kind != "numeric" or not sum(channel.counts[:-1]):
        return None
    sd = channel.sd if channel.phases is None else float(np.mean(channel.phases.sd))
    return channel.centre, sd


def digits_to_tell(value: float, apart: float) -> int:
    """Return how many significant digits of a value show a difference of that size.

    Examples
    --------
    >>> digits_to_tell(1_700_000_010, 10), digits_to_tell(81.2, 42.3), digits_to_tell(0.0, 1.0)
    (9, 1, 1)
    """
    if not apart or not value:
        return 1
    ratio = math.log10(abs(value)) - math.floor(math.log10(abs(apart)))
    return min(max(math.floor(ratio) + 1, 1), _MOST_DIGITS)


def _numbers(channel: ChannelBaseline, counts: NDArray[np.float64], sums: NDArray[np.float64]) -> str:
    now, usual = mean_and_sd(channel, counts, sums), reference_mean_and_sd(channel)
    if now is None or usual is None:
        return ""
    means, spreads = _pair(now[0], usual[0], 4), _pair(now[1], usual[1], 3)
    text = f"mean {means}, spread {spreads}"
    return text if channel.phases is None else f"{text} (training averaged over its {channel.phases.cycle})"


def _pair(now: float, usual: float, least: int) -> str:
    """Return two numbers with digits enough to see in what they differ."""
    apart = now - usual
    digits = max(least, *(digits_to_tell(value, apart / 10) for value in (now, usual)))
    return f"{now:.{digits}g} instead of {usual:.{digits}g}"


def _instead(now: float, usual: float) -> str:
    return f"{_percent(now, usual)} instead of {_percent(usual, now)}"


def _percent(share: float, other: float) -> str:
    """Return a share in percent, with decimals enough to tell it from another one and from nothing."""
    for decimals in range(5):
        text = f"{share:.{decimals}%}"
        if share == other or (text != f"{other:.{decimals}%}" and not (share and not float(text[:-1]))):
            break
    return text.replace("%", " %")


def _bin_of(channel: ChannelBaseline, detail: str) -> int | None:
    """Return the bin that an alarm's detail names ("LGA x3"), None where it names none."""
    named = [i for i, name in enumerate(channel.bin_names) if detail.startswith(f"{name} x")]
    return max(named, key=lambda i: len(channel.bin_names[i]), default=None)
