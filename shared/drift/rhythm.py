"""Whether rows were watched for long enough to show the rhythm that events may have."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.bundle.spec import Seasonality
from shared.drift.baseline import Baseline
from shared.drift.channel import ChannelBaseline

ROUND: Final[dict[Seasonality, float]] = {"none": 0.0, "day": 86_400.0, "week": 604_800.0}
"""Seconds in one round of each."""
ROUNDS: Final = 1.9
"""Rounds that rows must span: two, less what two weeks of data may lack at either end.

In one round every hour was seen once: what is a rhythm and what is a change cannot be told.
"""
TRIMMED: Final = 0.05
"""Share of the rows at either end of their times that does not count: clocks that are wrong."""
_NEEDED: Final[dict[Seasonality, str]] = {
    "none": "",
    "day": "2 days are needed to see a rhythm of the day",
    "week": "2 weeks are needed to see a rhythm of the day and the week",
}
_UNITS: Final = (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0))


def span_of(times: NDArray[np.float64]) -> float:
    """Return how long rows took, in seconds, whatever a few wrong clocks say.

    Parameters
    ----------
    times
        Seconds since 1970 UTC, finite, shape ``(n,)``.

    Examples
    --------
    >>> day = 1.7e9 + np.arange(86_400.0)
    >>> round(span_of(np.append(day, [0.0, 4e9])) / 3_600)
    24
    """
    if not len(times):
        return 0.0
    low, high = np.quantile(times, (TRIMMED, 1 - TRIMMED))
    return round(float(high - low) / (1 - 2 * TRIMMED), 3)


def unseen_rhythm(seasonality: Seasonality, span: float | None) -> str | None:
    """Return why rows cannot show the rhythm that their events may have; None where they can.

    Parameters
    ----------
    span
        Seconds that the rows took; None where they have no times.

    Examples
    --------
    >>> unseen_rhythm("week", 3 * 86_400)
    'its rows span 3.0 days: 2 weeks are needed to see a rhythm of the day and the week'
    >>> unseen_rhythm("day", 3 * 86_400) is unseen_rhythm("none", None) is None
    True
    """
    if seasonality == "none":
        return None
    needed = _NEEDED[seasonality]
    if span is None:
        return f"its rows have no times: {needed}"
    if span >= ROUNDS * ROUND[seasonality]:
        return None
    return f"its rows span {told(span)}: {needed}"


def lacks_rhythm(reason: str | None) -> bool:
    """Return whether that is why a channel is not calibrated.

    Examples
    --------
    >>> lacks_rhythm(unseen_rhythm("week", 60.0)), lacks_rhythm(None), lacks_rhythm("constant")
    (True, False, False)
    """
    return reason is not None and any(needed and needed in reason for needed in _NEEDED.values())


def told(seconds: float) -> str:
    """Return a duration for a person.

    Examples
    --------
    >>> told(5_000), told(20)
    ('1.4 hours', '20 seconds')
    """
    for unit, size in _UNITS:
        if seconds >= 1.2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def without_rhythm(baseline: Baseline, reason: str) -> Baseline:
    """Return a baseline of features none of whose channels is calibrated; bins and figures stay.

    Joint channels and tables of segments go with what they are about: alarms.
    """
    channels = tuple(not_calibrated(channel, reason) for channel in baseline.channels)
    return msgspec.structs.replace(baseline, channels=channels, joint=None, segments=())


def not_calibrated(channel: ChannelBaseline, reason: str) -> ChannelBaseline:
    """Return a channel that does not alarm, for this reason if it has no other."""
    return channel if channel.reason is not None else msgspec.structs.replace(channel, reason=reason)
