"""Gauges from the drift service's reports: evidence against its threshold, channel by channel."""

from __future__ import annotations

from services.alerting.exposition.gauges import Gauges
from shared.messages import DriftReport
from shared.messages.drift import DriftChannel


def put_drift(gauges: Gauges, windows: list[list[DriftReport]]) -> None:
    """Put what is known at the end of the newest window of one version; older champions are left out."""
    newest: dict[str, DriftReport] = {}
    for window in reversed(windows):
        newest |= {report.source_topic: report for report in sorted(window, key=lambda r: r.written_at)}
    labelled = [report for report in newest.values() if not _of_events(report)]
    if labelled:
        _put_labels(gauges, labelled[-1])
    events = [report for report in newest.values() if _of_events(report)]
    if events:
        _put_events(gauges, events[-1])


def _of_events(report: DriftReport) -> bool:
    """Return whether a report is of events and predictions; the others are of labels."""
    return not report.channels or any(channel.source != "labels" for channel in report.channels)


def _put_labels(gauges: Gauges, report: DriftReport) -> None:
    """Put what the labels say; their windows lag behind those of the events."""
    for channel in report.channels:
        _put_channel(
            gauges,
            channel,
            {"model": report.model, "version": report.model_version, "channel": channel.name},
        )


def _put_events(gauges: Gauges, report: DriftReport) -> None:
    if not report.active:
        return
    labels = {"model": report.model, "version": report.model_version}
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
    for channel in report.channels:
        _put_channel(gauges, channel, labels | {"channel": channel.name})


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
