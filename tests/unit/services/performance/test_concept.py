"""Concept drift from matured labels: quiet while a score means what it meant, loud once it does not."""

from __future__ import annotations

import numpy as np

from services.performance.concept import CHANNEL, ConceptBoard, ConceptWatch
from services.performance.facts import Facts
from services.performance.packets import Matured
from shared.drift.label_baseline import SCORE_EDGES, fit_labels
from shared.messages import Source
from tests.unit.services.performance.harness import HOUR, START, binary

RNG = np.random.default_rng(23)
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
