"""A baseline learnt from the first events equals one fitted from them, however they came."""

import msgspec
import numpy as np
import pytest

from shared.drift import fit_baseline
from shared.drift.cold_start import ColdStart

KINDS = {"delay": "numeric", "origin": "categorical", "late": "boolean"}


def events(rows):
    rng = np.random.default_rng(61)
    columns = {
        "delay": [None if rng.random() < 0.05 else float(x) for x in rng.normal(size=rows)],
        "origin": rng.choice(["JFK", "EWR", "LGA"], rows).tolist(),
        "late": rng.choice([True, False], rows).tolist(),
    }
    return columns, (np.arange(rows) * 2.5).tolist()


def test_it_is_the_baseline_of_the_first_events_however_they_came():
    columns, times = events(7_000)
    expected = fit_baseline({n: v[:5_000] for n, v in columns.items()}, KINDS, times[:5_000])
    rng, cold, place = np.random.default_rng(62), ColdStart(KINDS), 0
    assert cold.rows == 5_000
    while cold.baseline() is None:
        take = int(rng.integers(1, 900))
        part = slice(place, place + take)
        taken = cold.add({name: values[part] for name, values in columns.items()}, times[part])
        place += taken
        restarted = ColdStart(KINDS)
        restarted.restore(cold.snapshot())
        assert restarted.snapshot() == cold.snapshot()
        cold = restarted
    assert place == 5_000
    assert cold.add(columns, times) == 0
    assert cold.baseline() == msgspec.structs.replace(expected, learnt=True)
    assert all(channel.calibrated for channel in cold.baseline().channels)


def test_without_times_the_order_of_arrival_shows_autocorrelation():
    cold = ColdStart({"x": "numeric"}, rows=20_000)
    cold.add({"x": np.repeat(np.random.default_rng(63).normal(size=4_000), 5)})
    assert cold.baseline().channels[0].deff == pytest.approx(5, rel=0.5)  # 39 blocks of 512


def test_a_feature_that_never_comes_and_hostile_values_are_reasons():
    cold = ColdStart({"gone": "numeric", "odd": "categorical"}, rows=630)
    assert cold.add({"odd": [[], {}, 10**400, float("nan"), b"x", "y" * 10**6] * 105}) == 630
    gone, odd = cold.baseline().channels
    assert gone.reason == "every training value is missing or not usable"
    assert odd.calibrated
    assert max(map(len, odd.categories)) == 100


def test_two_hundred_features_keep_the_snapshot_below_a_message():
    kinds = {f"f{i}": "numeric" for i in range(200)}
    cold = ColdStart(kinds)
    rng = np.random.default_rng(64)
    cold.add({name: rng.normal(size=cold.rows) for name in kinds}, np.arange(cold.rows) * 1.0)
    assert cold.baseline() is not None
    assert len(cold.snapshot()) < 1_000_000


def test_what_cannot_be_learnt_from_is_refused():
    with pytest.raises(ValueError, match="600 events or more"):
        ColdStart({"x": "numeric"}, rows=599)
    with pytest.raises(ValueError, match="at least one feature"):
        ColdStart({})
    with pytest.raises(ValueError, match="differ in length"):
        ColdStart(KINDS).add({"delay": [1.0], "late": []})
    with pytest.raises(ValueError, match="not the snapshot"):
        ColdStart(KINDS).restore(b"x")
    with pytest.raises(ValueError, match="other features"):
        ColdStart(KINDS).restore(ColdStart({"x": "numeric"}).snapshot())
