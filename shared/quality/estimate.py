"""Figures before labels come: what the scores promise while a score means what it meant (CBPE).

The estimate follows a change of the inputs. It is blind to a change of what a score means, so it is not to
be trusted once label given score alarms.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from shared.messages import PerformanceReport, Realised
from shared.quality.figures import Figure, Figures, Z, auc

Floats = npt.NDArray[np.float64]


def estimated(report: PerformanceReport, quality: Realised | None = None) -> Figures:
    """Return the figures that the scores of a report promise, whether or not they have labels yet.

    ``accuracy``, ``precision``, ``recall``, ``f1``, ``auc`` and ``positive_rate`` of a binary model,
    ``accuracy`` of a multiclass one. The accuracy's band holds the chance in the labels and the
    uncertainty of the calibration; the other figures have none.

    References
    ----------
    Kivimaki, Bialek, Nurminen and Kuberski (2024), arXiv:2407.08649.
    """
    sums = report.quality if quality is None else quality
    if report.task == "regression" or not sums.scores:
        return {}
    scores, up = np.array(sums.scores, np.float64), np.array(sums.expected, np.float64)
    down, total = scores - up, float(scores.sum())
    if report.task == "multiclass":
        return {"accuracy": _accuracy(report, scores, up, np.ones_like(scores))}
    decided = np.array([-math.inf, *report.edges]) >= (report.threshold or 0.5)
    tp, fp = float(up[decided].sum()), float(down[decided].sum())
    fn = float(up[~decided].sum())
    ratios = {
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "f1": (2 * tp, 2 * tp + fp + fn),
        "positive_rate": (tp + fn, total),
    }
    figures = {name: Figure(part / whole, n=int(total)) for name, (part, whole) in ratios.items() if whole}
    figures["accuracy"] = _accuracy(report, scores, up, np.where(decided, 1.0, -1.0))
    area = auc(up, down)
    if area is not None:
        figures["auc"] = Figure(area.value, n=int(total), resolution=area.resolution)
    return figures


def _accuracy(
    report: PerformanceReport,
    scores: Floats,
    up: Floats,
    sign: Floats,
) -> Figure:
    """Return the expected share of right answers; ``sign`` is 1 where a bin decides for the positive."""
    total = float(scores.sum())
    rates = np.divide(up, scores, out=np.zeros_like(up), where=scores > 0)
    right = float(np.where(sign > 0, up, scores - up).sum())
    chance = float(scores @ (rates * (1 - rates))) / total**2
    unsure = 0.0
    if report.calibration_rows:
        lower = np.array([-math.inf, *report.edges])
        coarse = np.searchsorted(report.calibration_edges, lower, side="right")
        bins = len(report.calibration_rows)
        lever = np.bincount(coarse, weights=scores * sign, minlength=bins) / total
        weight = np.bincount(coarse, weights=scores, minlength=bins)
        rate = np.divide(
            np.bincount(coarse, weights=up, minlength=bins), weight, out=np.zeros(bins), where=weight > 0
        )
        unsure = float((lever**2 * rate * (1 - rate) / np.array(report.calibration_rows)).sum())
    half = Z * math.sqrt(chance + unsure)
    value = right / total
    return Figure(value, max(0.0, value - half), min(1.0, value + half), int(total))
