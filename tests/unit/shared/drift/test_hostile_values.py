"""Values of any type, in training or in production, are counted and never crash."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.drift import Detector, SlotCounter, channel_bets, decode_baseline, fit_baseline

KINDS = {"n": "numeric", "c": "categorical", "b": "boolean"}
anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.none(), max_size=1),
    st.sampled_from([10**400, 1e308, -1e308, 5e-324, float("nan"), b"\xff", 1j, np.float32(1.5)]),
)


@given(st.lists(anything, min_size=1, max_size=12), st.sampled_from(sorted(KINDS.values())), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_training_column_gives_a_baseline_or_a_reason(values, kind, timed):
    column = (values * 800)[:4_000]
    times = np.arange(len(column)) * 3_600.0 if timed else None
    baseline = fit_baseline({"x": column}, {"x": kind}, times)
    channel = baseline.channels[0]
    assert decode_baseline(baseline.encode()) == baseline
    if channel.calibrated:
        assert channel.probabilities().min() > 0
        assert channel.probabilities().sum() == pytest.approx(1.0)
        assert sum(channel.counts) == channel.rows == len(column)
        channel_bets(channel)
    else:
        assert channel.reason


@pytest.fixture(scope="module")
def baseline():
    rng = np.random.default_rng(61)
    columns = {
        "n": rng.normal(size=5_000),
        "c": rng.choice(["a", "b"], 5_000).tolist(),
        "b": (rng.random(5_000) < 0.5).tolist(),
    }
    return fit_baseline(columns, KINDS)


@given(values=st.lists(anything, min_size=1, max_size=64))
@settings(max_examples=100, deadline=None)
def test_any_event_is_counted_once_per_channel(baseline, values):
    counter = SlotCounter(baseline)
    detector = Detector([channel_bets(c) for c in baseline.calibrated], 1e5)
    slots = counter.add(dict.fromkeys(KINDS, values * 16))
    assert slots.counts.sum(axis=2).tolist() == [[16] * 3] * len(values)
    detector.update(slots)
    assert all(0 <= value < 6 for value in detector.evidence.values())


@pytest.mark.parametrize("time", [float("nan"), None, -1e18, 1e18, "noon"])
def test_a_clock_that_jumps_is_at_worst_a_missing_value(time):
    times = np.arange(60_000) * 60.0
    values = np.random.default_rng(62).normal(size=60_000) + np.sin(2 * np.pi * times / 86_400)
    seasonal = fit_baseline({"x": values}, {"x": "numeric"}, times)
    assert seasonal.channels[0].phases is not None
    slots = SlotCounter(seasonal).add({"x": [0.0] * 16}, [time] * 16)
    assert slots.counts.sum() == 16
    assert (slots.counts[0, 0, -1] == 16) == (time in (None, "noon") or time != time)
    with pytest.raises(ValueError, match="channel 'x' has a season: the events' times are needed"):
        SlotCounter(seasonal).add({"x": [0.0] * 16})


def test_a_hundred_thousand_rare_categories_are_counted_as_other_and_raise_no_alarm():
    """More than can be listed: none is ever unseen, and a change of the frequent ones is still found."""
    rng = np.random.default_rng(31)

    def drawn(rows, share):
        rare = rng.integers(0, 100_000, rows)
        frequent = rng.random(rows)
        return [
            "a" if f < share else "b" if f < 0.8 else f"c{r}" for f, r in zip(frequent, rare, strict=True)
        ]

    training = drawn(400_000, 0.5)
    baseline = fit_baseline({"x": training}, {"x": "categorical"})
    (channel,) = baseline.channels
    assert channel.calibrated
    assert channel.rare is None
    assert len(baseline.encode()) < 5_000
    counter = SlotCounter(baseline)
    detector = Detector([channel_bets(channel)], 1e6)
    assert detector.update(counter.add({"x": drawn(60_000, 0.5)})) == []
    assert (
        detector.update(
            counter.add({"x": [f"new {i}" if i % 5 == 0 else v for i, v in enumerate(drawn(160, 0.5))]})
        )
        == []
    )
    first = detector.update(counter.add({"x": drawn(4_000, 0.3)}))[0]
    assert first.change in ("category", "shape")
