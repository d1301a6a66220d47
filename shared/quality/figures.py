"""What users know quality by, from the sums of a report, each with an interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from shared.messages import ClassScores, PerformanceReport, Realised, Sums
from shared.quality.residuals import quantile

Z: Final = 1.959963984540054
"""Half the width of a 95 % interval, in standard errors."""


class Figure(msgspec.Struct, frozen=True):
    """One figure.

    Attributes
    ----------
    value
        What it came to.
    low, high
        Its 95 % interval; None where there is none.
    n
        Labels that it rests on.
    resolution
        How far the value can be from the one of the scores unbinned, at worst; 0 where it is exact.
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    resolution: float = 0.0


Figures = dict[str, Figure]


def figures_of(report: PerformanceReport, quality: Realised | None = None) -> Figures:
    """Return the realised figures of a report, or of one of its segments; empty without labels.

    Binary: ``auc`` (of binned scores, see ``resolution``), ``log_loss``, ``brier``, ``accuracy``,
    ``precision``, ``recall``, ``f1``, ``calibration_error``, ``positive_rate``. Multiclass: the same without
    ``positive_rate``, with AUC and decisions averaged over the classes, each against all others. Regression:
    ``mae``, ``rmse``, ``mape``, ``bias`` and the residual's quantiles.
    """
    sums = report.quality if quality is None else quality
    if not sums.labels:
        return {}
    if report.task == "regression":
        return _regression(sums)
    figures = _losses(sums)
    if report.task == "binary" and report.positive is not None:
        figures |= _ranking(sums)
        figures |= _decisions(sums, report.positive)
    else:
        figures |= _averaged(sums)
        if (area := averaged_auc(sums.by_class)) is not None:
            figures["auc"] = area
    figures["accuracy"] = share(sums.correct, sums.labels)
    if (error := calibration_error(sums, report.edges)) is not None:
        figures["calibration_error"] = error
    return figures


def share(part: float, whole: float) -> Figure:
    """Return a proportion with Wilson's interval.

    Examples
    --------
    >>> figure = share(8, 10)
    >>> round(figure.value, 2), round(figure.low, 3), round(figure.high, 3)
    (0.8, 0.49, 0.943)
    """
    if whole <= 0:
        return Figure(math.nan)
    p, spread = part / whole, Z * Z / whole
    middle = (p + spread / 2) / (1 + spread)
    half = Z * math.sqrt(p * (1 - p) / whole + spread / (4 * whole)) / (1 + spread)
    return Figure(p, max(0.0, middle - half), min(1.0, middle + half), int(whole))


def mean(sums: Sums) -> Figure:
    """Return a mean with its normal interval."""
    value = sums.total / sums.n
    if sums.n < 2:
        return Figure(value, n=sums.n)
    half = Z * math.sqrt(_variance(sums) / sums.n)
    return Figure(value, value - half, value + half, sums.n)


def _variance(sums: Sums) -> float:
    return max(0.0, (sums.squares - sums.total**2 / sums.n) / (sums.n - 1))


def _losses(sums: Realised) -> Figures:
    given = {"log_loss": sums.log_loss, "brier": sums.brier}
    return {name: mean(value) for name, value in given.items() if value is not None and value.n}


def _ranking(sums: Realised) -> Figures:
    positives = np.array(sums.positives, np.float64)
    negatives = np.array(sums.labelled, np.float64) - (positives if len(positives) else 0)
    if not len(positives):
        positives = np.zeros_like(negatives)
    figure = auc(positives, negatives)
    rate = share(float(positives.sum()), sums.labels)
    return {"positive_rate": rate} if figure is None else {"auc": figure, "positive_rate": rate}


def auc(positives: npt.NDArray[np.float64], negatives: npt.NDArray[np.float64]) -> Figure | None:
    """Return the area under the ROC curve of binned scores, ties counting half; None with one class only.

    The interval is DeLong's, of the binned scores. ``resolution`` is half the share of pairs that lie in one
    bin: by so much the area of the unbinned scores may differ at most.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44.

    Examples
    --------
    >>> figure = auc(np.array([0.0, 1, 3]), np.array([3.0, 1, 0]))
    >>> figure.value, round(figure.resolution, 4)
    (0.96875, 0.0312)
    """
    area = _area(positives, negatives)
    if area is None:
        return None
    value, spread, tied = area
    n = int(positives.sum() + negatives.sum())
    return msgspec.structs.replace(_around(value, spread, n), resolution=tied)


def averaged_auc(by_class: Mapping[str, ClassScores]) -> Figure | None:
    """Return the mean of the areas of each class against all others, of the classes that have both.

    Every class weighs the same: ``roc_auc_score(multi_class="ovr", average="macro")`` of the binned
    probabilities [1]_. The interval takes the areas to err together as much as they can, since they are of
    the same labels: the standard error of a mean is at most the mean of the standard errors. It is wider
    than it had to be, never narrower.

    References
    ----------
    .. [1] Fawcett, T. (2006). An introduction to ROC analysis. Pattern Recognition Letters 27, section 9.2.

    Examples
    --------
    >>> one = ClassScores(positives=(0, 3), negatives=(3, 1))
    >>> averaged_auc({"a": one, "b": ClassScores(positives=(1, 3), negatives=(3, 0))}).value
    0.875
    """
    counted = [_both(one) for one in by_class.values()]
    areas = [area for pair in counted if (area := _area(*pair)) is not None]
    if not areas:
        return None
    values, spreads, ties = (np.array(column) for column in zip(*areas, strict=True))
    error = float(np.sqrt(spreads).mean()) if spreads.all() else 0.0
    n = max(int(positives.sum() + negatives.sum()) for positives, negatives in counted)
    return msgspec.structs.replace(_around(float(values.mean()), error**2, n), resolution=float(ties.mean()))


def _both(one: ClassScores) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return positives and negatives by bin; an empty tuple means zeros."""
    bins = max(len(one.positives), len(one.negatives))
    positives, negatives = (
        np.array(counts, np.float64) if counts else np.zeros(bins)
        for counts in (one.positives, one.negatives)
    )
    return positives, negatives


def _area(
    positives: npt.NDArray[np.float64], negatives: npt.NDArray[np.float64]
) -> tuple[float, float, float] | None:
    """Return the area, its variance (0 where nothing tells it), and half the share of tied pairs."""
    up, down = float(positives.sum()), float(negatives.sum())
    if not up or not down:
        return None
    above = (np.cumsum(negatives) - negatives / 2) / down  # of a positive in this bin: negatives below it
    below = (up - np.cumsum(positives) + positives / 2) / up
    value = float(positives @ above / up)
    spread = 0.0
    if up > 1 and down > 1:
        spread = float(positives @ (above - value) ** 2 / (up - 1) / up)
        spread += float(negatives @ (below - value) ** 2 / (down - 1) / down)
    tied = float(positives @ negatives / (up * down)) / 2
    return value, spread, tied  # no spread: one class all above the other, or too few of one


def _decisions(sums: Realised, positive: str) -> Figures:
    tp = fp = fn = 0
    for truth, row in sums.confusion.items():
        for chosen, count in row.items():
            tp += count * (truth == positive and chosen == positive)
            fp += count * (truth != positive and chosen == positive)
            fn += count * (truth == positive and chosen != positive)
    figures = {"precision": share(tp, tp + fp), "recall": share(tp, tp + fn), "f1": f1(tp, fp, fn)}
    return {name: figure for name, figure in figures.items() if not math.isnan(figure.value)}


def f1(tp: float, fp: float, fn: float) -> Figure:
    """Return F1; its interval is Wilson's of ``J = tp / (tp + fp + fn)``, since F1 is ``2 J / (1 + J)``."""
    wrong = fp + fn
    if tp + wrong == 0:
        return Figure(math.nan)
    jaccard = share(tp, tp + wrong)
    low, high = (None if j is None else 2 * j / (1 + j) for j in (jaccard.low, jaccard.high))
    return Figure(2 * tp / (2 * tp + wrong), low, high, int(tp + wrong))


def _averaged(sums: Realised) -> Figures:
    """Return precision, recall and F1 of each class, averaged over the classes that there are."""
    classes = sorted({*sums.confusion, *(name for row in sums.confusion.values() for name in row)})
    scores: dict[str, list[float]] = {"precision": [], "recall": [], "f1": []}
    for name in classes:
        tp = sums.confusion.get(name, {}).get(name, 0)
        truths = sum(sums.confusion.get(name, {}).values())
        chosen = sum(row.get(name, 0) for row in sums.confusion.values())
        scores["precision"].append(tp / chosen if chosen else 0.0)
        scores["recall"].append(tp / truths if truths else 0.0)
        scores["f1"].append(2 * tp / (truths + chosen) if truths + chosen else 0.0)
    spreads = {"precision": 0.0, "recall": 0.0, "f1": _f1_spread(sums, classes, scores["f1"])}
    for name, precision, recall in zip(classes, scores["precision"], scores["recall"], strict=True):
        chosen = sum(row.get(name, 0) for row in sums.confusion.values())
        truths = sum(sums.confusion.get(name, {}).values())
        spreads["precision"] += precision * (1 - precision) / max(1, chosen) / len(classes) ** 2
        spreads["recall"] += recall * (1 - recall) / max(1, truths) / len(classes) ** 2
    return {
        name: _around(sum(values) / len(values), spreads[name], sums.labels)
        for name, values in scores.items()
        if values
    }


def _around(value: float, variance: float, n: int) -> Figure:
    """Return a figure between 0 and 1 with its normal interval; none where nothing tells how wide it is."""
    if variance <= 0:
        return Figure(value, n=n)
    half = Z * math.sqrt(variance)
    return Figure(value, max(0.0, value - half), min(1.0, value + half), n)


def _f1_spread(sums: Realised, classes: Sequence[str], scores: Sequence[float]) -> float:
    """Return the variance of the average F1: that of a function of multinomial shares, to first order.

    References
    ----------
    Takahashi, Yamamoto, Kuchiba and Koyama (2022), Applied Intelligence 52.
    """
    table = np.array([[sums.confusion.get(t, {}).get(c, 0) for c in classes] for t in classes], np.float64)
    shares = table / table.sum()
    sizes = shares.sum(axis=0) + shares.sum(axis=1)
    per = np.divide(np.array(scores), sizes, out=np.zeros(len(classes)), where=sizes > 0)
    slope = -(per[:, None] + per[None, :])
    slope[np.diag_indices(len(classes))] += np.divide(2, sizes, out=np.zeros(len(classes)), where=sizes > 0)
    slope /= len(classes)
    return float((shares * slope**2).sum() - (shares * slope).sum() ** 2) / float(table.sum())


def calibration_error(sums: Realised, edges: Sequence[float]) -> Figure | None:
    """Return the expected calibration error over ten bins of equal width; None where nothing is binned.

    The mean score of a bin is taken as the middle of each of the finer bins that it is made of:
    ``resolution`` is by how much that can be wrong at most. The interval holds the chance in the labels, to
    first order; the error itself is a little too large where labels are few, since none is negative.
    """
    curve = calibration_curve(sums, edges)
    if not curve:
        return None
    total = sum(point.n for point in curve)
    value = sum(point.n * abs(point.rate.value - point.score) for point in curve) / total
    spread = sum(point.n * point.rate.value * (1 - point.rate.value) for point in curve) / total**2
    widths = np.diff(np.array([0.0, *edges, 1.0]))
    unsure = float(np.array(sums.labelled, np.float64) @ widths) / total / 2
    return msgspec.structs.replace(_around(value, spread, int(total)), resolution=unsure)


class CalibrationPoint(msgspec.Struct, frozen=True):
    """One bin of a calibration curve: the mean score, how often it was positive, and the labels in it."""

    score: float
    rate: Figure
    n: int


def calibration_curve(sums: Realised, edges: Sequence[float], bins: int = 10) -> list[CalibrationPoint]:
    """Return the bins of equal width that have labels, each with Wilson's interval."""
    if not sums.labelled:
        return []
    bounds = np.array([0.0, *edges, 1.0])
    middles = (bounds[:-1] + bounds[1:]) / 2
    labelled = np.array(sums.labelled, np.float64)
    positives = np.array(sums.positives or (0,) * len(labelled), np.float64)
    at = np.minimum((middles * bins).astype(int), bins - 1)
    curve = []
    for bin_ in range(bins):
        inside = at == bin_
        n = labelled[inside].sum()
        if n:
            score = float(labelled[inside] @ middles[inside] / n)
            curve.append(CalibrationPoint(score, share(float(positives[inside].sum()), float(n)), int(n)))
    return curve


def _regression(sums: Realised) -> Figures:
    figures: Figures = {}
    named: Mapping[str, Sums | None] = {
        "mae": sums.absolute_error,
        "bias": sums.error,
        "mape": sums.percentage_error,
    }
    for name, value in named.items():
        if value is not None and value.n:
            figures[name] = mean(value)
    if sums.squared_error is not None and sums.squared_error.n:
        square = mean(sums.squared_error)
        low, high = (None if b is None else math.sqrt(max(0.0, b)) for b in (square.low, square.high))
        figures["rmse"] = Figure(math.sqrt(square.value), low, high, square.n)
    residuals = {int(bin_): count for bin_, count in sums.residuals.items()}
    for percent in (5, 25, 50, 75, 95):
        if (figure := _residual(residuals, percent / 100, sums.labels)) is not None:
            figures[f"residual_p{percent:02}"] = figure
    return figures


def _residual(residuals: Mapping[int, int], share_: float, labels: int) -> Figure | None:
    """Return a quantile of the residuals; its interval lies between the ranks that chance may move it to."""
    value = quantile(residuals, share_)
    if value is None:
        return None
    off = Z * math.sqrt(share_ * (1 - share_) / labels)
    low, high = (quantile(residuals, min(1.0, max(0.0, share_ + by))) for by in (-off, off))
    return Figure(value, low, high, labels, abs(value) * 0.01)
