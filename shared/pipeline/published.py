"""The group's committed offsets: how far we are, told to everybody but ourselves.

A partition is reopened from the position in its state record, which is written with the outputs. The
group's offsets follow about once a second, for lag monitors, autoscalers and people; carrying them in
every transaction cost more than the rest of it (docs/decisions/0008).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from shared.logs import get_logger

log = get_logger(__name__)

OURS: Final = "driftline"
"""Metadata of the offsets that we commit: one without it was set by somebody else."""

_INTERVAL: Final = 1.0
_TROUBLE: Final = (KafkaError, IllegalStateError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class GroupOffset:
    """A committed offset; ``ours`` says that the pipeline published it, not a person with a tool."""

    offset: int
    ours: bool


async def group_offset(consumer: AIOKafkaConsumer, tp: TopicPartition) -> GroupOffset | None:
    """Return what the group has committed for a partition, ``None`` where it has nothing."""
    # committed() drops the metadata; the version of aiokafka is pinned.
    found = (await consumer._coordinator.fetch_committed_offsets([tp])).get(tp)
    return None if found is None or found.offset < 0 else GroupOffset(found.offset, found.metadata == OURS)


class OffsetPublisher:
    """Commits positions to the group, in the background while running and once more when leaving."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._published: dict[TopicPartition, int] = {}
        self._next = 0.0
        self._task: asyncio.Task[None] | None = None

    def publish(self, positions: Mapping[TopicPartition, int]) -> None:
        """Begin to commit what has changed, at most once a second; never waits."""
        now = time.monotonic()
        if now < self._next or (self._task is not None and not self._task.done()):
            return
        self._next = now + _INTERVAL
        if changed := self._changed(positions):
            self._task = asyncio.create_task(self._commit(changed))

    async def publish_last(self, positions: Mapping[TopicPartition, int], *, within: float) -> None:
        """Commit what has changed before partitions are given up, for ``within`` seconds at most."""
        await self.close()
        if changed := self._changed(positions):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._commit(changed), within)

    async def close(self) -> None:
        """End what is in flight."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _changed(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        return {tp: offset for tp, offset in positions.items() if self._published.get(tp) != offset}

    async def _commit(self, offsets: dict[TopicPartition, int]) -> None:
        try:
            await self._consumer.commit({tp: (offset, OURS) for tp, offset in offsets.items()})
        except _TROUBLE as error:  # a rebalance, or the broker is away: the next one tells the same and more
            log.debug("offsets not published", error=repr(error))
            self._published.clear()
        else:
            self._published.update(offsets)
