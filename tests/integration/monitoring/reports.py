"""Reports of services that a monitoring test does not start, as they write them."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from shared.messages import DriftReport, Histogram, PerformanceReport, Report, ShadowReport, Source, Window
from shared.messages.drift import DriftAlarm, DriftBudget, DriftChannel, DriftFigures, DriftMoment
from shared.messages.performance import KpiSums, LabelCounts, Realised
from shared.messages.shadow import Comparison, Judged, Quality, Sums, Timing
from shared.reports import message_key

HOUR = 3_600_000
SCORES = Histogram(edges=(0.0, 0.5, 1.0), counts=(0, 80, 20, 0))


def _where(**extra: Any) -> dict[str, Any]:
    now = int(time.time() * 1000)
    start = now - now % HOUR
    return {
        "model": "demo",
        "model_version": "1",
        "window": Window(start=start, end=start + HOUR),
        "source_topic": "events",
        "partition": 0,
        "first_offset": 0,
        "next_offset": 100,
        "written_at": now,
    } | extra


def drift() -> DriftReport:
    """One numeric channel in drift, one categorical channel that is not."""
    moment = DriftMoment(events=100, occurred_at=int(time.time() * 1000), source=Source("events", 0, 9))
    alarm = DriftAlarm(change="location", detail="mean +1 sd", evidence=8, raised=moment, change_point=moment)
    budget = DriftBudget(
        false_alarms_per_30_days=1,
        events_per_30_days=1e7,
        rate_from="declared",
        events_between_false_alarms=1e7,
        threshold=7,
        expected_false_alarms=0.01,
        floor=0.1,
    )
    figures = DriftFigures(events=100, psi=0.4, jensen_shannon=0.3, missing=0.02, unseen=0.01)
    channels = (
        DriftChannel(
            name="f0", kind="numeric", source="features", evidence=1, peak=8, alarm=alarm, figures=figures
        ),
        DriftChannel(name="carrier", kind="categorical", source="features", figures=figures),
    )
    return DriftReport(**_where(), events=100, budget=budget, channels=channels)


def shadow() -> list[ShadowReport]:
    """A candidate compared on events, and beside labels."""
    compared = Comparison(both=98, champion_only=2, agreed=90, difference=Sums(n=98, total=1.5))
    timing = Timing(events=100, seconds=0.01)
    judged = Judged(
        pairs=50,
        wins=20,
        losses=10,
        ties=20,
        champion=Quality(correct=40, log_loss=20, brier=8),
        candidate=Quality(correct=42, log_loss=18, brier=7),
    )
    candidate = {"model_version": "2"}
    return [
        ShadowReport(
            **_where(**candidate),
            champion_version="1",
            comparison=compared,
            errors={"Timeout": 2},
            champion_timing=timing,
            candidate_timing=timing,
            champion_scores=SCORES,
            candidate_scores=SCORES,
        ),
        ShadowReport(**_where(**candidate, source_topic="labelled"), champion_version="1", judged=judged),
    ]


def performance() -> PerformanceReport:
    """A window with labels and a KPI."""
    quality = Realised(
        predictions=100,
        labels=50,
        correct=40,
        scores=(60, 40),
        expected=(6, 36),
        labelled=(30, 20),
        positives=(5, 15),
        confusion={"no": {"no": 25, "yes": 5}, "yes": {"no": 5, "yes": 15}},
        log_loss=Sums(n=50, total=20),
        brier=Sums(n=50, total=8),
    )
    return PerformanceReport(
        **_where(),
        task="binary",
        horizon=HOUR,
        edges=(0.5,),
        threshold=0.5,
        positive="yes",
        labels=LabelCounts(joined=50),
        quality=quality,
        kpis={"revenue": KpiSums(value=Sums(n=100, total=250))},
    )


def record(report: Report) -> tuple[bytes, bytes]:
    """Key and value of a report's record."""
    return message_key(report), msgspec.json.encode(report)
