"""All that is known of one candidate against one champion, gathered from the shadow's reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Self

import msgspec

from shared.messages import (
    Comparison,
    Example,
    Histogram,
    Judged,
    Ranking,
    Segment,
    ShadowReport,
    Timing,
)
from shared.promotion.merging import added
from shared.reports import LatestReports

EXAMPLES = 10


class Pair(NamedTuple):
    """Who is compared with whom."""

    model: str
    candidate: str
    champion: str


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a shadow's report that are added up over windows and partitions."""

    comparison: Comparison = Comparison()
    judged: Judged = Judged()
    ranking: Ranking = Ranking()
    segments: dict[str, dict[str, Segment]] = msgspec.field(default_factory=dict)
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    repeated: int = 0
    late: int = 0
    difference: Histogram | None = None
    champion_scores: Histogram | None = None
    candidate_scores: Histogram | None = None
    champion_latency: Histogram | None = None
    candidate_latency: Histogram | None = None
    champion_timing: Timing = Timing()
    candidate_timing: Timing = Timing()

    @classmethod
    def of(cls, report: ShadowReport) -> Self:
        """Return the sums of one report."""
        return cls(**{name: getattr(report, name) for name in cls.__struct_fields__})


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate against one champion, over all windows and partitions so far.

    Attributes
    ----------
    sums
        The counts.
    since, until
        Event time that the compared events span, epoch milliseconds, by windows; both 0 before the first.
    examples
        The pairs that differ most.
    trouble
        What is wrong with the candidate by the newest report.
    written_at
        When the newest report was written, 0 before the first.
    """

    pair: Pair
    sums: Sums = Sums()
    since: int = 0
    until: int = 0
    examples: tuple[Example, ...] = ()
    trouble: str | None = None
    written_at: int = 0

    @property
    def asked(self) -> int:
        """Events that the candidate was asked about."""
        c = self.sums.comparison
        return c.both + c.champion_only + c.candidate_only + c.neither + c.canary

    @property
    def seconds(self) -> float:
        """Length of the event time that was compared."""
        return (self.until - self.since) / 1000

    @property
    def win_rate(self) -> float | None:
        """Share of the decided pairs (no ties) in which the candidate came closer to the truth."""
        judged = self.sums.judged
        decided = judged.wins + judged.losses
        return judged.wins / decided if decided else None

    @property
    def agreement(self) -> float | None:
        """Share of the pairs with the same decided label."""
        c = self.sums.comparison
        return c.agreed / c.both if c.both else None

    def plus(self, report: ShadowReport) -> Evidence:
        """Return the evidence with one more report, of a window and partition not in it yet."""
        counts = ("both", "champion_only", "candidate_only", "neither", "canary")
        compared = any(getattr(report.comparison, name) for name in counts)
        window = report.window
        # `trouble` belongs to whoever scores: reports of labels say nothing about it.
        newer = report.written_at >= self.written_at and (compared or report.trouble is not None)
        return Evidence(
            pair=self.pair,
            sums=added(self.sums, Sums.of(report)),
            since=min(self.since or window.start, window.start) if compared else self.since,
            until=max(self.until, window.end) if compared else self.until,
            examples=_most_different(self.examples + report.examples),
            trouble=report.trouble if newer else self.trouble,
            written_at=max(self.written_at, report.written_at),
        )


def _most_different(examples: tuple[Example, ...]) -> tuple[Example, ...]:
    def order(example: Example) -> tuple[float, int, int]:
        return -abs(example.candidate_score - example.champion_score), example.partition, example.offset

    return tuple(sorted(examples, key=order)[:EXAMPLES])


def pair_of(report: ShadowReport) -> Pair:
    """Return who is compared with whom."""
    return Pair(report.model, report.model_version, report.champion_version)


class Gathered:
    """The evidence of every pair, from reports in whatever order and repetition.

    A window that is final is added to the sums and forgotten but for its number, so that memory does
    not grow with time: a candidate in the shadow for a month has left a few numbers per window.

    Parameters
    ----------
    began
        By pair, when the comparison that counts began (epoch milliseconds): a report written before is
        about an earlier time of the same two versions, and is left out. Pairs without one count in full.
    """

    def __init__(self, began: Mapping[Pair, int] | None = None) -> None:
        self.began = dict(began or {})
        self._closed: dict[Pair, Evidence] = {}
        self._done: dict[tuple[Pair, str, int], set[int]] = {}
        self._open: dict[Pair, LatestReports] = {}
        self._oldest: dict[Pair, int] = {}

    def begin(self, began: Mapping[Pair, int]) -> bool:
        """Say since when comparisons count; return whether what was gathered reaches back too far.

        Where it does, gather again from the first report on.
        """
        self.began |= began
        return any(self._oldest.get(pair, at) < at for pair, at in began.items())

    def counts(self, report: ShadowReport) -> bool:
        """Return whether a report is of the comparison that counts, and not of an earlier time."""
        return report.written_at >= self.began.get(pair_of(report), 0)

    def take(self, report: ShadowReport) -> bool:
        """Count a report; return whether it was news."""
        pair = pair_of(report)
        done = self._done.setdefault((pair, report.source_topic, report.partition), set())
        if not self.counts(report) or report.window.start in done:
            return False
        self._oldest[pair] = min(report.written_at, self._oldest.get(pair, report.written_at))
        latest = self._open.setdefault(pair, LatestReports())
        if not report.final:
            return latest.take(report)
        done.add(report.window.start)
        latest.drop(report)
        self._closed[pair] = self._closed.get(pair, Evidence(pair=pair)).plus(report)
        return True

    def evidence(self, pair: Pair) -> Evidence:
        """Return what is known about a pair: nothing, where no report has come."""
        found = self._closed.get(pair, Evidence(pair=pair))
        for report in self._open.get(pair, ()):
            found = found.plus(report)
        return found

    def pairs(self) -> list[Pair]:
        """Return every pair of which there is a report, sorted."""
        return sorted({*self._closed, *self._open})
