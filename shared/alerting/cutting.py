"""How each kind of report is cut into parts, and the figures of a merged part that are no sums or peaks."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from shared.alerting.vocabulary import Part, labels, quantile, ratio
from shared.messages import (
    DecisionReport,
    DriftReport,
    InferenceReport,
    PerformanceReport,
    ServiceReport,
    ShadowReport,
)
from shared.messages.shadow import Sums
from shared.quality.estimate import estimated
from shared.quality.figures import auc
from shared.vitals import MODEL_FAILED

DECISIONS: Final = {
    "promoted": "1 for a promotion by the gates",
    "refused": "1 for a candidate that the gates refused",
    "rolled_back": "1 for a champion that a gate turned against in its probation",
    "canary_paused": "1 for a canary whose traffic a gate took away",
}
"""The decisions that are figures, each 1 in the report that says so."""


def inference(report: InferenceReport) -> list[Part]:
    """Return one part, with the latencies as a histogram."""
    return [
        Part(
            labels(model=report.model, model_version=report.model_version),
            {
                "predictions": report.predictions,
                "errors": sum(report.errors.values()),
                "failures": report.errors.get(MODEL_FAILED, 0),
                "late": report.late,
            },
            counts=report.latency.counts,
            edges=report.latency.edges,
        )
    ]


def inference_figures(part: Part) -> dict[str, float]:
    """Return shares of the events, and quantiles of the latency."""
    events = part.sums["predictions"] + part.sums["errors"]
    figures = {"events": events}
    figures |= ratio("error_ratio", part.sums["errors"], events)
    figures |= ratio("failure_ratio", part.sums["failures"], events)
    figures |= ratio("late_ratio", part.sums["late"], part.sums["predictions"])
    for share in (50, 95, 99):
        value = quantile(share / 100, part.edges, part.counts)
        if value is not None:
            figures[f"latency_p{share}"] = value
    return figures


def service(report: ServiceReport) -> list[Part]:
    """Return one part, of one process."""
    peaks = {
        "ready": float(not report.not_ready),
        "partitions": report.partitions,
        "lag": max(report.lag.values(), default=0),
        "consumed": sum(report.consumed.values()),
        "dead_letters": sum(report.dead_letters.values()),
        "failures": report.prediction_failures,
        "load_failures": report.model_load_failures,
        "models_in_trouble": len(report.model_trouble),
    }
    if report.registry_up is not None:
        peaks["registry_up"] = float(report.registry_up)
    notes = {}
    if report.not_ready:
        notes["not_ready"] = "; ".join(report.not_ready.values())
    if report.model_trouble:
        notes["trouble"] = "; ".join(f"{model}: {why}" for model, why in report.model_trouble.items())
    return [Part(labels(service=report.service, instance=report.instance), peaks=peaks, notes=notes)]


def topics(report: ServiceReport) -> list[Part]:
    """Return a part for each topic that a process reads."""
    return [
        Part(
            labels(service=report.service, topic=topic),
            peaks={"lag": report.lag.get(topic, 0), "consumed": report.consumed.get(topic, 0)},
        )
        for topic in sorted(report.lag.keys() | report.consumed.keys())
    ]


def drift(report: DriftReport) -> list[Part]:
    """Return a part for each channel."""
    parts = []
    for channel in report.channels:
        peaks = {"evidence": channel.evidence, "peak": channel.peak, "alarming": float(channel.alarming)}
        peaks["active"] = float(report.active)
        notes = {}
        if report.budget is not None:
            peaks["threshold"] = report.budget.threshold
        if channel.alarm is not None:
            peaks |= {"alarm_evidence": channel.alarm.evidence, "times": channel.alarm.times}
            why = channel.alarm.explanation or channel.alarm.detail
            if channel.alarm.segment is not None:
                why = f"at {channel.alarm.segment}: {why}"
            notes = {"change": channel.alarm.change, "why": why}
        if (figures := channel.figures) is not None:
            known = {
                "events": figures.events,
                "psi": figures.psi,
                "jensen_shannon": figures.jensen_shannon,
                "missing": figures.missing,
                "wasserstein": figures.wasserstein,
                "unseen": figures.unseen,
            }
            peaks |= {name: float(value) for name, value in known.items() if value is not None}
        of = labels(
            model=report.model,
            model_version=report.model_version,
            channel=channel.name,
            source=channel.source,
        )
        parts.append(Part(of, peaks=peaks, notes=notes))
    return parts


def drift_figures(part: Part) -> dict[str, float]:
    """Return the evidence as a share of its threshold."""
    return ratio("evidence_share", part.peaks["evidence"], part.peaks.get("threshold", 0.0))


def _put(into: dict[str, float], name: str, sums: Sums | None) -> None:
    if sums is not None and sums.n:
        into |= {f"{name}_n": sums.n, f"{name}_total": sums.total, f"{name}_squares": sums.squares}


def shadow(report: ShadowReport) -> list[Part]:
    """Return one part, of a candidate beside its champion."""
    judged, comparison = report.judged, report.comparison
    sums: dict[str, float] = {
        "pairs": comparison.both,
        "champion_only": comparison.champion_only,
        "answered": comparison.both + comparison.champion_only,
        "agreed": comparison.agreed,
        "labelled_pairs": judged.pairs,
        "wins": judged.wins,
        "losses": judged.losses,
        "errors": sum(report.errors.values()),
    }
    _put(sums, "brier", judged.brier)
    _put(sums, "correct", judged.correct)
    _put(sums, "relative_error", judged.relative_error)
    notes = {"trouble": report.trouble or ", ".join(sorted(report.errors)) or "nobody says why"}
    of = labels(
        model=report.model, model_version=report.model_version, champion_version=report.champion_version
    )
    return [Part(of, sums, {"trouble": float(report.trouble is not None)}, notes=notes)]


def shadow_figures(part: Part) -> dict[str, float]:
    """Return shares of the pairs, and mean gains with their standard errors."""
    sums = part.sums
    figures = ratio("missing_ratio", sums["champion_only"], sums["answered"])
    figures |= ratio("agreement", sums["agreed"], sums["pairs"])
    for source, name in (("brier", "gain"), ("relative_error", "gain"), ("correct", "accuracy_gain")):
        count = sums.get(f"{source}_n", 0.0)
        if count > 1:
            mean = sums[f"{source}_total"] / count
            variance = max(sums[f"{source}_squares"] / count - mean**2, 0.0)
            if variance > 0 or name not in figures:  # a classifier's relative errors are all zero
                figures[name] = mean
            if variance > 0:
                figures[f"{name}_z"] = mean / math.sqrt(variance / count)
    return figures


def performance(report: PerformanceReport) -> list[Part]:
    """Return one part; of a binary model labels and positives by bin of the score as its histogram."""
    quality = report.quality
    sums: dict[str, float] = {
        "predictions": quality.predictions,
        "labels": quality.labels,
        "correct": quality.correct,
        "missing_labels": report.labels.missing,
        "late_labels": report.labels.late,
        "classification": float(report.task != "regression"),
    }
    for name in ("log_loss", "brier", "absolute_error", "squared_error"):
        _put(sums, name, getattr(quality, name))
    if (promised := estimated(report).get("accuracy")) is not None:
        sums |= {"scored": promised.n, "promised": promised.value * promised.n}
    of = labels(model=report.model, model_version=report.model_version)
    if report.task != "binary" or not quality.labelled:
        return [Part(of, sums)]
    positives = quality.positives or (0,) * len(quality.labelled)
    sums["positive_labels"] = sum(positives)
    return [Part(of, sums, counts=(*quality.labelled, *positives), edges=report.edges)]


def performance_figures(part: Part) -> dict[str, float]:
    """Return means over the labels, what the scores promise, and the AUC."""
    sums = part.sums
    figures = ratio("accuracy", sums["correct"], sums["labels"]) if sums["classification"] else {}
    for name in ("log_loss", "brier", "absolute_error", "squared_error"):
        figures |= ratio(name, sums.get(f"{name}_total", 0.0), sums.get(f"{name}_n", 0.0))
    figures |= ratio("estimated_accuracy", sums.get("promised", 0.0), sums.get("scored", 0.0))
    if "positive_labels" in sums:
        labelled, positives = np.array(part.counts, np.float64).reshape(2, -1)
        figures["rarer_labels"] = float(min(positives.sum(), (labelled - positives).sum()))
        if (area := auc(positives, labelled - positives)) is not None:
            figures["auc"] = area.value
    return figures | ratio("missing_label_ratio", sums["missing_labels"], sums["predictions"])


def kpis(report: PerformanceReport) -> list[Part]:
    """Return a part for each business figure."""
    return [
        Part(
            labels(model=report.model, model_version=report.model_version, kpi=name),
            {"events": kpi.value.n, "total": kpi.value.total},
            {"provisional": float(not report.final)},
        )
        for name, kpi in report.kpis.items()
    ]


def decision(report: DecisionReport) -> list[Part]:
    """Return one part; no decision replaces another."""
    of = labels(model=report.model, model_version=report.model_version, revision=str(report.revision))
    peaks = {name: float(report.decision == name.replace("_", "-")) for name in DECISIONS}
    return [Part(of, peaks=peaks, notes={"why": report.reason})]
