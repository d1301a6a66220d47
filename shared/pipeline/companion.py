"""A second topic read beside a pipeline's own, partition by partition, from where the state says.

The pipeline's partition owns the other topic's partition of the same number: there is no second group
that could give the two to different processes. The position in the other topic is part of the step's
state, so that it is committed with everything else or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final, Protocol

from aiokafka import TopicPartition

from shared.kafka.consumer import ColumnConsumer
from shared.kafka.records import Records
from shared.kafka.starting import start
from shared.kafka.stopping import stop_within
from shared.logs import get_logger
from shared.pipeline.ownership import BROKER_TROUBLE

log = get_logger(__name__)

_POLL_SECONDS: Final = 0.1
_MOST_RECORDS: Final = 8_000
_LONGEST_BACKOFF: Final = 5.0


class Follower(Protocol):
    """What the pipeline's step has to say and to take."""

    def positions(self) -> Mapping[int, int]:
        """Return where to read on, by partition that is open; -1 for the beginning."""
        ...

    def wants_more(self, partition: int) -> bool:
        """Return whether more may be read of a partition now."""
        ...

    def take(self, records: Records) -> None:
        """Take over consecutive records of one partition; the next ones begin at ``records.end``."""
        ...


class Companion:
    """Reads one topic for a step, as long as it runs.

    Parameters
    ----------
    client
        Keyword arguments common to every aiokafka client.
    topic
        The other topic, with as many partitions as the pipeline's own.
    """

    def __init__(self, client: Mapping[str, Any], topic: str, follower: Follower) -> None:
        self._client = client
        self._topic = topic
        self._follower = follower
        self._assigned: frozenset[int] = frozenset()
        self._at: dict[int, int] = {}
        """Where the consumer stands, by partition."""

    async def run(self) -> None:
        """Read until cancelled; a broker that is away is waited for."""
        backoff = 0.2
        while True:
            consumer = self._consumer()
            try:
                await start(consumer)
                backoff = 0.2
                await self._read(consumer)
            except BROKER_TROUBLE as error:
                log.warning("the companion topic cannot be read yet", topic=self._topic, error=repr(error))
            finally:
                with contextlib.suppress(Exception):
                    await stop_within(consumer, 3.0)
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, _LONGEST_BACKOFF)

    def _consumer(self) -> ColumnConsumer:
        self._assigned, self._at = frozenset(), {}
        return ColumnConsumer(
            **self._client,
            group_id=None,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
            fetch_max_wait_ms=50,
        )

    async def _read(self, consumer: ColumnConsumer) -> None:
        while True:
            positions = self._follower.positions()
            if frozenset(positions) != self._assigned:
                self._assign(consumer, frozenset(positions))
            if not positions:
                await asyncio.sleep(_POLL_SECONDS)
                continue
            await self._go_where_wanted(consumer, positions)
            wanted = [self._tp(partition) for partition in positions if self._follower.wants_more(partition)]
            if not wanted:
                await asyncio.sleep(0.02)
                continue
            # Shielded: a cancelled fetch would leave aiokafka's poll timer switched off.
            fetching = asyncio.ensure_future(
                consumer.getcolumns(wanted, timeout=_POLL_SECONDS, max_records=_MOST_RECORDS)
            )
            for part in await asyncio.shield(fetching):
                self._at[part.partition] = part.end
                # Looked up now: while the fetch waited, the partition may have been opened afresh.
                if self._follower.positions().get(part.partition) == part.start:
                    self._follower.take(part)

    def _assign(self, consumer: ColumnConsumer, partitions: frozenset[int]) -> None:
        consumer.assign([self._tp(partition) for partition in sorted(partitions)])
        self._assigned, self._at = partitions, {}

    async def _go_where_wanted(self, consumer: ColumnConsumer, positions: Mapping[int, int]) -> None:
        """Seek where the consumer does not stand at the wanted position."""
        elsewhere = {p: position for p, position in positions.items() if self._at.get(p) != position}
        if not elsewhere:
            return
        begin = await consumer.beginning_offsets([self._tp(partition) for partition in elsewhere])
        for partition, position in elsewhere.items():
            first = begin[self._tp(partition)]
            if position < first:  # not begun yet, or deleted by the topic's retention
                if position >= 0:
                    log.warning(
                        "records were deleted before they were read",
                        topic=self._topic,
                        partition=partition,
                        offset=position,
                        next_offset=first,
                    )
                self._follower.take(_nothing(self._topic, partition, position, first))
            self._at[partition] = max(position, first)
            consumer.seek(self._tp(partition), self._at[partition])

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)


def _nothing(topic: str, partition: int, start: int, end: int) -> Records:
    return Records(topic, partition, start, end, [], [], [], [], [])
