"""Events and predictions in, slots of counts out: pure, without Kafka, clock or environment."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.drift.metrics import DriftMetrics
from services.drift.watching import Watchlist
from shared.drift.stream.counting import Countable, SourcePartition, countable
from shared.drift.stream.partials import Group, Partial, encode_partial
from shared.drift.stream.reading import PredictionRows, Rows, read_predictions
from shared.drift.stream.stamps import believable
from shared.drift.stream.watched import Watched
from shared.kafka.records import Output, Records
from shared.pipeline.step import CaughtUp
from shared.refusals import say_not_counted
from shared.topics import TopicNames


@dataclass(slots=True)
class Reading:
    """What was read from one partition's share of a micro-batch."""

    records: Records
    events: list[tuple[Watched, Rows]] = field(default_factory=list)
    predictions: PredictionRows | None = None
    parts: list[Countable] = field(default_factory=list)
    skipped: dict[str, dict[str, int]] = field(default_factory=dict)
    sources: NDArray[np.int64] | None = None
    clocks: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(slots=True)
class Work:
    """One micro-batch on its way through; it keeps to the versions that were watched when it began."""

    champions: Mapping[str, Watched]
    versions: Mapping[tuple[str, str], Watched]
    readings: list[Reading]


class CountStep:
    """Counts micro-batches; see :class:`shared.pipeline.step.Step` for the order of the calls.

    Parameters
    ----------
    watchlist
        The versions to count for.
    topics
        Names of the topics.
    idle
        Milliseconds that a producer may take to deliver a record.
    clock
        Returns epoch milliseconds: no record that is read was written later.

    Attributes
    ----------
    partitions
        Number of partitions by input topic; set before the first one is opened.
    caught_up
        Tells whether a partition has more records; the pipeline knows.
    """

    def __init__(
        self,
        watchlist: Watchlist,
        topics: TopicNames,
        metrics: DriftMetrics,
        *,
        idle: int,
        clock: Callable[[], int],
    ) -> None:
        self._watchlist = watchlist
        self._topics = topics
        self._metrics = metrics
        self._idle = idle
        self._clock = clock
        self._open: dict[tuple[str, int], SourcePartition] = {}
        self._idle_told: dict[tuple[str, int], int] = {}
        self.partitions: dict[str, int] = {}
        self.caught_up: CaughtUp = lambda topic, partition: None

    def open(self, topic: str, partition: int, next_offset: int, state: bytes | None) -> None:
        """Take over a partition with the slots that were not complete."""
        group: Group = "predictions" if topic == self._topics.predictions else "features"
        self._open[topic, partition] = SourcePartition(group, topic, partition, self.partitions[topic], state)

    def close(self, topic: str, partition: int) -> None:
        """Forget a partition."""
        self._open.pop((topic, partition), None)
        self._idle_told.pop((topic, partition), None)

    def snapshot(self, topic: str, partition: int) -> bytes | None:
        """Return the partition's clock and its slots that are not complete."""
        return self._open[topic, partition].snapshot()

    def decode(self, batch: Sequence[Records]) -> Work:
        """Read the values of every record."""
        champions, versions = self._watchlist.champions, self._watchlist.versions
        alone = len(champions) == 1
        readings = []
        now = self._clock()
        for records in batch:
            stamps = believable(records.timestamps, now)
            reading = Reading(records, clocks=stamps.clock)
            if records.topic == self._topics.predictions:
                reading.predictions = read_predictions(records.values)
                self._say_passed_over(records, reading.predictions.skipped)
            else:
                reading.events = [
                    (one, one.reader.read(records.values, stamps.latest, alone=alone))
                    for one in champions.values()
                ]
                for one, rows in reading.events:
                    self._say_passed_over(records, rows.skipped, one.model)
            readings.append(reading)
        return Work(champions, versions, readings)

    @staticmethod
    def _say_passed_over(
        records: Records, skipped: Sequence[tuple[int, str]], model: str | None = None
    ) -> None:
        for position, reason in skipped:
            say_not_counted(reason, records, position, model=model)

    def compute(self, work: Work) -> None:
        """Find the bin of every value."""
        for reading in work.readings:
            for watched, rows in reading.events:
                reading.parts.append(countable(watched, "features", rows.kept, rows))
                if rows.skipped:
                    reading.skipped[watched.model] = dict(rows.reasons)
            if reading.predictions is not None:
                _answers(reading, reading.predictions, work.versions)

    def encode(self, work: Work, index: int) -> list[Output]:
        """Return the slots that the partition's records complete."""
        reading = work.readings[index]
        records = reading.records
        partition = self._open[records.topic, records.partition]
        told = partition.count(
            reading.parts,
            reading.skipped,
            offsets=np.array(records.offsets, np.int64),
            timestamps=reading.clocks,
            sources=reading.sources,
        )
        group = "features" if reading.predictions is None else "predictions"
        for part in reading.parts:
            self._metrics.rows.labels(part.watched.model, group).inc(len(part.rows))
        return self._outputs(told)

    def flush(self, topic: str, partition: int, *, leaving: bool) -> list[Output]:
        """Return slots whose time is over, and how far the partition's clock has come.

        A clock that nobody's records move goes on by itself, but only in steps of half of what a
        producer may take: each one costs a transaction.
        """
        source = self._open[topic, partition]
        idle_until = None
        seen = self.caught_up(topic, partition)
        if seen is not None and seen - self._idle > source.clock + self._idle // 2:
            idle_until = seen - self._idle
        return self._outputs(source.settle(list(self._watchlist.champions.values()), idle_until))

    def _outputs(self, told: Sequence[Partial]) -> list[Output]:
        ordered = sorted(told, key=lambda partial: partial.model)  # stable: a model's own stay in order
        return [
            Output(
                self._topics.drift_counts,
                zlib.crc32(model.encode()),
                [model.encode()] * len(values),
                values,
            )
            for model, partials in groupby(ordered, key=lambda partial: partial.model)
            if (values := [encode_partial(partial) for partial in partials])
        ]


def _answers(reading: Reading, found: PredictionRows, versions: Mapping[tuple[str, str], Watched]) -> None:
    """Split predictions by version; those of versions nobody watches are counted as such."""
    reading.sources = np.full(len(reading.records), -1, np.int64)
    reading.sources[found.kept] = found.source_offsets
    keys = list(zip(found.models, found.versions, strict=True))
    for key in sorted(set(keys)):
        where = np.array([i for i, other in enumerate(keys) if other == key], np.intp)
        watched = versions.get(key)
        if watched is None:
            held = reading.skipped.setdefault(key[0], {})
            held["another version"] = held.get("another version", 0) + len(where)
            continue
        columns: list[Any] = [found.scores[where]]
        if watched.begin.classes:
            columns.append([found.labels[i] for i in where.tolist()])
        rows = Rows(where, found.occurred[where], columns)
        reading.parts.append(countable(watched, "predictions", found.kept[where], rows))
