"""The drift report: what the detectors know about one model version, channel by channel."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.messages.common import Message
from shared.messages.reports import Report
from shared.messages.scoring import Source

DriftSource = Literal["features", "predictions", "labels"]
"""Where a channel's values come from: events, predictions, or labels that came later."""


class DriftMoment(Message, frozen=True, kw_only=True):
    """A point in the stream.

    Attributes
    ----------
    events
        Events that the detector had seen by then, over all partitions.
    occurred_at
        Event time there, epoch milliseconds.
    source
        The last record counted by then in the partition where it happened.
    """

    events: int
    occurred_at: int
    source: Source


class DriftSegment(Message, frozen=True, kw_only=True):
    """Where a change is: the categories of one feature whose rows explain it.

    Attributes
    ----------
    feature, categories
        What to look at; at most three categories, the most changed first.
    explained
        Share of the change that is in their rows, 0 to 1.
    events
        Share of the events since the change that are theirs, 0 to 1.
    """

    feature: str
    categories: tuple[str, ...]
    explained: float
    events: float

    def __str__(self) -> str:
        return f"{self.feature}={', '.join(self.categories)}"


class DriftOpinion(Message, frozen=True, kw_only=True):
    """A second opinion that needs no baseline: ADWIN compares the stream with its own past.

    It raises no alarm. Where it finds changes and no channel alarms, the baseline may be stale or learnt
    from data that had drifted already; where a channel alarms and it finds none, the change is slow, or
    is not one of the mean.

    Attributes
    ----------
    channel
        What it looks at: the model's score, as ranks among the training values; the scores themselves while a
        baseline is learnt, if they are probabilities. In a report about labels the model's ``error``: wrong
        or right, or how far out a regression was among the errors of its baseline.
    width
        So many of the last events (labels) look alike: what a retraining may use.
    changes
        How many it has found.
    last_change
        Where it found the last one; absent before the first.
    """

    channel: str
    width: int
    changes: int = 0
    last_change: DriftMoment | None = None


class DriftAlarm(Message, frozen=True, kw_only=True):
    """A change that was found in one channel; it stays on (latched) until it is cleared by rule.

    Attributes
    ----------
    change
        What explains it best: ``location``, ``scale``, ``missing``, ``unseen``, ``category``, ``shape``
        or ``concept``.
    detail
        The same for a person ("mean +0.32 sd").
    evidence
        log10 of the channel's evidence when the alarm was raised, the largest of them where it was again.
    raised
        Where it was raised: one alarm has one such place, whatever comes later.
    change_point
        Where the change began, as estimated.
    times
        How often the detector has raised it since: a change that lasts raises it again and again.
    last
        Where it was last raised.
    cleared
        Where it was cleared; absent while it is on.
    explanation
        One sentence in the units of the feature ("mean 81.2 instead of 38.9").
    segment
        Where the change is; absent where it is not one of a few categories of a feature.
    """

    change: str
    detail: str
    evidence: float
    raised: DriftMoment
    change_point: DriftMoment
    times: int = 1
    last: DriftMoment | None = None
    cleared: DriftMoment | None = None
    explanation: str = ""
    segment: DriftSegment | None = None


class DriftFigures(Message, frozen=True, kw_only=True):
    """Familiar figures of one channel in this window; they explain an alarm and never raise one.

    While a baseline is being learnt they are of all values so far, and there is nothing to compare them with.

    Attributes
    ----------
    events
        Events in the window.
    psi, jensen_shannon
        Population stability index; Jensen-Shannon distance (base 2, 0 to 1). Both against the baseline; 0
        while there is none.
    wasserstein
        Numeric: Wasserstein-1 distance in standard deviations of the baseline.
    missing, unseen
        Shares, 0 to 1.
    mean, sd
        Numeric: of the window's own values.
    quantiles
        Numeric: 5, 25, 50, 75 and 95 %, interpolated in the bins.
    adjusted
        Whether quantiles are seasonally adjusted: what the values would be in an hour of average mean and
        spread.
    reference_mean, reference_sd, reference_quantiles
        The same of the baseline.
    top
        Categories: the most frequent ones and their events in the window.
    new
        Categories: the most frequent of those that training did not contain, and their events since the
        version began, at least.
    histogram
        Numeric, while a baseline is being learnt: ``(from, to, values)`` of at most 32 bins.
    """

    events: int
    psi: float = 0.0
    jensen_shannon: float = 0.0
    wasserstein: float | None = None
    missing: float = 0.0
    unseen: float | None = None
    mean: float | None = None
    sd: float | None = None
    quantiles: tuple[float, ...] = ()
    reference_mean: float | None = None
    reference_sd: float | None = None
    reference_quantiles: tuple[float, ...] = ()
    adjusted: bool = False
    top: tuple[tuple[str, int], ...] = ()
    new: tuple[tuple[str, int], ...] = ()
    histogram: tuple[tuple[float, float, int], ...] = ()


class DriftChannel(Message, frozen=True, kw_only=True):
    """One channel: a feature, the score, the predicted class, joint drift, or label given score.

    Attributes
    ----------
    name
        Name of the feature, or ``score``, ``predicted_class``, ...
    kind
        ``numeric``, ``categorical`` or ``boolean``.
    reason
        Why the channel is not calibrated and never alarms; absent where it is.
    evidence
        log10 of the evidence for a change at the end of what was counted here, 0 or more. With all
        channels together it alarms at ``budget.threshold``.
    peak
        The highest evidence within the window; an alarm sets evidence back to 0, but not this.
    floor
        Smallest shift of the mean that the channel can see, in standard deviations.
    alarm
        The latched alarm, or the last one where it has been cleared; absent where there never was one.
    figures
        Absent where the window has no event of it, or the channel has no bins.
    bins
        Names of the bins, in order.
    reference, current
        Training rows, and the window's events, per bin.
    """

    name: str
    kind: str
    source: DriftSource
    reason: str | None = None
    evidence: float = 0.0
    peak: float = 0.0
    floor: float | None = None
    alarm: DriftAlarm | None = None
    figures: DriftFigures | None = None
    bins: tuple[str, ...] = ()
    reference: tuple[int, ...] = ()
    current: tuple[int, ...] = ()

    @property
    def calibrated(self) -> bool:
        """Whether the channel takes part in detection."""
        return self.reason is None

    @property
    def alarming(self) -> bool:
        """Whether an alarm is on now."""
        return self.alarm is not None and self.alarm.cleared is None


class DriftBudget(Message, frozen=True, kw_only=True):
    """The promise that the detectors keep, and what it rests on.

    Attributes
    ----------
    false_alarms_per_30_days
        What ``model.toml`` asks for, all channels of the model together.
    events_per_30_days
        The event rate it was translated with.
    rate_from
        ``declared`` in ``model.toml``, or ``measured`` in event time.
    events_between_false_alarms
        A: the mean number of events between two false alarms.
    threshold
        log10(A): an alarm is raised where the mean evidence over the channels reaches it.
    expected_false_alarms
        Of the events seen so far: at most this many, on average.
    floor
        The smallest shift that the best of the calibrated channels can see, in standard deviations.
    """

    false_alarms_per_30_days: float
    events_per_30_days: float
    rate_from: Literal["declared", "measured"]
    events_between_false_alarms: float
    threshold: float
    expected_false_alarms: float
    floor: float | None = None


class DriftReport(Report, frozen=True, kw_only=True, tag="drift"):
    """What is known about drift of one model version at the end of one window of event time.

    It speaks for all partitions of the source topics at once: ``source_topic`` and ``partition`` are
    those of the merged counts. The window bounds ``figures`` and ``peak``; ``evidence`` and ``alarm``
    go on from window to window.

    Attributes
    ----------
    events, predictions
        Events and predictions counted in the window.
    skipped
        Records so far that were no event or prediction of this model, by reason.
    late
        Events counted here although their own window had closed.
    baseline
        ``bundle``; ``learning`` until events enough are collected, and have shown the rhythm that they may
        have (nothing can alarm yet);
        ``learnt`` from the first events, for a bundle without a baseline: what was wrong already then
        is taken for normal.
    baseline_rows
        Rows the baseline was fitted from, or events collected so far.
    baseline_span
        Milliseconds of event time from the first of those rows to the last; 0 where it is not known.
    ordered
        Whether those rows came with times. If not, no season was looked for, and their own order was taken
        for that of time: if they were shuffled, the budget holds only if events are independent.
    budget
        Absent until the event rate is known.
    active
        Whether the version is champion, as far as was counted.
    unordered
        Slots that could not wait for their turn: where not 0, another run may differ in them.
    second_opinion
        Absent before the first prediction.
    """

    events: int
    predictions: int = 0
    skipped: dict[str, int] = msgspec.field(default_factory=dict)
    late: int = 0
    baseline: Literal["bundle", "learning", "learnt"] = "bundle"
    baseline_rows: int = 0
    baseline_span: int = 0
    ordered: bool = True
    budget: DriftBudget | None = None
    active: bool = True
    unordered: int = 0
    second_opinion: DriftOpinion | None = None
    channels: tuple[DriftChannel, ...] = ()

    @property
    def alarming(self) -> tuple[DriftChannel, ...]:
        """The channels whose alarm is on, strongest evidence first."""
        on = [channel for channel in self.channels if channel.alarming]
        return tuple(sorted(on, key=lambda channel: -channel.alarm.evidence if channel.alarm else 0.0))
