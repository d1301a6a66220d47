"""CBPE against the same figures computed from the labels themselves."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from shared.drift.cbpe import count_scores, estimate_quality
from shared.drift.label_baseline import fit_labels


def stream(rng, rows, a, b):
    scores = rng.beta(a, b, rows)
    return scores, (rng.random(rows) < scores).astype(int)


@pytest.mark.parametrize("threshold", [0.5, 0.33])
def test_a_shift_of_the_scores_moves_the_estimate_as_it_moves_the_truth(threshold):
    rng = np.random.default_rng(41)
    baseline = fit_labels(*stream(rng, 200_000, 0.5, 0.8))
    scores, labels = stream(rng, 200_000, 1.2, 1.0)  # other scores, same meaning
    promised = estimate_quality(baseline, *count_scores(scores, threshold))
    decided = (scores >= threshold).astype(int)
    assert promised.accuracy == pytest.approx(accuracy_score(labels, decided), abs=0.01)
    assert promised.precision == pytest.approx(precision_score(labels, decided), abs=0.01)
    assert promised.recall == pytest.approx(recall_score(labels, decided), abs=0.01)
    assert promised.f1 == pytest.approx(f1_score(labels, decided), abs=0.01)
    assert promised.auc == pytest.approx(roc_auc_score(labels, scores), abs=0.01)
    counts = [promised.true_positives, promised.false_positives]
    counts += [promised.true_negatives, promised.false_negatives]
    assert sum(counts) == pytest.approx(promised.scores)


def test_the_band_holds_the_truth_as_often_as_it_says():
    held = 0
    for seed in range(300):
        rng = np.random.default_rng([42, seed])
        baseline = fit_labels(*stream(rng, 3_000, 0.5, 0.5))
        scores, labels = stream(rng, 400, 0.5, 0.5)
        low, high = estimate_quality(baseline, *count_scores(scores, 0.5)).band()
        held += low <= accuracy_score(labels, scores >= 0.5) <= high
    assert 0.90 < held / 300 <= 0.99


def test_what_has_no_denominator_is_none():
    baseline = fit_labels(*stream(np.random.default_rng(43), 5_000, 1, 1))
    promised = estimate_quality(baseline, *count_scores([0.01, 0.02], 0.5))
    assert promised.precision is None
    assert promised.recall == 0.0
    with pytest.raises(ValueError, match="without scores"):
        estimate_quality(baseline, *count_scores([], 0.5))
