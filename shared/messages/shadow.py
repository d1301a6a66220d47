"""The report of the shadow: champion and candidate on the same events, and beside the truth."""

from __future__ import annotations

import msgspec

from shared.messages.common import Message
from shared.messages.reports import Histogram, Report


class Sums(Message, frozen=True, kw_only=True):
    """Count, sum and sum of squares of some number per event; merged by addition."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0


class Comparison(Message, frozen=True, kw_only=True):
    """How often the two answered, and how often they said the same; merged by addition.

    Every event that the candidate was asked about is in exactly one of the first five.

    Attributes
    ----------
    both
        Both answered.
    champion_only
        The champion answered, the candidate refused the event or failed on it.
    candidate_only
        The candidate answered, the champion refused the event or failed on it.
    neither
        Neither answered.
    canary
        The candidate answered in the champion's place, so there is no pair.
    agreed
        Of ``both``: the decided label was the same. A regression decides on no label: 0.
    flips
        Of ``both``: by the champion's label, by the candidate's other label.
    difference
        Of ``both``: the candidate's score minus the champion's. In a multiclass task the scores are
        those of the class each decided on.
    """

    both: int = 0
    champion_only: int = 0
    candidate_only: int = 0
    neither: int = 0
    canary: int = 0
    agreed: int = 0
    flips: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    difference: Sums = Sums()


class Quality(Message, frozen=True, kw_only=True):
    """What one of the two got right and wrong over the pairs with a label; merged by addition.

    Attributes
    ----------
    correct
        Events whose decided label was the truth.
    log_loss
        Sum of the log loss, each clipped to ``-ln(0.001)``.
    brier
        Sum of the Brier score, each in [0, 1] (multiclass: half the sum over the classes).
    absolute_error, squared_error
        Sums for a regression.
    """

    correct: int = 0
    log_loss: float = 0.0
    brier: float = 0.0
    absolute_error: float = 0.0
    squared_error: float = 0.0


class Judged(Message, frozen=True, kw_only=True):
    """Champion and candidate beside the truth, pair by pair; merged by addition.

    A difference is the champion's loss minus the candidate's, so that above zero the candidate is
    better. Each is bounded, so that a confidence sequence needs nothing but these sums.

    Attributes
    ----------
    pairs
        Events with a label that both answered. A corrected label takes the old one back, so that a
        window on its own may come out negative; the sum over windows never does.
    wins, losses, ties
        Pairs in which the candidate's loss was the smaller, the larger, the same.
    log_loss
        Differences in [-6.91, 6.91]: losses are clipped to ``-ln(0.001)``.
    brier
        Differences in [-1, 1].
    correct
        Differences in {-1, 0, 1}: whether the candidate's label is the truth minus whether the
        champion's is.
    relative_error
        For a regression, in [-1, 1]: ``(c - d) / (c + d)`` of the absolute errors ``c`` of the
        champion and ``d`` of the candidate, 0 where both are 0.
    champion, candidate
        The sums of each on its own.
    """

    pairs: int = 0
    wins: int = 0
    losses: int = 0
    ties: int = 0
    log_loss: Sums = Sums()
    brier: Sums = Sums()
    correct: Sums = Sums()
    relative_error: Sums = Sums()
    champion: Quality = Quality()
    candidate: Quality = Quality()


class Ranking(Message, frozen=True, kw_only=True):
    """Scores of the pairs of a binary task by their truth, for AUC; merged by addition.

    Attributes
    ----------
    edges
        Edges of the bins, as in a histogram.
    champion_positive, champion_negative, candidate_positive, candidate_negative
        Pairs by the bin of that one's score, whose truth was the positive or the negative class.
    joint_edges
        Coarser edges of ``joint_positive`` and ``joint_negative``.
    joint_positive, joint_negative
        ``(champion's bin, candidate's bin, pairs)``, only where there are any: what the covariance
        of the two AUCs needs.
    """

    edges: tuple[float, ...] = ()
    champion_positive: tuple[int, ...] = ()
    champion_negative: tuple[int, ...] = ()
    candidate_positive: tuple[int, ...] = ()
    candidate_negative: tuple[int, ...] = ()
    joint_edges: tuple[float, ...] = ()
    joint_positive: tuple[tuple[int, int, int], ...] = ()
    joint_negative: tuple[tuple[int, int, int], ...] = ()


class Timing(Message, frozen=True, kw_only=True):
    """Processor time that a model itself took, measured in the shadow; merged by addition.

    Attributes
    ----------
    events
        Events scored in the micro-batches that were timed.
    seconds
        Processor time they took together.
    """

    events: int = 0
    seconds: float = 0.0


class Segment(Message, frozen=True, kw_only=True):
    """The same counts over the events of one segment; merged by addition.

    Attributes
    ----------
    difference, champion_scores, candidate_scores, champion_latency, candidate_latency
        Counts over the edges of the report's own histogram of that name; empty without a pair.
    """

    comparison: Comparison = Comparison()
    judged: Judged = Judged()
    difference: tuple[int, ...] = ()
    champion_scores: tuple[int, ...] = ()
    candidate_scores: tuple[int, ...] = ()
    champion_latency: tuple[int, ...] = ()
    candidate_latency: tuple[int, ...] = ()


class Example(Message, frozen=True, kw_only=True):
    """An event on which the two differ most, to look at."""

    event_id: str
    partition: int
    offset: int
    occurred_at: int
    champion_score: float
    candidate_score: float
    champion_label: str | None = None
    candidate_label: str | None = None
    segments: dict[str, str] | None = None


class ShadowReport(Report, frozen=True, kw_only=True, tag="shadow"):
    """One candidate against one champion in one window of one partition.

    ``model_version`` is the candidate. There are reports of two sources, and merging adds them up like
    those of two partitions: of the topic of events (everything but ``judged`` and ``ranking``; windows
    of the event's time), and of the topic of labelled events (``judged`` and ``ranking``; windows of
    the label's time, since labels come in that order and a sequential test needs it).

    Attributes
    ----------
    champion_version
        The version that it is compared with: part of the report's key.
    basis
        The registry's revision at which this comparison began, part of the key too: a candidate that is
        set again begins another one. 0 from releases that did not tell them apart.
    began_at_offset
        The first offset of the partition that this comparison counted, in whichever window: a reader that
        finds no report from there on knows that the topic has forgotten some. -1 where that is not known.
    comparison
        The counts.
    judged
        The counts beside the truth.
    ranking
        What AUC is computed from; binary tasks only.
    segments
        By feature, by value (at most 50 values per feature and partition, the others under ``(other)``).
    errors
        Why the candidate gave no answer, by class: ``DecodeError`` and ``ValidationError`` (the event
        does not fit its ``model.toml``), ``ProcessError`` (it failed on the event, or answered with no
        finite number), ``Timeout`` (it did not answer in time and was stopped), ``Crash`` (its process
        ended), ``WrongShape`` (another number of answers than of events), ``Unavailable`` (not started
        again yet, after one of these).
    repeated, late
        Predictions of the champion that came a second time, and those that came after a later one's
        place had been settled without them; neither is counted again.
    fallbacks
        Events that the candidate was to answer as the canary and could not, so that the champion did.
    superseded, superseded_seconds
        Events that the candidate itself answered as champion, though the registry had named another one by
        then, and how long after the comparison began it last did.
    waiting_seconds
        For how long no champion has answered the first event of the partition that waits for one; of the
        newest report.
    difference
        Histogram of the candidate's score minus the champion's.
    champion_scores, candidate_scores
        Histograms of the scores of the pairs.
    champion_latency, candidate_latency
        Seconds from the event's append to the answer. The shadow runs behind, so compare models by
        their timings instead.
    champion_timing, candidate_timing
        What the models take themselves, on the same micro-batches in the same kind of process.
    examples
        The pairs that differ most, at most ten, the farthest apart in front.
    sample_percent
        Share of the events that the candidate is asked about.
    trouble
        What is wrong with the candidate, as a sentence; None while it answers.
    """

    champion_version: str
    basis: int = 0
    began_at_offset: int = -1
    comparison: Comparison = Comparison()
    judged: Judged = Judged()
    ranking: Ranking = Ranking()
    segments: dict[str, dict[str, Segment]] = msgspec.field(default_factory=dict)
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    repeated: int = 0
    late: int = 0
    fallbacks: int = 0
    superseded: int = 0
    superseded_seconds: float = 0.0
    waiting_seconds: float = 0.0
    difference: Histogram | None = None
    champion_scores: Histogram | None = None
    candidate_scores: Histogram | None = None
    champion_latency: Histogram | None = None
    candidate_latency: Histogram | None = None
    champion_timing: Timing = Timing()
    candidate_timing: Timing = Timing()
    examples: tuple[Example, ...] = ()
    sample_percent: float = 100.0
    trouble: str | None = None

    @property
    def subject(self) -> str:
        """Candidate, champion and the revision that their comparison began with."""
        return f"{self.model_version} against {self.champion_version} since {self.basis}"
