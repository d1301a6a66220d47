"""The harness's own view of the broker: topics made and removed, progress, and the backlog's producer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    CoordinatorNotAvailableError,
    NotCoordinatorForGroupError,
    UnknownTopicOrPartitionError,
    for_code,
)

from loadtest.errors import LoadTestError
from shared.kafka.consumer import ColumnConsumer
from shared.topics import TopicSpec

POLL_SECONDS = 0.05
CREATE_SECONDS = 30.0
MOST_REPLICAS = 3


class Seen(NamedTuple):
    """What a reader found in a topic: ``bytes`` of the values alone."""

    records: int
    bytes: int


class Cluster:
    """Admin client, producer and offset reader as one context manager; one per measurement.

    A client keeps asking for the metadata of every topic it has used, removed ones too, so it does not
    outlive the topics it is for.

    Parameters
    ----------
    bootstrap_servers
        ``host:port`` of the brokers.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers

    async def __aenter__(self) -> Self:
        servers = self.bootstrap_servers
        self._admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        self._offsets = AIOKafkaConsumer(bootstrap_servers=servers)
        self.producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", linger_ms=0)
        await asyncio.gather(self._admin.start(), self._offsets.start(), self.producer.start())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(self._admin.close(), self._offsets.stop(), self.producer.stop())

    @asynccontextmanager
    async def topics(self, specs: Sequence[TopicSpec]) -> AsyncIterator[None]:
        """Make topics, wait until every partition has a leader, and remove them in the end."""
        copies = min(MOST_REPLICAS, len((await self._admin.describe_cluster())["brokers"]))
        new = [NewTopic(s.name, s.partitions, copies, topic_configs=s.configs(copies)) for s in specs]
        response = await self._admin.create_topics(new)
        for name, code, *_ in response.topic_errors:
            if code:
                raise LoadTestError(f"topic {name} could not be made: {for_code(code).__name__}")
        try:
            for spec in specs:
                what = f"topic {spec.name} to be there"
                await self.wait(partial(self._has_leaders, spec), CREATE_SECONDS, what)
            yield
        finally:
            await self._admin.delete_topics([spec.name for spec in specs])

    async def end(self, topic: str) -> int:
        """Return the sum of a topic's end offsets: its records, where nothing was transactional."""
        partitions = self._offsets.partitions_for_topic(topic) or await self._partitions(topic)
        ends = await self._offsets.end_offsets([TopicPartition(topic, number) for number in partitions])
        return sum(ends.values())

    async def committed(self, group: str, topic: str) -> int:
        """Return the sum of the offsets that a group has committed in a topic."""
        try:
            offsets = await self._admin.list_consumer_group_offsets(group)
        except (CoordinatorNotAvailableError, NotCoordinatorForGroupError):
            return 0  # the broker makes the topic of the offsets when the first group appears
        return sum(max(o.offset, 0) for tp, o in offsets.items() if tp.topic == topic)

    async def members(self, group: str) -> int:
        """Return how many members of a group share its topics in peace; 0 while it is being balanced."""
        try:
            (answer,) = await self._admin.describe_consumer_groups([group])
        except (CoordinatorNotAvailableError, NotCoordinatorForGroupError):
            return 0
        (found,) = answer.to_object()["groups"]
        return len(found["members"]) if found["state"] == "Stable" else 0

    async def visible(self, topic: str, expected: int, seconds: float) -> Seen:
        """Return what a read_committed reader finds, looking on until ``expected`` records are there."""
        consumer = ColumnConsumer(
            bootstrap_servers=self.bootstrap_servers,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, number) for number in await self._partitions(topic)]
            consumer.assign(partitions)
            found, size, deadline = 0, 0, time.monotonic() + seconds
            while time.monotonic() < deadline:
                fetched = await consumer.getcolumns(partitions, timeout=0.5, max_records=100_000)
                found += sum(map(len, fetched))
                size += sum(len(value or b"") for part in fetched for value in part.values)
                if found >= expected and not fetched:
                    break  # one more look found nothing beyond what was expected
            return Seen(found, size)
        finally:
            await consumer.stop()

    async def wait(self, condition: Callable[[], Awaitable[bool]], seconds: float, what: str) -> None:
        """Look every 50 ms until a condition holds.

        Raises
        ------
        LoadTestError
            It did not hold within ``seconds``.
        """
        deadline = time.monotonic() + seconds
        while not await condition():
            if time.monotonic() > deadline:
                raise LoadTestError(f"waited {seconds:g} s for {what}")
            await asyncio.sleep(POLL_SECONDS)

    async def _has_leaders(self, spec: TopicSpec) -> bool:
        try:
            (description,) = await self._admin.describe_topics([spec.name])
        except UnknownTopicOrPartitionError:
            return False
        found = description["partitions"]
        return len(found) == spec.partitions and all(p["error_code"] == 0 and p["leader"] >= 0 for p in found)

    async def _partitions(self, topic: str) -> list[int]:
        (description,) = await self._admin.describe_topics([topic])
        return sorted(p["partition"] for p in description["partitions"])
