"""Exactness: batches, partitions and interruptions never change the answer, not by one bit."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from shared.drift import (
    Detector,
    SlotCounter,
    Slots,
    channel_bets,
    events_between_false_alarms,
    fit_baseline,
    merge,
)

KINDS = {"x": "numeric", "origin": "categorical", "late": "boolean"}


def columns(rng, rows, shift=0.0):
    return {
        "x": (rng.normal(size=rows) + shift).tolist(),
        "origin": rng.choice(["EWR", "JFK", "LGA"], rows).tolist(),
        "late": (rng.random(rows) < 0.2).tolist(),
    }


@pytest.fixture(scope="module")
def baseline():
    return fit_baseline(columns(np.random.default_rng(21), 20_000), KINDS)


def pair(baseline, events_between_alarms=1e5):
    bets = [channel_bets(c) for c in baseline.calibrated]
    return SlotCounter(baseline), Detector(bets, events_between_alarms, baseline.fingerprint())


def feed(counter, detector, stream, cuts):
    alarms = []
    for start, end in pairwise(cuts):
        alarms += detector.update(counter.add({name: values[start:end] for name, values in stream.items()}))
    return alarms


def drifting_stream():
    rng = np.random.default_rng(22)
    before, after = columns(rng, 1_500), columns(rng, 1_501, shift=0.8)
    return {name: before[name] + after[name] for name in KINDS}


def test_batch_cuts_do_not_matter(baseline):
    stream = drifting_stream()
    whole = pair(baseline)
    alarms = feed(*whole, stream, [0, 3_001])
    assert len(alarms) > 5
    assert {alarm.channel for alarm in alarms} == {"x"}
    for cuts in (range(3_002), [0, 1, 15, 16, 17, 130, 1_600, 1_601, 2_999, 3_001]):
        cut = pair(baseline)
        assert feed(*cut, stream, list(cuts)) == alarms
        assert cut[1].snapshot() == whole[1].snapshot()
        assert cut[0].snapshot() == whole[0].snapshot()


@pytest.mark.parametrize("stop", [7, 640, 1_605, 2_000])
def test_restore_and_continue_equals_uninterrupted(baseline, stop):
    stream = drifting_stream()
    whole = pair(baseline)
    alarms = feed(*whole, stream, [0, 3_001])
    first, second = pair(baseline), pair(baseline)
    found = feed(*first, stream, [0, stop])
    second[0].restore(first[0].snapshot())
    second[1].restore(first[1].snapshot())
    assert found + feed(*second, stream, [stop, 3_001]) == alarms
    assert second[1].snapshot() == whole[1].snapshot()
    assert second[1].evidence == whole[1].evidence


def test_partitions_merge_by_sums(baseline):
    rng = np.random.default_rng(23)
    parts = [SlotCounter(baseline).add(columns(rng, 320)) for _ in range(3)]
    merged = merge(parts)
    assert merged.events.tolist() == [48] * 20
    assert merged.counts.sum(axis=2).tolist() == [[48] * 3] * 20
    np.testing.assert_array_equal(merge([parts[2], parts[0], parts[1]]).counts, merged.counts)
    detectors = [pair(baseline)[1], pair(baseline)[1]]
    detectors[0].update(merged)
    detectors[1].update(merge([merge(parts[:2]), parts[2]]))
    assert detectors[0].snapshot() == detectors[1].snapshot()
    with pytest.raises(ValueError, match="only slots of one shape can be merged"):
        merge([parts[0], Slots(parts[1].counts[:3], parts[1].events[:3])])


def test_slots_count_every_value_once(baseline):
    counter = SlotCounter(baseline)
    slots = counter.add(columns(np.random.default_rng(24), 100))
    assert slots.events.tolist() == [16] * 6
    assert slots.counts.sum(axis=2).tolist() == [[16] * 3] * 6
    assert slots.counts.dtype == np.int64
    assert len(counter.add({})) == 0


def test_a_snapshot_of_a_version_with_fewer_bets_is_refused(baseline):
    bets = [channel_bets(c) for c in baseline.calibrated]
    fewer = [
        replace(b, weights=b.weights[:-1], log_ratios=b.log_ratios[:-1], changes=b.changes[:-1]) for b in bets
    ]
    with pytest.raises(ValueError, match="other bets: another version wrote it"):
        Detector(bets, 1e5).restore(Detector(fewer, 1e5).snapshot())


def test_a_snapshot_of_another_model_is_refused(baseline):
    other = fit_baseline(columns(np.random.default_rng(25), 20_000), KINDS)
    counter, detector = pair(baseline)
    with pytest.raises(ValueError, match="another baseline, false-alarm budget or bets"):
        detector.restore(pair(other)[1].snapshot())
    with pytest.raises(ValueError, match="another baseline, false-alarm budget or bets"):
        detector.restore(pair(baseline, 2e5)[1].snapshot())
    with pytest.raises(ValueError, match="another baseline"):
        counter.restore(pair(other)[0].snapshot())
    with pytest.raises(ValueError, match="not a detector's snapshot"):
        detector.restore(b"\x00")


def test_columns_of_different_lengths_are_refused(baseline):
    with pytest.raises(ValueError, match="columns differ in length"):
        SlotCounter(baseline).add({"x": [1.0], "late": [True, False]})


def test_evidence_rises_with_drift_and_falls_to_nothing_after_the_alarm(baseline):
    counter, detector = pair(baseline)
    assert detector.evidence == {"x": 0.0, "origin": 0.0, "late": 0.0}
    rng = np.random.default_rng(26)
    assert detector.update(counter.add(columns(rng, 32, shift=0.8))) == []
    assert detector.evidence["x"] > detector.evidence["late"]
    while not detector.update(counter.add(columns(rng, 16, shift=0.8))):
        pass
    assert detector.evidence["x"] == 0.0
    assert detector.evidence["late"] > 0.0


def test_the_budget_becomes_events_between_false_alarms():
    assert events_between_false_alarms(1_000, 2) == 1.296e9
    with pytest.raises(ValueError, match="must be positive"):
        events_between_false_alarms(0, 1)


def test_slots_of_other_channels_are_refused(baseline):
    slots = SlotCounter(baseline).add(columns(np.random.default_rng(27), 32))
    with pytest.raises(ValueError, match="the slots are of"):
        Detector([channel_bets(baseline.channels[1])], 1e6).update(slots)


def test_a_detector_without_channels_is_refused():
    with pytest.raises(ValueError, match="at least one calibrated channel"):
        Detector([], 1e6)
