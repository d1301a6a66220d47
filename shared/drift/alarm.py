"""Alarms, and the false-alarm budget they are raised under."""

from __future__ import annotations

import msgspec

from shared.drift.alternatives import Change

SECONDS_PER_MONTH = 30 * 86_400


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """A change that the detector found.

    Attributes
    ----------
    channel
        Name of the channel with the most evidence.
    change
        Kind of change that explains it best.
    detail
        What exactly, for a person ("mean +0.32 sd").
    evidence
        log10 of the channel's evidence; the alarm is raised at log10(A), all channels together.
    event
        Events seen when the alarm was raised.
    change_point
        Estimate of the number of events before the change: where the winning bet was last at its
        lowest. Exact to a slot.
    """

    channel: str
    change: Change
    detail: str
    evidence: float
    event: int
    change_point: int


def events_between_false_alarms(events_per_second: float, false_alarms_per_30_days: float) -> float:
    """Return A, the mean number of events between false alarms that keeps the budget.

    Raises
    ------
    ValueError
        One of the two is not positive.

    Examples
    --------
    >>> events_between_false_alarms(10, 1)
    25920000.0
    """
    if not (events_per_second > 0 and false_alarms_per_30_days > 0):
        raise ValueError("the event rate and the false-alarm budget must be positive")
    return events_per_second * SECONDS_PER_MONTH / false_alarms_per_30_days
