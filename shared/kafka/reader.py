"""A consumer without a group: reads what it is told to, and leaves no offsets behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer

from shared.kafka.starting import start
from shared.kafka.stopping import cut_off


@asynccontextmanager
async def reader(client: Mapping[str, Any], *topics: str, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a consumer without a group that sees committed records only, and cut it off in the end.

    It has no farewell to say, and waiting for one's answer takes a TLS connection five seconds now and then.

    Parameters
    ----------
    client
        Arguments of every aiokafka client: servers and security.
    topics
        Read whole, from their beginnings; with none given, assign partitions and seek.
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
        await cut_off(consumer)
