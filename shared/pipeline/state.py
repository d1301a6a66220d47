"""State that survives: one snapshot per input partition in a compacted changelog topic.

The snapshot is written in the transaction that commits the outputs and the offset it belongs to, so
state, outputs and offset are of one moment or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError

from shared.errors import ServiceError
from shared.kafka.reader import reader
from shared.kafka.records import Output

_FIRST_LOOK = 64
"""Records looked at from the end before looking further: the newest snapshot is always close."""


class Snapshot(msgspec.Struct, frozen=True):
    """What one changelog record holds.

    Attributes
    ----------
    next_offset
        Offset of the first input record that is not in ``state``.
    state
        The step's own bytes.
    """

    next_offset: int
    state: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Snapshot).decode


def state_key(topic: str, partition: int) -> bytes:
    """Return the key of a partition's records in the changelog."""
    return f"{topic}-{partition}".encode()


def snapshot_output(state_topic: str, tp: TopicPartition, snapshot: Snapshot) -> Output:
    """Return the changelog record of a snapshot, as something to produce."""
    return Output(state_topic, tp.partition, [state_key(tp.topic, tp.partition)], [_encode(snapshot)])


@contextmanager
def understanding(state_topic: str, tp: TopicPartition, next_offset: int) -> Iterator[None]:
    """Name the state where whoever reads it in this block cannot make sense of its bytes.

    Beginning without it would count everything once more, or forget what it holds: the process ends.

    Raises
    ------
    ServiceError
        The bytes are damaged, or of a version that writes them in another way.
    """
    try:
        yield
    except (KafkaError, IllegalOperation, OSError, AssertionError):  # about something else
        raise
    except Exception as error:
        if isinstance(error, ServiceError) and error.topic is not None:
            raise  # it has been named
        raise ServiceError(
            f"the state in {state_topic} that belongs here cannot be read ({type(error).__name__}: {error}); "
            f"run the version of Driftline that wrote it; if it is lost, delete the topic {state_topic} and "
            "start again",
            topic=tp.topic,
            partition=tp.partition,
            offset=next_offset,
        ) from error


class StateReader:
    """Reads back the newest committed snapshot of a partition.

    Every read connects for itself, so that a process that is given many partitions at once opens
    them side by side, and nothing idles afterwards.

    Parameters
    ----------
    client
        Keyword arguments common to every aiokafka client.
    topic
        The changelog topic.
    """

    def __init__(self, client: dict[str, Any], topic: str) -> None:
        self._client = client
        self._topic = topic

    async def last(self, tp: TopicPartition) -> Snapshot | None:
        """Return the newest snapshot of an input partition, ``None`` where there is none."""
        snapshot, _ = await self.dated(tp)
        return snapshot

    async def dated(self, tp: TopicPartition) -> tuple[Snapshot | None, int]:
        """Return an input partition's newest snapshot and its transaction's timestamp, or ``(None, 0)``.

        Raises
        ------
        ServiceError
            The newest record is no snapshot.
        """
        record = await self._record(tp)
        if record is None:
            return None, 0
        with understanding(self._topic, tp, 0):
            return _decode(record.value or b""), record.timestamp

    async def stamp(self, tp: TopicPartition) -> int:
        """Return the timestamp of the newest committed transaction of an input partition, 0 where none was.

        Whatever its record holds: a replay of dead letters writes marks, not snapshots.
        """
        record = await self._record(tp)
        return 0 if record is None else int(record.timestamp)

    async def _record(self, tp: TopicPartition) -> ConsumerRecord | None:
        """Return the newest record of an input partition.

        Call it only after the partition's writer is open: until then a former owner may still
        commit a newer one. Looks back from the end in growing steps, because the changelog holds one
        record per transaction until it is compacted and only the last one counts.
        """
        async with reader(self._client, fetch_max_wait_ms=20) as consumer:
            changelog = await self._changelog_of(consumer, tp)
            begin = (await consumer.beginning_offsets([changelog]))[changelog]
            end = (await consumer.end_offsets([changelog]))[changelog]
            consumer.assign([changelog])
            return await _newest(consumer, changelog, begin, end, state_key(tp.topic, tp.partition))

    async def _changelog_of(self, consumer: AIOKafkaConsumer, tp: TopicPartition) -> TopicPartition:
        await consumer._client._wait_on_metadata(self._topic)
        partitions = consumer.partitions_for_topic(self._topic) or {0}
        return TopicPartition(self._topic, tp.partition % len(partitions))


async def _newest(
    consumer: AIOKafkaConsumer, changelog: TopicPartition, begin: int, end: int, key: bytes
) -> ConsumerRecord | None:
    look, upper = _FIRST_LOOK, None
    while True:
        lower = max(begin, end - look)
        found = await _scan(consumer, changelog, lower, upper, key)
        if found is not None or lower == begin:
            return found
        upper, look = lower, look * 16


async def _scan(
    consumer: AIOKafkaConsumer, changelog: TopicPartition, lower: int, upper: int | None, key: bytes
) -> ConsumerRecord | None:
    """Return the last record under ``key`` in ``[lower, upper)``, by default up to what is written now.

    That is the high watermark of the first answer, not the end that a committed reader is told: an open
    transaction of another input partition, whose state lies in the same changelog partition, holds
    that end back, and our newest snapshot may lie behind it. Loops on the position, not on the
    records: transaction markers take offsets too.
    """
    consumer.seek(changelog, lower)
    found: ConsumerRecord | None = None
    while upper is None or await consumer.position(changelog) < upper:
        for record in (await consumer.getmany(changelog, timeout_ms=50)).get(changelog, []):
            if record.key == key and (upper is None or record.offset < upper):
                found = record
        if upper is None:
            upper = consumer.highwater(changelog)
    return found
