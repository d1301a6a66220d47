"""Second step: joins the log partition by partition, and says what has come of the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from services.performance.facts import Facts
from services.performance.metrics import PerformanceMetrics
from services.performance.packets import Packet, decode_packet, encode_packet, partition_of
from services.performance.partition import PartitionJoin
from services.performance.reports import newest_first, report_of
from services.performance.said import Said, matured_packets
from shared.drift.stream.telling import AlarmLog
from shared.kafka.records import Output, Records
from shared.messages import PerformanceReport
from shared.reports import reports_output
from shared.topics import TopicNames

Meet = Callable[[str, str], Facts]

NEWEST: Final = 2
"""So many windows of a version are reported often; older ones, in which labels trickle, seldom."""

_SELDOM: Final = 12


@dataclass(slots=True)
class JoinWork:
    """One micro-batch: the packets of each partition with their offsets and times."""

    batch: Sequence[Records]
    packets: list[list[tuple[int, int, Packet]]]


@dataclass(slots=True)
class _Schedule:
    """When what is due next, epoch milliseconds."""

    checkpoint: int
    report: int
    seldom: int
    packets: int = 0


class JoinStep:
    """Joins packets into reports and labelled events.

    Parameters
    ----------
    meet
        Returns the facts of a version, waiting for its bundle; called in the worker thread.
    partitions
        Partitions of the log.
    recovered
        Partitions that have been recovered and not yet been opened; taken from here.
    checkpoint_events, checkpoint_interval
        So many changed events, or so many milliseconds, are between two checkpoints.
    """

    def __init__(
        self,
        topics: TopicNames,
        metrics: PerformanceMetrics,
        *,
        meet: Meet,
        partitions: int,
        clock: Callable[[], int],
        report_interval: int,
        checkpoint_events: int = 20_000,
        checkpoint_interval: int = 2_000,
    ) -> None:
        self._topics = topics
        self._metrics = metrics
        self._meet = meet
        self._partitions = partitions
        self._clock = clock
        self._report_interval = report_interval
        self._checkpoint_events = checkpoint_events
        self._checkpoint_interval = checkpoint_interval
        self.recovered: dict[int, PartitionJoin] = {}
        self.joins: dict[int, PartitionJoin] = {}
        self._schedules: dict[int, _Schedule] = {}
        self._positions: dict[int, int] = {}
        self._alarms = AlarmLog()

    def open(self, topic: str, partition: int, next_offset: int, state: bytes | None) -> None:
        """Take over a partition that has been recovered."""
        self.joins[partition] = self.recovered.pop(partition)
        now = self._clock()
        self._schedules[partition] = _Schedule(
            now + self._checkpoint_interval, now, now + _SELDOM * self._report_interval
        )
        self._positions[partition] = next_offset

    def close(self, topic: str, partition: int) -> None:
        """Let go of a partition: what was not confirmed is in the log."""
        join = self.joins.pop(partition, None)
        if join is not None:
            join.store.close()
        self._metrics.forget(partition)  # whoever has it now shows it: both together would be too many

    def snapshot(self, topic: str, partition: int) -> bytes | None:
        """Return nothing: checkpoints are records of their own, and the log holds the rest."""
        return None

    def decode(self, batch: Sequence[Records]) -> JoinWork:
        """Decode every packet."""
        return JoinWork(
            batch,
            [
                [
                    (offset, at, decode_packet(value or b""))
                    for offset, at, value in zip(p.offsets, p.timestamps, p.values, strict=True)
                ]
                for p in batch
            ],
        )

    def compute(self, work: JoinWork) -> None:
        """Make sure that every version of the micro-batch has been met."""
        met = {version for packets in work.packets for *_, packet in packets for version in packet.versions()}
        for model, version in sorted(met):
            self._meet(model, version)

    def encode(self, work: JoinWork, index: int) -> list[Output]:
        """Join the packets of one partition."""
        part = work.batch[index]
        join = self.joins[part.partition]
        join.confirm()
        for offset, at, packet in work.packets[index]:
            join.apply(packet, offset, at)
            self._count(packet)
        self._positions[part.partition] = part.next_offset
        outputs = self._said(part.partition, join, join.take_said())
        schedule = self._schedules[part.partition]
        schedule.packets += len(work.packets[index])
        if join.unsaved >= self._checkpoint_events:
            outputs.append(self._checkpoint(part.partition, join, schedule))
        self._metrics.open_events.labels(part.partition).set(join.open_events)
        self._metrics.orphans.labels(part.partition).set(join.orphans)
        return outputs

    def flush(self, topic: str, partition: int, *, leaving: bool) -> list[Output]:
        """Return the reports that are due, and a checkpoint if one is."""
        join, schedule, now = self.joins[partition], self._schedules[partition], self._clock()
        join.confirm()
        outputs = []
        if now >= schedule.report or leaving:
            seldom = now >= schedule.seldom or leaving
            schedule.report = now + self._report_interval
            if seldom:
                schedule.seldom = now + _SELDOM * self._report_interval
            outputs += self._reports(partition, join, now, everything=seldom)
            outputs += self._concept(partition, join, now)
        if schedule.packets and (now >= schedule.checkpoint or leaving):
            outputs.append(self._checkpoint(partition, join, schedule))
        return outputs

    def _checkpoint(self, partition: int, join: PartitionJoin, schedule: _Schedule) -> Output:
        schedule.checkpoint = self._clock() + self._checkpoint_interval
        schedule.packets = 0
        prefix = state_prefix(self._topics.performance_log, partition)
        keys, values = join.checkpoint(self._positions[partition], prefix)
        return Output(self._topics.state("performance"), partition, keys, values)

    def _said(self, partition: int, join: PartitionJoin, said: Said) -> list[Output]:
        outputs = []
        if said.labelled:
            keys, values = zip(*said.labelled, strict=True)
            outputs.append(Output(self._topics.labelled, partition, keys, values))
        if said.final:
            now = self._clock()
            reports = [self._report(partition, window, now, final=True) for window in said.final]
            outputs.append(self._report_output(partition, reports))
        source = f"{self._topics.performance_log}/{partition}"
        for model, packet in matured_packets(source, said.matured):
            at = partition_of(model, self._partitions)
            key, value = packet.source.encode(), encode_packet(packet)
            outputs.append(Output(self._topics.performance_log, at, [key], [value]))
        return outputs + self._sent_on(source, said)

    def _sent_on(self, source: str, said: Said) -> list[Output]:
        """Return packets with outcomes whose event has been found, for the partitions of those events."""
        packets: dict[int, Packet] = {}
        for followed in said.outcomes:
            at = partition_of(followed.event_id, self._partitions)
            packets.setdefault(at, Packet(source, -1, outcomes=[])).outcomes.append(followed)
        return [
            Output(self._topics.performance_log, at, [source.encode()], [encode_packet(packet)])
            for at, packet in sorted(packets.items())
        ]

    def _reports(self, partition: int, join: PartitionJoin, now: int, *, everything: bool) -> list[Output]:
        join.settle()
        seen: dict[tuple[str, str], int] = {}
        chosen = []
        for window in newest_first(join.windows.values()):
            rank = seen[window.version] = seen.get(window.version, 0) + 1
            if window.changed and (everything or rank <= NEWEST):
                window.changed = False
                chosen.append(self._report(partition, window, now, final=False))
        return [self._report_output(partition, chosen)] if chosen else []

    def _concept(self, partition: int, join: PartitionJoin, now: int) -> list[Output]:
        """Return drift reports of label given score, for the models whose labels come here."""
        topic, position = self._topics.performance_log, self._positions[partition]
        reports = [
            watch.report(topic=topic, partition=partition, next_offset=position, now=now)
            for watch in join.concept.changed()
        ]
        if not reports:
            return []
        output = reports_output(self._topics.reports, partition, reports)
        self._alarms.tell(reports, output)
        return [output]

    def _report(self, partition: int, window: object, now: int, *, final: bool) -> PerformanceReport:
        return report_of(
            window,  # type: ignore[arg-type]
            topic=self._topics.performance_log,
            partition=partition,
            next_offset=self._positions[partition],
            now=now,
            final=final,
            orphans=self.joins[partition].orphans,
        )

    def _report_output(self, partition: int, reports: Sequence[PerformanceReport]) -> Output:
        return reports_output(self._topics.reports, partition, reports)

    def _count(self, packet: Packet) -> None:
        self._metrics.joined.labels("answers").inc(len(packet.answers))
        self._metrics.joined.labels("labels").inc(len(packet.labels))
        self._metrics.joined.labels("outcomes").inc(len(packet.outcomes))


def state_prefix(topic: str, partition: int) -> str:
    """Return how the keys of a partition's checkpoint records begin."""
    return f"{topic}-{partition}"
