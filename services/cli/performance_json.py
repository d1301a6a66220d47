"""Realised quality as plain values, for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from services.cli.performance_compare import Difference
from services.cli.performance_reading import VersionQuality
from shared.quality.estimate import estimated
from shared.quality.figures import Figure, Figures, figures_of
from shared.quality.kpis import advise, worth


def as_json(versions: Sequence[VersionQuality], compared: Sequence[Difference]) -> list[dict[str, Any]]:
    """Return everything as plain values."""
    return [
        _version_json(one, [d for d in compared if (d.model, d.version) == (one.model, one.version)])
        for one in versions
    ]


def _version_json(version: VersionQuality, compared: Sequence[Difference]) -> dict[str, Any]:
    report, waiting = version.realised, version.open
    return {
        "model": version.model,
        "model_version": version.version,
        "champion": version.champion,
        "provisional": version.provisional,
        "window": {"start": report.window.start, "end": report.window.end},
        "predictions": version.every.quality.predictions,
        "answered": version.every.answered,
        "labels": msgspec.structs.asdict(version.every.labels),
        "orphans": version.orphans,
        "realised": _plain(figures_of(report)),
        "estimated": _plain(estimated(report)),
        "estimated_open": None if waiting is None else {
            "start": waiting.window.start, "end": waiting.window.end,
            "predictions": waiting.quality.predictions, "labels": waiting.quality.labels,
            "estimated": _plain(estimated(waiting)),
        },
        "estimate_trusted": version.concept is None,
        "concept_drift": msgspec.to_builtins(version.concept) if version.concept is not None else None,
        "confusion": report.quality.confusion,
        "kpis": {name: _plain_figure(worth(kpi)) for name, kpi in report.kpis.items()},
        "differences": [
            {"kpi": d.kpi, "against": d.against, "champion": d.champion, "windows": d.windows,
             "verdict": d.verdict, **(_plain_figure(d.figure) or {})}
            for d in compared
        ],
        "cut_offs": {
            name: {"now": a.now, "best": a.threshold if math.isfinite(a.threshold) else None,
                   "value_now": a.value_now, "value_best": a.value}
            for name, kpi in report.kpis.items()
            if report.threshold is not None
            and (a := advise(kpi, report.edges, report.threshold, kpi.goal)) is not None
        },
        "segments": {
            feature: {value: _plain(figures_of(report, quality)) for value, quality in values.items()}
            for feature, values in report.segments.items()
        },
        "windows": [
            {
                "start": window.window.start, "end": window.window.end, "final": window.final,
                "predictions": window.quality.predictions, "labels": window.quality.labels,
                "realised": _plain(figures_of(window)), "estimated": _plain(estimated(window)),
                "kpis": {name: _plain_figure(worth(kpi)) for name, kpi in window.kpis.items()},
            }
            for window in version.windows
        ],
    }  # fmt: skip


def _plain(figures: Figures) -> dict[str, Any]:
    return {name: _plain_figure(figure) for name, figure in figures.items()}


def _plain_figure(figure: Figure | None) -> dict[str, Any] | None:
    if figure is None:
        return None
    given: dict[str, Any] = msgspec.to_builtins(figure)
    return given
