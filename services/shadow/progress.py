"""How far the champion is where it answers nothing: refused events leave no prediction behind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.shadow.process import ShadowStep
from shared.kafka.reader import reader
from shared.logs import get_logger

log = get_logger(__name__)

_EVERY: Final = 2.0
_TROUBLE: Final = (KafkaError, OSError, TimeoutError, AssertionError)


class ChampionProgress:
    """Looks at the offsets that the champion's group has committed, where candidates wait for it in vain.

    They follow its outputs, so that every prediction of an event below them is in its topic already;
    the end of the topic is asked for afterwards, and the step waits until it has read that far.

    Parameters
    ----------
    group
        Consumer group of the inference service.
    """

    def __init__(
        self, client: Mapping[str, Any], group: str, events: str, predictions: str, step: ShadowStep
    ) -> None:
        self._client = dict(client)
        self._group = group
        self._events = events
        self._predictions = predictions
        self._step = step

    async def run(self) -> None:
        """Look every two seconds until cancelled, where the same event has waited as long.

        A broker that is away is asked again.
        """
        before: dict[int, int] = {}
        while True:
            await asyncio.sleep(_EVERY)
            now = self._step.awaiting_champion()
            partitions = [partition for partition, offset in now.items() if before.get(partition) == offset]
            before = now
            if partitions:
                try:
                    await self._look(partitions)
                except _TROUBLE as error:
                    log.debug("how far the champion is cannot be asked now", error=repr(error))

    async def _look(self, partitions: list[int]) -> None:
        admin = AIOKafkaAdminClient(**self._client)
        try:
            await admin.start()
            offsets = await admin.list_consumer_group_offsets(self._group)
        finally:
            await admin.close()
        # Uncommitted ends: a committed reader's end may lie before the champion's newest prediction.
        async with reader(self._client, isolation_level="read_uncommitted") as consumer:
            ends = await consumer.end_offsets([TopicPartition(self._predictions, p) for p in partitions])
        for partition in partitions:
            committed = offsets.get(TopicPartition(self._events, partition))
            if committed is not None and committed.offset > 0:
                end = ends[TopicPartition(self._predictions, partition)]
                self._step.champion_passed(partition, committed.offset, end)
