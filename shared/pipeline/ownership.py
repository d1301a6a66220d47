"""Which partitions are ours, and the order in which one is opened and given up."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    IllegalOperation,
    KafkaError,
    ProducerFenced,
)

from shared.errors import ServiceError
from shared.kafka.producing import BatchTooLarge
from shared.logs import get_logger
from shared.pipeline.options import PipelineOptions
from shared.pipeline.published import GroupOffset, OffsetPublisher, group_offset
from shared.pipeline.retained import Retained
from shared.pipeline.state import StateReader, understanding
from shared.pipeline.step import Rewinding, Step
from shared.pipeline.writer import PartitionWriter

log = get_logger(__name__)

BROKER_TROUBLE = (KafkaError, TimeoutError, OSError)
"""What a broker that is away, slow or changing hands looks like; all of it passes."""

PRODUCER_TROUBLE = (*BROKER_TROUBLE, IllegalOperation, AssertionError)
"""The same, and aiokafka's own states after it: a producer that was fenced a moment ago refuses to
send (``IllegalOperation``, which is no ``KafkaError``), and a broker that has just come back names no
broker in its metadata (an assertion, "Did we not perform bootstrap?")."""

_SMALLEST_BATCH = 1 << 10
_LONGEST_BACKOFF = 5.0


@dataclass(slots=True, eq=False)
class Slot:
    """One owned partition.

    Attributes
    ----------
    ready
        Whether records may be taken from it and committed.
    owned
        Whether the group still gives it to us; once false it never becomes true again.
    next_offset
        The first offset not yet committed.
    position
        Where the next records must begin: what was taken from the consumer ends here.
    taken, encoded
        Where the records end that were taken, and those that the step has encoded: the markers of
        transactions move ``position``, and nobody encodes them.
    lock
        Held while a commit is in flight.
    """

    tp: TopicPartition
    writer: PartitionWriter
    ready: bool = False
    owned: bool = True
    next_offset: int = 0
    position: int = 0
    taken: int = 0
    encoded: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Ownership(ConsumerRebalanceListener):  # type: ignore[misc]
    """Opens partitions that are assigned and lets go of those revoked.

    The listener's methods only flip flags, wait for commits in flight (bounded), and start tasks:
    no heartbeat is sent while they run, and aiokafka swallows what they raise.
    """

    def __init__(
        self,
        step: Step[Any],
        options: PipelineOptions,
        consumer: AIOKafkaConsumer,
        make_writer: Callable[[TopicPartition, int], PartitionWriter],
        state_reader: StateReader,
        publisher: OffsetPublisher,
        retained: Retained,
    ) -> None:
        self._step = step
        self._options = options
        self._consumer = consumer
        self._make_writer = make_writer
        self._state_reader = state_reader
        self._publisher = publisher
        self._retained = retained
        self._batch_bytes: dict[TopicPartition, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening: weakref.WeakSet[asyncio.Task[None]] = weakref.WeakSet()
        self._closing = False
        self.slots: dict[TopicPartition, Slot] = {}
        self.assigned = False
        """Whether the group has told us our partitions, even if there are none for us."""
        self.failure: BaseException | None = None
        """What broke beyond repair in a background task; the pipeline raises it."""

    @property
    def ready(self) -> dict[TopicPartition, Slot]:
        """The partitions that records may be taken from."""
        return {tp: slot for tp, slot in self.slots.items() if slot.ready}

    def publish_offsets(self) -> None:
        """Tell the group how far we are, now and then."""
        self._publisher.publish({tp: slot.next_offset for tp, slot in self.ready.items()})

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """Start opening each partition; it is read once that is done."""
        log.info("partitions assigned", partitions=sorted(tp.partition for tp in assigned))
        for tp in assigned:
            self._start_opening(tp)
        self.assigned = True

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """Take no more records, let commits in flight finish, then let go."""
        slots = [slot for tp in revoked if (slot := self.slots.pop(tp, None)) is not None]
        if revoked:
            log.info("partitions revoked", partitions=sorted(tp.partition for tp in revoked))
        await self._release(slots, within=self._options.rebalance_timeout / 2)

    async def close(self, within: float) -> None:
        """Let go of everything, for shutdown."""
        slots = list(self.slots.values())
        self.slots.clear()
        self._closing = True
        for opening in self._opening:
            opening.cancel()  # with the broker away it would go on to its deadline
        await self._release(slots, within=within)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within)

    def give_up(self, slot: Slot, error: BaseException) -> None:
        """React to a failed commit: drop the producer and open the partition afresh.

        Nothing rewinds by itself after an abort: opening seeks to the committed offset.
        """
        tp = slot.tp
        slot.ready = slot.owned = False
        if isinstance(error, BatchTooLarge):
            if error.records == 1:
                self.failure = _too_large(slot, error)
            self._shrink_batches(tp)
        fenced = isinstance(error, ProducerFenced)
        log.warning(
            "commit failed, the partition is opened afresh" if not fenced else "fenced by another owner",
            topic=tp.topic,
            partition=tp.partition,
            error=repr(error),
        )
        self._spawn(slot.writer.discard())
        if self.slots.get(tp) is slot:  # else it was revoked meanwhile, and may be open again already
            self._step.close(tp.topic, tp.partition)
            self._start_opening(tp)

    def _shrink_batches(self, tp: TopicPartition) -> None:
        """Halve the record batches: the topic's ``max.message.bytes`` may have been lowered."""
        now = self._batch_bytes.get(tp, self._options.max_batch_bytes)
        self._batch_bytes[tp] = max(_SMALLEST_BATCH, now // 2)

    def _start_opening(self, tp: TopicPartition) -> None:
        slot = Slot(tp, self._new_writer(tp))
        self.slots[tp] = slot
        self._opening.add(self._spawn(self._open(slot)))

    def _new_writer(self, tp: TopicPartition) -> PartitionWriter:
        return self._make_writer(tp, self._batch_bytes.get(tp, self._options.max_batch_bytes))

    async def _open(self, slot: Slot) -> None:
        """Open a partition, trying again while the broker is in trouble and the partition ours.

        1. the writer: fences the former owner, so that earlier offsets are settled
        2. the state last committed, and the position in it, or the first one that the log still has;
           whatever else the step recovers
        3. an explicit seek: aiokafka took its own first position before the writer was open
        4. ready
        """
        tp, backoff = slot.tp, 0.1
        while slot.owned:
            try:
                await slot.writer.open()  # 1
                async with asyncio.timeout(self._options.deadline):
                    next_offset, state, timestamp = await self._settled(tp)  # 2
                if self._options.recover is not None:
                    await self._options.recover(tp, next_offset, state)
                if self.slots.get(tp) is not slot:
                    break  # revoked meanwhile
                with understanding(self._options.state_topic, tp, next_offset) if state else nullcontext():
                    next_offset = await self._rewound(tp, next_offset, state)
                    if self.slots.get(tp) is not slot:
                        break
                    self._consumer.seek(tp, next_offset)  # 3
                    self._step.open(tp.topic, tp.partition, next_offset, state)
                slot.writer.follow(timestamp)
                slot.next_offset = slot.position = slot.taken = slot.encoded = next_offset
                slot.ready = True  # 4
            except PRODUCER_TROUBLE as error:
                log.warning(
                    "partition cannot be opened yet",
                    topic=tp.topic,
                    partition=tp.partition,
                    error=repr(error),
                )
                await slot.writer.discard()
                slot.writer = self._new_writer(tp)
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, _LONGEST_BACKOFF)
            else:
                log.info(
                    "partition opened",
                    topic=tp.topic,
                    partition=tp.partition,
                    offset=next_offset,
                )
                return
        await slot.writer.discard()

    async def _settled(self, tp: TopicPartition) -> tuple[int, bytes | None, int]:
        """Return where to read on, the state that belongs there, and the timestamp of its transaction."""
        snapshot, timestamp = await self._state_reader.dated(tp)
        group = await group_offset(self._consumer, tp)
        if snapshot is None:
            if group is not None:
                return await self._retained.first_readable(tp, group.offset), None, 0
            return (await self._consumer.beginning_offsets([tp]))[tp], None, 0
        if group is not None and self._was_set(group, snapshot.next_offset):
            raise ServiceError(
                f"the state in {self._options.state_topic} ends at offset {snapshot.next_offset}, but the "
                f"group {self._options.group} was set to {group.offset}; if the group's offsets were reset "
                f"on purpose, delete the topic {self._options.state_topic} and start again",
                topic=tp.topic,
                partition=tp.partition,
                offset=group.offset,
            )
        # The group is told of a loss at once, the state only with the next commit.
        told = group.offset if group is not None else 0
        position = await self._retained.first_readable(tp, snapshot.next_offset, had=told)
        return position, snapshot.state, timestamp

    def _was_set(self, group: GroupOffset, position: int) -> bool:
        """Return whether somebody else set the group's offset, which tells less than it seems to.

        The embedded broker keeps no metadata, so that our own offset has no mark there either; and ours,
        which is published now and then, may lie behind the state when the process was killed.
        """
        if group.ours or group.offset == position:
            return False
        return self._options.delivery == "exactly-once" or group.offset > position

    async def _rewound(self, tp: TopicPartition, next_offset: int, state: bytes | None) -> int:
        """Return the offset to read on from: before the position where the step reads some records again."""
        if state is None or not isinstance(self._step, Rewinding):
            return next_offset
        again = min(next_offset, self._step.resume_at(state))
        async with asyncio.timeout(self._options.deadline):
            return await self._retained.first_readable(tp, again, had=next_offset)

    async def _release(self, slots: list[Slot], *, within: float) -> None:
        was_ready = [slot for slot in slots if slot.ready]
        for slot in slots:
            slot.ready = False
        try:
            async with asyncio.timeout(within):
                for slot in slots:
                    async with slot.lock:
                        pass
        except TimeoutError:
            log.warning("a commit was still in flight when its partition was given up")
        positions = {slot.tp: slot.next_offset for slot in was_ready}
        await self._publisher.publish_last(positions, within=min(2.0, within / 2))
        for slot in slots:
            slot.owned = False
            self._step.close(slot.tp.topic, slot.tp.partition)
            self._spawn(slot.writer.discard())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() and self._closing:
            return
        if task.cancelled():  # nobody else cancels one: a partition would never open, and nobody would know
            self.failure = RuntimeError(f"{task.get_coro()!r} was cancelled")
        elif (error := task.exception()) is not None:
            self.failure = error


def _too_large(slot: Slot, error: BatchTooLarge) -> ServiceError:
    """Return what ends the process: every further try would meet the same record."""
    return ServiceError(
        f"what comes of the records from this offset on has one record that {error.topic} does not take, "
        f"because it is larger than the topic's max.message.bytes; raise that and start again",
        topic=slot.tp.topic,
        partition=slot.tp.partition,
        offset=slot.next_offset,
    )
