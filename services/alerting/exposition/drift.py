"""Gauges from the drift service's reports: evidence against its threshold, channel by channel."""

from __future__ import annotations

from services.alerting.exposition.gauges import Gauges
from shared.messages import DriftReport
from shared.messages.drift import DriftChannel


def put_alarming(gauges: Gauges, windows: list[list[DriftReport]]) -> None:
    """Put the channels of one version whose alarm is on: first of all versions, so that they find room."""
    for report in _shown(windows):
        for channel in report.alarming:
            _put_channel(gauges, channel, _of(report) | {"channel": channel.name})


def put_drift(gauges: Gauges, windows: list[list[DriftReport]]) -> None:
    """Put the rest of what is known at the end of the newest window of one version."""
    for report in _shown(windows):
        if _of_events(report):
            _put_version(gauges, report)
        for channel in report.channels:
            if not channel.alarming:
                _put_channel(gauges, channel, _of(report) | {"channel": channel.name})


def _shown(windows: list[list[DriftReport]]) -> list[DriftReport]:
    """Return the newest report of the labels, whose windows lag behind, and that of the events.

    Former champions are left out.
    """
    newest: dict[str, DriftReport] = {}
    for window in reversed(windows):
        newest |= {report.source_topic: report for report in sorted(window, key=lambda r: r.written_at)}
    labelled = [report for report in newest.values() if not _of_events(report)]
    events = [report for report in newest.values() if _of_events(report)]
    return labelled[-1:] + [report for report in events[-1:] if report.active]


def _of_events(report: DriftReport) -> bool:
    """Return whether a report is of events and predictions; the others are of labels."""
    return not report.channels or any(channel.source != "labels" for channel in report.channels)


def _of(report: DriftReport) -> dict[str, str]:
    return {"model": report.model, "version": report.model_version}


def _put_version(gauges: Gauges, report: DriftReport) -> None:
    labels = _of(report)
    gauges.put("driftline_model_drift_events", "Events counted in the newest window", report.events, **labels)
    gauges.put(
        "driftline_model_drift_learning",
        "1 while the baseline is being learnt and nothing can alarm",
        report.baseline == "learning",
        **labels,
    )
    gauges.put("driftline_model_drift_alarms", "Channels whose alarm is on", len(report.alarming), **labels)
    if report.budget is not None:
        gauges.put(
            "driftline_model_drift_threshold",
            "Evidence (log10) at which an alarm is raised",
            report.budget.threshold,
            **labels,
        )
        gauges.put(
            "driftline_model_drift_floor",
            "Smallest shift that can be seen, standard deviations",
            report.budget.floor,
            **labels,
        )
        gauges.put(
            "driftline_model_drift_expected_false_alarms",
            "False alarms to be expected of the events seen so far, at most",
            report.budget.expected_false_alarms,
            **labels,
        )


def _put_channel(gauges: Gauges, channel: DriftChannel, labels: dict[str, str]) -> None:
    gauges.put(
        "driftline_model_drift_evidence",
        "Evidence (log10) for a change, by channel",
        channel.evidence,
        **labels,
    )
    gauges.put(
        "driftline_model_drift_peak_evidence",
        "Highest evidence (log10) within the newest window, which an alarm does not set back",
        channel.peak,
        **labels,
    )
    gauges.put("driftline_model_drift_alarm", "1 while the channel's alarm is on", channel.alarming, **labels)
    gauges.put(
        "driftline_model_drift_calibrated",
        "1 where the channel takes part in detection",
        channel.calibrated,
        **labels,
    )
    if channel.alarm is not None and channel.alarming:
        for name, documentation, moment in (
            ("raised", "Event time at which the alarm was raised", channel.alarm.raised),
            ("change", "Event time at which the change began, as estimated", channel.alarm.change_point),
        ):
            gauges.put(
                f"driftline_model_drift_{name}_timestamp_seconds",
                documentation,
                moment.occurred_at / 1000,
                **labels,
                change=channel.alarm.change,
            )
    figures = channel.figures
    if figures is None:
        return
    gauges.put(
        "driftline_model_drift_psi", "Population stability index of the newest window", figures.psi, **labels
    )
    gauges.put(
        "driftline_model_drift_missing_ratio",
        "Share of missing values in the newest window",
        figures.missing,
        **labels,
    )
    gauges.put(
        "driftline_model_drift_unseen_ratio",
        "Share of categories that training did not contain",
        figures.unseen,
        **labels,
    )
