"""Reports as gauges: exact values, what is forgotten, what stays bounded, and what promtool says."""

from __future__ import annotations

import subprocess
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from services.alerting.exposition import ReportCollector
from services.alerting.exposition.recent import MOST_SUBJECTS, SILENT_MS, WINDOWS
from services.alerting.page.overview import _accuracy
from shared.bounded import MOST_SERIES
from shared.messages import (
    DriftReport,
    Histogram,
    InferenceReport,
    PerformanceReport,
    ServiceReport,
    ShadowReport,
    Window,
)
from shared.messages.drift import DriftAlarm, DriftBudget, DriftChannel, DriftFigures, DriftMoment
from shared.messages.performance import KpiSums, LabelCounts, Realised
from shared.messages.scoring import Source
from shared.messages.shadow import Comparison, Judged, Quality, Sums, Timing

NOW = 10 * SILENT_MS
HOUR = 3_600_000


class Shown:
    """A collector with its registry and a clock that the test sets."""

    def __init__(self) -> None:
        self.now = NOW
        self.registry = CollectorRegistry()
        self.collector = ReportCollector(self.registry, clock=lambda: self.now)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"driftline_{name}", labels)

    def series(self, name: str) -> int:
        families = [family for family in self.registry.collect() if family.name == f"driftline_{name}"]
        return sum(len(family.samples) for family in families)


@pytest.fixture
def shown() -> Shown:
    return Shown()


def where(window: int = 0, partition: int = 0, **extra: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "model_version": "1",
        "window": Window(start=window * HOUR, end=(window + 1) * HOUR),
        "source_topic": "events",
        "partition": partition,
        "first_offset": 0,
        "next_offset": 10,
        "written_at": NOW,
    } | extra


def inference(window: int = 0, partition: int = 0, predictions: int = 10, **extra: Any) -> InferenceReport:
    seconds = Histogram(edges=(0.0, 0.01, 0.02), counts=(0, 0, predictions, 0))
    scores = Histogram(edges=(0.0, 1.0), counts=(0, predictions, 0))
    return InferenceReport(
        **where(window, partition, **extra), predictions=predictions, latency=seconds, scores=scores
    )


def test_two_newest_windows_are_merged_over_partitions_and_reports_replace_themselves(shown: Shown) -> None:
    for report in (
        inference(7, 0, 1_000),  # a third window back
        inference(8, 0, 30),
        inference(8, 1, 40, errors={"ValidationError": 2}),
        inference(9, 0, 1),
        inference(9, 0, 5, next_offset=20, errors={"ValidationError": 3}),
        inference(9, 0, 1),  # comes again, late
    ):
        shown.collector.take(report)
    assert shown.value("model_recent_predictions", model="m", version="1") == 75
    assert shown.value("model_recent_errors", model="m", version="1", reason="ValidationError") == 5
    assert shown.value("model_recent_latency_seconds", model="m", version="1", percentile="50") == 0.015
    assert shown.value("model_recent_score", model="m", version="1", percentile="95") == 0.95
    assert shown.value("model_window_end_timestamp_seconds", model="m", version="1") == 36_000


def test_what_nobody_reports_on_for_a_day_goes(shown: Shown) -> None:
    shown.collector.take(inference())
    shown.now = NOW + SILENT_MS
    assert shown.series("model_recent_predictions") == 1
    shown.now += 1
    assert shown.series("model_recent_predictions") == 0


def test_windows_models_and_channels_stay_bounded(shown: Shown) -> None:
    for window in range(50):
        shown.collector.take(inference(window))
    assert len(next(shown.collector.recent.versions("inference", NOW))) == WINDOWS["inference"]
    for number in range(3_000):
        shown.collector.take(inference(model=f"m{number}", written_at=NOW + number))
    assert shown.series("model_recent_predictions") == MOST_SUBJECTS
    assert shown.series("model_recent_score") == MOST_SERIES
    assert shown.value("exposition_left_out") > 0
    assert len(shown.collector.recent._windows) <= 2 * MOST_SUBJECTS
    channels = tuple(DriftChannel(name=f"f{i}", kind="numeric", source="features") for i in range(2_000))
    shown.collector.take(DriftReport(**where(), events=1, channels=channels))
    assert shown.series("model_drift_evidence") == MOST_SERIES


def test_a_channel_that_alarms_finds_room_before_any_that_does_not(shown: Shown) -> None:
    """Past 500 series an alarm was left out, and nothing fired for it in Prometheus."""
    calm = tuple(DriftChannel(name=f"f{i}", kind="numeric", source="features") for i in range(MOST_SERIES))
    alarming = drift_report(model="z", written_at=NOW - 1)
    shown.collector.take(DriftReport(**where(), events=1, channels=(*calm, *alarming.channels)))
    shown.collector.take(alarming)
    for model in ("m", "z"):
        assert shown.value("model_drift_alarm", model=model, version="1", channel="dep_delay") == 1
    assert shown.series("model_drift_alarm") == MOST_SERIES
    assert shown.value("exposition_left_out") > 0


def drift_report(**extra: Any) -> DriftReport:
    moment = DriftMoment(events=100, occurred_at=5_000, source=Source("events", 0, 9))
    alarm = DriftAlarm(
        change="location",
        detail="mean +0.32 sd",
        evidence=7.5,
        raised=moment,
        change_point=msgspec.structs.replace(moment, occurred_at=4_000),
    )
    budget = DriftBudget(
        false_alarms_per_30_days=1,
        events_per_30_days=1e7,
        rate_from="declared",
        events_between_false_alarms=1e7,
        threshold=7.0,
        expected_false_alarms=0.01,
    )
    channels = (
        DriftChannel(
            name="dep_delay",
            kind="numeric",
            source="features",
            evidence=0.0,
            peak=7.5,
            alarm=alarm,
            figures=DriftFigures(events=60, psi=0.3, jensen_shannon=0.2, missing=0.01),
        ),
        DriftChannel(name="note", kind="categorical", source="features", reason="one value only"),
    )
    return DriftReport(**where(**extra), events=60, budget=budget, channels=channels)


def test_drift_is_told_channel_by_channel_with_its_threshold(shown: Shown) -> None:
    shown.collector.take(drift_report())
    of = {"model": "m", "version": "1"}
    assert shown.value("model_drift_alarms", **of) == 1
    assert shown.value("model_drift_threshold", **of) == 7.0
    assert shown.value("model_drift_floor", **of) is None
    assert shown.value("model_drift_alarm", **of, channel="dep_delay") == 1
    assert shown.value("model_drift_peak_evidence", **of, channel="dep_delay") == 7.5
    assert shown.value("model_drift_psi", **of, channel="dep_delay") == 0.3
    assert shown.value("model_drift_alarm", **of, channel="note") == 0
    assert shown.value("model_drift_calibrated", **of, channel="note") == 0
    since = {**of, "channel": "dep_delay", "change": "location"}
    assert shown.value("model_drift_raised_timestamp_seconds", **since) == 5
    assert shown.value("model_drift_change_timestamp_seconds", **since) == 4


def test_a_former_champion_no_longer_drifts(shown: Shown) -> None:
    shown.collector.take(drift_report())
    shown.collector.take(msgspec.structs.replace(drift_report(next_offset=11), active=False))
    assert shown.series("model_drift_alarm") == 0


def shadow(window: int = 0, **extra: Any) -> ShadowReport:
    return ShadowReport(
        **where(window, **{"model_version": "2"} | extra.pop("at", {})), champion_version="1", **extra
    )


def test_the_shadow_is_told_by_what_both_answered_and_what_labels_say(shown: Shown) -> None:
    compared = Comparison(both=8, champion_only=2, agreed=6, difference=Sums(n=8, total=0.8))
    timing = Timing(events=10, seconds=0.002)
    for window in range(3):
        shown.collector.take(
            shadow(window, comparison=compared, champion_timing=timing, errors={"Timeout": 2})
        )
    quality = Quality(correct=3, log_loss=2.0)
    judged = Judged(pairs=4, wins=3, losses=1, champion=Quality(correct=2), candidate=quality)
    for window in range(3):
        shown.collector.take(shadow(window, at={"source_topic": "labelled"}, judged=judged))
    of = {"model": "m", "candidate": "2", "champion": "1"}
    assert shown.value("shadow_pairs", **of) == 16
    assert shown.value("shadow_agreement_ratio", **of) == 0.75
    assert shown.value("shadow_failure_ratio", **of) == 0.2
    assert shown.value("shadow_score_difference_mean", **of) == pytest.approx(0.1)
    assert shown.value("shadow_errors", **of, reason="Timeout") == 4
    assert shown.value("shadow_model_seconds", **of, role="champion") == pytest.approx(0.0002)
    assert shown.value("shadow_trouble", **of) == 0
    assert shown.value("shadow_judged_pairs", **of) == 12, "labels gather over all windows"
    assert shown.value("shadow_win_ratio", **of) == 0.75
    assert shown.value("shadow_accuracy_ratio", **of, role="candidate") == 0.75
    assert shown.value("shadow_accuracy_ratio", **of, role="champion") == 0.5
    assert shown.value("shadow_log_loss", **of, role="candidate") == 0.5


def performance(window: int, labels: int, correct: int, **extra: Any) -> PerformanceReport:
    quality = Realised(
        predictions=100,
        labels=labels,
        correct=correct,
        scores=(60, 40),
        expected=(6.0, 36.0),
        labelled=(labels, 0),
        positives=(labels - correct, 0),
        confusion={"no": {"no": correct}, "yes": {"no": labels - correct}},
        log_loss=Sums(n=labels, total=0.2 * labels),
        brier=Sums(n=labels, total=0.1 * labels),
    )
    return PerformanceReport(
        **where(window, **extra),
        task="binary",
        horizon=HOUR,
        edges=(0.5,),
        threshold=0.5,
        positive="yes",
        labels=LabelCounts(joined=labels),
        quality=quality,
        kpis={"revenue": KpiSums(value=Sums(n=100, total=350.0 if extra.get("final") else 250.0))},
    )


def test_quality_is_estimated_at_once_and_realised_when_labels_come(shown: Shown) -> None:
    for report in (
        performance(4, 700, 630, final=True),
        performance(5, 700, 350),  # further back than what is needed
        performance(6, 600, 540),
        performance(7, 400, 360),
        performance(8, 0, 0),
        performance(9, 0, 0),
    ):
        shown.collector.take(report)
    of = {"model": "m", "version": "1"}
    assert shown.value("quality_labels", **of) == 1_000
    assert shown.value("quality_realised", **of, figure="accuracy") == 0.9
    assert shown.value("quality_realised", **of, figure="log_loss") == pytest.approx(0.2)
    assert shown.value("quality_estimated", **of, figure="accuracy") == pytest.approx((54 + 36) / 100)
    assert shown.value("quality_unlabelled_ratio", **of) == 1
    assert shown.value("quality_kpi_mean", **of, kpi="revenue") == 3.5
    assert shown.value("quality_kpi_provisional_mean", **of, kpi="revenue") == 2.5


def test_an_estimate_is_marked_once_label_given_score_alarms(shown: Shown) -> None:
    shown.collector.take(performance(9, 0, 0))
    of = {"model": "m", "version": "1"}
    assert shown.value("quality_estimate_trusted", **of) == 1
    features = drift_report()
    alarming = msgspec.structs.replace(features.channels[0], name="label given score", source="labels")
    shown.collector.take(msgspec.structs.replace(features, channels=(alarming,)))
    assert shown.value("quality_estimate_trusted", **of) == 0
    assert "90 % estimated, not to be trusted" in str(_accuracy(shown.collector.gauges(NOW), of))


def test_reports_of_other_bins_are_no_trouble(shown: Shown) -> None:
    shown.collector.take(msgspec.structs.replace(performance(8, 50, 10), edges=(0.4,)))
    shown.collector.take(performance(9, 50, 40))
    assert shown.value("quality_labels", model="m", version="1") == 50


def test_without_labels_nothing_is_realised(shown: Shown) -> None:
    shown.collector.take(performance(9, 0, 0))
    assert shown.series("quality_realised") == 0
    assert shown.series("quality_estimated") > 0


def beat(instance: str = "box:1", **extra: Any) -> ServiceReport:
    given = {"service": "inference", "instance": instance, "version": "1", "started_at": 0}
    return ServiceReport(**given | {"written_at": NOW, "interval": 5_000} | extra)


def test_services_are_alive_ready_gone_or_stopped(shown: Shown) -> None:
    shown.collector.take(beat("box:1", lag={"events": 3}))
    shown.collector.take(beat("box:2", lag={"events": 9}, not_ready={"models": "none"}))
    shown.collector.take(beat("box:3", stopping=True))
    shown.collector.take(beat("box:4", written_at=NOW - 15_001))
    assert shown.value("service_alive", service="inference") == 2
    assert shown.value("service_ready", service="inference") == 1
    assert shown.value("service_lag_records", service="inference", topic="events") == 9
    shown.now = NOW + 15_001
    assert shown.value("service_alive", service="inference") == 0
    assert shown.value("service_last_report_timestamp_seconds", service="inference") == NOW / 1000


def test_promtool_finds_nothing_to_say(shown: Shown, monitoring: dict[str, str]) -> None:
    shown.collector.take(inference(errors={"DecodeError": 1}))
    shown.collector.take(drift_report())
    shown.collector.take(shadow(comparison=Comparison(both=1, agreed=1)))
    shown.collector.take(performance(1, 50, 40))
    shown.collector.take(beat())
    check = subprocess.run(
        [monitoring["promtool"], "check", "metrics"],
        input=generate_latest(shown.registry),
        capture_output=True,
        check=False,
    )
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")
