"""Filled record batches written request by request, without aiokafka's accumulator and sender.

aiokafka's producer is made for applications that send one record at a time: a task collects, another drains
and keeps one request in flight. Whoever has whole batches to write writes them here; the producer
still keeps metadata and connections.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
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


@dataclass(frozen=True, slots=True)
class Identity:
    """Under what a producer's batches are numbered."""

    transactional_id: str
    producer_id: int
    epoch: int


class BatchRequests:
    """Writes record batches to their leaders and waits for all replicas in sync.

    Parameters
    ----------
    client
        Bootstrapped; it must know the topics.
    request_timeout
        Seconds the broker may wait for its replicas.
    identity
        Numbers the batches, so that one sent again is written once.
    """

    def __init__(self, client: AIOKafkaClient, *, request_timeout: float, identity: Identity) -> None:
        self._client = client
        self._timeout_ms = int(request_timeout * 1000)
        self._identity = identity
        self._sequences: dict[TopicPartition, int] = {}

    async def produce(self, batches: Sequence[Addressed]) -> None:
        """Write record batches; a partition's second one is sent when its first is acknowledged.

        What may pass is tried again for as long as the caller waits.

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

    async def _produce_round(self, batches: Mapping[TopicPartition, ColumnBatch]) -> None:
        """Write one batch per partition, side by side where the leaders differ."""
        waiting: dict[TopicPartition, bytearray] = {}
        for tp, batch in batches.items():
            sequence = self._sequences.get(tp, 0)
            batch._set_producer_state(self._identity.producer_id, self._identity.epoch, sequence)
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

        await until_done(attempt, self._client)

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
                    worst = worst_of([code])
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
        request = ProduceRequest(self._identity.transactional_id, -1, self._timeout_ms, list(topics.items()))
        return await self._client.send(leader, request)


async def until_done(attempt: Callable[[], Awaitable[KafkaError | None]], client: AIOKafkaClient) -> None:
    """Repeat what returned or raised something that passes, with growing pauses; raise what does not."""
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
        if getattr(error, "invalid_metadata", False):
            await client.force_metadata_update()
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def worst_of(codes: Iterable[int]) -> KafkaError | None:
    """Return the error that decides: one that does not pass before one that does.

    Examples
    --------
    >>> [type(worst_of(codes)).__name__ for codes in ([0, 0], [51, 90], [48, 51])]
    ['NoneType', 'ProducerFenced', 'InvalidTxnState']
    """
    worst: KafkaError | None = None
    for code in codes:
        if code in _FENCED:
            return ProducerFenced()
        if code and (worst is None or isinstance(worst, _PASSES)):
            worst = for_code(code)()
    return worst
