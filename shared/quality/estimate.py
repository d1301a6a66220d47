"""Figures before labels come: what the scores promise while a score means what it meant (CBPE).

The estimate follows a change of the inputs. It is blind to a change of what a score means, so it is not to
be trusted once label given score alarms.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

from shared.messages import PerformanceReport, Realised
from shared.quality.figures import Figure, Figures, Z, auc

Floats = npt.NDArray[np.float64]


def estimated(report: PerformanceReport, quality: Realised | None = None) -> Figures:
    """Return the figures that the scores of a report promise, whether or not they have labels yet.

    ``accuracy``, ``precision``, ``recall``, ``f1``, ``auc`` and ``positive_rate`` of a binary model,
    ``accuracy`` of a multiclass one. Each has a band of 95 % that holds the chance in the labels and the
    uncertainty of the calibration, to first order (delta method).

    References
    ----------
    Kivimaki, Bialek, Nurminen and Kuberski (2024), arXiv:2407.08649.
    """
    sums = report.quality if quality is None else quality
    if report.task == "regression" or not sums.scores:
        return {}
    scores, up = np.array(sums.scores, np.float64), np.array(sums.expected, np.float64)
    total = float(scores.sum())
    if report.task == "multiclass":
        return {"accuracy": _banded(report, scores, up, float(up.sum()) / total, np.full_like(up, 1 / total))}
    decided = (np.array([-math.inf, *report.edges]) >= (report.threshold or 0.5)).astype(np.float64)
    tp, chosen, positive = float(up @ decided), float(scores @ decided), float(up.sum())
    right = tp + float((scores - up) @ (1 - decided))
    # By figure: part, whole, and how much each grows with one more positive in a bin.
    ratios = {
        "accuracy": (right, total, 2 * decided - 1, 0.0),
        "precision": (tp, chosen, decided, 0.0),
        "recall": (tp, positive, decided, 1.0),
        "f1": (2 * tp, chosen + positive, 2 * decided, 1.0),
        "positive_rate": (positive, total, np.ones_like(up), 0.0),
    }
    figures = {
        name: _banded(report, scores, up, part / whole, (more - part / whole * growth) / whole)
        for name, (part, whole, more, growth) in ratios.items()
        if whole
    }
    area = auc(up, scores - up)
    if area is not None:
        band = _banded(report, scores, up, area.value, _slope_of_auc(scores, up))
        figures["auc"] = msgspec.structs.replace(band, resolution=area.resolution)
    return figures


def _slope_of_auc(scores: Floats, up: Floats) -> Floats:
    """Return how much the area grows with one more positive, and one negative less, in each bin."""
    down = scores - up
    positive, negative = float(up.sum()), float(down.sum())
    below = np.cumsum(down) - down / 2
    above = positive - np.cumsum(up) + up / 2
    won = float(up @ below)
    slope: Floats = (below - above - won / positive + won / negative) / (positive * negative)
    return slope


def _banded(report: PerformanceReport, scores: Floats, up: Floats, value: float, slope: Floats) -> Figure:
    """Return a figure with its band, given how much it grows with one more positive in each bin.

    Labels are independent draws at the rate of their bin; the rates themselves are those of the calibration's
    labels, which all finer bins within one of its bins share.
    """
    rates = np.divide(up, scores, out=np.zeros_like(up), where=scores > 0)
    variance = float(slope**2 @ (scores * rates * (1 - rates)))
    if report.calibration_rows:
        lower = np.array([-math.inf, *report.edges])
        coarse = np.searchsorted(report.calibration_edges, lower, side="right")
        bins = len(report.calibration_rows)
        lever = np.bincount(coarse, weights=scores * slope, minlength=bins)
        weight = np.bincount(coarse, weights=scores, minlength=bins)
        rate = np.divide(
            np.bincount(coarse, weights=up, minlength=bins), weight, out=np.zeros(bins), where=weight > 0
        )
        variance += float((lever**2 * rate * (1 - rate) / np.array(report.calibration_rows)).sum())
    half = Z * math.sqrt(max(0.0, variance))
    return Figure(value, max(0.0, value - half), min(1.0, value + half), int(scores.sum()))
