"""Deletes what the log holds longer than anybody needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError

from services.performance.partition import PartitionJoin
from shared.logs import RateLimit, get_logger

log = get_logger(__name__)

_COMPLAIN_EVERY: Final = 3_600.0


async def trim_log(
    client: dict[str, Any], topic: str, joins: Mapping[int, PartitionJoin], *, every: float
) -> None:
    """Delete the log's records before the first one a new replica would need, every so many seconds.

    Runs until cancelled. Time alone could not tell: a horizon may be longer than any retention, and event
    time may run faster or slower than the clock. A broker that cannot delete records keeps them.
    """
    complaints = RateLimit(_COMPLAIN_EVERY)
    trimmed: dict[int, int] = {}
    while True:
        await asyncio.sleep(every)
        low = {p: join.low_offset for p, join in joins.items() if join.low_offset > trimmed.get(p, 0)}
        if not low:
            continue
        try:
            await _delete(client, {TopicPartition(topic, p): RecordsToDelete(at) for p, at in low.items()})
            trimmed |= low
        except (KafkaError, OSError, TimeoutError) as error:
            if (held := complaints.admit()) is not None:
                log.warning("the log was not trimmed", error=repr(error), held_back=held)


async def _delete(client: dict[str, Any], before: dict[TopicPartition, RecordsToDelete]) -> None:
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        await admin.delete_records(before, timeout_ms=10_000)
    finally:
        await admin.close()
