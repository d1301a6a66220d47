"""A topic that takes less than before."""

from __future__ import annotations

import asyncio

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.faults.stage import Stage
from tests.faults.traffic import Traffic
from tests.streams import until


async def message_bytes(stage: Stage, traffic: Traffic) -> None:
    """``max.message.bytes`` of the output is lowered below a batch, and later raised again."""
    for other in stage.fleet.alive("inference"):
        await stage.fleet.stop(other)
    gathering = "after-commit:1000000:hold=0.5"  # gathers more than one batch takes
    alone = stage.fleet.start("inference", crash=gathering)
    await _limit(stage, 1_500)
    before = traffic.sent
    await until(lambda: traffic.sent > before + 600, seconds=120, what="more events")
    if not stage.control:  # one that does not wait for its sends does not hear of it
        await until(
            lambda: "BatchTooLarge" in alone.log_tail(100_000), seconds=60, what="a batch to be refused"
        )
    await asyncio.sleep(3)
    await _limit(stage, 1_048_588)


async def _limit(stage: Stage, limit: int) -> None:
    stage.journal.note("max.message.bytes", bytes=limit)
    admin = AIOKafkaAdminClient(**stage.client)
    await admin.start()
    try:
        config = {"max.message.bytes": str(limit)}
        await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, stage.topics.predictions, config)]
        )
    finally:
        await admin.close()
