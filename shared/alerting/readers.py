"""The vocabularies: what each kind of report can be asked about, and what its figures are called."""

from __future__ import annotations

from typing import Final

from shared.alerting import cutting
from shared.alerting.vocabulary import MODEL, Vocabulary, ratio

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
            cutting.inference,
            count="events",
            derive=cutting.inference_figures,
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
            cutting.service,
        ),
        Vocabulary(
            "topic",
            ("service", "topic"),
            {
                "lag": "records not yet read, in the partition that lags most",
                "consumed": "records read since the process began; its growth by all processes together",
            },
            cutting.topics,
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
            cutting.drift,
            count="events",
            derive=cutting.drift_figures,
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
            cutting.shadow,
            count="answered",
            pooled=True,
            derive=cutting.shadow_figures,
        ),
        Vocabulary("decision", (*MODEL, "revision"), cutting.DECISIONS, cutting.decision),
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
            cutting.performance,
            count="labels",
            derive=cutting.performance_figures,
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
            cutting.kpis,
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
