"""Fitting: bins, probabilities, clear answers to bad columns, and the JSON round trip."""

import msgspec
import numpy as np
import pytest

from shared.drift import channel_bets, decode_baseline, fit_baseline
from shared.drift.bins import Coder, numeric_edges
from shared.drift.fitting import fit_channel
from shared.errors import BundleError


def test_every_numeric_bin_has_twenty_rows_and_the_missing_one_comes_last():
    values = np.random.default_rng(1).lognormal(size=5_000)
    values[:100] = np.nan
    channel = fit_channel("x", "numeric", values)
    assert len(channel.counts) == len(channel.edges) + 2 >= 30
    assert min(channel.counts[:-1]) >= 20
    assert channel.counts[-1] == 100
    assert sum(channel.counts) == channel.rows == 5_000


def test_edges_lie_between_values_so_float32_does_not_move_any():
    values = np.random.default_rng(2).normal(size=5_000)
    edges = numeric_edges(np.sort(values))
    assert not np.isin(edges, values).any()
    hours = np.repeat(np.arange(6.0), 100)
    assert numeric_edges(hours).tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]


def test_tails_are_divided_down_to_five_rows_and_to_where_training_ends():
    values = np.sort(np.random.default_rng(3).normal(size=100_000))
    counts = fit_channel("x", "numeric", values).counts
    assert counts[:3] == (0, 5, 25)
    assert counts[-4:-1] == (25, 5, 0)
    assert min(counts[3:-4]) >= 20
    edges = numeric_edges(values)
    assert edges[0] < values[0]
    assert edges[-1] > np.float32(values[-1])
    assert len(edges) == len(numeric_edges(values, tails=False)) == 31


def test_tails_are_left_whole_where_far_values_come_in_spells():
    rng = np.random.default_rng(4)
    values = rng.normal(size=100_000)
    storms = values.copy()
    for start in rng.integers(0, 99_000, 12):
        storms[start : start + 40] += 5.0 * (rng.random(40) < 0.1)
    times = np.arange(100_000.0)
    calm, stormy = (fit_channel("x", "numeric", column, times) for column in (values, storms))
    assert calm.counts[-2] == 0
    assert stormy.counts[-2] >= 20
    assert stormy.calibrated


def test_probabilities_price_what_training_did_not_contain():
    channel = fit_channel("origin", "categorical", ["EWR"] * 600 + ["JFK"] * 395 + ["a", "b", "c", "d", None])
    assert channel.categories == ("EWR", "JFK")
    assert channel.singletons == 4
    assert channel.bin_names == ("EWR", "JFK", "<other>", "<unseen>", "<missing>")
    probabilities = channel.probabilities()
    assert probabilities.sum() == pytest.approx(1.0)
    assert probabilities[4] == pytest.approx(0.004)  # (1 + 2 + 1) / 1000
    assert probabilities[3] == pytest.approx(0.009 * 0.996)  # (4 + 4 + 1) / 1000 of the rest
    assert probabilities[0] / probabilities[1] == pytest.approx(600 / 395)


@pytest.mark.parametrize(
    ("kind", "values", "reason"),
    [
        ("numeric", np.arange(100.0), "only 100 usable training rows; 512 are needed"),
        ("numeric", [], "only 0 usable training rows; 512 are needed"),
        ("numeric", [None] * 1_000, "every training value is missing or not usable"),
        ("numeric", ["text"] * 1_000, "every training value is missing or not usable"),
        ("numeric", [5.0] * 1_000, "every training value is 5: there is no spread to measure change in"),
        ("numeric", [5.0] * 1_000 + [6.0], "fewer than two distinct values have 20 training rows"),
        (
            "categorical",
            ["a"] * 1_000,
            "every training value is 'a': there is no spread to measure change in",
        ),
        (
            "boolean",
            [True] * 1_000,
            "every training value is 'true': there is no spread to measure change in",
        ),
        ("boolean", ["maybe"] * 1_000, "every training value is missing or not usable"),
        (
            "categorical",
            [f"id-{i}" for i in range(9_000)],
            "9000 of 9000 values occur once: it looks like an identifier",
        ),
    ],
)
def test_a_column_that_cannot_be_calibrated_says_why(kind, values, reason):
    channel = fit_channel("x", kind, values)
    assert channel.reason == reason
    assert not channel.calibrated
    with pytest.raises(ValueError, match="channel 'x' is not calibrated"):
        channel_bets(channel)


def test_dependence_that_cannot_be_handled_says_so():
    walk = np.cumsum(np.random.default_rng(3).normal(size=100_000))
    channel = fit_channel("x", "numeric", walk, np.arange(100_000) * 0.01)
    assert channel.reason is not None
    assert channel.reason.startswith("its values depend on each other")


def test_autocorrelation_alone_is_no_season():
    rng = np.random.default_rng(5)
    values = np.convolve(rng.normal(size=60_019), np.ones(20), mode="valid")
    channel = fit_channel("x", "numeric", values, np.arange(60_000) * 60.0)
    assert channel.phases is None
    assert channel.deff > 10


def test_a_hundred_thousand_categories():
    rng = np.random.default_rng(6)
    values = [f"c{i}" for i in rng.integers(0, 100_000, 400_000)] + ["top"] * 5_000
    channel = fit_channel("x", "categorical", values)
    assert channel.calibrated
    assert channel.rare is None
    coder = Coder(channel)
    assert coder.unseen is None
    assert coder.code(["top", "c1", "never seen", None]).tolist() == [0, 1, 1, 3]


def test_booleans_take_numbers_and_name_everything_else_unseen():
    coder = Coder(fit_channel("x", "boolean", [True, False, 1, 0.0] * 300))
    assert coder.channel.counts == (600, 600, 0, 0, 0)
    assert coder.code([False, True, 0, 1.0, None, "yes"]).tolist() == [0, 1, 0, 1, 4, 3]


def test_a_baseline_survives_its_json():
    rng = np.random.default_rng(7)
    times = np.arange(20_000) * 60.0
    columns = {
        "x": rng.normal(size=20_000) + np.sin(2 * np.pi * times / 86_400),
        "origin": rng.choice(["EWR", "JFK"], 20_000).tolist(),
        "empty": [None] * 20_000,
    }
    baseline = fit_baseline(
        columns, {"x": "numeric", "origin": "categorical", "empty": "numeric"}, times[::-1]
    )
    assert [c.calibrated for c in baseline.channels] == [True, True, False]
    assert baseline.channels[0].phases is not None
    again = decode_baseline(baseline.encode())
    assert again == baseline
    assert again.fingerprint() == baseline.fingerprint()


def test_a_damaged_baseline_is_refused_with_the_channel():
    baseline = fit_baseline({"x": np.arange(1_000.0)}, {"x": "numeric"})
    raw = msgspec.json.decode(baseline.encode())
    raw["channels"][0]["counts"].pop()
    with pytest.raises(BundleError, match="channel 'x' has 25 counts for 26 bins"):
        decode_baseline(msgspec.json.encode(raw))
    with pytest.raises(BundleError, match=r"baseline\.json: "):
        decode_baseline(b"not json")


def test_columns_that_do_not_fit_together_are_refused():
    with pytest.raises(BundleError, match="the training data has no column 'y'"):
        fit_baseline({"x": [1.0]}, {"y": "numeric"})
    with pytest.raises(BundleError, match="training columns differ in length"):
        fit_baseline({"x": [1.0], "y": [1.0, 2.0]}, {"x": "numeric", "y": "numeric"})
    with pytest.raises(BundleError, match="the time column has 1 rows without a usable time"):
        fit_baseline({"x": [1.0, 2.0]}, {"x": "numeric"}, [0.0, None])


def test_a_small_baseline_keeps_only_the_bets_it_can_price():
    rng = np.random.default_rng(8)
    small = channel_bets(fit_channel("x", "numeric", rng.normal(size=1_000)))
    large = channel_bets(fit_channel("x", "numeric", rng.normal(size=100_000)))
    assert "mean +0.32 sd" not in small.details
    assert "mean +0.64 sd" in small.details
    assert "mean +0.08 sd" in large.details
    assert small.weights.sum() == pytest.approx(0.8)
    means = (np.exp(large.log_ratios) * large.probabilities).sum(axis=1)
    np.testing.assert_allclose(means, 1.0, rtol=1e-12)  # a bet gains nothing while nothing changes
