"""A consumer without a group: reads what it is told to, and leaves no offsets behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer

from shared.kafka.starting import start
from shared.kafka.stopping import stop_within


@asynccontextmanager
async def reader(
    client: Mapping[str, Any], *topics: str, stop_seconds: float = 5.0, **options: Any
) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a consumer without a group that sees committed records only, and stop it in bounded time.

    Parameters
    ----------
    client
        Arguments of every aiokafka client: servers and security.
    topics
        Read whole, from their beginnings; with none given, assign partitions and seek.
    stop_seconds
        Past these the consumer is cut off: its farewell hangs while the broker is away.
    options
        More arguments of `AIOKafkaConsumer`, which win over those chosen here.
    """
    chosen = {
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
    }
    consumer = AIOKafkaConsumer(*topics, **(dict(client) | chosen | options))
    try:
        await start(consumer)
        yield consumer
    finally:
        await stop_within(consumer, stop_seconds)
