"""How one partition's outputs, state and offset become durable: the two delivery guarantees."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.kafka.batch import ColumnBatch
from shared.kafka.records import Output
from shared.pipeline.crash_points import crash_point
from shared.pipeline.options import PipelineOptions
from shared.pipeline.stopping import cut_off

_CODECS = {None: 0, "lz4": 3, "zstd": 4}


class PartitionWriter(Protocol):
    """Makes one input partition's work durable."""

    async def open(self) -> None:
        """Become the partition's only writer; once this returns, earlier offsets are settled."""
        ...

    async def commit(self, outputs: Sequence[Output], next_offset: int | None) -> None:
        """Make the outputs and the input offset durable; ``None`` leaves the offset as it is."""
        ...

    async def discard(self) -> None:
        """Let go of the connection without finishing anything; never raises, never hangs."""
        ...


async def send(
    producer: AIOKafkaProducer,
    outputs: Sequence[Output],
    options: PipelineOptions,
    *,
    max_batch_bytes: int,
) -> list[asyncio.Future[Any]]:
    """Hand every output to the producer as record batches; return one future per batch."""
    timestamp = int(time.time() * 1000)
    futures: list[asyncio.Future[Any]] = []
    for output in outputs:
        if not output.values:
            continue
        count = len(await producer.partitions_for(output.topic))
        position = 0
        while position < len(output.values):
            batch = ColumnBatch(
                max_batch_bytes,
                _CODECS[options.compression],
                transactional=options.delivery == "exactly-once",
            )
            position = batch.fill(output, position, timestamp)
            futures.append(await producer.send_batch(batch, output.topic, partition=output.partition % count))
    return futures


async def all_done(awaitables: Sequence[asyncio.Future[Any]]) -> None:
    """Wait for every one, then raise the first failure: nothing is left in flight behind an error."""
    results = await asyncio.gather(*awaitables, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


class TransactionalWriter:
    """Exactly once: one transactional id per input partition, used by nobody else.

    aiokafka commits offsets in a transaction without the group's generation (no KIP-447), so the
    broker would let a process that lost the partition commit. Fencing by an id that belongs to the
    partition needs no help from the group: ``InitProducerId`` aborts what the former owner left
    open and fences it, and once it succeeds every earlier offset is settled.
    """

    def __init__(self, tp: TopicPartition, options: PipelineOptions, *, max_batch_bytes: int) -> None:
        self._tp = tp
        self._options = options
        self._max_batch_bytes = max_batch_bytes
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        """Start the producer: fences the former owner and settles its transaction."""
        options = self._options
        self._producer = AIOKafkaProducer(
            **options.client,
            transactional_id=options.transactional_id(self._tp.topic, self._tp.partition),
            transaction_timeout_ms=int(options.transaction_timeout * 1000),
            request_timeout_ms=int(options.request_timeout * 1000),
            retry_backoff_ms=20,
            linger_ms=0,
            max_batch_size=self._max_batch_bytes,
            compression_type=options.compression,
        )
        async with asyncio.timeout(options.deadline):
            await self._producer.start()

    async def commit(self, outputs: Sequence[Output], next_offset: int | None) -> None:
        """Commit one transaction.

        1. begin
        2. hand over every record batch
        3. put the input offset into the transaction, beside the sends
        4. wait for every send and for the offset: ``commit_transaction()`` succeeds after a failed
           send, so a future that nobody awaited would make a partial transaction
        5. commit
        """
        producer = self._producer
        assert producer is not None
        async with asyncio.timeout(self._options.deadline):
            await producer.begin_transaction()  # 1
            await crash_point("after-begin")
            waiting = await send(producer, outputs, self._options, max_batch_bytes=self._max_batch_bytes)  # 2
            await crash_point("after-send")
            if next_offset is not None:  # 3
                offsets = {self._tp: next_offset}
                waiting.append(
                    asyncio.ensure_future(producer.send_offsets_to_transaction(offsets, self._options.group))
                )
            await all_done(waiting)  # 4
            await crash_point("before-commit")
            await producer.commit_transaction()  # 5
        await crash_point("after-commit")

    async def discard(self) -> None:
        """Drop the producer; what it left open is aborted by the next owner or by the broker."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await cut_off(producer)


class AtLeastOnceWriter:
    """At least once: outputs are acknowledged before the offset is committed."""

    def __init__(
        self,
        tp: TopicPartition,
        options: PipelineOptions,
        *,
        producer: AIOKafkaProducer,
        consumer: AIOKafkaConsumer,
        max_batch_bytes: int,
    ) -> None:
        self._tp = tp
        self._options = options
        self._producer = producer
        self._consumer = consumer
        self._max_batch_bytes = max_batch_bytes

    async def open(self) -> None:
        """Nothing to open: the producer is shared."""

    async def commit(self, outputs: Sequence[Output], next_offset: int | None) -> None:
        """Send everything, wait for every acknowledgement, then commit the offset."""
        async with asyncio.timeout(self._options.deadline):
            sends = await send(self._producer, outputs, self._options, max_batch_bytes=self._max_batch_bytes)
            await crash_point("after-send")
            await all_done(sends)
            await crash_point("before-commit")
            if next_offset is not None:
                await self._consumer.commit({self._tp: next_offset})
        await crash_point("after-commit")

    async def discard(self) -> None:
        """Nothing to let go of: the producer is shared."""
