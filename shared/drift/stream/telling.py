"""Alarms in the log: once when one is raised, once when it is over."""

from __future__ import annotations

from collections.abc import Sequence

from shared.kafka.records import Output
from shared.logs import get_logger
from shared.messages import DriftReport
from shared.messages.drift import DriftAlarm, DriftMoment
from shared.tracing import trace_of, within

log = get_logger(__name__)


class AlarmLog:
    """Logs what reports say of alarms, each under the trace of the report that says it first.

    Who takes over the detectors says the alarms that are on once more: its log tells all of them.
    """

    def __init__(self) -> None:
        self._on: dict[tuple[str, str, str], DriftMoment] = {}

    def tell(self, reports: Sequence[DriftReport], output: Output) -> None:
        """Log what is new in reports; ``output`` holds their records, in the same order."""
        for report, headers in zip(reports, output.headers or (), strict=True):
            with within(trace_of(headers)):
                for channel in report.channels:
                    if channel.alarm is not None:
                        self._tell(report, channel.name, channel.alarm)

    def _tell(self, report: DriftReport, channel: str, alarm: DriftAlarm) -> None:
        key = (report.model, report.model_version, channel)
        if alarm.cleared is None:
            if self._on.get(key) != alarm.raised:
                self._on[key] = alarm.raised
                self._say("drift alarm", report, channel, alarm, alarm.raised)
        elif self._on.pop(key, None) is not None:
            self._say("drift alarm over", report, channel, alarm, alarm.cleared)

    def _say(
        self, event: str, report: DriftReport, channel: str, alarm: DriftAlarm, moment: DriftMoment
    ) -> None:
        log.warning(
            event,
            model=report.model,
            model_version=report.model_version,
            channel=channel,
            change=alarm.change,
            detail=alarm.detail,
            evidence=alarm.evidence,
            topic=moment.source.topic,
            partition=moment.source.partition,
            offset=moment.source.offset,
        )
