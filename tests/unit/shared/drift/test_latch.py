"""Latched alarms: raised once, kept while the change lasts, cleared by rule, the same however cut."""

import numpy as np
import pytest

from shared.drift import Alarm, Detector, Latch, LatchedDetector, SlotCounter, channel_bets, fit_baseline
from shared.drift.slots import Slots

A = 1e6
BEFORE, DURING, AFTER = 8_000, 24_000, 40_000


@pytest.fixture(scope="module")
def baseline():
    rng = np.random.default_rng(31)
    return fit_baseline({n: rng.normal(size=50_000) for n in "ab"}, {"a": "numeric", "b": "numeric"})


def latched_detector(baseline):
    return LatchedDetector(
        Detector([channel_bets(c) for c in baseline.calibrated], A, baseline.fingerprint())
    )


@pytest.fixture(scope="module")
def slots(baseline):
    rng = np.random.default_rng(32)
    columns = {name: rng.normal(size=BEFORE + DURING + AFTER) for name in "ab"}
    columns["a"][BEFORE : BEFORE + DURING] += 0.3
    return SlotCounter(baseline).add(columns)


def test_a_change_raises_once_stays_while_it_lasts_and_clears_after_it(baseline, slots):
    alarms, changed = latched_detector(baseline).update(slots)
    assert {t.latched.channel for t in changed} == {"a", "joint distance"}
    alarms = [alarm for alarm in alarms if alarm.channel == "a"]
    changed = [t for t in changed if t.latched.channel == "a"]
    assert len(alarms) > 20  # the detector alarms again and again
    assert [(t.status, t.latched.channel) for t in changed] == [("raised", "a"), ("cleared", "a")]
    raised, cleared = changed
    assert BEFORE < raised.event == alarms[0].event < BEFORE + 2_000
    assert cleared.latched.alarms == len(alarms)
    assert cleared.latched.since == alarms[0].event
    assert cleared.latched.evidence == max(alarm.evidence for alarm in alarms)
    assert cleared.latched.last == alarms[-1].event
    assert cleared.event - cleared.latched.last >= cleared.latched.quiet >= 4_096
    assert BEFORE + DURING < cleared.event < BEFORE + DURING + cleared.latched.quiet + 6_000


def test_neither_batches_nor_restarts_move_a_transition(baseline, slots):
    whole = latched_detector(baseline)
    expected = whole.update(slots)
    rng, parts, place = np.random.default_rng(33), latched_detector(baseline), 0
    alarms, changed = [], []
    while place < len(slots):
        take = int(rng.integers(1, 200))
        more = parts.update(Slots(slots.counts[place : place + take], slots.events[place : place + take]))
        alarms, changed, place = alarms + more[0], changed + more[1], place + take
        restarted = latched_detector(baseline)
        restarted.restore(parts.snapshot())
        parts = restarted
    assert (alarms, changed) == expected
    assert parts.snapshot() == whole.snapshot()


def alarm(event, change_point, evidence=7.0):
    return Alarm(
        channel="a", change="location", detail="", evidence=evidence, event=event, change_point=change_point
    )


def test_it_waits_four_times_as_long_as_an_alarm_took():
    latch = Latch(A)
    latch.take([alarm(10_000, 2_000)])
    assert latch.clear({"a": 0.0}, 41_999) == []
    assert latch.clear({"a": 0.0}, 42_000)[0].status == "cleared"


def test_evidence_above_the_lower_threshold_keeps_it():
    latch = Latch(A)
    latch.take([alarm(100, 50)])
    assert latch.clear({"a": 4.01}, 50_000) == []  # 6 x 2/3 = 4
    assert latch.clear({"a": 3.99}, 50_016)[0].status == "cleared"


def test_an_alarm_of_the_same_change_is_counted_from_the_one_before():
    latch = Latch(A)
    latch.take([alarm(1_000, 900), alarm(1_200, 1_000)])
    assert (latch.active["a"].longest, latch.active["a"].alarms) == (200, 2)


def test_bytes_that_are_no_snapshot_are_refused(baseline):
    with pytest.raises(ValueError, match="not the snapshot of a latch"):
        Latch(A).restore(b"\xc1")
    with pytest.raises(ValueError, match="not a latched detector's snapshot"):
        latched_detector(baseline).restore(b"\xc1")
