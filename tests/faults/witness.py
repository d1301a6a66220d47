"""A reader that runs while everything breaks; what it has seen is what the rules judge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from tests.faults.kept import Kept, Spool
from tests.streams import Client, read_all, until


class Witness:
    """Reads committed records of topics from their beginning, and keeps them.

    Parameters
    ----------
    topics
        Which; their partitions must not be deleted from while it reads.

    Attributes
    ----------
    seen
        Every record, by topic and partition, in the order in which it came; their values can be read
        while the block of :meth:`watching` lasts.
    """

    def __init__(self, client: Client, topics: Iterable[str]) -> None:
        self._client = client
        self._topics = list(topics)
        self._consumer: AIOKafkaConsumer | None = None
        self._tps: list[TopicPartition] = []
        self._spool = Spool()
        self.seen: dict[str, dict[int, list[Kept]]] = {}

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Read until the block is left."""
        self._consumer = consumer = AIOKafkaConsumer(
            **self._client,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await consumer.start()
        await self._assign(consumer)
        over = asyncio.Event()
        task = asyncio.create_task(self._watch(consumer, over))
        try:
            yield
        finally:
            over.set()
            await asyncio.wait([task], timeout=20)
            await consumer.stop()
            self._spool.close()
            task.result()

    async def _assign(self, consumer: AIOKafkaConsumer) -> None:
        for topic in self._topics:
            await consumer._client._wait_on_metadata(topic)
            numbers = sorted(consumer.partitions_for_topic(topic) or ())
            self.seen[topic] = {number: [] for number in numbers}
            self._tps += [TopicPartition(topic, number) for number in numbers]
        consumer.assign(self._tps)
        for tp in self._tps:
            consumer.seek(tp, 0)

    async def _watch(self, consumer: AIOKafkaConsumer, over: asyncio.Event) -> None:
        while not over.is_set():
            try:
                found = await consumer.getmany(timeout_ms=200)
            except (KafkaError, OSError):
                await asyncio.sleep(0.2)
                continue
            for tp, records in found.items():
                self.seen[tp.topic][tp.partition] += map(self._spool.keep, records)

    async def caught_up(self, seconds: float = 60) -> None:
        """Wait until everything that is there now has been seen."""
        consumer = self._consumer
        assert consumer is not None
        async with asyncio.timeout(seconds):
            ends = await consumer.end_offsets(self._tps)  # of a committed reader

        async def here() -> bool:
            return all([await consumer.position(tp) >= ends[tp] for tp in self._tps])

        await until(here, seconds=seconds, what="the reader to have caught up")

    async def disagreements(self) -> list[str]:
        """Read everything once more with a fresh reader; return how that differs from what was seen."""
        problems = []
        for topic in self._topics:
            for partition, records in (await read_all(self._client, topic)).items():
                there, seen = set(map(_mark, records)), list(map(_mark, self.seen[topic][partition]))
                if seen == list(map(_mark, records)):
                    continue
                vanished, unseen = len(set(seen) - there), len(there - set(seen))
                problems.append(
                    f"{topic}[{partition}]: a reader saw {vanished} that vanished and missed {unseen}"
                )
        return problems


def _mark(record: ConsumerRecord | Kept) -> tuple[int, int]:
    return record.offset, hash(record.value)
