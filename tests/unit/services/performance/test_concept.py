"""Concept drift from matured labels: quiet while a score means what it meant, loud once it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from services.performance.concept import CHANNEL, ConceptBoard, ConceptWatch
from services.performance.facts import Facts
from services.performance.packets import Answered, Known, Matured
from shared.alerting import cutting
from shared.drift.label_baseline import RATES_KNOWN, SCORE_EDGES, fit_labels
from shared.drift.residual_baseline import fit_residuals
from shared.messages import Source
from tests.unit.services.performance.harness import HOUR, START, Harness, Log, binary

RNG = np.random.default_rng(23)
SOURCE = Source("performance-log", 2, 9)
SCORES = RNG.beta(1, 2, 20_000)


def watched() -> Facts:
    return binary(label_baseline=fit_labels(SCORES, RNG.random(20_000) < SCORES))


def matured(hour: int, count: int, *, odds: float = 1.0) -> Matured:
    scores = RNG.beta(1, 2, count)
    chance = scores * odds / (1 - scores + scores * odds)
    cells = 2 * np.searchsorted(SCORE_EDGES, scores, side="right") + (RNG.random(count) < chance)
    return Matured("m", "1", START + hour * HOUR, cells.astype(np.uint8).tobytes())


def test_it_alarms_after_a_change_and_not_before_and_a_restart_changes_nothing() -> None:
    facts, source = watched(), Source("performance-log", 2, 9)
    steady, restarted = ConceptWatch(facts, None), ConceptWatch(facts, None)
    stream = [matured(hour, 400) for hour in range(12)]
    stream += [matured(hour, 400, odds=3.0) for hour in range(12, 18)]
    for hour, part in enumerate(stream):
        steady.take(part, source)
        restarted = ConceptWatch(facts, restarted.snapshot())
        restarted.take(part, source)
        assert (steady.alarm is not None) == (hour >= 12), hour
    assert steady.alarm is not None
    assert steady.alarm.change == "concept"
    assert 4_800 - 400 < steady.alarm.change_point.events < 4_800 + 400
    reports = [
        watch.report(topic="performance-log", partition=2, next_offset=10, now=1)
        for watch in (steady, restarted)
    ]
    assert reports[0] == reports[1]
    (channel,) = reports[0].channels
    assert (channel.name, channel.source, channel.alarming) == (CHANNEL, "labels", True)


def test_a_version_without_a_label_baseline_is_not_watched() -> None:
    board = ConceptBoard({})
    board.take(matured(0, 100), binary(), Source("performance-log", 0, 1))
    assert board.changed() == []
    assert board.states() == {}


def test_adwin_on_the_error_finds_a_change_that_needs_no_baseline() -> None:
    board = ConceptBoard({})
    for hour in range(20):
        board.take(matured(hour, 400), watched(), SOURCE)
    (watch,) = board.changed()
    quiet = watch.report(topic="performance-log", partition=2, next_offset=10, now=1).second_opinion
    assert quiet is not None
    assert (quiet.channel, quiet.changes, quiet.width) == ("error", 0, 8_000)
    for hour in range(20, 30):
        board.take(matured(hour, 400, odds=4.0), watched(), SOURCE)
    told = watch.report(topic="performance-log", partition=2, next_offset=10, now=1).second_opinion
    assert told is not None
    assert told.changes == 1
    assert told.width < 4_000
    assert told.last_change is not None
    assert 20 <= (told.last_change.occurred_at - START) / HOUR < 25
    assert ConceptWatch(watched(), watch.snapshot()).snapshot() == watch.snapshot()


def test_the_performance_service_works_where_river_is_not_installed() -> None:
    code = "import sys; sys.modules['river'] = None; import services.performance.app"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rates_whose_rhythm_is_not_known_estimate_quality_but_are_not_watched() -> None:
    known = fit_labels(SCORES, RNG.random(20_000) < SCORES)
    unseen = msgspec.structs.replace(known, reason=RATES_KNOWN + "its rows span 3.0 days: 2 weeks are needed")
    few = msgspec.structs.replace(known, reason="too few labels: no bin of the score has 200 of the 90")
    board = ConceptBoard({})
    board.take(matured(0, 100, odds=9.0), binary(label_baseline=unseen), SOURCE)
    assert board.changed() == []
    assert (unseen.rates_known, unseen.calibrated) == (True, False)
    assert (few.rates_known, known.rates_known) == (False, True)


def test_an_alarm_that_is_on_when_the_rate_becomes_known_is_cleared_when_its_cause_ends() -> None:
    facts, source = watched(), Source("performance-log", 2, 9)
    watch = ConceptWatch(facts, None)
    for hour in range(3):
        watch.take(matured(hour, 400, odds=4.0), source)
    assert watch.alarm is not None
    for hour in range(3, 60):
        watch.take(matured(hour, 400), source)
    assert watch.alarm.cleared is not None
    assert 1_200 + 4_096 <= watch.alarm.cleared.events < 60 * 400


def test_an_alarm_says_where_the_change_began_and_not_where_it_was_raised() -> None:
    watch = ConceptWatch(watched(), None)
    for hour in range(36):
        odds = 1.6 if hour >= 24 else 1.0
        watch.take(matured(hour, 200, odds=odds), Source("performance-log", 2, 100 + hour))
    assert watch.alarm is not None
    began, raised = watch.alarm.change_point, watch.alarm.raised
    assert abs(began.occurred_at - (START + 24 * HOUR)) <= 2 * HOUR
    assert began.source.offset == 100 + (began.occurred_at - START) // HOUR
    assert began.occurred_at < raised.occurred_at
    assert began.events < raised.events


def test_label_given_score_has_its_share_of_the_budget_and_no_more() -> None:
    """With nine other channels it takes ten times the evidence; the report is on the scale of the model."""
    alone, one_of_ten = watched(), msgspec.structs.replace(watched(), sharing=10)
    reports = []
    for facts in (alone, one_of_ten):
        rng = np.random.default_rng(5)
        watch = ConceptWatch(facts, None)
        for hour in range(12):
            cells = 2 * rng.integers(0, len(SCORE_EDGES) + 1, 400) + 1
            watch.take(Matured("m", "1", START + hour * HOUR, cells[:300].astype(np.uint8).tobytes()), SOURCE)
        reports.append((watch, watch.report(topic="t", partition=0, next_offset=1, now=1)))
    (first, model), (tenth, shared_) = reports
    assert model.budget is not None
    assert shared_.budget == msgspec.structs.replace(
        model.budget, expected_false_alarms=pytest.approx(model.budget.expected_false_alarms / 10, abs=1e-4)
    )
    assert tenth._detector.detector.events_between_alarms == pytest.approx(
        10 * first._detector.detector.events_between_alarms
    )
    assert tenth.alarm is not None
    assert tenth.alarm.evidence >= shared_.budget.threshold
    assert shared_.channels[0].floor == pytest.approx(16 / 20_000**0.5, abs=1e-4)


def test_the_rate_of_labels_is_measured_again_when_it_has_changed() -> None:
    watch = ConceptWatch(watched(), None)
    for day in range(40):
        watch.take(matured(24 * day, 400), SOURCE)
    before = watch.report(topic="t", partition=0, next_offset=1, now=1).budget
    for day in range(40, 45):
        for hour in range(24):
            watch.take(matured(24 * day + hour, 400), SOURCE)
    after = watch.report(topic="t", partition=0, next_offset=1, now=1).budget
    assert before is not None
    assert after is not None
    assert before.events_between_false_alarms == pytest.approx(30 * 400, rel=0.05)
    assert after.events_between_false_alarms > 4 * before.events_between_false_alarms


def test_a_state_that_cannot_be_read_begins_from_nothing() -> None:
    watch = ConceptWatch(watched(), msgspec.msgpack.encode([1, 2, 3]))
    watch.take(matured(0, 100), SOURCE)
    assert watch.alarm is None


def regression(**changes: Any) -> Facts:
    predicted = RNG.normal(50, 10, 20_000)
    baseline = fit_residuals(predicted, predicted + RNG.normal(0, 5, 20_000))
    known = Facts(model="m", version="1", task="regression", horizon=4 * HOUR, window=HOUR,
                  residual_baseline=baseline)  # fmt: skip
    return msgspec.structs.replace(known, **changes)


def test_a_regression_is_watched_by_its_errors_from_the_label_to_the_report(tmp_path: Path) -> None:
    """Labels through the join to the board; the change is in what the truth is, given the prediction."""
    facts, log = regression(), Log()
    for hour in range(14):
        at = START + hour * HOUR
        predicted = RNG.normal(50 + hour, 10, 400)  # other predictions are no concept drift
        truths = predicted + RNG.normal(4.0 if hour >= 7 else 0.0, 5, 400)
        ids = [f"e{hour}-{i}" for i in range(400)]
        log.answers([
            Answered(name, "m", "1", float(p), at, at, "events", 0, i)
            for i, (name, p) in enumerate(zip(ids, predicted.tolist(), strict=True))
        ])  # fmt: skip
        log.labels([Known(name, float(t), at) for name, t in zip(ids, truths.tolist(), strict=True)])
    log.time(START + 40 * HOUR)
    harness = Harness(tmp_path, log, facts)
    harness.run()
    board, alarmed = ConceptBoard({}), []
    rows = sorted(harness.matured["m", "1"], key=lambda row: row[1])
    for hour in range(14):
        cells = bytes(cell for _, at, cell in rows if at == START + hour * HOUR)
        assert len(cells) == 400
        board.take(Matured("m", "1", START + hour * HOUR, cells), facts, SOURCE)
        board = ConceptBoard(board.states())  # a restart
        board.take(Matured("m", "1", START + hour * HOUR, b""), facts, SOURCE)
        (watch,) = board.changed()
        alarmed.append(watch.alarm is not None)
    assert alarmed == [False] * 7 + [True] * 7
    report = watch.report(topic="t", partition=0, next_offset=1, now=1)
    (channel,) = report.channels
    assert (channel.name, channel.kind, channel.source) == (CHANNEL, "numeric", "labels")
    assert channel.alarm is not None
    assert channel.alarm.change == "concept"
    assert channel.alarm.detail.startswith("residual mean +")
    assert "errors are no longer what they were" in channel.alarm.explanation
    assert abs(channel.alarm.change_point.events - 2_800) < 200
    assert sum(channel.reference) == report.baseline_rows
    assert sum(channel.current) == 400
    assert len(channel.bins) == len(channel.current) == len(channel.reference)
    (read,) = cutting.drift(report)  # as alert rules read it
    assert read.peaks["alarming"] == 1
    assert read.notes["why"].startswith("residual mean +")


def test_a_regression_whose_bundle_has_no_labels_sends_none_on(tmp_path: Path) -> None:
    log = Log()
    log.answers([Answered("e", "m", "1", 5.0, START, START, "events", 0, 1)])
    log.labels([Known("e", 5.5, START)])
    log.time(START + 40 * HOUR)
    harness = Harness(tmp_path, log, regression(residual_baseline=None))
    harness.run()
    assert harness.matured == {}
