"""The ``[gates]`` section of ``model.toml``: what a candidate must show before a rule promotes it."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Annotated, Final, Literal

import msgspec

Metric = Literal["brier", "log_loss", "accuracy", "win_rate", "auc", "relative_error", "none"]

_METRICS: Final[dict[str, tuple[str, ...]]] = {
    "binary": ("brier", "log_loss", "accuracy", "win_rate", "auc", "none"),
    "multiclass": ("brier", "log_loss", "accuracy", "win_rate", "none"),
    "regression": ("relative_error", "win_rate", "none"),
}
"""Metrics by task, the default in front."""

Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class GatesSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What decides about a promotion; the gates in force are those of the champion.

    Attributes
    ----------
    metric
        By which candidate and champion are compared beside the truth, pair by pair: ``brier``,
        ``log_loss`` (clipped), ``accuracy``, ``win_rate`` (wins minus losses, as a share of all pairs),
        ``auc`` (asymptotic), ``relative_error`` (regression), or ``none`` where labels never come.
        Left out: ``brier``, and ``relative_error`` for a regression.
    rule
        ``superior``: shown to be better by more than ``margin``; ``non-inferior``: shown to be no worse
        than by ``margin``.
    margin
        In units of the metric.
    alpha
        Chance that the confidence sequence of the metric ever excludes the true difference, however
        often it is looked at.
    min_events
        Pairs of answers, with or without a label.
    min_labels
        Pairs with a label; with fewer nothing is decided by labels, neither for nor against a candidate.
        It should take several days of traffic: what is true of one day need not be of the next.
    max_error_rate
        Of the events that the candidate was asked about, those it could not answer and the champion could.
    max_latency_ratio
        Candidate's time per event over the champion's, both measured in the shadow.
    min_agreement
        Share of the pairs with the same decided label.
    guard_segments
        Features, each one of ``segments``: no value of theirs may be worse by ``segment_margin``.
    segment_margin
        In units of the metric; left out, ``margin``, or 0.02 where that is 0.
    min_segment_labels
        Pairs with a label below which a segment decides nothing.
    probation
        Seconds of event time, in whole windows, in which the old champion stays as candidate after a
        promotion by these gates, and takes over again when a gate turns; 0 for none.
    probation_margin
        How much worse the new champion may be shown to be in its probation, in units of the metric;
        left out, ``margin`` where the rule is ``non-inferior``, else what is tolerated in segments.
    answer_within
        Seconds in which a new champion in probation has to answer: as long without any answer, or with the
        old version's only, and it is rolled back. A canary that inference cannot load, or with which nobody
        answers any more, is given up after as long.
    automatic
        Whether promotions, refusals and canary steps happen without a person.
    canary_steps
        Percent of the traffic that a candidate that passes is given, one step after the other, before
        it is promoted; empty for none.
    step_events
        Events that the canary has to answer at each step.
    """

    metric: Metric | None = None
    rule: Literal["superior", "non-inferior"] = "superior"
    margin: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    alpha: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.05
    min_events: Count = 10_000
    min_labels: Annotated[int, msgspec.Meta(ge=1, le=10**12)] = 1_000
    max_error_rate: Share = 0.001
    max_latency_ratio: Annotated[float, msgspec.Meta(gt=0)] = 2.0
    min_agreement: Share = 0.0
    guard_segments: tuple[str, ...] = ()
    segment_margin: Annotated[float, msgspec.Meta(gt=0)] | None = None
    min_segment_labels: Annotated[int, msgspec.Meta(ge=1, le=10**12)] = 200
    probation: Annotated[int, msgspec.Meta(ge=0, le=315_360_000)] = 86_400
    probation_margin: Annotated[float, msgspec.Meta(gt=0)] | None = None
    answer_within: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 600
    automatic: bool = False
    canary_steps: tuple[float, ...] = ()
    step_events: Annotated[int, msgspec.Meta(ge=1, le=10**12)] = 1_000

    @property
    def tolerated_in_segments(self) -> float:
        """How much worse a guarded segment may be, in units of the metric."""
        return self.segment_margin or self.margin or 0.02

    @property
    def tolerated_in_probation(self) -> float:
        """How much worse a new champion may be shown to be, in units of the metric."""
        own = self.margin if self.rule == "non-inferior" else self.tolerated_in_segments
        return self.probation_margin or own


def metric_of(gates: GatesSpec, task: str) -> Metric:
    """Return the metric that a task is judged by.

    Examples
    --------
    >>> metric_of(GatesSpec(), "binary"), metric_of(GatesSpec(), "regression")
    ('brier', 'relative_error')
    """
    default: Metric = "relative_error" if task == "regression" else "brier"
    return gates.metric or default


def gate_contradictions(gates: GatesSpec, task: str, segments: Collection[str]) -> list[str]:
    """Return one sentence per pair of keys that cannot both hold."""
    metric = metric_of(gates, task)
    problems = [
        f"guard_segments names {name!r}, which is not in segments"
        for name in gates.guard_segments
        if name not in segments
    ]
    if metric not in _METRICS[task]:
        problems.append(f"metric {metric!r} is none of a {task} task, which has {', '.join(_METRICS[task])}")
    problems += _margin_problems(gates, metric)
    if metric == "none" and gates.guard_segments:
        problems.append("guard_segments needs a metric, and metric is 'none'")
    if task == "regression" and gates.min_agreement > 0:
        problems.append("min_agreement belongs to a task with labels, and a regression has none")
    if not all(0 < step <= 100 for step in gates.canary_steps):
        problems.append("canary_steps are percentages above 0, up to 100")
    if list(gates.canary_steps) != sorted(set(gates.canary_steps)):
        problems.append("canary_steps must rise")
    if gates.canary_steps and not gates.automatic:
        problems.append("canary_steps are taken by rule, which needs automatic = true")
    if not math.isfinite(gates.max_latency_ratio):
        problems.append("max_latency_ratio must be a finite number")
    return [f"gates.{problem}" for problem in problems]


def _margin_problems(gates: GatesSpec, metric: Metric) -> list[str]:
    bound = 6.9 if metric == "log_loss" else 1.0
    problems = []
    if gates.rule == "non-inferior" and gates.margin == 0 and metric != "none":
        problems.append("rule 'non-inferior' needs a margin above 0; with a margin of 0 it is 'superior'")
    for key in ("margin", "segment_margin", "probation_margin"):
        value = getattr(gates, key)
        if value is not None and not value < bound:
            problems.append(f"{key} is {value:g}, and {metric} cannot differ by more than {bound:g}")
    return problems
