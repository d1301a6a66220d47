"""Concept drift is found from labels; a change of the scores alone is not concept drift."""

import numpy as np
import pytest

from shared.drift import Detector
from shared.drift.label_given_score import LabelBaseline, LabelCounter, fit_labels, label_bets
from shared.errors import ValidationError


def stream(rng, labels, flipped=0.0, a=0.45, b=0.45):
    """A calibrated binary classifier with about 10 % errors, and a share of its labels flipped."""
    scores = rng.beta(a, b, labels) * 0.96 + 0.02
    outcome = rng.random(labels) < scores
    outcome ^= rng.random(labels) < flipped
    return scores, outcome.astype(int)


def detector_of(seed, events_between_alarms=1e5):
    baseline = fit_labels(*stream(np.random.default_rng(seed), 20_000))
    return Detector([label_bets(baseline)], events_between_alarms)


def test_false_alarms_stay_within_the_budget_while_the_concept_holds():
    alarms = []
    for seed in range(10):
        rng = np.random.default_rng([52, seed])
        alarms += detector_of([51, seed]).update(LabelCounter().add(*stream(rng, 60_000)))
    assert len(alarms) <= 6  # 600,000 labels at one in 100,000


def test_different_scores_with_the_same_meaning_are_no_concept_drift():
    rng = np.random.default_rng(53)
    assert detector_of(54).update(LabelCounter().add(*stream(rng, 30_000, a=2.0, b=1.0))) == []


def oracle_delay(scores, labels, flipped, events_between_alarms):
    """Delay of the CUSUM that knows every probability before and after.

    Its threshold, log A, is the one that guarantees the same false-alarm rate (Lorden 1971).
    """
    after = scores * (1 - flipped) + (1 - scores) * flipped
    gains = np.where(labels == 1, np.log(after / scores), np.log((1 - after) / (1 - scores)))
    level = 0.0
    for i, gain in enumerate(gains.tolist()):
        level = max(0.0, level) + gain
        if level >= np.log(events_between_alarms):
            return i + 1
    raise AssertionError("the oracle missed the flipped labels")


def test_flipped_labels_are_found_nearly_as_fast_as_can_be():
    delays, oracle = [], []
    for seed in range(20):
        rng, before = np.random.default_rng([55, seed]), 3_200
        detector, counter = detector_of([56, seed]), LabelCounter()
        assert detector.update(counter.add(*stream(rng, before))) == []
        drifted = stream(rng, 6_000, flipped=0.125)
        oracle.append(oracle_delay(*drifted, 0.125, 1e5))
        alarm = detector.update(counter.add(*drifted))[0]
        assert (alarm.channel, alarm.change) == ("label given score", "concept")
        assert alarm.detail.startswith("over-confident scores")
        delays.append(alarm.event - before)
    assert np.mean(delays) <= 1.1 * np.mean(oracle)


def test_bins_with_few_labels_take_no_part():
    baseline = LabelBaseline(labels=(500,) + (10,) * 11, positives=(5,) + (5,) * 11)
    ratios = label_bets(baseline).log_ratios.reshape(-1, 12, 2)
    assert (ratios[:, 1:] == 0).all()
    assert (ratios[:, 0] != 0).all()


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([1.5], [1], "outside 0 to 1"),
        ([float("nan")], [1], "outside 0 to 1"),
        ([0.5], [2], "neither 0 nor 1"),
        ([0.5, 0.5], [1], "do not pair up"),
    ],
)
def test_unusable_labels_are_refused(scores, labels, message):
    with pytest.raises(ValidationError, match=message):
        fit_labels(scores, labels)


def test_too_few_labels_say_so_and_cannot_be_bet_on():
    baseline = fit_labels([0.5] * 100, [1] * 100)
    assert baseline.reason == "too few labels: no bin of the score has 200 of the 100"
    with pytest.raises(ValueError, match="not calibrated: too few labels"):
        label_bets(baseline)


def test_spells_of_late_flights_are_measured_and_raise_no_false_alarm():
    rng = np.random.default_rng(57)

    def spells(labels):
        scores = np.full(labels, 0.45)
        mood = np.repeat(rng.random(labels // 20) < 0.45, 20)  # twenty labels in a row agree
        return scores, mood.astype(int)

    baseline = fit_labels(*spells(100_000), ordered=True)
    assert baseline.calibrated
    assert baseline.deff == pytest.approx(20, rel=0.25)
    fresh = LabelCounter().add(*spells(100_000))
    assert Detector([label_bets(baseline)], 1e6).update(fresh) == []
    in_their_order = fit_labels(*spells(100_000))
    assert Detector([label_bets(in_their_order)], 1e6).update(fresh) == []
    scores, labels = spells(100_000)
    shuffled = fit_labels(scores, rng.permutation(labels))
    assert shuffled.deff == 1
    assert Detector([label_bets(shuffled)], 1e6).update(fresh) != []


def test_a_counter_goes_on_from_its_snapshot():
    scores, labels = stream(np.random.default_rng(58), 100)
    whole = LabelCounter().add(scores, labels)
    first, second = LabelCounter(), LabelCounter()
    begun = first.add(scores[:37], labels[:37])
    second.restore(first.snapshot())
    rest = second.add(scores[37:], labels[37:])
    assert np.array_equal(np.concatenate([begun.counts, rest.counts]), whole.counts)
    with pytest.raises(ValueError, match="not an incomplete slot"):
        second.restore(b"\x00")
