"""A, the mean number of events between false alarms: from the budget, and the stream's own rate.

The rate counts in event time, so that a replay promises the same as the stream did. Where it is not
declared it is measured: first from the first 256 events, then again after an hour, a day, a week and
30 days of event time, each time over all of it; from then on every 30 days over those, and as soon as
they have brought twice as many events as they should have. Between those points A stays as it is. The
twentieth of the events at either end of their times does not count: one clock that was never set would
make a moment of half a century.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from shared.drift.stream.time_spread import TimeSpread

MONTH_MS: Final = 30 * 86_400_000
FIRST_EVENTS: Final = 256
_MEASURED_AT: Final = (0, 3_600_000, 86_400_000, 7 * 86_400_000, MONTH_MS)
_LOOK_EVENTS: Final = 1_024
_MORE: Final = 2.0
"""So many times the events that 30 days should have brought are not waited for to be over."""
_SLOWEST: Final = 100.0
_FASTEST: Final = 1e15


class Rate(msgspec.Struct):
    """The event rate of one group's stream as it goes on.

    Attributes
    ----------
    declared
        Events per 30 days as ``model.toml`` declares them, else None.
    least
        Events before it is measured first.
    events
        Events so far.
    measured
        Events per 30 days as last measured; None before that.
    step
        How many of the first 30 days' points have been passed.
    looked
        Events when it was last looked whether to measure again.
    spread
        When the events were that the next measurement goes by.

    Examples
    --------
    >>> rate = Rate()
    >>> [rate.take(1_000 * i, 16) for i in range(17)].index(True), round(rate.per_30_days, -6)
    (15, 40000000.0)
    """

    declared: float | None = None
    least: int = FIRST_EVENTS
    events: int = 0
    measured: float | None = None
    step: int = 0
    looked: int = 0
    spread: TimeSpread = msgspec.field(default_factory=TimeSpread)

    @property
    def per_30_days(self) -> float | None:
        """Events per 30 days, None as long as it is not known."""
        return self.declared if self.declared is not None else self.measured

    def take(self, occurred: int, events: int) -> bool:
        """Count a slot; return whether the rate is another one from here on."""
        self.events += events
        if self.declared is not None:
            return False
        self.spread.add(occurred, events)
        if self.measured is None:
            return self.events >= self.least and self._measure()
        if self.events - self.looked < _LOOK_EVENTS:
            return False
        self.looked = self.events
        due = self.spread.milliseconds >= _MEASURED_AT[min(self.step, len(_MEASURED_AT) - 1)]
        due = due and self.spread.events >= FIRST_EVENTS
        return (due or self.spread.events >= _MORE * self.measured) and self._measure()

    def _measure(self) -> bool:
        span = self.spread.milliseconds
        while self.step < len(_MEASURED_AT) and span >= _MEASURED_AT[self.step]:
            self.step += 1
        self.measured = min(max(self.spread.events * MONTH_MS / span, _SLOWEST), _FASTEST)
        self.looked = self.events
        if self.step == len(_MEASURED_AT):
            self.spread = TimeSpread()
        return True

    def begun_anew(self) -> Rate:
        """Return the rate as it was measured, with no events counted yet."""
        return msgspec.structs.replace(self, events=0, looked=0, spread=self.spread.copy())

    def copy(self) -> Rate:
        """Return the same, to be kept."""
        return msgspec.structs.replace(self, spread=self.spread.copy())


def events_between(per_30_days: float, false_alarms: float) -> float:
    """Return A for a budget of so many false alarms per 30 days.

    Examples
    --------
    >>> events_between(27_000, 1)
    27000.0
    """
    return max(per_30_days / false_alarms, 1.0)


def share_of(events_between_alarms: float, channels: int, of: int) -> float:
    """Return the A of a detector that has ``channels`` of the model's ``of`` channels.

    A detector alarms where the sum of its channels' evidence reaches its A times their number. With
    this share that product is the same for every detector of the model, and all of them together
    keep the model's budget.

    Examples
    --------
    >>> share_of(1000.0, 2, of=10)
    5000.0
    """
    return events_between_alarms * of / channels


def on_common_scale(evidence: float, channels: int, of: int) -> float:
    """Return a detector's log10 evidence on the scale where the whole model alarms at log10(A)."""
    return max(0.0, evidence + on_common_scale_shift(channels, of))


def on_common_scale_shift(channels: int, of: int) -> float:
    """Return what is to be added to a detector's log10 evidence for that scale."""
    return -math.log10(of / channels)
