"""One transaction after another under one transactional id, each in three requests.

aiokafka's producer is made for applications that send one record at a time: a task collects, another
drains, partitions are added to the transaction one request each, and a transaction that begins before the
markers of the last one are written waits for 20 ms. Here everything of a transaction is known when it
begins, so its requests are written one after the other by whoever commits. The producer is still what
finds the coordinator, takes the epoch and keeps the connections.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import (
    ConcurrentTransactions,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    DuplicateSequenceNumber,
    KafkaError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    NotCoordinatorError,
    OperationNotAttempted,
    ProducerFenced,
    RecordListTooLargeError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest, EndTxnRequest

from shared.kafka.batch import ColumnBatch

_FENCED: Final = (47, 90)
"""InvalidProducerEpoch, and the ProducerFenced that newer brokers say instead."""

_PASSES: Final = (
    ConcurrentTransactions,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NotCoordinatorError,
    OperationNotAttempted,
    UnknownTopicOrPartitionError,
)
_MOVED: Final = (CoordinatorNotAvailableError, NotCoordinatorError)
_FIRST_PAUSE: Final = 0.001
"""Markers of the last transaction are written within a few milliseconds of its end."""

_LONGEST_PAUSE: Final = 0.1
_SEQUENCES: Final = 1 << 31


class BatchTooLarge(MessageSizeTooLargeError):  # type: ignore[misc]
    """A topic takes no record batch of that size: smaller ones help, unless it was of one record."""

    def __init__(self, topic: str, records: int) -> None:
        super().__init__(f"a batch of {records} records for {topic} is larger than its max.message.bytes")
        self.topic = topic
        self.records = records


@dataclass(frozen=True, slots=True)
class Addressed:
    """A filled record batch and the partition that it goes to."""

    tp: TopicPartition
    batch: ColumnBatch


class Transactions:
    """The transactions of one started transactional producer, which is used for nothing else meanwhile.

    Requests that may be repeated are, for as long as the caller waits: adding partitions, and producing,
    which the sequence numbers make safe. The end is asked for once; what became of it, whoever opens
    the id next finds out. Whoever lets go of the producer first cancels what still waits here, or a
    repetition would connect anew.

    Parameters
    ----------
    producer
        Started, idle, and with every record it ever sent under its present epoch sent from here.
    transactional_id
        Its id.
    request_timeout
        Seconds the broker may wait for its replicas.
    """

    def __init__(self, producer: AIOKafkaProducer, transactional_id: str, *, request_timeout: float) -> None:
        self._producer = producer
        self._client: AIOKafkaClient = producer.client
        self._id = transactional_id
        self._timeout_ms = int(request_timeout * 1000)
        manager = producer._txn_manager
        self._producer_id: int = manager.producer_id
        self._epoch: int = manager.producer_epoch
        self._sequences: dict[TopicPartition, int] = {}

    async def begin(self, partitions: Iterable[TopicPartition]) -> None:
        """Add every partition that will be written; the transaction is open once this returns.

        Raises
        ------
        aiokafka.errors.ProducerFenced
            Somebody else has opened the id.
        aiokafka.errors.KafkaError
            The coordinator refuses for good.
        """
        topics: dict[str, list[int]] = defaultdict(list)
        for tp in partitions:
            topics[tp.topic].append(tp.partition)
        request = AddPartitionsToTxnRequest(self._id, self._producer_id, self._epoch, list(topics.items()))

        async def attempt() -> KafkaError | None:
            answer = await self._ask_coordinator(request)
            return self._worst(code for _, found in answer.errors for _, code in found)

        await self._until_done(attempt)

    async def produce(self, batches: Sequence[Addressed]) -> None:
        """Write record batches; a partition's second one is sent when its first is acknowledged.

        Raises
        ------
        BatchTooLarge
            A topic's ``max.message.bytes`` is below the size of a batch.
        aiokafka.errors.ProducerFenced
            Somebody else has opened the id.
        aiokafka.errors.KafkaError
            A leader refuses for good.
        """
        queues: dict[TopicPartition, list[ColumnBatch]] = defaultdict(list)
        for one in batches:
            queues[one.tp].append(one.batch)
        for number in range(max(map(len, queues.values()), default=0)):
            await self._produce_round(
                {tp: queue[number] for tp, queue in queues.items() if number < len(queue)}
            )

    async def end(self, *, commit: bool = True) -> None:
        """Commit, or abort; asked for once only (KAFKA-17754).

        Raises
        ------
        aiokafka.errors.ProducerFenced
            Somebody else has opened the id.
        aiokafka.errors.KafkaError
            It may have ended or not.
        """
        answer = await self._ask_coordinator(EndTxnRequest(self._id, self._producer_id, self._epoch, commit))
        if error := self._worst([answer.error_code]):
            raise error

    async def _produce_round(self, batches: Mapping[TopicPartition, ColumnBatch]) -> None:
        """Write one batch per partition, side by side where the leaders differ."""
        waiting: dict[TopicPartition, bytearray] = {}
        for tp, batch in batches.items():
            sequence = self._sequences.get(tp, 0)
            batch._set_producer_state(self._producer_id, self._epoch, sequence)
            waiting[tp] = batch._build()
            self._sequences[tp] = (sequence + batch.record_count()) % _SEQUENCES

        async def attempt() -> KafkaError | None:
            by_leader = self._by_leader(waiting)
            answers = await asyncio.gather(
                *(self._ask_leader(leader, part) for leader, part in by_leader.items()),
                return_exceptions=True,
            )
            worst: KafkaError | None = None
            for answer in answers:
                if isinstance(answer, KafkaError):
                    worst = answer
                elif isinstance(answer, BaseException):
                    raise answer
                else:
                    worst = self._take(answer, waiting, batches) or worst
            return worst

        await self._until_done(attempt)

    def _take(
        self,
        answer: Any,
        waiting: dict[TopicPartition, bytearray],
        batches: Mapping[TopicPartition, ColumnBatch],
    ) -> KafkaError | None:
        """Strike out what was written; return why something was not."""
        worst = None
        for topic, partitions in answer.topics:
            for partition, code, *_ in partitions:
                tp = TopicPartition(topic, partition)
                kind = for_code(code)
                if not code or kind is DuplicateSequenceNumber:  # a repetition of what had been written
                    waiting.pop(tp, None)
                elif kind in (MessageSizeTooLargeError, RecordListTooLargeError):
                    raise BatchTooLarge(topic, batches[tp].record_count())
                else:
                    worst = self._worst([code])
        return worst

    def _by_leader(self, waiting: Mapping[TopicPartition, bytearray]) -> dict[int, dict[str, list[Any]]]:
        found: dict[int, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        for tp, data in waiting.items():
            leader = self._client.cluster.leader_for_partition(tp)
            if leader is None or leader < 0:
                raise LeaderNotAvailableError(f"{tp.topic}[{tp.partition}] has no leader")
            found[leader][tp.topic].append((tp.partition, data))
        return found

    async def _ask_leader(self, leader: int, topics: Mapping[str, list[Any]]) -> Any:
        request = ProduceRequest(self._id, -1, self._timeout_ms, list(topics.items()))
        return await self._client.send(leader, request)

    async def _ask_coordinator(self, request: Any) -> Any:
        node = await self._producer._sender._find_coordinator(CoordinationType.TRANSACTION, self._id)
        try:
            return await self._client.send(node, request, group=ConnectionGroup.COORDINATION)
        except KafkaError:  # the connection is gone or silent: ask anew who coordinates
            self._producer._sender._coordinator_dead(CoordinationType.TRANSACTION)
            raise

    async def _until_done(self, attempt: Callable[[], Any]) -> None:
        """Repeat what may be repeated, with growing pauses; the caller's deadline ends it."""
        pause = _FIRST_PAUSE
        while True:
            try:
                error = await attempt()
            except KafkaError as raised:
                error = raised
            if error is None:
                return
            if not (isinstance(error, _PASSES) or getattr(error, "retriable", False)):
                raise error
            if isinstance(error, _MOVED):
                self._producer._sender._coordinator_dead(CoordinationType.TRANSACTION)
            if getattr(error, "invalid_metadata", False):
                await self._client.force_metadata_update()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    @staticmethod
    def _worst(codes: Iterable[int]) -> KafkaError | None:
        """Return the error that decides: one that does not pass before one that does."""
        worst: KafkaError | None = None
        for code in codes:
            if code in _FENCED:
                return ProducerFenced()
            if code and (worst is None or isinstance(worst, _PASSES)):
                worst = for_code(code)()
        return worst
