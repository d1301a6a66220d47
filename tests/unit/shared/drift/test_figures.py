"""PSI, Jensen-Shannon and Wasserstein against SciPy and against values worked out by hand."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import distance

from shared.drift import SlotCounter, fit_baseline
from shared.drift.figures import figures, jensen_shannon, psi, wasserstein
from shared.drift.fitting import fit_channel


def test_distances_agree_with_scipy():
    reference, window = [10, 40, 30, 20], [5, 15, 45, 35]
    assert jensen_shannon(reference, window) == pytest.approx(
        distance.jensenshannon(reference, window, base=2)
    )
    centres = [0.0, 1.0, 5.0, 6.0]
    expected = stats.wasserstein_distance(centres, centres, reference, window) / 2.5
    assert wasserstein(reference, window, centres, 2.5) == pytest.approx(expected)


def test_psi_by_hand_and_with_an_empty_bin():
    assert psi([99_999_999.5, 99_999_999.5], [49_999_999.5, 149_999_999.5]) == pytest.approx(0.25 * np.log(3))
    assert np.isfinite(psi([100, 0], [0, 100]))


def test_figures_of_a_shifted_window():
    rng = np.random.default_rng(31)
    baseline = fit_baseline({"x": rng.normal(10, 4, size=50_000)}, {"x": "numeric"})
    values = rng.normal(14, 4, size=16_000)
    values[::10] = np.nan
    counts = SlotCounter(baseline).add({"x": values}).counts.sum(axis=0)[0]
    found = figures(baseline.channels[0], counts)
    assert found.events == 16_000
    assert found.missing == 0.1
    assert found.unseen is None
    assert found.wasserstein == pytest.approx(1.0, abs=0.05)  # one standard deviation
    assert found.psi > 1.0


def test_a_window_of_missing_values_has_no_wasserstein():
    channel = fit_channel("x", "numeric", np.random.default_rng(1).normal(size=1_000))
    bins = len(channel.counts)
    found = figures(channel, [0] * (bins - 1) + [7])
    assert (found.missing, found.wasserstein) == (1.0, None)
    with pytest.raises(ValueError, match="has no events"):
        figures(channel, [0] * bins)
    with pytest.raises(ValueError, match=f"has {bins} bins, not 2"):
        figures(channel, [1, 1])
