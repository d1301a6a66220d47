"""The reports topic as one reader follows it: from its beginning, without a group, to its end and on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from shared.errors import TransientError
from shared.kafka.reader import reader
from shared.kafka.starting import start
from shared.kafka.stopping import cut_off, stop_within
from shared.messages import NOT_JSON, DecisionReport
from shared.reports import AnyReport, decode_report, report_record

TROUBLE: Final = (KafkaError, TimeoutError, OSError, AssertionError)
_DEADLINE: Final = 20.0
_POLL_MS: Final = 200


class ReportsTopic:
    """Reads every committed report, and writes decisions; connects when it is first asked to.

    Parameters
    ----------
    client
        Arguments of every aiokafka client.
    topic
        The reports topic.
    kinds
        Which kinds of report to hand over, by the first parts of a record's key; none given means all.
        The others are not even decoded.
    """

    def __init__(self, client: Mapping[str, Any], topic: str, *, kinds: Collection[str] = ()) -> None:
        self._client = client
        self._topic = topic
        self._prefixes = tuple(f"{kind}/".encode() for kind in kinds) or (b"",)
        self._consumer: AIOKafkaConsumer | None = None
        self._opened = contextlib.AsyncExitStack()
        self._producer: AIOKafkaProducer | None = None
        self._partitions: list[TopicPartition] = []

    async def read_to_end(self, take: Callable[[AnyReport], None]) -> None:
        """Hand over every report from where the last reading ended to what is now the end.

        A record of a kind that this version does not know is passed over.

        Raises
        ------
        TransientError
            The broker is away, or the topic is not there yet; a later call goes on.
        """
        try:
            consumer = await self._reading()
            async with asyncio.timeout(_DEADLINE):
                ends = await consumer.end_offsets(self._partitions)
            loop = asyncio.get_running_loop()
            deadline = loop.time() + _DEADLINE
            while await self._behind(consumer, ends):
                if loop.time() > deadline:
                    raise TimeoutError("the broker has sent nothing for a while")
                # Never cancelled: it would leave a counter of aiokafka's behind.
                fetched = await consumer.getmany(timeout_ms=_POLL_MS)
                for records in fetched.values():
                    deadline = loop.time() + _DEADLINE
                    for record in records:
                        if (record.key or b"").startswith(self._prefixes):
                            with contextlib.suppress(*NOT_JSON):
                                take(decode_report(record.value or b""))
        except TROUBLE as error:
            await self._drop_consumer()
            raise TransientError(f"the topic {self._topic} cannot be read: {error!r}") from error

    async def write(self, report: DecisionReport) -> None:
        """Write a decision and wait until the broker has it.

        Raises
        ------
        TransientError
            It has not, or may not have it: write it again.
        """
        try:
            async with asyncio.timeout(_DEADLINE):
                if self._producer is None:
                    self._producer = AIOKafkaProducer(
                        **self._client, acks="all", request_timeout_ms=int(_DEADLINE * 1000)
                    )
                    await start(self._producer)
                key, value, headers = report_record(report)
                await self._producer.send_and_wait(self._topic, value, key=key, headers=headers)
        except TROUBLE as error:
            producer, self._producer = self._producer, None
            if producer is not None:
                await cut_off(producer)
            raise TransientError(f"the decision cannot be written to {self._topic}: {error!r}") from error

    async def close(self) -> None:
        """Disconnect, in bounded time."""
        await self._drop_consumer()
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_within(producer, 5.0)

    async def _reading(self) -> AIOKafkaConsumer:
        if self._consumer is not None:
            return self._consumer
        async with asyncio.timeout(_DEADLINE):
            consumer = await self._opened.enter_async_context(reader(self._client))
            cluster = await consumer._client.fetch_all_metadata()  # by name it could create the topic
        numbers = cluster.partitions_for_topic(self._topic)
        if not numbers:
            raise TimeoutError("there is no such topic yet")
        self._partitions = [TopicPartition(self._topic, number) for number in sorted(numbers)]
        consumer.assign(self._partitions)
        await consumer.seek_to_beginning(*self._partitions)
        self._consumer = consumer
        return consumer

    async def _behind(self, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
        for partition, end in ends.items():
            if await consumer.position(partition) < end:
                return True
        return False

    async def _drop_consumer(self) -> None:
        self._consumer = None
        await self._opened.aclose()
