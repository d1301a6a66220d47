"""What every report has, and the report of the inference service."""

from __future__ import annotations

import msgspec

from shared.messages.common import Message


class Window(Message, frozen=True, kw_only=True):
    """A half-open span of event time, ``[start, end)``, epoch milliseconds."""

    start: int
    end: int


class Histogram(Message, frozen=True, kw_only=True):
    """Counts between edges: ``counts[i]`` holds ``edges[i-1] <= x < edges[i]``, the ends are open."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Report(Message, frozen=True, kw_only=True, tag_field="kind"):
    """Base of all reports: one message per model version, window and partition.

    A report is cumulative: a reader overwrites by (kind, model, model_version, window, source_topic,
    partition) and then merges over partitions. ``final`` says the window is closed there.
    ``first_offset`` is the first record counted: for the first window of a new model version, the
    offset at which it took over. ``next_offset`` is the first record not yet counted.
    """

    model: str
    model_version: str
    window: Window
    source_topic: str
    partition: int
    first_offset: int
    next_offset: int
    written_at: int
    final: bool = False

    @property
    def subject(self) -> str:
        """What is reported about: the version, unless a report is about more than that."""
        return self.model_version


class InferenceReport(Report, frozen=True, kw_only=True, tag="inference"):
    """What the inference service did with one window of one partition.

    Attributes
    ----------
    predictions
        Events scored.
    errors
        Dead letters by error class (``ValidationError``, ``DecodeError``, ``ProcessError``).
    late
        Events counted here although their own window had closed.
    latency
        Seconds from the record's append to the scoring, as a histogram.
    scores
        Histogram of the score.
    """

    predictions: int
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    late: int = 0
    latency: Histogram
    scores: Histogram
