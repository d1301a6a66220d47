"""The loop: consume, decode, compute, encode, produce, commit; one way, one micro-batch at a time."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any, Generic

from aiokafka import AIOKafkaProducer, TopicPartition

from shared.kafka.consumer import ColumnConsumer
from shared.kafka.records import Output, Records
from shared.kafka.starting import start
from shared.kafka.stopping import stop_within
from shared.logs import get_logger
from shared.metrics import PipelineMetrics
from shared.pipeline.options import PipelineOptions
from shared.pipeline.ownership import BROKER_TROUBLE, PRODUCER_TROUBLE, Ownership, Slot
from shared.pipeline.published import OffsetPublisher
from shared.pipeline.retained import Retained
from shared.pipeline.state import Snapshot, StateReader, snapshot_output
from shared.pipeline.step import Step, Work
from shared.pipeline.writer import AtLeastOnceWriter, PartitionWriter, TransactionalWriter

log = get_logger(__name__)

_POLL_SECONDS = 0.2
_FLUSH_SECONDS = 1.0
_DRAIN_SECONDS = 10.0
_GATHER_SECONDS = 0.003
_IDLE_SECONDS = 0.02
_METADATA_AGE_MS = 3_000
"""A group whose leader divides the partitions just after the broker woke up, before it names any, gives
everybody nothing, and only a change in the metadata makes it divide again: aiokafka looks every five
minutes by itself, and nobody would move for so long."""


Fetched = list[tuple[Slot, Records]]
"""What was fetched, with the slot that it is for; no slot twice."""


def _joined(batch: Fetched, more: Fetched) -> Fetched:
    """Return two fetches as one: what a slot has in both becomes one piece."""
    pieces = {id(slot): (slot, part) for slot, part in batch}
    for slot, part in more:
        _, former = pieces.get(id(slot), (slot, None))
        pieces[id(slot)] = (slot, part if former is None else former.followed_by(part))
    return list(pieces.values())


def _collect_garbage_seldom() -> None:
    """Keep the cyclic collector out of the micro-batches.

    A micro-batch makes tens of thousands of objects that die by reference count when it is done; with
    the default threshold of 700 the collector walks through the living ones dozens of times per batch,
    for nothing. What the imports made lives for ever and is taken out of its sight.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)


class Pipeline(Generic[Work]):
    """Runs one step over its input topics with the chosen delivery guarantee.

    One micro-batch, in order:

    1. fetch what the owned partitions have
    2. decode it into columns
    3. compute, in a worker thread, over all partitions at once
    4. encode, per partition that is still ours
    5. produce outputs and state, which holds the position, and commit, per partition and concurrently

    Under a backlog steps 1 and 2 of the next micro-batch run beside 3 to 5 of this one; it is
    committed only after this one. When traffic is quiet only the fetching does: what comes while a
    batch is committed is gathered into the next one, so that an event never waits behind a batch it
    could have joined.

    Parameters
    ----------
    wants
        Says whether a topic's partition may be read on; one that may not keeps its place in Kafka.
    """

    def __init__(
        self,
        step: Step[Work],
        options: PipelineOptions,
        metrics: PipelineMetrics,
        *,
        wants: Callable[[str, int], bool] | None = None,
    ) -> None:
        self._step = step
        self._wants = wants
        self._options = options
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self._next_flush = 0.0
        self._lagging: set[TopicPartition] = set()
        self._ownership: Ownership | None = None
        self._consumer: ColumnConsumer | None = None
        self.last_turn = time.monotonic()
        """When the loop last came round, by the monotonic clock: the liveness signal."""

    @property
    def ready(self) -> bool:
        """Whether every partition the group gave us is open; true also for a process without any."""
        owned = self._ownership
        return owned is not None and owned.assigned and all(slot.ready for slot in owned.slots.values())

    def caught_up_at(self, topic: str, partition: int) -> int | None:
        """Return when the broker last said that a partition has no more records, epoch milliseconds.

        None where there are more, or where some were fetched and are not encoded yet. A step may ask
        in ``flush``: what was not there at that moment can only have been written later.
        """
        tp = TopicPartition(topic, partition)
        slot = self._ownership.slots.get(tp) if self._ownership is not None else None
        if slot is None or self._consumer is None or not slot.ready or slot.encoded != slot.taken:
            return None
        return self._consumer.found_empty_at(tp, slot.position)

    def turn(self) -> None:
        """Note that the process is alive, while something outside the loop is waited for."""
        self.last_turn = time.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Process until ``stop`` is set, then finish what is in flight and let go.

        Raises
        ------
        ServiceError
            Somebody has set the group's offset to another position than the state's.
        Exception
            Whatever the step raises beyond dead letters: nothing of that batch is committed.
        """
        async with AsyncExitStack() as stack:
            _collect_garbage_seldom()
            stack.callback(self._pool.shutdown, wait=False)
            consumer = self._consumer = await self._start_consumer(stack)
            make_writer = await self._writers(stack)
            publisher = OffsetPublisher(consumer)
            reader = StateReader(self._options.client, self._options.state_topic)
            retained = Retained(consumer, self._options, self._metrics)
            self._ownership = Ownership(
                self._step, self._options, consumer, make_writer, reader, publisher, retained
            )
            consumer.subscribe(list(self._options.topics), listener=self._ownership)
            try:
                await self._loop(consumer, self._ownership, stop)
            finally:
                await self._ownership.close(within=_DRAIN_SECONDS)

    async def _loop(self, consumer: ColumnConsumer, ownership: Ownership, stop: asyncio.Event) -> None:
        committing: asyncio.Task[None] | None = None
        backlog = False
        try:
            while not stop.is_set():
                self.turn()
                self._metrics.partitions.set(len(ownership.slots))
                ownership.publish_offsets()
                if ownership.failure is not None:
                    raise ownership.failure
                batch = await self._fetch(consumer, ownership)  # 1
                if committing is not None and not backlog:
                    batch = await self._gather(consumer, ownership, batch, committing)
                    committing = None
                records = [part for _, part in batch]
                work = self._step.decode(records) if batch else None  # 2
                if committing is not None:
                    await committing
                    committing = None
                if stop.is_set():
                    break  # with the broker away one more commit would take another deadline
                if work is not None:
                    size = sum(map(len, records))
                    backlog = size >= self._options.max_records
                    self._count(consumer, ownership, batch, size)
                    committing = asyncio.create_task(self._finish(ownership, batch, work))
                else:
                    backlog = False
                    await self._flush(ownership)
        finally:
            if committing is not None:
                await committing
        self._next_flush = 0.0
        await self._flush(ownership, leaving=True)

    async def _gather(
        self, consumer: ColumnConsumer, ownership: Ownership, batch: Fetched, committing: asyncio.Task[None]
    ) -> Fetched:
        """Return the batch with what comes while the last one is committed, for ``commit_interval`` at least.

        The consumer fetches anew only when what it has is taken: left alone for the length of a commit,
        it would hand out what came before that, and the rest would wait for another turn.
        """
        until = time.monotonic() + self._options.commit_interval
        while sum(len(part) for _, part in batch) < self._options.max_records:
            left = until - time.monotonic()
            if left <= 0 and committing.done():
                break
            more = await self._fetch(consumer, ownership, timeout=max(left, _GATHER_SECONDS))
            batch = _joined(batch, more)
        await committing
        return batch

    async def _fetch(
        self, consumer: ColumnConsumer, ownership: Ownership, *, timeout: float = _POLL_SECONDS
    ) -> Fetched:
        ready = ownership.ready
        if self._wants is not None:
            ready = {tp: slot for tp, slot in ready.items() if self._wants(tp.topic, tp.partition)}
        try:
            if not ready:
                await consumer.idle(_IDLE_SECONDS)
                return []
            fetched = await consumer.getcolumns(
                ready.keys(), timeout=timeout, max_records=self._options.max_records
            )
        except BROKER_TROUBLE as error:
            log.warning("fetch failed, trying again", error=repr(error))
            await asyncio.sleep(0.2)
            return []
        return [(slot, part) for part in fetched if (slot := await self._accept(consumer, ownership, part))]

    async def _accept(self, consumer: ColumnConsumer, ownership: Ownership, part: Records) -> Slot | None:
        """Return the slot that these records are for, ``None`` where there is nothing to process.

        Looked up now and not before the fetch: while that waited, the partition may have been given
        up and opened again, and records counted to its former slot would be lost. For the same
        reason they must begin where the slot's last ones ended; if not, the consumer is put back.
        """
        tp = TopicPartition(part.topic, part.partition)
        slot = ownership.slots.get(tp)
        if slot is None or not slot.ready:
            return None  # whoever opens it seeks first
        if part.start != slot.position:
            await self._put_back(consumer, ownership, slot, part.start)
            return None
        slot.position = part.end
        if not len(part):
            return None
        slot.taken = part.end
        return slot

    async def _put_back(self, consumer: ColumnConsumer, ownership: Ownership, slot: Slot, start: int) -> None:
        """Put the consumer back where the slot goes on, or where the log begins now if that is gone.

        Raises
        ------
        ServiceError
            The log ends before the slot's position.
        """
        tp, wanted = slot.tp, slot.position
        retained = Retained(consumer, self._options, self._metrics)
        retained.check_end(tp, wanted)
        try:
            async with asyncio.timeout(self._options.deadline):
                first = await retained.first_readable(tp, wanted)
        except BROKER_TROUBLE as error:
            log.warning("the log's limits cannot be asked for yet", error=repr(error))
            first = wanted
        if ownership.slots.get(tp) is not slot or not slot.ready:
            return  # given up meanwhile: whoever opens it seeks first
        log.warning(
            "fetched from another position than expected, going back",
            topic=tp.topic,
            partition=tp.partition,
            offset=start,
            expected=wanted,
            next_offset=first,
        )
        consumer.seek(tp, first)
        slot.position = first

    async def _finish(self, ownership: Ownership, batch: Sequence[tuple[Slot, Records]], work: Work) -> None:
        started = time.perf_counter()
        await asyncio.get_running_loop().run_in_executor(self._pool, self._step.compute, work)  # 3
        await asyncio.gather(
            *(self._commit(ownership, slot, part, work, index) for index, (slot, part) in enumerate(batch))
        )
        self._metrics.batch_seconds.observe(time.perf_counter() - started)
        await self._flush(ownership)

    async def _commit(self, ownership: Ownership, slot: Slot, part: Records, work: Work, index: int) -> None:
        async with slot.lock:
            if not slot.ready:
                return  # revoked or failed meanwhile: nothing committed, so its next owner reads it again
            outputs = self._step.encode(work, index)  # 4
            slot.encoded = part.end
            await self._make_durable(ownership, slot, outputs, part.next_offset)  # 5

    async def _make_durable(
        self, ownership: Ownership, slot: Slot, outputs: list[Output], position: int
    ) -> None:
        tp = slot.tp
        state = Snapshot(position, self._step.snapshot(tp.topic, tp.partition) or b"")
        try:
            await slot.writer.commit(outputs, [snapshot_output(self._options.state_topic, tp, state)])
        except PRODUCER_TROUBLE as error:
            self._metrics.transactions.labels("failed").inc()
            ownership.give_up(slot, error)
            return
        slot.next_offset = position
        self._metrics.transactions.labels("committed").inc()
        for output in outputs:
            self._metrics.produced.labels(output.topic).inc(len(output.values))

    async def _flush(self, ownership: Ownership, *, leaving: bool = False) -> None:
        """Commit what is due although no record came, at most once a second."""
        now = time.monotonic()
        if now < self._next_flush:
            return
        self._next_flush = now + _FLUSH_SECONDS
        await asyncio.gather(
            *(self._flush_one(ownership, slot, leaving) for slot in ownership.ready.values())
        )

    async def _flush_one(self, ownership: Ownership, slot: Slot, leaving: bool) -> None:
        tp = slot.tp
        async with slot.lock:
            if slot.ready and (outputs := self._step.flush(tp.topic, tp.partition, leaving=leaving)):
                await self._make_durable(ownership, slot, outputs, slot.next_offset)

    def _count(self, consumer: ColumnConsumer, ownership: Ownership, batch: Fetched, size: int) -> None:
        metrics = self._metrics
        metrics.batch_records.observe(size)
        metrics.last_progress.set_to_current_time()
        for tp in self._lagging - ownership.slots.keys():
            metrics.lag.remove(tp.topic, tp.partition)  # another process reports it now
            self._lagging.remove(tp)
        for slot, part in batch:
            tp = slot.tp
            metrics.consumed.labels(tp.topic).inc(len(part))
            if ownership.slots.get(tp) is not slot:
                continue  # given up while it was fetched: the consumer knows nothing of it any more
            self._lagging.add(tp)
            highwater = consumer.highwater(tp)
            if highwater is not None:
                metrics.lag.labels(tp.topic, tp.partition).set(max(0, highwater - part.next_offset))

    async def _start_consumer(self, stack: AsyncExitStack) -> ColumnConsumer:
        options = self._options
        consumer = ColumnConsumer(
            **options.client,
            group_id=options.group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
            session_timeout_ms=int(options.session_timeout * 1000),
            heartbeat_interval_ms=int(options.heartbeat_interval * 1000),
            rebalance_timeout_ms=int(options.rebalance_timeout * 1000),
            max_partition_fetch_bytes=options.partition_fetch_bytes,
            fetch_max_wait_ms=50,
            fetch_min_bytes=1,
            metadata_max_age_ms=_METADATA_AGE_MS,
        )
        stack.push_async_callback(stop_within, consumer, 3.0)
        await start(consumer)
        return consumer

    async def _writers(self, stack: AsyncExitStack) -> Any:
        options = self._options
        if options.delivery == "exactly-once":

            def transactional(tp: TopicPartition, max_batch_bytes: int) -> PartitionWriter:
                return TransactionalWriter(tp, options, max_batch_bytes=max_batch_bytes)

            return transactional
        producer = AIOKafkaProducer(
            **options.client,
            acks="all",
            request_timeout_ms=int(options.request_timeout * 1000),
            retry_backoff_ms=20,
            linger_ms=0,
            compression_type=options.compression,
        )
        stack.push_async_callback(stop_within, producer, 5.0)
        await start(producer)

        def at_least_once(_tp: TopicPartition, max_batch_bytes: int) -> PartitionWriter:
            return AtLeastOnceWriter(options, producer=producer, max_batch_bytes=max_batch_bytes)

        return at_least_once
