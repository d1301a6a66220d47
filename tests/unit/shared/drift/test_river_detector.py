"""The River interface: update returns None, the flag lasts for one update, clones start afresh."""

import numpy as np
import pytest
from river.base import DriftDetector

from shared.drift.river_detector import ESRDrift


def first_detection(detector, values):
    for i, value in enumerate(values):
        assert detector.update(value) is None
        if detector.drift_detected:
            return i
    return None


def test_a_shift_is_detected_and_the_flag_falls_again():
    rng = np.random.default_rng(41)
    detector = ESRDrift(reference=rng.normal(size=20_000))
    assert isinstance(detector, DriftDetector)
    assert first_detection(detector, rng.normal(size=2_000)) is None
    assert first_detection(detector, rng.normal(1, 1, size=500)) == 31
    assert detector.alarm.change == "location"
    detector.update(0.0)
    assert not detector.drift_detected
    assert detector.alarm is not None


def test_a_clone_keeps_the_settings_and_forgets_the_stream():
    detector = ESRDrift(kind="categorical", cold_start=600)
    assert first_detection(detector, ["a", "b", "c"] * 200) is None
    clone = detector.clone()
    assert clone.kind == "categorical"
    assert first_detection(detector, ["d"] * 100) is not None
    assert first_detection(clone, ["d"] * 100) is None


def test_a_cold_start_that_cannot_be_a_baseline_says_why():
    detector = ESRDrift(cold_start=512)
    with pytest.raises(ValueError, match="the values cannot be a baseline: every training value is 3"):
        first_detection(detector, [3.0] * 512)
    with pytest.raises(ValueError, match="cold_start must be 512 or more"):
        ESRDrift(cold_start=10)


def test_autocorrelation_that_the_reference_shows_raises_no_alarm():
    rng = np.random.default_rng(43)
    values = np.zeros(60_000)
    for i, shock in enumerate(rng.normal(size=len(values) - 1), start=1):
        values[i] = 0.7 * values[i - 1] + shock
    detector = ESRDrift(reference=values[:40_000])
    assert first_detection(detector, values[40_000:].tolist()) is None
    blind = ESRDrift(reference=rng.permutation(values[:40_000]))
    assert first_detection(blind, values[40_000:].tolist()) is not None
