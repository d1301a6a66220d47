"""All that is known of one candidate against one champion, gathered from the shadow's reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Self

import msgspec

from shared.errors import ProcessError
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

STRAYS = 10
STRAY_SHARE = 0.01
"""So many events, or so large a share of them, may lie far before or after all others and say nothing about
how much time has gone by: clocks are wrong, and old events are sent again."""


class Pair(NamedTuple):
    """Who is compared with whom."""

    model: str
    candidate: str
    champion: str


_Compared = tuple[Pair, int]


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a shadow's report that are added up over windows and partitions."""

    comparison: Comparison = Comparison()
    judged: Judged = Judged()
    ranking: Ranking = Ranking()
    segments: dict[str, dict[str, Segment]] = msgspec.field(default_factory=dict)
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    repeated: int = 0
    late: int = 0
    fallbacks: int = 0
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
    timed
        What champion and candidate spent, by start and end of the window.
    windows
        Events that the candidate was asked about, by start and end of their window.
    examples
        The pairs that differ most.
    trouble
        What is wrong with the candidate by the newest report.
    superseded, superseded_seconds
        Events that the candidate answered as champion after another one was named, and for how long.
    waiting
        By topic and partition: when it was last reported on, and for how many seconds answers had waited
        for the champion then.
    written_at
        When the newest report was written, 0 before the first.
    begun
        By topic and partition: the first offset that the comparison counted, and the first one in a report.
    """

    pair: Pair
    sums: Sums = Sums()
    since: int = 0
    until: int = 0
    windows: dict[tuple[int, int], int] = msgspec.field(default_factory=dict)
    timed: dict[tuple[int, int], tuple[Timing, Timing]] = msgspec.field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    trouble: str | None = None
    written_at: int = 0
    superseded: int = 0
    superseded_seconds: float = 0.0
    waiting: dict[tuple[str, int], tuple[int, float]] = msgspec.field(default_factory=dict)
    begun: dict[tuple[str, int], tuple[int, int]] = msgspec.field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether there are reports of the comparison from its beginning on: a topic forgets in the end."""
        return all(first <= began for began, first in self.begun.values())

    @property
    def asked(self) -> int:
        """Events that the candidate was asked about."""
        c = self.sums.comparison
        return c.both + c.champion_only + c.candidate_only + c.neither + c.canary

    @property
    def seconds(self) -> float:
        """Event time that has gone by for certain since the comparison began."""
        return whole_time(self.windows) / 1000

    @property
    def waiting_seconds(self) -> float:
        """For how long no champion has answered, in the partition where that is longest."""
        return max((seconds for _, seconds in self.waiting.values()), default=0.0)

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
        windows = self.windows
        if compared:
            of = window.start, window.end
            windows = windows | {of: windows.get(of, 0) + sum(getattr(report.comparison, n) for n in counts)}
        # `trouble` belongs to whoever scores: reports of labels say nothing about it.
        newer = report.written_at >= self.written_at and (compared or report.trouble is not None)
        return Evidence(
            pair=self.pair,
            sums=added(self.sums, Sums.of(report)),
            since=min(self.since or window.start, window.start) if compared else self.since,
            until=max(self.until, window.end) if compared else self.until,
            windows=windows,
            timed=self._timed(report),
            examples=_most_different(self.examples + report.examples),
            trouble=report.trouble if newer else self.trouble,
            written_at=max(self.written_at, report.written_at),
            superseded=self.superseded + report.superseded,
            superseded_seconds=max(self.superseded_seconds, report.superseded_seconds),
            waiting=self._waiting(report),
            begun=self._begun(report),
        )

    def _begun(self, report: ShadowReport) -> dict[tuple[str, int], tuple[int, int]]:
        if report.began_at_offset < 0:
            return self.begun
        place, found = (report.source_topic, report.partition), (report.began_at_offset, report.first_offset)
        former = self.begun.get(place, found)
        return self.begun | {place: (max(former[0], found[0]), min(former[1], found[1]))}

    def _timed(self, report: ShadowReport) -> dict[tuple[int, int], tuple[Timing, Timing]]:
        both = report.champion_timing, report.candidate_timing
        if not both[1].events:
            return self.timed
        of = report.window.start, report.window.end
        former = self.timed.get(of, (Timing(), Timing()))
        return self.timed | {of: (added(former[0], both[0]), added(former[1], both[1]))}

    def _waiting(self, report: ShadowReport) -> dict[tuple[str, int], tuple[int, float]]:
        place, now = (report.source_topic, report.partition), (report.written_at, report.waiting_seconds)
        return self.waiting | {place: max(self.waiting.get(place, now), now)}


def whole_time(windows: Mapping[tuple[int, int], int]) -> int:
    """Return the milliseconds between the first window and the last, neither of them counted.

    The first one had begun before the comparison did, and of the last nobody knows how far it has come. The
    earliest and the latest events, up to :data:`STRAYS` or :data:`STRAY_SHARE`, are passed over: one event
    from tomorrow does not make it tomorrow.

    Parameters
    ----------
    windows
        Events by start and end of their window.

    Examples
    --------
    >>> hours = {(hour, hour + 1): 100 for hour in range(5)}
    >>> whole_time(hours), whole_time(hours | {(24, 25): 1}), whole_time({(0, 1): 100})
    (3, 3, 0)
    """
    spare = max(STRAYS, int(STRAY_SHARE * sum(windows.values())))
    first, last = (_past_strays(windows, spare, latest=latest) for latest in (False, True))
    return max(0, last[0] - first[1])


def _past_strays(windows: Mapping[tuple[int, int], int], spare: int, *, latest: bool) -> tuple[int, int]:
    passed = 0
    for window in sorted(windows, reverse=latest):
        passed += windows[window]
        if passed > spare:
            return window
    return 0, 0


def _most_different(examples: tuple[Example, ...]) -> tuple[Example, ...]:
    def order(example: Example) -> tuple[float, int, int]:
        return -abs(example.candidate_score - example.champion_score), example.partition, example.offset

    return tuple(sorted(examples, key=order)[:EXAMPLES])


def pair_of(report: ShadowReport) -> Pair:
    """Return who is compared with whom."""
    return Pair(report.model, report.model_version, report.champion_version)


class Gathered:
    """The evidence of every comparison, from reports in whatever order and repetition.

    A window that is final is added to the sums and forgotten but for its number, so that memory does
    not grow with time: a candidate in the shadow for a month has left a few numbers per window.

    The same two versions may be compared more than once: a candidate that is set again begins anew, and so
    does everybody when the champion changes. Each report names the revision of the registry that its
    comparison began with (``basis``), so that what was gathered before is never taken for what came since.
    """

    def __init__(self) -> None:
        self._closed: dict[_Compared, Evidence] = {}
        self._done: dict[tuple[_Compared, str, int], set[int]] = {}
        self._open: dict[_Compared, LatestReports] = {}
        self._odd: dict[_Compared, str] = {}

    def take(self, report: ShadowReport) -> bool:
        """Count a report; return whether it was news."""
        pair = pair_of(report)
        of = pair, report.basis
        done = self._done.setdefault((of, report.source_topic, report.partition), set())
        if report.window.start in done:
            return False
        latest = self._open.setdefault(of, LatestReports())
        if not report.final:
            return latest.take(report)
        done.add(report.window.start)
        latest.drop(report)
        try:
            self._closed[of] = self._closed.get(of, Evidence(pair=pair)).plus(report)
        except ValueError as error:  # whoever reads on hears of it when he asks for this comparison
            self._odd[of] = str(error)
        return True

    def evidence(self, pair: Pair, basis: int | None = None) -> Evidence:
        """Return what is known about a pair: nothing, where no report has come.

        ``basis`` chooses one of its comparisons; left out, the newest.

        Raises
        ------
        ProcessError
            Its reports cannot be added up: those of two releases whose histograms differ, for one.
        """
        of = pair, self.newest(pair) if basis is None else basis
        found = self._closed.get(of, Evidence(pair=pair))
        odd = self._odd.get(of)
        try:
            for report in self._open.get(of, ()):
                found = found.plus(report)
        except ValueError as error:
            odd = str(error)
        if odd is not None:
            two = f"{pair.model}, {pair.candidate} against {pair.champion}"
            raise ProcessError(f"the reports of {two}, cannot be added up: {odd}")
        return found

    def newest(self, pair: Pair) -> int:
        """Return the basis of a pair's newest comparison, 0 where there is none."""
        return max((basis for other, basis in self._open if other == pair), default=0)

    def pairs(self) -> list[Pair]:
        """Return every pair of which there is a report, sorted."""
        return sorted({pair for pair, _ in self._open})
