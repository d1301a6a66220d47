"""What a broker still holds open of one producer: ``DescribeProducers`` (KIP-664), unknown to aiokafka."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    LeaderNotAvailableError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from shared.logs import get_logger

log = get_logger(__name__)

_TEXT: Final = CompactString("utf-8")


class _DescribeProducersResponse(Response):  # type: ignore[misc]
    API_KEY = 61
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("error_message", _TEXT),
                        (
                            "producers",
                            CompactArray(
                                ("producer_id", Int64),
                                ("producer_epoch", Int32),
                                ("last_sequence", Int32),
                                ("last_timestamp", Int64),
                                ("coordinator_epoch", Int32),
                                ("transaction_start", Int64),
                                ("tags", TaggedFields),
                            ),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeProducersRequestV0(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 61
    API_VERSION = 0
    RESPONSE_TYPE = _DescribeProducersResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("name", _TEXT), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)),
        ),
        ("tags", TaggedFields),
    )


class _DescribeProducersRequest(Request[_DescribeProducersRequestV0]):  # type: ignore[misc]
    API_KEY = 61

    def __init__(self, topics: dict[str, list[int]]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_DescribeProducersRequestV0]) -> _DescribeProducersRequestV0:
        return request_struct_class([(name, parts, {}) for name, parts in self._topics.items()], {})


async def open_partitions(
    producer: AIOKafkaProducer, topics: Iterable[str], *, own: int
) -> dict[TopicPartition, int]:
    """Return the partitions of ``topics`` in which this producer's id has a transaction open.

    Just after ``InitProducerId`` there should be none, whatever a former owner of the id left: what
    there is was forgotten by the coordinator (KAFKA-20734).

    Parameters
    ----------
    own
        The input partition: where outputs usually go. A partition of that number must have a leader
        that can be asked; others that have none are passed over, since one dead topic partition
        must not stop every other.

    Returns
    -------
    dict of TopicPartition to int
        The timestamp of the newest open record batch, epoch milliseconds.

    Raises
    ------
    aiokafka.errors.KafkaError
        A partition has no leader, or its leader does not answer.
    aiokafka.errors.IncompatibleBrokerVersion
        The broker does not know the request.
    """
    client: AIOKafkaClient = producer.client
    by_leader: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for topic in topics:
        partitions = sorted(await producer.partitions_for(topic))
        for partition in partitions:
            leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
            if leader is not None and leader >= 0:
                by_leader[leader][topic].append(partition)
            elif partition == own % len(partitions):
                client.force_metadata_update()
                raise LeaderNotAvailableError(f"{topic}[{partition}] has no leader")
    found: dict[TopicPartition, int] = {}
    producer_id = producer._txn_manager.producer_id
    for leader, wanted in by_leader.items():
        answer = await client.send(leader, _DescribeProducersRequest(wanted))
        found |= _open_in(client, answer, producer_id)
    return found


def _open_in(client: AIOKafkaClient, answer: Any, producer_id: int) -> dict[TopicPartition, int]:
    found = {}
    for topic, partitions, _ in answer.topics:
        for partition, code, message, producers, _ in partitions:
            error = for_code(code)
            if error is TopicAuthorizationFailedError:
                log.warning("may not read what is open in an output topic: grant READ on it", topic=topic)
                continue
            if code:
                client.force_metadata_update()
                raise error(f"{topic}[{partition}]: {message}")
            for pid, _, _, timestamp, _, start, _ in producers:
                if pid == producer_id and start >= 0:
                    found[TopicPartition(topic, partition)] = timestamp
    return found
