"""A regression's errors, given its predictions: concept drift is found, other predictions are none."""

import msgspec
import numpy as np
import pytest

from shared.drift import Detector
from shared.drift.baseline import Baseline, decode_baseline
from shared.drift.residual_baseline import RESIDUAL_BINS, fit_residuals
from shared.drift.residual_bets import residual_bets, residual_rows
from shared.drift.slots import SlotAccumulator
from shared.errors import ValidationError

A = 1e5


def stream(rng, labels, *, shift=0.0, spread=1.0, level=0.0, wear=0):
    """Predictions over an order of magnitude, whose errors grow with them and are skewed for large ones."""
    predicted = 10 * np.exp(0.5 * rng.normal(level, 1, labels))
    noise = rng.normal(size=labels)
    skewed = (rng.gamma(2, 1, labels) - 2) / np.sqrt(2)
    error = np.where(predicted > 10, skewed, noise)
    if wear:  # errors that stay for a while
        error = np.repeat(error[::wear], wear)[:labels]
    return predicted, predicted + 0.3 * predicted * (spread * error + shift)


def coded(baseline, predicted, truths):
    codes = [baseline.code(p, t) for p, t in zip(predicted.tolist(), truths.tolist(), strict=True)]
    return residual_rows(baseline, np.array(codes))


def run(baseline, *streams):
    """Alarms over streams one after the other."""
    bets = residual_bets(baseline)
    detector, slots = Detector([bets], A), SlotAccumulator(1, bets.columns, rows=(0, 0))
    return [alarm for part in streams for alarm in detector.update(slots.add(coded(baseline, *part)))]


def test_false_alarms_stay_within_the_budget_while_the_errors_are_what_they_were():
    alarms = []
    for seed, rows in enumerate([8_000, 20_000] * 4):
        baseline = fit_residuals(*stream(np.random.default_rng([71, seed]), rows))
        alarms += run(baseline, stream(np.random.default_rng([72, seed]), 60_000))
    assert len(alarms) <= 5  # 480,000 labels at one in 100,000


def test_other_predictions_with_the_same_errors_are_no_concept_drift():
    alarms = []
    for seed in range(5):
        baseline = fit_residuals(*stream(np.random.default_rng([73, seed]), 20_000))
        for level in (-1.0, 1.0):
            alarms += run(baseline, stream(np.random.default_rng([74, seed]), 20_000, level=level))
    assert len(alarms) <= 2  # 200,000 labels


def oracle_delay(predicted, truths, shift):
    """Delay of the CUSUM that knows the errors' law before and after, all of them normal."""
    level = 0.0
    for i, z in enumerate(((truths - predicted) / (0.3 * predicted)).tolist()):
        level = max(0.0, level) + shift * z - shift**2 / 2
        if level >= np.log(A):
            return i + 1
    raise AssertionError("the oracle missed the shift")


@pytest.mark.parametrize(("shift", "most"), [(0.5, 1.5), (0.25, 1.5)])
def test_a_bias_is_found_nearly_as_fast_as_can_be(shift, most):
    delays, oracle = [], []
    for seed in range(10):
        baseline = fit_residuals(*stream(np.random.default_rng([75, seed]), 40_000, level=-6))
        before = stream(np.random.default_rng([76, seed]), 3_200, level=-6)
        after = stream(np.random.default_rng([77, seed]), 4_000, level=-6, shift=shift)
        alarm = run(baseline, before, after)[0]
        assert alarm.channel == "label given score"
        delays.append(alarm.event - 3_200)
        oracle.append(oracle_delay(*after, shift))
    assert min(delays) > 0
    assert np.mean(delays) <= most * np.mean(oracle)


@pytest.mark.parametrize(("change", "most"), [({"spread": 1.35}, 300), ({"spread": 0.7}, 400)])
def test_larger_and_smaller_errors_are_found(change, most):
    for seed in range(5):
        baseline = fit_residuals(*stream(np.random.default_rng([78, seed]), 20_000))
        before = stream(np.random.default_rng([79, seed]), 3_200)
        alarm = run(baseline, before, stream(np.random.default_rng([80, seed]), 4_000, **change))[0]
        assert 3_200 < alarm.event <= 3_200 + most


def test_errors_that_stay_for_a_while_are_measured_and_raise_no_false_alarm():
    baseline = fit_residuals(*stream(np.random.default_rng(81), 80_000, wear=8), ordered=True)
    assert baseline.calibrated
    assert 4 < baseline.deff < 12
    assert run(baseline, stream(np.random.default_rng(82), 80_000, wear=8)) == []
    shuffled = msgspec.structs.replace(baseline, deff=1.0)
    assert run(shuffled, stream(np.random.default_rng(82), 80_000, wear=8)) != []


def test_a_prediction_from_nowhere_counts_for_nothing():
    baseline = fit_residuals(*stream(np.random.default_rng(83), 8_000))
    far = np.full(20_000, 1e6)
    assert set(coded(baseline, far[:9], far[:9] * 2)[0]) == {RESIDUAL_BINS}
    assert run(baseline, (far, far * 2)) == []


def test_a_residual_is_where_the_fit_has_it():
    predicted, truths = stream(np.random.default_rng(84), 16_000)
    baseline = fit_residuals(predicted, truths)
    bins, cells = coded(baseline, predicted, truths)
    inside = bins < RESIDUAL_BINS
    counts = np.zeros((baseline.cells, RESIDUAL_BINS), int)
    np.add.at(counts, (cells[inside] - RESIDUAL_BINS - 1, bins[inside]), 1)
    assert counts.tolist() == [list(row) for row in baseline.counts]
    assert 0.99 < inside.mean() < 1


@pytest.mark.parametrize(
    ("predicted", "truths", "reason"),
    [
        (np.arange(100.0), np.arange(100.0), "too few labels: 100 of at least 8000"),
        (np.ones(9_000), np.arange(9_000.0), "predictions or residuals are too much alike"),
        (np.arange(9_000.0), np.arange(9_000.0), "predictions or residuals are too much alike"),
        (np.arange(9_000.0), np.arange(9_000) + np.arange(9_000) % 2, "many residuals are the same"),
    ],
)
def test_what_cannot_be_watched_says_why(predicted, truths, reason):
    baseline = fit_residuals(predicted, truths)
    assert baseline.reason is not None
    assert reason in baseline.reason
    with pytest.raises(ValueError, match="not calibrated"):
        residual_bets(baseline)


def test_labels_that_do_not_pair_up_are_refused_and_missing_ones_left_out():
    with pytest.raises(ValidationError, match="do not pair up"):
        fit_residuals([1.0, 2.0], [1.0])
    predicted, truths = stream(np.random.default_rng(85), 9_000)
    truths[:500] = np.nan
    baseline = fit_residuals(predicted, truths)
    assert 8_400 < sum(map(sum, baseline.counts)) <= 8_500


def test_a_baseline_without_residuals_has_the_bytes_it_always_had():
    assert b"residuals" not in Baseline(channels=()).encode()
    known = Baseline(channels=(), residuals=fit_residuals(*stream(np.random.default_rng(86), 8_000)))
    assert decode_baseline(known.encode()) == known
    assert known.truths == known.residuals
