"""Reads a whole topic outside any group, and goes on whatever the broker does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared.kafka.reader import reader
from shared.logs import RateLimit, get_logger
from shared.messages import NOT_JSON, Report, ServiceReport
from shared.reports import decode_report

log = get_logger(__name__)

BACK_MS: Final = 86_400_000
"""How far back reading begins: what was last reported on earlier is not shown either."""

_TROUBLE: Final = (KafkaError, TimeoutError, OSError, AssertionError)
_LONGEST_BACKOFF: Final = 10.0
_COMPLAIN_EVERY: Final = 60.0
_POLL_MS: Final = 500


async def follow_reports(
    client: Mapping[str, Any], topic: str, take: Callable[[Report | ServiceReport], object]
) -> None:
    """Hand every report of the last day and every new one to ``take``; runs until cancelled."""
    await follow(client, topic, lambda _, value: take(decode_report(value)), back_ms=BACK_MS)


async def follow(
    client: Mapping[str, Any],
    topic: str,
    take: Callable[[bytes, bytes], object],
    *,
    back_ms: int | None = None,
) -> None:
    """Hand every record there is and every new one to ``take``; runs until cancelled.

    Only committed records. A broker that is away, or a topic that is not there yet, is tried again;
    everything is then read anew, so ``take`` must not mind to hear something twice.

    Parameters
    ----------
    client
        Keyword arguments common to every aiokafka client.
    topic
        What to read.
    take
        Called with each key and value, in order within each partition. What it cannot decode
        (:data:`shared.messages.NOT_JSON`) is passed over: a newer version may have written it.
    back_ms
        Begin with what was written so many milliseconds ago; without it at the beginning.
    """
    complaints, backoff = RateLimit(_COMPLAIN_EVERY), 0.5
    while True:
        try:
            async with reader(client) as consumer:
                await _read(consumer, topic, take, back_ms)
        except _TROUBLE as error:
            if (held := complaints.admit()) is not None:
                log.warning(
                    "topic cannot be read, trying again", topic=topic, error=repr(error), held_back=held
                )
        await asyncio.sleep(backoff)
        backoff = min(2 * backoff, _LONGEST_BACKOFF)


async def _read(
    consumer: AIOKafkaConsumer, topic: str, take: Callable[[bytes, bytes], object], back_ms: int | None
) -> None:
    """Read on for ever, or return where there is no such topic: asking for it by name may create it."""
    cluster = await consumer._client.fetch_all_metadata()
    partitions = [TopicPartition(topic, p) for p in sorted(cluster.partitions_for_topic(topic) or ())]
    if not partitions:
        return
    consumer.assign(partitions)
    if back_ms is None:
        await consumer.seek_to_beginning(*partitions)
    else:
        await _seek_back(consumer, partitions, int(time.time() * 1000) - back_ms)
    while True:
        fetched = await consumer.getmany(timeout_ms=_POLL_MS)
        for records in fetched.values():
            for record in records:
                with contextlib.suppress(*NOT_JSON):
                    take(record.key or b"", record.value or b"")


async def _seek_back(consumer: AIOKafkaConsumer, partitions: list[TopicPartition], since: int) -> None:
    begin = await consumer.offsets_for_times(dict.fromkeys(partitions, since))
    for tp in partitions:
        at = begin.get(tp)
        if at is None:  # nothing was written since
            await consumer.seek_to_end(tp)
        else:
            consumer.seek(tp, at.offset)
