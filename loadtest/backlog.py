"""A backlog encoded once, and sent as often as needed: the same bytes for every contender."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer

from loadtest.events import EventSource
from shared.kafka.batch import ColumnBatch
from shared.kafka.records import Headers, Output

BATCH_BYTES = 1 << 18


class RawBatch:
    """A finished record batch that stands in for aiokafka's ``BatchBuilder``.

    Only for a producer without idempotence: the bytes hold no producer id, and the broker gives them
    their offsets.
    """

    def __init__(self, raw: bytes, count: int) -> None:
        self._raw = raw
        self._count = count

    def record_count(self) -> int:
        """Return the number of records inside."""
        return self._count

    def closed(self) -> bool:
        """Return True: it takes no record."""
        return True

    def close(self) -> None:
        """Do nothing: it is closed."""

    def size(self) -> int:
        """Return the size in bytes."""
        return len(self._raw)

    def append(self, *, timestamp: float | None, key: bytes, value: bytes, headers: Headers = ()) -> None:
        """Take nothing."""

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        raise RuntimeError("a backlog is sent by a producer without idempotence")

    def _build(self) -> bytearray:
        return bytearray(self._raw)


@dataclass(slots=True)
class Backlog:
    """Events as finished record batches.

    Attributes
    ----------
    events
        How many.
    partitions
        The batches of each partition, in order; event ``i`` lies in partition ``i % len(partitions)``
        so that all are equally long.
    """

    events: int
    partitions: list[list[tuple[bytes, int]]] = field(repr=False)

    @property
    def bytes(self) -> int:
        """Size of all its batches."""
        return sum(len(raw) for batches in self.partitions for raw, _ in batches)

    @classmethod
    def encode(cls, source: EventSource, first: int, count: int, partitions: int) -> Backlog:
        """Return events ``first`` to ``first + count - 1``, dealt out over the partitions."""
        timestamp = int(time.time() * 1000)
        encoded = [
            _encode(*source.records(range(first + offset, first + count, partitions)), timestamp)
            for offset in range(partitions)
        ]
        return cls(count, encoded)

    async def send(self, producer: AIOKafkaProducer, topic: str) -> None:
        """Produce everything, and wait until the broker has it."""
        await asyncio.gather(
            *(self._send_partition(producer, topic, number) for number in range(len(self.partitions)))
        )

    async def _send_partition(self, producer: AIOKafkaProducer, topic: str, partition: int) -> None:
        futures = [
            await producer.send_batch(RawBatch(raw, count), topic, partition=partition)
            for raw, count in self.partitions[partition]
        ]
        await asyncio.gather(*futures)


def _encode(keys: list[bytes], values: list[bytes], timestamp: int) -> list[tuple[bytes, int]]:
    """Return the records as uncompressed record batches of about 256 KiB."""
    output = Output("", 0, keys, values)
    batches: list[tuple[bytes, int]] = []
    position = 0
    while position < len(values):
        batch = ColumnBatch(BATCH_BYTES, transactional=False)
        position = batch.fill(output, position, timestamp)
        batches.append((bytes(batch._build()), batch.record_count()))
    return batches
