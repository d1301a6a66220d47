"""The vocabularies: how each kind of report is read, and what its figures are called."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from shared.alerting.vocabulary import MODEL, Part, Vocabulary, labels, quantile, ratio
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


def _inference(report: InferenceReport) -> list[Part]:
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


def _inference_figures(part: Part) -> dict[str, float]:
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


def _service(report: ServiceReport) -> list[Part]:
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


def _topics(report: ServiceReport) -> list[Part]:
    return [
        Part(
            labels(service=report.service, topic=topic),
            peaks={"lag": report.lag.get(topic, 0), "consumed": report.consumed.get(topic, 0)},
        )
        for topic in sorted(report.lag.keys() | report.consumed.keys())
    ]


def _drift(report: DriftReport) -> list[Part]:
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


def _drift_figures(part: Part) -> dict[str, float]:
    return ratio("evidence_share", part.peaks["evidence"], part.peaks.get("threshold", 0.0))


def _put(into: dict[str, float], name: str, sums: Sums | None) -> None:
    if sums is not None and sums.n:
        into |= {f"{name}_n": sums.n, f"{name}_total": sums.total, f"{name}_squares": sums.squares}


def _shadow(report: ShadowReport) -> list[Part]:
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


def _shadow_figures(part: Part) -> dict[str, float]:
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


def _performance(report: PerformanceReport) -> list[Part]:
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


def _performance_figures(part: Part) -> dict[str, float]:
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


def _kpis(report: PerformanceReport) -> list[Part]:
    return [
        Part(
            labels(model=report.model, model_version=report.model_version, kpi=name),
            {"events": kpi.value.n, "total": kpi.value.total},
            {"provisional": float(not report.final)},
        )
        for name, kpi in report.kpis.items()
    ]


def _decision(report: DecisionReport) -> list[Part]:
    of = labels(model=report.model, model_version=report.model_version, revision=str(report.revision))
    peaks = {name: float(report.decision == name.replace("_", "-")) for name in _DECISIONS}
    return [Part(of, peaks=peaks, notes={"why": report.reason})]


_DECISIONS: Final = {
    "promoted": "1 for a promotion by the gates",
    "refused": "1 for a candidate that the gates refused",
    "rolled_back": "1 for a champion that a gate turned against in its probation",
    "canary_paused": "1 for a canary whose traffic a gate took away",
}


VOCABULARIES: Final = {
    vocabulary.kind: vocabulary
    for vocabulary in (
        Vocabulary(
            "inference",
            MODEL,
            {
                "events": "events counted in the window, scored and refused",
                "predictions": "events scored",
                "errors": "dead letters",
                "error_ratio": "dead letters as a share of the events",
                "failures": "events on which the model itself failed",
                "failure_ratio": "the same as a share of the events",
                "late": "events counted although their own window had closed",
                "late_ratio": "the same as a share of the predictions",
                "latency_p50": "median seconds from arrival to scoring",
                "latency_p95": "95 % quantile of the same",
                "latency_p99": "99 % quantile of the same",
            },
            _inference,
            count="events",
            derive=_inference_figures,
        ),
        Vocabulary(
            "service",
            ("service", "instance"),
            {
                "ready": "1 while the process is ready, else 0",
                "partitions": "partitions it owns",
                "lag": "records not yet read, in the partition that lags most",
                "consumed": "records read since it began",
                "dead_letters": "records refused since it began",
                "failures": "records on which the model itself failed, since it began",
                "load_failures": "model versions that could not be loaded, attempts since it began",
                "models_in_trouble": "models that are not at the version the registry wants",
                "registry_up": "1 while the registry answers, 0 while it is away",
            },
            _service,
        ),
        Vocabulary(
            "topic",
            ("service", "topic"),
            {
                "lag": "records not yet read, in the partition that lags most",
                "consumed": "records read since the process began; its growth by all processes together",
            },
            _topics,
            shared=True,
        ),
        Vocabulary(
            "drift",
            (*MODEL, "channel", "source"),
            {
                "alarming": "1 while the channel's alarm is on, else 0",
                "active": "1 while the version is champion, else 0",
                "evidence": "log10 of the evidence for a change now",
                "peak": "the highest evidence within the window",
                "threshold": "log10 of the evidence at which all channels together alarm",
                "evidence_share": "evidence as a share of the threshold",
                "alarm_evidence": "log10 of the evidence when the alarm was raised",
                "times": "how often the alarm has been raised",
                "events": "events in the window",
                "psi": "population stability index against the baseline",
                "jensen_shannon": "Jensen-Shannon distance to the baseline, 0 to 1",
                "wasserstein": "Wasserstein distance in standard deviations of the baseline",
                "missing": "share of missing values",
                "unseen": "share of categories that training did not contain",
            },
            _drift,
            count="events",
            derive=_drift_figures,
        ),
        Vocabulary(
            "shadow",
            (*MODEL, "champion_version"),
            {
                "pairs": "events that champion and candidate both answered",
                "champion_only": "events that only the champion answered",
                "answered": "events that the champion answered",
                "missing_ratio": "events that only the champion answered, as a share of those",
                "errors": "events without an answer of the candidate",
                "agreed": "pairs with the same label",
                "agreement": "the same as a share of the pairs",
                "labelled_pairs": "pairs with a label",
                "wins": "pairs in which the candidate was closer to the truth",
                "losses": "pairs in which the champion was",
                "gain": "mean loss of the champion minus that of the candidate (Brier, or relative error)",
                "gain_z": "the same in standard errors: below -4 the candidate is worse beyond doubt",
                "accuracy_gain": "accuracy of the candidate minus that of the champion",
                "accuracy_gain_z": "the same in standard errors",
                "trouble": "1 while the candidate gives no answers, else 0",
            },
            _shadow,
            count="answered",
            pooled=True,
            derive=_shadow_figures,
        ),
        Vocabulary("decision", (*MODEL, "revision"), _DECISIONS, _decision),
        Vocabulary(
            "performance",
            MODEL,
            {
                "predictions": "answers in the window",
                "labels": "answers whose label is known",
                "correct": "of those, the right ones",
                "accuracy": "the same as a share of the labels",
                "estimated_accuracy": "what the scores promise of it before labels come",
                "auc": "area under the ROC curve (binary)",
                "rarer_labels": "labels of the rarer class (binary)",
                "log_loss": "mean log loss",
                "brier": "mean Brier score",
                "absolute_error": "mean absolute error of a regression",
                "squared_error": "mean squared error of a regression",
                "missing_labels": "answers whose horizon passed without a label",
                "missing_label_ratio": "the same as a share of the answers",
                "late_labels": "labels that came after the horizon",
            },
            _performance,
            count="labels",
            derive=_performance_figures,
        ),
        Vocabulary(
            "kpi",
            (*MODEL, "kpi"),
            {
                "events": "answers with an outcome",
                "total": "what the KPI came to in the window",
                "mean": "the same per answer",
                "provisional": "1 while more outcomes are waited for: early ones are seldom like the others",
            },
            _kpis,
            count="events",
            derive=lambda part: ratio("mean", part.sums["total"], part.sums["events"]),
        ),
    )
}
"""By the word after ``reports:`` in a rule."""

KINDS: Final[dict[str, tuple[str, ...]]] = {
    "inference": ("inference",),
    "service": ("service", "topic"),
    "drift": ("drift",),
    "shadow": ("shadow",),
    "decision": ("decision",),
    "performance": ("performance", "kpi"),
}
"""The vocabularies of each kind of report."""
