"""Slots of counts in, drift reports out: the second stage, pure like the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.drift.metrics import DriftMetrics
from shared.drift.stream.merging import Merger
from shared.drift.stream.partials import Partial, decode_partial
from shared.drift.stream.telling import AlarmLog
from shared.kafka.records import Output, Records
from shared.logs import get_logger
from shared.messages import NOT_JSON
from shared.reports import reports_output
from shared.topics import TopicNames

log = get_logger(__name__)


@dataclass(slots=True)
class Merging:
    """One micro-batch of the merge topic: offset and partial of every record, by partition."""

    batch: Sequence[Records]
    partials: list[list[tuple[int, Partial]]]


class MergeStep:
    """Puts the counts of all partitions in order, runs the detectors and writes the reports.

    Parameters
    ----------
    clock
        Returns epoch milliseconds.
    report_interval
        Milliseconds between two reports of a window that is still open; an alarm is reported at once.
    """

    def __init__(
        self, topics: TopicNames, metrics: DriftMetrics, *, clock: Callable[[], int], report_interval: int
    ) -> None:
        self._topics = topics
        self._metrics = metrics
        self._clock = clock
        self._report_interval = report_interval
        self._mergers: dict[tuple[str, int], Merger] = {}
        self._next_report: dict[tuple[str, int], int] = {}
        self._alarms = AlarmLog()

    def resume_at(self, state: bytes) -> int:
        """Return where to read on: slots that waited for their turn are read again."""
        return Merger.resume_at(state)

    def open(self, topic: str, partition: int, next_offset: int, state: bytes | None) -> None:
        """Take over a partition with the detectors last committed for it."""
        self._mergers[topic, partition] = Merger(topic, partition, next_offset, state)
        self._next_report[topic, partition] = self._clock()

    def close(self, topic: str, partition: int) -> None:
        """Forget a partition, and show nothing more of its models: whoever has them now does."""
        merger = self._mergers.pop((topic, partition), None)
        for model in merger.models if merger is not None else ():
            self._metrics.forget(model)

    def snapshot(self, topic: str, partition: int) -> bytes | None:
        """Return the detectors, their alarms and the open windows."""
        return self._mergers[topic, partition].snapshot()

    def decode(self, batch: Sequence[Records]) -> Merging:
        """Decode every partial; what is none was not written by this service and is passed over."""
        partials: list[list[tuple[int, Partial]]] = []
        for records in batch:
            mine: list[tuple[int, Partial]] = []
            for offset, value in zip(records.offsets, records.values, strict=True):
                try:
                    mine.append((offset, decode_partial(value or b"")))
                except NOT_JSON as error:
                    self._metrics.dead_letters.labels("DecodeError").inc()
                    log.error(
                        "a record of the merge topic holds no counts",
                        topic=records.topic,
                        partition=records.partition,
                        offset=offset,
                        error=str(error),
                    )
            partials.append(mine)
        return Merging(batch, partials)

    def compute(self, work: Merging) -> None:
        """Nothing: all the arithmetic is on the state."""

    def encode(self, work: Merging, index: int) -> list[Output]:
        """Merge; return reports at once where an alarm was raised."""
        records = work.batch[index]
        merger = self._mergers[records.topic, records.partition]
        alarmed = merger.take(iter(work.partials[index]), records.next_offset)
        self._metrics.waiting.set(sum(one.waiting for one in self._mergers.values()))
        for model, events in merger.seen():
            self._metrics.merged.labels(model).set(events)
        return self._reports(records.topic, records.partition) if alarmed else []

    def flush(self, topic: str, partition: int, *, leaving: bool) -> list[Output]:
        """Return the reports that are due, all that changed when ``leaving``."""
        if self._clock() < self._next_report[topic, partition] and not leaving:
            return []
        return self._reports(topic, partition)

    def _reports(self, topic: str, partition: int) -> list[Output]:
        now = self._clock()
        self._next_report[topic, partition] = now + self._report_interval
        reports = list(self._mergers[topic, partition].reports(now))
        if not reports:
            return []
        for report in reports:
            if report.active:
                self._metrics.show(report)
        output = reports_output(self._topics.reports, partition, reports)
        self._alarms.tell(reports, output)
        return [output]
