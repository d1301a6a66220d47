"""Figures from sums against scikit-learn and River on the same rows; counts from an independent loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from river import metrics as river
from sklearn import metrics as sk

from services.performance.cells import Cell, unpack
from services.performance.facts import Facts
from services.performance.packets import Answered, Known
from shared.messages import ClassScores, KpiSums, LabelCounts, PerformanceReport, Realised, Sums, Window
from shared.quality.bins import EDGES, bins_of
from shared.quality.estimate import estimated
from shared.quality.exact import as_float, exact_sums
from shared.quality.figures import auc, averaged_auc, calibration_curve, figures_of, share
from shared.quality.kpis import advise, difference, mean_sequence
from shared.quality.residuals import bins_of_residuals
from tests.unit.services.performance.harness import HOUR, START, Harness, Log, binary


def joined(tmp_path: Path, facts: Facts, answers: list[Answered], truths: list[Any]) -> PerformanceReport:
    """What the performance service reports of answers and their labels."""
    log = Log()
    log.answers(answers)
    log.labels([Known(a.event_id, t, START + HOUR) for a, t in zip(answers, truths, strict=True)])
    harness = Harness(tmp_path, log, facts)
    harness.run()
    (report,) = harness.reports()
    harness.join.store.close()
    return report


def answer(number: int, score: float, label: str | None = None, **extra: Any) -> Answered:
    return Answered(f"e{number}", "m", "1", float(score), START, START, "events", 0, number, label, **extra)


def test_binary_figures_equal_scikit_learn_and_river(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    scores = rng.beta(0.6, 1.4, 900)
    truth = rng.random(900) < scores
    chosen = scores >= 0.37
    facts = binary(threshold=0.37)
    answers = [
        answer(i, s, "yes" if c else "no") for i, (s, c) in enumerate(zip(scores, chosen, strict=True))
    ]
    report = joined(tmp_path, facts, answers, [bool(t) for t in truth])
    figures = {name: figure.value for name, figure in figures_of(report).items()}
    assert figures["log_loss"] == pytest.approx(sk.log_loss(truth, scores), abs=1e-12)
    assert figures["brier"] == pytest.approx(sk.brier_score_loss(truth, scores), abs=1e-12)
    assert figures["accuracy"] == pytest.approx(sk.accuracy_score(truth, chosen), abs=1e-15)
    assert figures["precision"] == pytest.approx(sk.precision_score(truth, chosen), abs=1e-15)
    assert figures["recall"] == pytest.approx(sk.recall_score(truth, chosen), abs=1e-15)
    assert figures["f1"] == pytest.approx(sk.f1_score(truth, chosen), abs=1e-15)
    area = figures_of(report)["auc"]
    exact = sk.roc_auc_score(truth, scores)
    assert abs(area.value - exact) <= area.resolution < 0.01
    assert area.low is not None
    assert area.high is not None
    assert area.low < exact < area.high
    known = {"log_loss": river.LogLoss(), "accuracy": river.Accuracy(), "f1": river.F1()}
    known |= {"precision": river.Precision(), "recall": river.Recall()}
    for y, s, c in zip(truth.tolist(), scores.tolist(), chosen.tolist(), strict=True):
        for name, metric in known.items():
            metric.update(y, s if name == "log_loss" else c)
    for name, metric in known.items():
        assert figures[name] == pytest.approx(metric.get(), abs=1e-9), name


def test_multiclass_figures_equal_scikit_learn(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    classes = ("a", "b", "c")
    probabilities = rng.dirichlet([1, 1, 1], 500)
    truth = np.array([rng.choice(3, p=p) for p in probabilities])
    chosen = probabilities.argmax(axis=1)
    facts = Facts(model="m", version="1", task="multiclass", classes=classes, horizon=4 * HOUR, window=HOUR)
    answers = [
        answer(i, float(p.max()), classes[c], probabilities=dict(zip(classes, p.tolist(), strict=True)))
        for i, (p, c) in enumerate(zip(probabilities, chosen, strict=True))
    ]
    report = joined(tmp_path, facts, answers, [classes[t] for t in truth])
    figures = figures_of(report)
    assert figures["log_loss"].value == pytest.approx(sk.log_loss(truth, probabilities), abs=1e-12)
    area, binned = figures["auc"], bins_of(probabilities, report.edges)
    ranked = [sk.roc_auc_score(truth == place, binned[:, place]) for place in range(3)]
    assert area.value == pytest.approx(np.mean(ranked), abs=1e-12)  # every tie counts half, as there
    exact = sk.roc_auc_score(truth, probabilities, multi_class="ovr", average="macro")
    assert abs(area.value - exact) <= area.resolution < 0.01
    assert area.n == 500
    assert area.low is not None
    assert area.high is not None
    assert area.low < exact < area.high
    target = np.eye(3)[truth]
    assert figures["brier"].value == pytest.approx(
        ((probabilities - target) ** 2).sum(axis=1).mean(), abs=1e-12
    )
    assert figures["accuracy"].value == pytest.approx(sk.accuracy_score(truth, chosen), abs=1e-15)
    for name, function in (
        ("precision", sk.precision_score),
        ("recall", sk.recall_score),
        ("f1", sk.f1_score),
    ):
        assert figures[name].value == pytest.approx(function(truth, chosen, average="macro"), abs=1e-12)


def test_answers_without_probabilities_are_not_ranked_and_corrections_leave_nothing(tmp_path: Path) -> None:
    classes = ("a", "b", "c")
    facts = Facts(model="m", version="1", task="multiclass", classes=classes, horizon=4 * HOUR, window=HOUR,
                  segments=("carrier",))  # fmt: skip
    told = {"a": 0.5, "b": 0.3, "c": 0.2}
    answers = [answer(0, 0.5, "a", probabilities=told, segments={"carrier": "UA"}), answer(1, 0.6, "b")]
    answers += [answer(2, 0.9, "c", probabilities={"a": 0.05, "b": 0.05, "c": 0.9})]
    log = Log()
    log.answers(answers)
    log.labels([Known(a.event_id, "b", START + HOUR) for a in answers])
    log.labels([Known("e0", "a", START + HOUR), Known("e2", "c", START + HOUR)])
    harness = Harness(tmp_path, log, facts)
    harness.run()
    (report,) = harness.reports()
    ranks = report.quality.by_class
    assert {name: sum(its.positives) for name, its in ranks.items()} == {"a": 1, "b": 0, "c": 1}
    assert {name: sum(its.negatives) for name, its in ranks.items()} == {"a": 1, "b": 2, "c": 1}
    area = figures_of(report)["auc"]
    assert (area.value, area.low, area.n) == (1.0, None, 2)  # of a and c: nobody's truth was b
    assert sum(report.segments["carrier"]["UA"].by_class["a"].positives) == 1
    kept = unpack(next(iter(harness.join.windows.values())).pack(), harness.facts)
    assert (kept.cells["", ""].ranks == harness.join.windows[kept.key].cells["", ""].ranks).all()


def test_a_cell_of_before_there_were_ranks_has_none() -> None:
    cell = Cell(3, ranked=2)
    cell.ranks[1, 2] = 5
    assert (Cell.unpack(cell.pack(), 3).ranks == cell.ranks).all()
    assert len(Cell.unpack(cell.pack()[:7], 3).ranks) == 0


def test_regression_figures_equal_scikit_learn_and_river(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    truth = rng.normal(50, 20, 800)
    predicted = truth + rng.normal(2, 9, 800)
    facts = Facts(model="m", version="1", task="regression", horizon=4 * HOUR, window=HOUR)
    answers = [answer(i, float(p)) for i, p in enumerate(predicted)]
    figures = figures_of(joined(tmp_path, facts, answers, truth.tolist()))
    assert figures["mae"].value == pytest.approx(sk.mean_absolute_error(truth, predicted), abs=1e-12)
    assert figures["rmse"].value == pytest.approx(sk.root_mean_squared_error(truth, predicted), abs=1e-12)
    assert figures["mape"].value == pytest.approx(
        sk.mean_absolute_percentage_error(truth, predicted), rel=1e-12
    )
    assert figures["bias"].value == pytest.approx(np.mean(predicted - truth), abs=1e-12)
    for percent in (5, 25, 50, 75, 95):
        wanted = np.quantile(predicted - truth, percent / 100, method="lower")
        assert figures[f"residual_p{percent:02}"].value == pytest.approx(wanted, rel=0.011)
    for name, metric in (("mae", river.MAE()), ("rmse", river.RMSE())):
        for y, p in zip(truth.tolist(), predicted.tolist(), strict=True):
            metric.update(y, p)
        assert figures[name].value == pytest.approx(metric.get(), abs=1e-9)


def test_taking_back_leaves_nothing_even_of_sums_that_do_not_fit_together() -> None:
    values = np.array([1e16, 0.1, 3e-20, -7.0, 0.1])
    there = exact_sums(values, np.zeros(5, int), 1)[0]
    back = exact_sums(-values[[4, 2, 0, 1, 3]], np.zeros(5, int), 1)[0]
    assert there + back == 0
    assert as_float(exact_sums(np.array([0.1] * 10), np.zeros(10, int), 1)[0]) == 1.0


def test_intervals_hold_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(11)
    held = sum(
        (figure := share(rng.binomial(60, 0.3), 60)).low <= 0.3 <= figure.high  # type: ignore[operator]
        for _ in range(2_000)
    )
    assert 0.93 < held / 2_000 < 0.975
    inside = 0
    for _ in range(300):
        positives, negatives = rng.normal(1, 1, 120), rng.normal(0, 1, 150)
        edges = np.linspace(-4, 5, 119)
        figure = auc(
            np.histogram(positives, edges)[0].astype(float), np.histogram(negatives, edges)[0].astype(float)
        )
        assert figure is not None
        inside += figure.low < 0.7602 < figure.high  # type: ignore[operator] - Phi(1 / sqrt(2))
    assert 0.90 < inside / 300 <= 0.99


def of_counts(**more: Any) -> PerformanceReport:
    given: dict[str, Any] = {
        "model": "m", "model_version": "1", "source_topic": "log", "partition": 0, "first_offset": 0,
        "window": Window(start=0, end=1), "next_offset": 1, "written_at": 0, "horizon": 1,
        "labels": LabelCounts(),
    }  # fmt: skip
    return PerformanceReport(**(given | more))


def test_bands_of_estimates_hold_about_as_often_as_they_say() -> None:
    """Labels are drawn at rates that were themselves drawn: both kinds of chance must be in the band."""
    rng = np.random.default_rng(23)
    edges = tuple(np.arange(1, 20) / 20)
    held = dict.fromkeys(("accuracy", "precision", "recall", "f1", "auc", "positive_rate"), 0)
    rounds, rows = 400, 300
    for _ in range(rounds):
        means = np.clip(np.arange(20) / 20 + 0.025, 0.02, 0.98)
        learnt = rng.binomial(rows, means) / rows  # what the bundle keeps of the rates
        scores = rng.multinomial(3_000, np.full(20, 1 / 20))
        positives = rng.binomial(scores, means)
        negatives = scores - positives
        report = of_counts(
            task="binary", edges=edges, threshold=0.6, positive="yes", calibration_edges=edges,
            calibration_rows=(float(rows),) * 20,
            quality=Realised(scores=tuple(scores.tolist()), expected=tuple((scores * learnt).tolist())),
        )  # fmt: skip
        tp, fp = positives[12:].sum(), negatives[12:].sum()
        fn, tn = positives[:12].sum(), negatives[:12].sum()
        area = auc(positives.astype(float), negatives.astype(float))
        assert area is not None
        truth = {
            "accuracy": (tp + tn) / 3_000, "precision": tp / (tp + fp), "recall": tp / (tp + fn),
            "f1": 2 * tp / (2 * tp + fp + fn), "auc": area.value, "positive_rate": (tp + fn) / 3_000,
        }  # fmt: skip
        promised = estimated(report)
        for name in held:
            held[name] += promised[name].low <= truth[name] <= promised[name].high  # type: ignore[operator]
    shares = {name: count / rounds for name, count in held.items()}
    assert all(0.91 <= share <= 0.985 for share in shares.values()), shares


def test_intervals_of_averages_quantiles_and_calibration_hold_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(29)
    classes = ("a", "b", "c")
    odds = np.array([[0.3, 0.05, 0.05], [0.04, 0.2, 0.06], [0.02, 0.08, 0.2]])
    tp, truths, chosen = np.diag(odds), odds.sum(axis=1), odds.sum(axis=0)
    truth = {
        "precision": (tp / chosen).mean(), "recall": (tp / truths).mean(),
        "f1": (2 * tp / (truths + chosen)).mean(), "calibration_error": 0.1,
        "residual_p05": -1.6449, "residual_p50": 0.0, "residual_p95": 1.6449,
    }  # fmt: skip
    held, rounds = dict.fromkeys(truth, 0), 400
    edges = tuple(np.arange(1, 10) / 10)
    for _ in range(rounds):
        table = rng.multinomial(400, odds.ravel()).reshape(3, 3)
        confusion = {
            t: dict(zip(classes, row.tolist(), strict=True)) for t, row in zip(classes, table, strict=True)
        }
        labelled = rng.multinomial(400, np.full(10, 0.1))
        positives = rng.binomial(
            labelled, np.clip(np.arange(10) / 10 + 0.05 + 0.1 * np.sign(4.5 - np.arange(10)), 0, 1)
        )
        several = figures_of(
            of_counts(
                task="multiclass", edges=edges,
                quality=Realised(labels=400, correct=int(np.trace(table)), confusion=confusion,
                                 labelled=tuple(labelled.tolist()), positives=tuple(positives.tolist())),
            )
        )  # fmt: skip
        bins, counts = np.unique(bins_of_residuals(rng.normal(0, 1, 400)), return_counts=True)
        residuals = dict(zip(map(str, bins.tolist()), counts.tolist(), strict=True))
        errors = figures_of(of_counts(task="regression", quality=Realised(labels=400, residuals=residuals)))
        for name, wanted in truth.items():
            figure = (several | errors)[name]
            slack = abs(wanted) * 0.011
            held[name] += figure.low - slack <= wanted <= figure.high + slack  # type: ignore[operator]
    shares = {name: count / rounds for name, count in held.items()}
    assert all(0.91 <= share <= 0.99 for share in shares.values()), shares
    assert several["calibration_error"].resolution == pytest.approx(0.05)


def test_an_estimate_is_right_while_scores_mean_what_they_say(tmp_path: Path) -> None:
    rng = np.random.default_rng(13)
    scores = rng.random(4_000)
    truth = rng.random(4_000) < scores
    answers = [answer(i, s, "yes" if s >= 0.5 else "no") for i, s in enumerate(scores.tolist())]
    report = joined(tmp_path, binary(), answers, truth.tolist())
    realised, promised = figures_of(report), estimated(report)
    band = promised["accuracy"]
    assert band.low < realised["accuracy"].value < band.high  # type: ignore[operator]
    for name in ("auc", "precision", "recall", "f1", "positive_rate"):
        assert promised[name].value == pytest.approx(realised[name].value, abs=0.02), name
    assert all(abs(p.rate.value - p.score) < 0.06 for p in calibration_curve(report.quality, report.edges))


def test_the_interval_of_the_averaged_area_holds_at_least_as_often_as_it_says() -> None:
    rng = np.random.default_rng(41)
    classes = ("a", "b", "c", "d")

    def drawn(rows: int) -> dict[str, ClassScores]:
        truth = rng.integers(4, size=rows)
        logits = rng.normal(size=(rows, 4)) + 1.2 * np.eye(4)[truth]
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        bins = bins_of(scores, EDGES)
        counts = [
            [
                np.bincount(bins[truth == c, c], minlength=len(EDGES) + 1),
                np.bincount(bins[truth != c, c], minlength=len(EDGES) + 1),
            ]
            for c in range(4)
        ]
        return {
            name: ClassScores(positives=tuple(up.tolist()), negatives=tuple(down.tolist()))
            for name, (up, down) in zip(classes, counts, strict=True)
        }

    whole = averaged_auc(drawn(400_000))
    assert whole is not None
    held = 0
    for _ in range(300):
        area = averaged_auc(drawn(300))
        assert area is not None
        assert area.low is not None
        assert area.high is not None
        held += area.low <= whole.value <= area.high
    assert held >= 0.95 * 300  # as wide as if the areas erred together


def test_a_sequence_of_means_holds_at_all_times_at_once() -> None:
    rng = np.random.default_rng(17)
    missed = 0
    for _ in range(200):
        values = rng.exponential(2.0, 4_000)
        totals, squares = np.cumsum(values), np.cumsum(values**2)
        looks = range(200, 4_000, 100)
        missed += any(
            not low <= 2.0 <= high
            for n in looks
            for low, high in [mean_sequence(Sums(n=n, total=totals[n - 1], squares=squares[n - 1]), 0.05)]
        )
    assert missed <= 20, "5 % may"


def test_a_difference_of_versions_is_told_once_it_is_sure() -> None:
    def kpi(n: int, mean: float) -> KpiSums:
        return KpiSums(value=Sums(n=n, total=n * mean, squares=n * (mean**2 + 1)))

    unsure, sure = difference(kpi(100, 1.1), kpi(100, 1.0)), difference(kpi(20_000, 1.1), kpi(20_000, 1.0))
    assert unsure is not None
    assert sure is not None
    assert unsure.low < 0 < unsure.high  # type: ignore[operator]
    assert 0 < sure.low < 0.1 < sure.high  # type: ignore[operator]
    assert difference(kpi(0, 0), kpi(5, 1)) is None


def test_the_advised_cut_off_is_the_best_of_all(tmp_path: Path) -> None:
    rng = np.random.default_rng(19)
    scores = rng.random(3_000)
    truth = rng.random(3_000) < scores**2
    answers = [answer(i, s, "yes" if s >= 0.5 else "no") for i, s in enumerate(scores.tolist())]
    report = joined(tmp_path, binary(), answers, truth.tolist())
    advice = advise(report.kpis["cost"], report.edges, 0.5)
    assert advice is not None

    def cost(cut: float) -> float:
        chosen = scores >= cut
        return float(-5 * (chosen & ~truth).mean() - 20 * (~chosen & truth).mean())

    assert advice.value_now == pytest.approx(cost(0.5), abs=1e-5)
    assert advice.value == pytest.approx(max(cost(edge) for edge in (0.0, *report.edges, 2.0)), abs=1e-5)
    assert advice.value == pytest.approx(cost(advice.threshold), abs=1e-5)
