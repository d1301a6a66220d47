"""Events and predictions in, shadow predictions and reports out: no Kafka, clock or environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.shadow.answers import read_answers
from services.shadow.asking import Ask, asks, sources_of
from services.shadow.candidates import Candidates
from services.shadow.comparison import PartitionComparison
from services.shadow.metrics import ShadowMetrics
from services.shadow.sides import REASONS
from services.shadow.windows import Compared
from shared.kafka.records import Output, Records
from shared.reports import reports_output
from shared.serving.letters import dead_letters
from shared.serving.routing import Micro, route
from shared.serving.share import in_share
from shared.topics import TopicNames

SERVICE = "shadow"
TIMED_SHARE = 8
"""One event of so many is also put to the champion, to time the two side by side ..."""

TIMED_A_SECOND = 500
"""... but not more than so many a second on average: a model does not become better known by that."""

MOST_WINDOWS = 100
"""Windows of a partition that may open after a report before the closed ones are reported out of turn."""

MOST_AHEAD = 1_000
"""Answers of the champion that are read before their events are put to the candidates, at least: what
waits is written with every commit, and Kafka keeps it as well."""

STUCK_AFTER = 5.0
"""Seconds that an event waits for the champion before reports say so."""

LONGEST_LOOK = 5_000
"""Milliseconds between two looks that count at most: while the broker is away nobody can answer."""


@dataclass(frozen=True, slots=True)
class ShadowOptions:
    """How the shadow runs.

    Attributes
    ----------
    sample_percent
        Share of the keys whose events the candidates are asked.
    join_window
        Events of a partition by which the two sides may be apart.
    report_interval
        Milliseconds between two reports of a window that is still open.
    max_future
        Milliseconds by which ``occurred_at`` may lie after the record's own timestamp.
    """

    sample_percent: float = 100.0
    join_window: int = 10_000
    report_interval: int = 5_000
    max_future: int = 86_400_000


@dataclass(slots=True)
class Work:
    """One micro-batch on its way through; ``micro`` is None where nobody is asked.

    ``compared`` is who was compared when it was decoded: who is missing in it is not asked any more.
    """

    batch: Sequence[Records]
    micro: Micro | None = None
    asks: list[Ask] = field(default_factory=list)
    scored_at: list[int] = field(default_factory=list)
    compared: Compared = field(default_factory=dict)


@dataclass(slots=True)
class Stuck:
    """For how long the same event of a partition has been the first to wait for the champion."""

    offset: int | None = None
    looked_at: int = 0
    seconds: float = 0.0

    def look(self, comparison: PartitionComparison, now: int) -> None:
        """Look again; only time in which this process went on is counted."""
        first = comparison.first_waiting if comparison.asks_waiting else None
        if first is None or first != self.offset:
            self.seconds = 0.0
        else:
            self.seconds += min(now - self.looked_at, LONGEST_LOOK) / 1000
        self.offset, self.looked_at = first, now


class ShadowStep:
    """Scores micro-batches with the candidates and compares; a step, and a companion's follower.

    Parameters
    ----------
    candidates
        What runs; each micro-batch uses those current when it was decoded.
    topics
        Names of the topics.
    clock
        Returns epoch milliseconds.
    """

    def __init__(
        self,
        candidates: Candidates,
        topics: TopicNames,
        metrics: ShadowMetrics,
        *,
        clock: Callable[[], int],
        options: ShadowOptions | None = None,
    ) -> None:
        self._candidates = candidates
        self._topics = topics
        self._metrics = metrics
        self._clock = clock
        self._options = options or ShadowOptions()
        self._most_ahead = min(MOST_AHEAD, self._options.join_window)
        self._partitions: dict[int, PartitionComparison] = {}
        self._fetched: dict[int, int] = {}
        self._next_report: dict[int, int] = {}
        self._letters: dict[int, list[Output]] = {}
        self._held: dict[int, int] = {}
        self._stuck: dict[int, Stuck] = {}
        self._scored = self._timed = 0
        self._began = clock()

    def open(self, topic: str, partition: int, next_offset: int, state: bytes | None) -> None:
        """Take over a partition with both sides as last committed."""
        self._partitions[partition] = PartitionComparison(topic, partition, next_offset, state)
        self._fetched[partition] = next_offset
        self._next_report[partition] = self._clock() + self._options.report_interval
        self._letters[partition] = []

    def close(self, topic: str, partition: int) -> None:
        """Forget a partition."""
        self._partitions.pop(partition, None)
        self._stuck.pop(partition, None)

    def snapshot(self, topic: str, partition: int) -> bytes:
        """Return both sides and the open windows."""
        return self._partitions[partition].snapshot()

    def wants(self, topic: str, partition: int) -> bool:
        """Return whether events may be read on: not too far ahead of the champion."""
        comparison = self._partitions[partition]
        if not self._candidates.running:
            return True
        ahead = self._fetched[partition] - max(comparison.answered_to, comparison.first_waiting)
        return ahead < self._options.join_window

    def positions(self) -> Mapping[int, int]:
        """Return where to read on in the predictions, by partition."""
        return {partition: comparison.read_to for partition, comparison in self._partitions.items()}

    def wants_more(self, partition: int) -> bool:
        """Return whether predictions may be read on: not too far ahead of the candidates."""
        comparison = self._partitions.get(partition)
        return comparison is not None and comparison.answers_waiting < self._most_ahead

    def take(self, records: Records) -> None:
        """Take predictions; they count from the next commit on, and ``read_to`` with them."""
        partition = records.partition
        comparison = self._partitions.get(partition)
        if comparison is None or records.start != comparison.read_to:
            return
        answers = read_answers(records, self._topics.events, comparison.names)
        if answers.refused:
            self._metrics.refused_predictions.inc(len(answers.refused))
            letters = dead_letters(
                self._topics.dead_letters, records, answers.refused, service=SERVICE, now=self._clock()
            )
            self._letters[partition].append(letters)
        comparison.answer(answers.answered, answers.answered_to, records.end)
        if comparison.answers_waiting >= self._most_ahead // 2:
            comparison.settle()

    def awaiting_champion(self) -> dict[int, int]:
        """Return the first event that waits for the champion, by partition that has any."""
        return {p: held.first_waiting for p, held in self._partitions.items() if held.asks_waiting}

    def champion_passed(self, partition: int, offset: int, predictions_end: int) -> None:
        """Take note of how far the champion is; see :meth:`PartitionComparison.champion_passed`."""
        comparison = self._partitions.get(partition)
        if comparison is not None:
            comparison.champion_passed(offset, predictions_end)

    def decode(self, batch: Sequence[Records]) -> Work:
        """Find out what each candidate is asked, and decode it."""
        for part in batch:
            self._fetched[part.partition] = part.next_offset
        running, work = self._candidates.running, Work(batch, compared=self._candidates.compared)
        if not running:
            return work
        work.micro = micro = Micro.of(batch)
        routes = route(micro.values, self._candidates.lineups)
        most = (1 + (self._clock() - self._began) / 1000) * TIMED_A_SECOND
        timed = self._timed * TIMED_SHARE <= self._scored and self._timed <= most
        for model, lineup in running.items():
            rows = self._sampled(micro, model, routes.rows.get(model, []))
            if rows is None or rows:
                work.asks += asks(
                    micro, model, lineup, rows, max_future=self._options.max_future, timed=timed
                )
        return work

    def _sampled(self, micro: Micro, model: str, rows: list[int] | None) -> list[int] | None:
        share = self._options.sample_percent / 100
        if share >= 1.0:
            return rows
        every = list(range(len(micro.values))) if rows is None else rows
        keys, values = micro.keys(), micro.values
        chosen = in_share(
            share, "sample", model, [keys[row] for row in every], [values[row] for row in every]
        )
        return [row for row, hit in zip(every, chosen.tolist(), strict=True) if hit]

    def compute(self, work: Work) -> None:
        """Ask every candidate; whatever one does, the others are asked too."""
        if work.micro is None:
            return
        sources = sources_of(work.batch)
        for ask in work.asks:
            work.scored_at.append(ask.answer(work.micro, self._clock, sources))
            self._scored += len(ask.rows)
            self._timed += len(ask.rows) if ask.timed_by is not None else 0

    def encode(self, work: Work, index: int) -> list[Output]:
        """Return the partition's shadow predictions, in the order of its events, and settle what can be."""
        part = work.batch[index]
        comparison = self._partitions[part.partition]
        asked = []
        if work.micro is not None:
            bounds = (work.micro.bounds[index], work.micro.bounds[index + 1])
            for ask, scored_at in zip(work.asks, work.scored_at, strict=True):
                times = work.micro.timestamps
                one = ask.of_partition(part, bounds, times, scored_at, comparison.names)
                if one is not None:
                    asked.append(one)
                    self._count(ask, one.status)
        comparison.ask(asked, part.next_offset, work.compared)
        comparison.settle()
        if work.micro is not None and index == 0:
            for ask in work.asks:
                if ask.timing is not None:
                    comparison.time((ask.model, ask.version, ask.basis), *ask.timing)
        outputs = [self._predictions(work, index), *self._take_letters(part.partition)]
        if comparison.open_windows > MOST_WINDOWS + self._held.get(part.partition, 0):
            outputs += self._reports(part.partition)
        return outputs

    def _count(self, ask: Ask, status: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> None:
        for code, count in enumerate(np.bincount(status).tolist()):
            if count:
                self._metrics.asked.labels(ask.model, ask.version, REASONS[code] or "answered").inc(count)

    def _predictions(self, work: Work, index: int) -> Output:
        part, topic = work.batch[index], self._topics.shadow_predictions
        if work.micro is None:
            return Output(topic, part.partition, [], [])
        low, high = work.micro.bounds[index], work.micro.bounds[index + 1]
        if len(work.asks) == 1 and len(work.asks[0].answered) == len(work.micro.values):
            payloads = work.asks[0].payloads[low:high]
            return Output(
                topic, part.partition, part.keys, payloads, part.headers if any(part.headers) else None
            )
        found: list[tuple[int, bytes]] = []
        for ask in work.asks:
            first, last = np.searchsorted(ask.answered, (low, high)).tolist()
            found += zip(ask.answered[first:last].tolist(), ask.payloads[first:last], strict=True)
        if len(work.asks) > 1:
            found.sort(key=lambda one: one[0])
        headers = [part.headers[row - low] for row, _ in found]
        return Output(
            topic,
            part.partition,
            [part.keys[row - low] for row, _ in found],
            [payload for _, payload in found],
            headers if any(headers) else None,
        )

    def _take_letters(self, partition: int) -> list[Output]:
        letters, self._letters[partition] = self._letters[partition], []
        return letters

    def flush(self, topic: str, partition: int, *, leaving: bool = False) -> list[Output]:
        """Return the reports that are due, all that changed when ``leaving``."""
        comparison, now = self._partitions[partition], self._clock()
        comparison.settle()
        self._note_waiting(partition, comparison)
        self._stuck.setdefault(partition, Stuck()).look(comparison, now)
        outputs = self._take_letters(partition)
        if leaving or now >= self._next_report[partition]:
            self._next_report[partition] = now + self._options.report_interval
            outputs += self._reports(partition)
        return outputs

    def _note_waiting(self, partition: int, comparison: PartitionComparison) -> None:
        ahead = comparison.asked_to - comparison.answered_to if comparison.asks_waiting else 0
        gauge = self._metrics.waiting
        gauge.labels(partition, "champion").set(max(0, ahead))
        gauge.labels(partition, "candidate").set(comparison.answers_waiting)

    def _reports(self, partition: int) -> list[Output]:
        comparison = self._partitions[partition]
        stuck = self._stuck.get(partition)
        due = comparison.due(
            self._clock(),
            self._options.sample_percent,
            self._candidates.troubles(),
            0.0 if stuck is None or stuck.seconds < STUCK_AFTER else stuck.seconds,
        )
        reports = list(due)
        self._held[partition] = comparison.open_windows
        return [reports_output(self._topics.reports, partition, reports)] if reports else []
