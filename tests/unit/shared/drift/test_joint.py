"""Joint drift: features that keep their distributions while their relation breaks."""

import numpy as np
import pytest

from shared.drift import Detector, SlotCounter, channel_bets, decode_baseline, fit_baseline
from shared.drift.joint import JointBaseline

A = 1e6
KINDS = {"temp": "numeric", "dewp": "numeric", "wind": "numeric"}


def weather(rng, rows, correlation=0.8):
    temp = rng.normal(size=rows)
    dewp = correlation * temp + np.sqrt(1 - correlation**2) * rng.normal(size=rows)
    return {"temp": 60 + 10 * temp, "dewp": 40 + 8 * dewp, "wind": rng.gamma(3, 3, rows)}


@pytest.fixture(scope="module")
def baseline():
    return fit_baseline(weather(np.random.default_rng(101), 60_000), KINDS)


def alarms_of(baseline, columns):
    detector = Detector([channel_bets(c) for c in baseline.calibrated], A)
    return detector.update(SlotCounter(baseline).add(columns))


def test_what_is_watched(baseline):
    joint = baseline.joint
    assert joint.features == ("temp", "dewp", "wind")
    assert [c.name for c in baseline.calibrated][3:] == [
        "joint distance",
        "joint component 1",
        "joint component 2",
    ]
    relation = joint.explain("joint component 1").split(", ")
    assert sorted(part[:4] for part in relation) == ["dewp", "temp"]
    assert {part[-5:] for part in relation} == {"+0.71", "-0.71"}
    assert decode_baseline(baseline.encode()) == baseline


def test_stationary_features_raise_no_alarm(baseline):
    assert alarms_of(baseline, weather(np.random.default_rng(102), 500_000)) == []


def test_a_relation_that_breaks_is_found_though_no_feature_changed(baseline):
    rng = np.random.default_rng(103)
    before, after = weather(rng, 8_000), weather(rng, 8_000, correlation=0.2)
    alarms = alarms_of(baseline, {name: np.concatenate([before[name], after[name]]) for name in KINDS})
    assert 8_000 < alarms[0].event < 8_500
    assert alarms[0].channel == "joint component 1"
    assert {alarm.channel for alarm in alarms} <= {"joint distance", "joint component 1", "joint component 2"}


def test_a_feature_that_moves_is_named_before_the_joint_channels(baseline):
    rng = np.random.default_rng(104)
    columns = weather(rng, 2_000)
    columns["wind"] = np.full(2_000, np.nan)
    alarms = alarms_of(baseline, columns)
    assert alarms[0].channel == "wind"


def test_every_cut_of_the_stream_gives_the_same_bins(baseline):
    columns = weather(np.random.default_rng(105), 20_000)
    columns["temp"][::7] = np.nan
    whole = SlotCounter(baseline).add(columns).counts
    rng, counter, parts, place = np.random.default_rng(106), SlotCounter(baseline), [], 0
    while place < 20_000:
        part = slice(place, place + int(rng.integers(1, 400)))
        parts.append(counter.add({name: values[part] for name, values in columns.items()}).counts)
        place = part.stop
    assert np.array_equal(np.concatenate(parts), whole)


def test_independent_features_have_a_distance_and_no_component():
    rng = np.random.default_rng(107)
    baseline = fit_baseline({n: rng.normal(size=20_000) for n in KINDS}, KINDS)
    assert [c.name for c in baseline.joint.channels] == ["joint distance"]


def test_few_rows_carry_few_features_and_one_feature_has_no_joint_channel():
    rng = np.random.default_rng(108)
    kinds = {f"f{i}": "numeric" for i in range(40)}
    columns = {name: rng.normal(size=1_000) for name in kinds}
    columns["f7"] = columns["f30"] + rng.normal(scale=0.1, size=1_000)
    joint = fit_baseline(columns, kinds).joint
    assert len(joint.features) == 12  # the cube root of twice the rows
    assert {"f7", "f30"} <= set(joint.features)
    assert fit_baseline({"x": rng.normal(size=1_000)}, {"x": "numeric"}).joint is None


def test_equal_features_do_not_divide_by_nothing():
    rng = np.random.default_rng(109)
    x = rng.normal(size=20_000)
    baseline = fit_baseline({"a": x, "b": x}, {"a": "numeric", "b": "numeric"})
    fresh = rng.normal(size=200_000)
    assert alarms_of(baseline, {"a": fresh, "b": fresh}) == []
    assert alarms_of(baseline, {"a": fresh, "b": rng.permutation(fresh)})[0].event <= 64


def test_a_joint_baseline_that_contradicts_itself_is_refused():
    good = {"features": ("a", "b"), "scores": ((0,), (0,)), "whitening": ((1, 0), (0, 1)), "components": ()}
    JointBaseline(**good)
    for wrong in ({"scores": ((0,),)}, {"whitening": ((1, 0),)}, {"components": (2,)}):
        with pytest.raises(ValueError, match="joint baseline"):
            JointBaseline(**{**good, **wrong})
