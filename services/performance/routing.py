"""First step: predictions, labels and outcomes, each to the partition of its event in the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from services.performance.metrics import PerformanceMetrics
from services.performance.packets import Answered, Followed, Known, Packet, Touched, encode_packet
from services.performance.packets import partition_of as partition
from shared.errors import DecodeError, ServiceError, ValidationError
from shared.kafka.records import Output, Records
from shared.messages import Label, Outcome, Prediction, epoch_ms
from shared.messages.common import NOT_JSON
from shared.pipeline.settling import MOST_AHEAD_MS
from shared.pipeline.step import CaughtUp
from shared.serving.letters import dead_letters
from shared.topics import TopicNames

SERVICE: Final = "performance"

_COMMIT_MS: Final = 1_000
"""So much later than it is decided on a packet may be written, which is when its time begins."""


@dataclass(slots=True)
class Share:
    """One input partition's part of a micro-batch, sorted by partition of the log."""

    part: Records
    high: int
    packets: list[Packet]
    rejected: list[tuple[int, ServiceError]] = field(default_factory=list)
    models: dict[int, str] = field(default_factory=dict)
    """By row: the model of a refused record, where it names one."""


@dataclass(slots=True)
class _Source:
    """What is remembered of an input partition while it is ours.

    Attributes
    ----------
    heard_at
        When a record came last, by the service's clock.
    idle
        Whether the log has been told that it is idle.
    tell_at
        When the log is to be told so again.
    """

    heard_at: int
    high: int = -1
    idle: bool = False
    tell_at: tuple[int, ...] = ()


class RouteStep:
    """Sorts messages by event; stateless but for the time each input has come to.

    Parameters
    ----------
    partitions
        Partitions of the log.
    by_entity
        Returns whether outcomes of a version name entities; called in the worker thread, and may wait.
    clock
        Epoch milliseconds.
    idle_after
        Milliseconds without a record after which an input is said to be idle.
    grace
        Milliseconds of the log's time by which its watermark follows event time.
    max_future
        Milliseconds by which an event time may lie after the record's own timestamp.

    Attributes
    ----------
    caught_up
        Tells when the broker last said that a partition has no more records; the pipeline knows.
    """

    def __init__(
        self,
        topics: TopicNames,
        metrics: PerformanceMetrics,
        *,
        partitions: int,
        by_entity: Callable[[str, str], bool],
        clock: Callable[[], int],
        idle_after: int,
        grace: int,
        max_future: int,
    ) -> None:
        self._topics = topics
        self._metrics = metrics
        self._partitions = partitions
        self._by_entity = by_entity
        self._clock = clock
        self._idle_after = idle_after
        self._grace = grace
        self._max_future = max_future
        self._sources: dict[tuple[str, int], _Source] = {}
        self.caught_up: CaughtUp = lambda topic, partition: None
        self._sorters: dict[str, Callable[[Records, Share], None]] = {
            topics.predictions: self._predictions,
            topics.shadow_predictions: self._predictions,
            topics.labels: self._labels,
            topics.outcomes: self._outcomes,
        }

    def open(self, topic: str, partition: int, next_offset: int, state: bytes | None) -> None:
        """Take over a partition, whose time is not known before its first record."""
        self._sources[topic, partition] = _Source(self._clock())

    def close(self, topic: str, partition: int) -> None:
        """Forget a partition."""
        self._sources.pop((topic, partition), None)

    def snapshot(self, topic: str, partition: int) -> bytes | None:
        """Return nothing: the committed offset says it all."""
        return None

    def decode(self, batch: Sequence[Records]) -> list[Share]:
        """Return an empty share per partition: what is decoded decides where it goes, in a thread."""
        return [
            Share(part, -1, [_packet(f"{part.topic}/{part.partition}") for _ in range(self._partitions)])
            for part in batch
        ]

    def compute(self, work: list[Share]) -> None:
        """Decode and sort every record; a bad one is kept for the dead letters."""
        for share in work:
            self._sorters[share.part.topic](share.part, share)

    def encode(self, work: list[Share], index: int) -> list[Output]:
        """Return a packet for every partition of the log, and the dead letters."""
        share = work[index]
        part = share.part
        source = self._sources[part.topic, part.partition]
        source.high = max(source.high, share.high)
        source.heard_at, source.idle, source.tell_at = self._clock(), False, ()
        outputs = [self._packet(packet, source, at) for at, packet in enumerate(share.packets)]
        if share.rejected:
            outputs.append(self._dead_letters(share))
        return outputs

    def _packet(self, packet: Packet, source: _Source, at: int) -> Output:
        packet.high, packet.idle = source.high, source.idle
        return Output(self._topics.performance_log, at, [packet.source.encode()], [encode_packet(packet)])

    def flush(self, topic: str, partition: int, *, leaving: bool) -> list[Output]:
        """Tell the log that the source is idle, when it is, and again after each of the graces.

        That it has been silent here is not enough: a process that stood still has heard nobody. And without
        the other times the watermark would stop behind the last record, if no other came.
        """
        source = self._sources[topic, partition]
        empty_at = self.caught_up(topic, partition)
        if leaving or empty_at is None:
            return []
        now = self._clock()
        if not source.idle:
            if empty_at < source.heard_at + self._idle_after:
                return []
            source.idle, source.tell_at = True, self._times_to_tell(now)
        elif source.tell_at and now >= source.tell_at[0]:
            source.tell_at = tuple(at for at in source.tell_at if at > now)
        else:
            return []
        name = f"{topic}/{partition}"
        return [self._packet(_packet(name), source, at) for at in range(self._partitions)]

    def _times_to_tell(self, now: int) -> tuple[int, ...]:
        """Return when to tell the log again: a grace later by the log's time, and another one.

        The last time is for whoever took over from a writer whose clock was ahead, and has its time.
        """
        once, twice = now + self._grace + _COMMIT_MS, now + 2 * (self._grace + _COMMIT_MS)
        return once, twice, twice + MOST_AHEAD_MS

    def _predictions(self, part: Records, share: Share) -> None:
        shadow = part.topic == self._topics.shadow_predictions
        count, packets, high, most = self._partitions, share.packets, -1, self._max_future
        for row, (value, written_at) in enumerate(zip(part.values, part.timestamps, strict=True)):
            try:
                p = _prediction(value or b"")
            except NOT_JSON as error:
                share.rejected.append((row, _undecodable(error)))
                continue
            occurred_at = p.occurred_at
            if occurred_at - written_at > most:
                share.rejected.append((row, _ahead(occurred_at - written_at, "occurred_at")))
                share.models[row] = p.model
                continue
            at = p.source
            item = Answered(
                p.event_id, p.model, p.model_version, p.score, occurred_at, p.scored_at,
                at.topic, at.partition, at.offset, p.label, p.probabilities, p.segments,
                p.entity_id, shadow, p.canary, p.basis,
            )  # fmt: skip
            packets[partition(p.event_id, count)].answers.append(item)
            if p.entity_id is not None and not shadow and self._by_entity(p.model, p.model_version):
                touch = Touched(p.entity_id, p.event_id, p.model, p.model_version, occurred_at)
                packets[partition(p.entity_id, count)].touches.append(touch)
            high = max(high, occurred_at)
        share.high = high

    def _labels(self, part: Records, share: Share) -> None:
        count, packets, high, most = self._partitions, share.packets, -1, self._max_future
        for row, (value, written_at) in enumerate(zip(part.values, part.timestamps, strict=True)):
            try:
                label = _label(value or b"")
            except NOT_JSON as error:
                share.rejected.append((row, _undecodable(error)))
                continue
            at = epoch_ms(label.observed_at)
            if at - written_at > most:
                share.rejected.append((row, _ahead(at - written_at, "observed_at")))
                continue
            item = Known(label.event_id, label.label, at)
            packets[partition(label.event_id, count)].labels.append(item)
            high = max(high, at)
        share.high = high

    def _outcomes(self, part: Records, share: Share) -> None:
        for row, value in enumerate(part.values):
            try:
                outcome = _outcome(value or b"")
            except NOT_JSON as error:
                share.rejected.append((row, _undecodable(error)))
                continue
            at = epoch_ms(outcome.observed_at)
            name = outcome.event_id or outcome.entity_id
            if name is None:
                missing = ValidationError("an outcome names an event_id or an entity_id", field="event_id")
                share.rejected.append((row, missing))
            elif (ahead := at - part.timestamps[row]) > self._max_future:
                share.rejected.append((row, _ahead(ahead, "observed_at")))
            else:
                packet = share.packets[partition(name, self._partitions)]
                item = Followed(name, outcome.kpi, outcome.value, at)
                (packet.outcomes if outcome.event_id is not None else packet.entity_outcomes).append(item)
                share.high = max(share.high, at)

    def _dead_letters(self, share: Share) -> Output:
        for _, error in share.rejected:
            self._metrics.dead_letters.labels(type(error).__name__).inc()
        return dead_letters(
            self._topics.dead_letters,
            share.part,
            share.rejected,
            service=SERVICE,
            now=self._clock(),
            models=share.models,
        )


_prediction = msgspec.json.Decoder(Prediction).decode
_label = msgspec.json.Decoder(Label).decode
_outcome = msgspec.json.Decoder(Outcome).decode


def _packet(source: str) -> Packet:
    return Packet(source, -1, False, [], [], [], [], [], [])


def _ahead(milliseconds: int, name: str) -> ServiceError:
    """Refuse a time from beyond ``max_future``: a clock gone wrong must not end every horizon."""
    hours = milliseconds / 3_600_000
    return ValidationError(f"{name} lies {hours:.1f} hours after the record was written", field=name)


def _undecodable(error: Exception) -> ServiceError:
    return DecodeError(f"no message of this topic: {error}")
