"""How well a version did, once labels and outcomes came: sums that merge, not figures that do not."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.messages.common import Message
from shared.messages.reports import Report
from shared.messages.shadow import Sums


class LabelCounts(Message, frozen=True, kw_only=True):
    """What became of the labels of a window's answers.

    Attributes
    ----------
    joined
        Answers that have a label which counts now.
    early
        Of those, how many labels were there before the answer was.
    corrected
        Labels that replaced another one; what the former one had contributed was taken back.
    duplicate
        Labels that said what was known already.
    late
        Labels observed after the horizon: counted here and nowhere else.
    missing
        Answers whose horizon passed without a label.
    unusable
        Labels that are no class of the model, or no number for a regression.
    """

    joined: int = 0
    early: int = 0
    corrected: int = 0
    duplicate: int = 0
    late: int = 0
    missing: int = 0
    unusable: int = 0


class ClassScores(Message, frozen=True, kw_only=True):
    """Labels of a multiclass model by bin of the probability that was given to one of its classes.

    Attributes
    ----------
    positives, negatives
        Those whose truth is the class, and all others.
    """

    positives: tuple[int, ...] = ()
    negatives: tuple[int, ...] = ()


class Realised(Message, frozen=True, kw_only=True):
    """The sums that a version's quality is computed from (:mod:`shared.quality`).

    Tuples run over the bins of the score, one more than the report has ``edges``; an empty one means
    zeros. A multiclass model's score is the probability of the class it chose, and the positive event is
    that it chose rightly.

    Attributes
    ----------
    predictions
        Answers.
    labels, correct
        Answers with a label that counts, and those of them that agree with it.
    scores, expected
        Answers per bin, and how many positives the calibration of the bundle expects among them.
    labelled, positives
        Labels per bin, and those of them that were positive.
    confusion
        Labels by truth and answer, both as text (classification).
    log_loss, brier
        Over the labels (classification).
    error, absolute_error, squared_error, percentage_error
        Answer minus truth over the labels (regression); the last in units of the truth's size, without the
        labels that are 0.
    residuals
        Labels by bin of answer minus truth (:mod:`shared.quality.residuals`), regression.
    by_class
        By class, the labels whose answer told the probabilities of all classes (multiclass, 20 classes at
        most, in segments 5): what AUC is computed from.
    """

    predictions: int = 0
    labels: int = 0
    correct: int = 0
    scores: tuple[int, ...] = ()
    expected: tuple[float, ...] = ()
    labelled: tuple[int, ...] = ()
    positives: tuple[int, ...] = ()
    confusion: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    log_loss: Sums | None = None
    brier: Sums | None = None
    error: Sums | None = None
    absolute_error: Sums | None = None
    squared_error: Sums | None = None
    percentage_error: Sums | None = None
    residuals: dict[str, int] = msgspec.field(default_factory=dict)
    by_class: dict[str, ClassScores] = msgspec.field(default_factory=dict)


class KpiSums(Message, frozen=True, kw_only=True):
    """A KPI over the answers that a version gave to the world, those in the shadow left out.

    Attributes
    ----------
    value
        What the declared expression came to.
    goal
        Whether more of it is better, or less.
    if_positive, if_negative
        Sum per bin of the score of what it would have come to had every answer in the bin been the
        positive (the negative) class: what the threshold advisor compares. Binary models only.
    """

    value: Sums
    goal: Literal["max", "min"] = "max"
    if_positive: tuple[float, ...] = ()
    if_negative: tuple[float, ...] = ()


class PerformanceReport(Report, frozen=True, kw_only=True, tag="performance"):
    """What is known of one window of one version's answers, from one partition of the joined log.

    The window is one of event time, of the answers and not of the labels: a window's report is
    written again as labels come in, until the label horizon has passed for all of it (``final``). Before
    that its realised figures are provisional, since labels that come early are seldom like the others.

    Attributes
    ----------
    task
        What the model does.
    answered
        Answers given to the world: by the champion, or by a candidate as a canary. The others came from
        the shadow.
    horizon
        Milliseconds after which a label counts no more.
    edges
        Of the score bins; the decision threshold is one of them.
    threshold, positive
        Of a binary model: where it decides, and the class it decides for.
    calibration_edges, calibration_rows
        The coarser bins of the bundle's label baseline, on which ``expected`` rests, and the independent
        labels in each; empty where the bundle has none, and the scores are taken as they are.
    labels
        What became of the labels.
    quality
        Over all answers of the version.
    segments
        The same by segment feature and value.
    kpis
        Sums by name of the KPI.
    outcomes, late_outcomes
        Outcomes that came for these answers, and those observed after the horizon, which count nowhere.
    late
        Answers that came when their own window was final already: counted here, judged nowhere.
    orphans
        Labels and outcomes, of whatever model, that found no answer in time: the running total of the
        partition, the same in all reports of one moment.
    """

    task: Literal["binary", "multiclass", "regression"]
    answered: int = 0
    horizon: int
    edges: tuple[float, ...] = ()
    threshold: float | None = None
    positive: str | None = None
    calibration_edges: tuple[float, ...] = ()
    calibration_rows: tuple[float, ...] = ()
    labels: LabelCounts
    quality: Realised
    segments: dict[str, dict[str, Realised]] = msgspec.field(default_factory=dict)
    kpis: dict[str, KpiSums] = msgspec.field(default_factory=dict)
    outcomes: int = 0
    late_outcomes: int = 0
    late: int = 0
    orphans: int = 0
