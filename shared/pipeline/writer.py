"""How one partition's outputs, state and offset become durable: the two delivery guarantees."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, MessageSizeTooLargeError, RecordListTooLargeError

from shared.kafka.batch import ColumnBatch
from shared.kafka.producing import Addressed, BatchTooLarge
from shared.kafka.records import Output
from shared.kafka.starting import start
from shared.kafka.stopping import cut_off
from shared.kafka.transactions import Transactions
from shared.pipeline.crash_points import crash_point
from shared.pipeline.options import PipelineOptions
from shared.pipeline.settling import next_stamp, settle

_CODECS = {None: 0, "lz4": 3, "zstd": 4}


class PartitionWriter(Protocol):
    """Makes one input partition's work durable."""

    async def open(self) -> None:
        """Become the partition's only writer; once this returns, earlier offsets are settled."""
        ...

    def follow(self, timestamp: int) -> None:
        """Give every transaction from now on a later timestamp than this one."""
        ...

    async def commit(self, outputs: Sequence[Output], position: Sequence[Output]) -> None:
        """Make the outputs durable, and with or after them ``position``, the records that say they are."""
        ...

    async def discard(self) -> None:
        """Let go of the connection without finishing anything; never raises, never hangs."""
        ...


async def filled(
    producer: AIOKafkaProducer,
    outputs: Sequence[Output],
    options: PipelineOptions,
    *,
    max_batch_bytes: int,
    timestamp: int,
) -> list[Addressed]:
    """Return every output as record batches, in order."""
    made: list[Addressed] = []
    for output in outputs:
        if not output.values:
            continue
        if output.topic not in options.outputs and output.topic != options.state_topic:
            raise RuntimeError(f"{options.service} writes to {output.topic}, which is not among its outputs")
        count = len(await producer.partitions_for(output.topic))
        tp = TopicPartition(output.topic, output.partition % count)
        position = 0
        while position < len(output.values):
            batch = ColumnBatch(
                max_batch_bytes,
                _CODECS[options.compression],
                transactional=options.delivery == "exactly-once",
            )
            position = batch.fill(output, position, timestamp)
            made.append(Addressed(tp, batch))
    return made


async def _written(requests: Transactions, batches: Sequence[Addressed], on_its_way: str) -> None:
    """Write batches, and pass a crash point while their requests are on their way."""
    writing = asyncio.create_task(requests.produce(batches))
    try:
        await asyncio.sleep(0)
        await crash_point(on_its_way)
        await writing
    finally:
        writing.cancel()


async def _all_done(batches: Sequence[Addressed], sent: Sequence[asyncio.Future[Any]]) -> None:
    """Wait for every one, then raise the first failure: nothing is left in flight behind an error."""
    results = await asyncio.gather(*sent, return_exceptions=True)
    for one, result in zip(batches, results, strict=True):
        if isinstance(result, MessageSizeTooLargeError | RecordListTooLargeError):
            raise BatchTooLarge(one.tp.topic, one.batch.record_count()) from result
        if isinstance(result, BaseException):
            raise result


class TransactionalWriter:
    """Exactly once: one transactional id per input partition, used by nobody else.

    aiokafka commits offsets in a transaction without the group's generation (no KIP-447), so the
    broker would let a process that lost the partition commit. Fencing by an id that belongs to the
    partition needs no help from the group: ``InitProducerId`` aborts what the former owner left
    open and fences it, and once it succeeds every earlier position is settled. The position is in the
    state record, so that the group's coordinator has no part in the transaction.
    """

    def __init__(self, tp: TopicPartition, options: PipelineOptions, *, max_batch_bytes: int) -> None:
        self._tp = tp
        self._options = options
        self._max_batch_bytes = max_batch_bytes
        self._producer: AIOKafkaProducer | None = None
        self._transactions: Transactions | None = None
        self._work: asyncio.Task[None] | None = None
        self._stamp = 0

    async def open(self) -> None:
        """Start the producer: fences the former owner and settles its transaction.

        1. ``InitProducerId``: the coordinator ends the former owner's transaction
        2. whatever it forgot to end is ended here (:mod:`shared.pipeline.settling`)
        """
        options = self._options
        producer = self._producer = AIOKafkaProducer(
            **options.client,
            transactional_id=options.transactional_id(self._tp.topic, self._tp.partition),
            transaction_timeout_ms=int(options.transaction_timeout * 1000),
            request_timeout_ms=int(options.request_timeout * 1000),
            retry_backoff_ms=20,
        )
        async with asyncio.timeout(options.deadline):
            await start(producer)  # 1
            if self._producer is not producer:
                raise IllegalOperation("the partition was given up while it was being opened")
            await settle(producer, self._tp, options)  # 2
        self._transactions = Transactions(
            producer,
            options.transactional_id(self._tp.topic, self._tp.partition),
            request_timeout=options.request_timeout,
        )

    def follow(self, timestamp: int) -> None:
        """Give every transaction from now on a later timestamp than this one."""
        self._stamp = max(self._stamp, timestamp)

    async def commit(self, outputs: Sequence[Output], position: Sequence[Output]) -> None:
        """Commit one transaction, in a task that ends with the deadline or with :meth:`discard`."""
        work = self._work = asyncio.create_task(self._transact([*outputs, *position]))
        try:
            await asyncio.wait([work], timeout=self._options.deadline)
        finally:
            in_time = work.done()
            work.cancel()
        if not in_time:
            await asyncio.wait([work])
            raise TimeoutError("the transaction did not end in time")
        if work.cancelled():
            raise IllegalOperation("the partition was given up while it was committed")
        work.result()
        await crash_point("after-commit")

    async def _transact(self, outputs: Sequence[Output]) -> None:
        """Write one transaction.

        1. begin: add every partition that is written to
        2. write every record batch, those of the position among them, and wait for every answer: an
           end that does not wait for them would make a partial transaction
        3. commit
        """
        producer, transactions = self._producer, self._transactions
        assert producer is not None
        assert transactions is not None
        self._stamp = next_stamp(int(time.time() * 1000), self._stamp)
        batches = await filled(
            producer, outputs, self._options, max_batch_bytes=self._max_batch_bytes, timestamp=self._stamp
        )
        await crash_point("before-begin")
        await transactions.begin({one.tp for one in batches})  # 1
        await crash_point("after-begin")
        await _written(transactions, batches, "after-send")  # 2
        await crash_point("before-commit")
        await transactions.end()  # 3

    async def discard(self) -> None:
        """Drop the producer; what it left open is aborted by the next owner or by the broker."""
        if self._work is not None and not self._work.done():
            self._work.cancel()
            await asyncio.wait([self._work])
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await cut_off(producer)


class AtLeastOnceWriter:
    """At least once: outputs are acknowledged before the position behind them is sent."""

    def __init__(
        self,
        options: PipelineOptions,
        *,
        producer: AIOKafkaProducer,
        max_batch_bytes: int,
    ) -> None:
        self._options = options
        self._producer = producer
        self._max_batch_bytes = max_batch_bytes

    async def open(self) -> None:
        """Nothing to open: the producer is shared."""

    def follow(self, timestamp: int) -> None:
        """Nothing to tell apart: there are no transactions."""

    async def commit(self, outputs: Sequence[Output], position: Sequence[Output]) -> None:
        """Write the outputs, wait for every acknowledgement, then do the same with the position."""
        async with asyncio.timeout(self._options.deadline):
            await self._write(outputs, "after-send")
            await crash_point("before-commit")
            await self._write(position, "")
        await crash_point("after-commit")

    async def _write(self, outputs: Sequence[Output], on_its_way: str) -> None:
        batches = await filled(
            self._producer,
            outputs,
            self._options,
            max_batch_bytes=self._max_batch_bytes,
            timestamp=int(time.time() * 1000),
        )
        sent = [
            await self._producer.send_batch(one.batch, one.tp.topic, partition=one.tp.partition)
            for one in batches
        ]
        await crash_point(on_its_way)
        await _all_done(batches, sent)

    async def discard(self) -> None:
        """Nothing to let go of: the producer is shared."""
