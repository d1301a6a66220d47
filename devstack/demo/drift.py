"""Drift in the demo: what is real, what is planted, and what the drift service found of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pandas as pd

from shared.messages import DriftAlarm, DriftChannel, DriftReport
from shared.reports import AnyReport

KILOMETRES_PER_MILE: Final = 1.609344
PLANTED_ORIGIN: Final = "LGA"
PLANTED_CHANNEL: Final = "distance"
PLANTED_FROM, PLANTED_TO = 600, 3_600
"""Events of the replay between which one origin reports kilometres: about three days of flights."""

FOUND_WITHIN: Final = 1_800
"""Events after the fault begins by which it must have been found; it takes about 450.

Without it, July's own change of distances is found after 2,600 events: an alarm before that is about
the fault.
"""

JUDGED_FROM: Final = PLANTED_FROM + FOUND_WITHIN + 2_000
"""Events after which the fault must have been reported: what was sent last is still being merged."""


def plant_kilometres(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the flights with the distances of one origin in kilometres for a while.

    Nothing else can tell: every such value is still within the declared range, so it is scored.
    """
    where = np.arange(len(frame))
    wrong = (where >= PLANTED_FROM) & (where < PLANTED_TO) & (frame["origin"] == PLANTED_ORIGIN).to_numpy()
    miles = frame[PLANTED_CHANNEL].to_numpy(np.float64)
    return frame.assign(distance=np.where(wrong, np.round(miles * KILOMETRES_PER_MILE, 1), miles))


@dataclass(slots=True)
class DriftBook:
    """Every drift alarm that was reported, and the newest report."""

    alarms: dict[tuple[str, int], tuple[DriftChannel, DriftAlarm]] = field(default_factory=dict)
    newest: DriftReport | None = None

    def take(self, report: AnyReport) -> None:
        """Note a report; other kinds are somebody else's."""
        if not isinstance(report, DriftReport):
            return
        if self.newest is None or report.window.start >= self.newest.window.start:
            self.newest = report
        for channel in report.channels:
            if channel.alarm is not None:
                key = (channel.name, channel.alarm.raised.events)
                self.alarms[key] = (channel, channel.alarm)

    @property
    def in_order(self) -> list[tuple[DriftChannel, DriftAlarm]]:
        """All alarms, in the order they were raised."""
        return [self.alarms[key] for key in sorted(self.alarms, key=lambda key: (key[1], key[0]))]

    def planted_fault(self) -> DriftAlarm | None:
        """Return the alarm about the planted fault, None where there is none."""
        for channel, alarm in self.in_order:
            in_time = PLANTED_FROM <= alarm.raised.events <= PLANTED_FROM + FOUND_WITHIN
            if channel.name == PLANTED_CHANNEL and in_time:
                return alarm
        return None


def alarm_fact(channel: DriftChannel, alarm: DriftAlarm) -> dict[str, Any]:
    """Return an alarm as the last line of the demo has it."""
    return {
        "channel": channel.name,
        "kind": alarm.change,
        "at": None if alarm.segment is None else str(alarm.segment),
        "partition": alarm.raised.source.partition,
        "offset": alarm.raised.source.offset,
    }


def budget_fact(report: DriftReport | None) -> dict[str, float] | None:
    """Return the false-alarm budget as the last line of the demo has it."""
    if report is None or report.budget is None:
        return None
    budget = report.budget
    return {
        "per_30_days": budget.false_alarms_per_30_days,
        "events_between": budget.events_between_false_alarms,
        "expected": budget.expected_false_alarms,
    }


def story(channel: DriftChannel, alarm: DriftAlarm) -> str:
    """Return an alarm in one line for a person."""
    begun, raised = _day(alarm.change_point.occurred_at), _day(alarm.raised.occurred_at)
    where = "" if alarm.segment is None else f" at {alarm.segment}"
    text = f"drift in {channel.name}{where} since {begun}, found {raised} after {_delay(alarm)} events"
    told = alarm.explanation.startswith(alarm.detail)
    said = alarm.explanation if told else f"{alarm.detail}; {alarm.explanation}"
    return f"{text}: {said}" + ("" if alarm.cleared is None else "; over since")


def _delay(alarm: DriftAlarm) -> int:
    return alarm.raised.events - alarm.change_point.events


def _day(occurred_at: int) -> str:
    return datetime.fromtimestamp(occurred_at / 1000, UTC).strftime("%-d %b")
