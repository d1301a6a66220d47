"""The parts that the comparison of drift detectors stands on."""

from __future__ import annotations

import numpy as np
import pytest

from loadtest.drift_quality import labels, oracle
from loadtest.drift_quality.changes import CHANGES, DRIFTED
from loadtest.drift_quality.contenders import RIVER, River, driftline
from loadtest.drift_quality.delay_cells import mean_ratio, middle, shown_median
from loadtest.drift_quality.goals import tabulate_goals
from loadtest.drift_quality.streams import STREAMS, stationary
from loadtest.report import Report

TRAINING = 20_000


@pytest.mark.parametrize("shift", [0.25, 1.0])
def test_the_knowing_cusum_keeps_the_budget_as_siegmund_computes_it(shift: float) -> None:
    """ARL = (exp(x) - x - 1) / (shift^2 / 2) with x = threshold + 1.166 shift (Siegmund 1985)."""
    change = next(c for c in CHANGES if c.name == f"mean {shift:+g} sd")
    x = oracle.threshold(change.log_ratio, 1e6) + 1.166 * shift
    assert np.log((np.exp(x) - x - 1) / (shift**2 / 2)) == pytest.approx(np.log(1e6 * 10), abs=0.15)


def test_what_cannot_happen_by_chance_has_the_safe_threshold() -> None:
    missing = next(c for c in CHANGES if c.name.startswith("missing"))
    assert oracle.threshold(missing.log_ratio, 1e6) == pytest.approx(np.log(1e7))


@pytest.mark.parametrize("change", CHANGES[:-1], ids=lambda c: c.name)
def test_each_law_gains_on_its_own_change_and_loses_without_it(change) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(1)
    values = rng.normal(size=200_000)
    assert change.log_ratio(values).mean() < 0
    assert change.log_ratio(change.apply(values, rng)).mean() > 0


def test_a_cusum_starts_afresh_whenever_it_has_lost_everything() -> None:
    gains = np.array([-3.0, 1.0, -2.0, 1.5, 1.5, 1.5])
    level, first = 0.0, None
    for i, gain in enumerate(gains.tolist(), start=1):
        level = max(0.0, level) + gain
        first = first or (i if level >= 4 else None)
    assert oracle.delay(gains, 4.0) == first == 6
    assert oracle.delay(gains, 40.0) is None


@pytest.mark.parametrize("name", STREAMS)
def test_the_same_seed_gives_the_same_events_however_they_are_taken(name: str) -> None:
    whole, parts = STREAMS[name](5), STREAMS[name](5)
    first, second = whole.take(3_000), parts.take(1_000)
    assert first.values.shape == (10, 3_000)
    assert np.array_equal(first.times[:1_000], second.times)
    again = STREAMS[name](5).take(3_000)
    assert np.array_equal(first.values, again.values, equal_nan=True)


def test_goals_say_what_holds_and_what_a_count_cannot_show() -> None:
    report = Report("drift-quality", {})
    alarms = {"few": (0, 0.1), "kept": (8, 10.0), "three times": (30, 10.0), "by chance": (14, 10.0)}
    ratios = {"near": 1.49, "far": 1.51, "missed": 1.2, "never": None}
    ours: dict[str, list[int | None]] = {"near": [16], "far": [16], "missed": [16, None], "never": [None]}
    tabulate_goals(report, alarms, ratios, ours, {"fast": 3.2, "slow": 2.9, "alone": float("inf")})
    verdicts = {goal["what"].split(", ")[1]: goal["verdict"] for goal in report.figures["goals"]}
    assert verdicts == {
        "few": "cannot be told", "kept": "met", "three times": "not met", "by chance": "met",
        "near": "met", "far": "not met", "missed": "not met", "never": "not met",
        "fast": "met", "slow": "not met", "alone": "met",
    }  # fmt: skip
    assert "Goals: 5 of 11 not met." in report.text[0]


def test_contenders_count_and_find() -> None:
    stream = stationary(3)
    training, still, before, after = (stream.take(n) for n in (TRAINING, 5_000, 1_000, 3_000))
    after.values[DRIFTED] += 1.5
    ours = driftline(training, 1e6)
    assert ours.false_alarms(still) == 0
    assert 0 < (ours.delay(before, after) or 0) <= 64
    river = River(RIVER["River ADWIN"], training)
    assert river.false_alarms(still) <= 5
    assert 0 < (river.delay(before, after) or 0) <= 200
    still.values[DRIFTED] = np.nan
    river.false_alarms(still)  # missing values are passed over


def test_rivers_detectors_are_tuned_to_the_budget_and_ours_keeps_it() -> None:
    still = labels.stream(np.random.default_rng(4), 20_000)
    errors = labels.wrong(still)
    assert np.mean(errors) == pytest.approx(0.16, abs=0.05)
    setting = labels.tune("River HDDM_A", errors, allowed=0)
    assert setting is not None
    assert labels.river_alarms(labels.SETTINGS["River HDDM_A"][0](setting), errors) == []
    assert labels.tune("River PageHinkley", [True, False] * 5_000, allowed=-1) is None
    flipped = labels.stream(np.random.default_rng(5), 10_000, labels.CONCEPTS[1].chance)
    ours = labels.LabelGivenScore(1, 1e5)
    assert ours.alarms(still) == []
    assert 20_000 < ours.alarms(still, flipped)[0] < 21_000


def test_misses_count_as_the_longest_delays() -> None:
    assert middle([100, None, None]) == np.inf
    assert shown_median([100, 300, None, 200]) == "250 (1 of 4)"
    assert mean_ratio([30, None], [20, 10]) == 1.5
    assert mean_ratio([None], [10]) is None
