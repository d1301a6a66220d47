"""How a pipeline reads, batches and commits; the defaults are the measured ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from aiokafka import TopicPartition

Delivery = Literal["exactly-once", "at-least-once"]

Recover = Callable[[TopicPartition, int, bytes | None], Awaitable[None]]
"""Called with a partition, the offset that it is read on from, and the state last committed for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """Options of one service's pipeline.

    Attributes
    ----------
    service
        Name of the service; part of transactional ids and metrics.
    topics
        Input topics.
    group
        Consumer group.
    delivery
        The guarantee to hold.
    client
        Keyword arguments common to every aiokafka client (servers and security).
    outputs
        Every topic that the step's outputs name; the writer refuses others. Whoever opens a partition
        looks whether anything of its former transaction is open in them.
    state_topic
        Compacted topic for each input partition's state and position; a stateless service has one too.
    recover
        Awaited before a partition is taken over, once its former owner is fenced: for a service whose
        state is more than its snapshot. May take as long as it needs; called again after a failure.
    max_records
        Events per micro-batch, about.
    commit_interval
        Seconds a quiet pipeline waits after a commit before the next, so that events gather;
        under a backlog it does not wait.
    session_timeout, rebalance_timeout, heartbeat_interval
        Seconds, of the consumer group.
    transaction_timeout, request_timeout, deadline
        Seconds: the broker's limit on an open transaction, aiokafka's on a request, and ours on
        every transactional call. Ours is the shortest, so that a request to end a transaction is
        never retried within one epoch (KAFKA-17754).
    max_batch_bytes
        Size of a record batch before compression.
    partition_fetch_bytes
        Most bytes one fetch brings of one partition.
    compression
        ``None``, ``lz4`` or ``zstd``, for what is produced.
    """

    service: str
    topics: tuple[str, ...]
    group: str
    delivery: Delivery
    client: dict[str, Any] = field(repr=False)
    outputs: tuple[str, ...]
    state_topic: str
    recover: Recover | None = None
    max_records: int = 4_000
    commit_interval: float = 0.005
    session_timeout: float = 30.0
    rebalance_timeout: float = 20.0
    heartbeat_interval: float = 3.0
    transaction_timeout: float = 30.0
    request_timeout: float = 20.0
    deadline: float = 15.0
    max_batch_bytes: int = 1 << 18
    partition_fetch_bytes: int = 1 << 20
    compression: Literal["lz4", "zstd"] | None = None

    def transactional_id(self, topic: str, partition: int) -> str:
        """Return the id that only the owner of this input partition uses."""
        return f"{self.group}.{topic}.{partition}"
