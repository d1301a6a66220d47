"""Drift as a person reads it: label given score beside the rest, and one model at a time."""

from __future__ import annotations

from typing import Any

import pytest

from services.cli.drift_page import drift_page
from services.cli.drift_reading import by_version, the_one
from services.cli.drift_view import print_channel, print_status
from shared.errors import ServiceError
from shared.messages import DriftAlarm, DriftChannel, DriftMoment, DriftReport, Source, Window
from shared.messages.drift import DriftBudget, DriftFigures

HOUR = 3_600_000
MOMENT = DriftMoment(events=960, occurred_at=5 * HOUR, source=Source("performance-log", 0, 7))


def report(
    start: int, *channels: DriftChannel, topic: str, threshold: float, model: str = "m"
) -> DriftReport:
    budget = DriftBudget(
        false_alarms_per_30_days=1,
        events_per_30_days=10**threshold,
        rate_from="measured",
        events_between_false_alarms=10**threshold,
        threshold=threshold,
        expected_false_alarms=0.1,
    )
    return DriftReport(
        model=model,
        model_version="1",
        window=Window(start=start, end=start + HOUR),
        source_topic=topic,
        partition=0,
        first_offset=0,
        next_offset=1,
        written_at=start,
        events=100,
        budget=budget,
        channels=channels,
    )


def label(**changes: Any) -> DriftChannel:
    return DriftChannel(
        name="label given score", kind="boolean", source="labels", evidence=3.1, floor=0.1,
        bins=("negative", "positive"), reference=(60, 40), current=(5, 5), **changes,
    )  # fmt: skip


def reports(model: str = "m") -> list[DriftReport]:
    figures = DriftFigures(events=100, mean=1.0, sd=1.0, reference_mean=0.0, reference_sd=1.0)
    delay = DriftChannel(
        name="delay", kind="numeric", source="features", evidence=1.0, floor=0.1, figures=figures,
        bins=("low", "high"), reference=(50, 50), current=(40, 60),
    )  # fmt: skip
    alarm = DriftAlarm(
        change="concept",
        detail="odds of the label x1.65",
        evidence=3.2,
        raised=MOMENT,
        change_point=MOMENT,
        explanation="odds of the label x1.65: a score no longer means what it meant",
    )
    return [
        report(9 * HOUR, delay, topic="x.drift-counts", threshold=5.0, model=model),
        report(2 * HOUR, label(), topic="x.performance-log", threshold=3.0, model=model),
        report(4 * HOUR, label(alarm=alarm), topic="x.performance-log", threshold=3.0, model=model),
    ]


def test_label_given_score_stands_beside_the_features(capsys: pytest.CaptureFixture[str]) -> None:
    watched = the_one(by_version(reports()))
    assert [channel.name for channel in watched.channels] == ["delay", "label given score"]
    assert watched.newest.source_topic == "x.drift-counts"
    print_status(watched)
    said = capsys.readouterr().out
    assert "1 channel in alarm." in said
    assert "Labels: one in 1,000; label given score alarms at evidence 3.00" in said
    assert "3.10 of 3.00" in said
    assert "1.00 of 5.00" in said
    assert "a score no longer means what it meant" in said
    print_channel(watched, "label given score")
    said = capsys.readouterr().out
    assert "Evidence 3.10 of 3.00" in said
    assert "performance-log[0] offset 7" in said
    assert "positive" in said
    page = drift_page(watched)
    assert "label given score" in page.render()


def test_labels_alone_can_be_looked_at() -> None:
    watched = the_one(by_version(reports()[1:]))
    assert [channel.name for channel in watched.channels] == ["label given score"]
    assert watched.budget(watched.channels[0]) == watched.newest.budget


def test_one_of_several_models_must_be_named() -> None:
    with pytest.raises(ServiceError, match=r"several models are watched \(m, n\): name one with --model"):
        the_one(by_version([*reports(), *reports("n")]))
