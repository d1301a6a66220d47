"""Events through the whole run, good ones and bad ones, and a reader that watches what comes of them."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from tests.streams import Client

POISON: Final = b"poison"
"""Key of the bad events: every one of them must end in the dead letters, and nothing else."""

START_MS: Final = 1_700_000_000_000
STEP_MS: Final = 2_000


def good_event(number: int, rng: random.Random) -> bytes:
    """An event that the model scores."""
    features = {f"f{i}": rng.gauss(0, 1) for i in range(3)}
    occurred = START_MS + STEP_MS * number
    return msgspec.json.encode({"event_id": f"e{number}", "occurred_at": occurred, "features": features})


def bad_event(number: int, rng: random.Random) -> bytes:
    """An event that must be refused."""
    good = good_event(number, rng)
    features = msgspec.json.decode(good)["features"]

    def having(**changed: object) -> bytes:
        kept = {k: v for k, v in (features | changed).items() if v is not ...}
        return msgspec.json.encode({"event_id": f"e{number}", "occurred_at": START_MS, "features": kept})

    kinds = (
        b"{",
        b"",
        b"\xff\xfe\x00",
        b"[" * 5_000,
        b"null",
        good[:-3],
        good.replace(b'"event_id"', b'"id"'),
        good.replace(b'"features":{"f0":', b'"features":{"f0":NaN,"f9":'),
        having(f0="text"),
        having(f1=...),
        having(f2=1e308),
        having(f9=1),
    )
    return rng.choice(kinds)


class Traffic:
    """Numbered events into one topic, round robin over its partitions.

    Attributes
    ----------
    sent
        How many have been handed over.
    """

    def __init__(self, client: Client, topic: str, partitions: int, seed: int, rate: float) -> None:
        self._client = client
        self._topic = topic
        self._partitions = partitions
        self._rng = random.Random(f"traffic {seed}")
        self._rate = rate
        self._poison = 0
        self._done = asyncio.Event()
        self._acknowledged: list[asyncio.Future[object]] = []
        self.sent = 0

    def poison(self, count: int) -> None:
        """Make the next so many events bad ones."""
        self._poison += count

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Send until the block is left, then wait until every event is acknowledged."""
        producer = AIOKafkaProducer(
            **self._client, linger_ms=5, enable_idempotence=True, request_timeout_ms=120_000
        )
        await producer.start()
        task = asyncio.create_task(self._flow(producer))
        try:
            yield
            self._done.set()
            await asyncio.wait_for(task, 120)
            await asyncio.wait_for(asyncio.gather(*self._acknowledged), 120)
        finally:
            task.cancel()
            await asyncio.wait([task])
            await producer.stop()

    async def _flow(self, producer: AIOKafkaProducer) -> None:
        for number in itertools.count():
            if self._done.is_set():
                return
            bad = self._poison > 0 or self._rng.random() < 0.02
            self._poison = max(0, self._poison - 1)
            value = (bad_event if bad else good_event)(number, self._rng)
            key = POISON if bad else b"k%d" % (number % 50)
            partition = number % self._partitions
            self._acknowledged.append(await producer.send(self._topic, value, key=key, partition=partition))
            self.sent += 1
            await asyncio.sleep(1 / self._rate)


class Witness:
    """Reads a topic from its beginning while everything breaks, and remembers what it was told."""

    def __init__(self, client: Client, topic: str, partitions: int) -> None:
        self._client = client
        self._tps = [TopicPartition(topic, p) for p in range(partitions)]
        self.seen: dict[int, list[tuple[int, int]]] = {tp.partition: [] for tp in self._tps}
        """Offset and hash of the value, by partition."""

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Read until the block is left."""
        consumer = AIOKafkaConsumer(
            **self._client,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await consumer.start()
        consumer.assign(self._tps)
        for tp in self._tps:
            consumer.seek(tp, 0)
        over = asyncio.Event()
        task = asyncio.create_task(self._watch(consumer, over))
        try:
            yield
        finally:
            over.set()
            await asyncio.wait([task], timeout=20)
            await consumer.stop()
            task.result()

    async def _watch(self, consumer: AIOKafkaConsumer, over: asyncio.Event) -> None:
        while not over.is_set():
            try:
                found = await consumer.getmany(timeout_ms=200)
            except (KafkaError, OSError):
                await asyncio.sleep(0.2)
                continue
            for tp, records in found.items():
                self.seen[tp.partition] += [(record.offset, hash(record.value)) for record in records]
