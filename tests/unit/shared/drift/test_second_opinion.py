import numpy as np
import pytest

from shared.drift import SlotCounter, fit_baseline
from shared.drift.adaptive_window import AdaptiveWindow
from shared.drift.second_opinion import MAX_MEANS, SecondOpinion, rivers_adwin, slot_ranks


def test_snapshots_make_no_difference_across_a_change_and_the_limit():
    rng = np.random.default_rng(71)
    means = np.concatenate([rng.normal(0.4, 0.05, 2 * MAX_MEANS), rng.normal(0.6, 0.05, 500)])
    whole, parts = SecondOpinion(), SecondOpinion()
    whole.update(means)
    for start in range(0, len(means), 3_001):
        parts.update(means[start : start + 3_001])
        restarted = SecondOpinion()
        restarted.restore(parts.snapshot())
        parts = restarted
    assert parts.snapshot() == whole.snapshot()
    assert whole.changes >= 1
    assert 2 * MAX_MEANS * 16 < whole.last_change < (2 * MAX_MEANS + 100) * 16
    assert whole.width == parts.width <= 500 * 16


def test_ranks_come_from_merged_counts_and_a_slot_without_values_is_left_out():
    rng = np.random.default_rng(72)
    baseline = fit_baseline({"score": rng.beta(2, 5, 20_000)}, {"score": "numeric"})
    fresh = SlotCounter(baseline).add({"score": [*rng.beta(2, 5, 1_600), *[None] * 16, *[1.0] * 16]})
    ranks = slot_ranks(baseline.channels[0], fresh.counts[:, 0])
    assert ranks[:100].mean() == pytest.approx(0.5, abs=0.03)
    assert np.isnan(ranks[100])
    assert ranks[101] > 0.99
    opinion = SecondOpinion()
    opinion.update(ranks)
    assert opinion.width == 101 * 16
    with pytest.raises(ValueError, match="not the snapshot"):
        opinion.restore(b"\xc1")


@pytest.mark.parametrize("seed", range(5))
def test_the_window_without_river_answers_as_rivers_value_by_value(seed):
    rng = np.random.default_rng(seed)
    shares = rng.uniform(0.05, 0.6, 5)
    values = np.concatenate([rng.binomial(16, p, rng.integers(200, 2_000)) / 16 for p in shares]).tolist()
    theirs, ours, changes = rivers_adwin(), AdaptiveWindow(), 0
    for value in values:
        theirs.update(value)
        ours.update(value)
        assert (ours.drift_detected, ours.width) == (theirs.drift_detected, theirs.width)
        changes += ours.drift_detected
    assert changes >= 3


def test_an_opinion_is_the_same_with_either_window():
    rng = np.random.default_rng(9)
    means = np.concatenate([rng.binomial(16, p, 700) / 16 for p in (0.1, 0.3, 0.15)])
    theirs, ours = SecondOpinion(), SecondOpinion(AdaptiveWindow)
    theirs.update(means)
    ours.update(means)
    assert ours.snapshot() == theirs.snapshot()
    assert (ours.changes, ours.width) == (theirs.changes, theirs.width)
    assert ours.changes == 2
