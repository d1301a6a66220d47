"""One transaction after another under one transactional id, each in three requests.

aiokafka's sender adds one partition after the other, and where the markers of the last transaction are not
written yet it waits for 20 ms. Here everything of a transaction is known when it begins, so its requests
are written one after the other by whoever commits (docs/decisions/0019). The producer is still what finds the
coordinator, takes the epoch and keeps the connections.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.errors import CoordinatorNotAvailableError, KafkaError, NotCoordinatorError
from aiokafka.protocol.transaction import AddPartitionsToTxnRequest, EndTxnRequest

from shared.kafka.producing import Addressed, BatchRequests, Identity, until_done, worst_of

_MOVED: Final = (CoordinatorNotAvailableError, NotCoordinatorError)


class Transactions:
    """The transactions of one started transactional producer, which is used for nothing else meanwhile.

    Requests that may be repeated are, for as long as the caller waits: adding partitions, and producing,
    which the sequence numbers make safe. The end is asked for once; what became of it, whoever opens
    the id next finds out. Whoever lets go of the producer first cancels what still waits here, or a
    repetition would connect anew.

    Parameters
    ----------
    producer
        Started and idle; it has sent no record under its present epoch.
    transactional_id
        Its id.
    request_timeout
        Seconds the broker may wait for its replicas.
    """

    def __init__(self, producer: AIOKafkaProducer, transactional_id: str, *, request_timeout: float) -> None:
        manager = producer._txn_manager
        self._identity = Identity(transactional_id, manager.producer_id, manager.producer_epoch)
        self._client = producer.client
        self._sender = producer._sender
        self._batches = BatchRequests(
            producer.client, request_timeout=request_timeout, identity=self._identity
        )

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
        mine = self._identity
        request = AddPartitionsToTxnRequest(
            mine.transactional_id, mine.producer_id, mine.epoch, list(topics.items())
        )

        async def attempt() -> KafkaError | None:
            answer = await self._ask(request)
            error = worst_of(code for _, found in answer.errors for _, code in found)
            if isinstance(error, _MOVED):
                self._sender._coordinator_dead(CoordinationType.TRANSACTION)
            return error

        await until_done(attempt, self._client)

    async def produce(self, batches: Sequence[Addressed]) -> None:
        """Write record batches as :meth:`BatchRequests.produce` does."""
        await self._batches.produce(batches)

    async def end(self, *, commit: bool = True) -> None:
        """Commit, or abort; asked for once only (KAFKA-17754).

        Raises
        ------
        aiokafka.errors.ProducerFenced
            Somebody else has opened the id.
        aiokafka.errors.KafkaError
            It may have ended or not.
        """
        mine = self._identity
        answer = await self._ask(EndTxnRequest(mine.transactional_id, mine.producer_id, mine.epoch, commit))
        if error := worst_of([answer.error_code]):
            raise error

    async def _ask(self, request: Any) -> Any:
        node = await self._sender._find_coordinator(
            CoordinationType.TRANSACTION, self._identity.transactional_id
        )
        try:
            return await self._client.send(node, request, group=ConnectionGroup.COORDINATION)
        except KafkaError:  # the connection is gone or silent: ask anew who coordinates
            self._sender._coordinator_dead(CoordinationType.TRANSACTION)
            raise
