"""Brokers that are stopped, killed, frozen, away, out of disk, or lose a leadership."""

from __future__ import annotations

import asyncio
import resource
from typing import Final

from devstack.kafka_node import KafkaNode
from tests.faults.breaks.choices import some_time
from tests.faults.limits import SESSION
from tests.faults.stage import Stage
from tests.faults.traffic import Traffic
from tests.streams import leader_of, until

_OUTAGE_SECONDS: Final = 70.0


def some_broker(stage: Stage) -> KafkaNode:
    return stage.rng.choice(stage.kafka.nodes)


async def away(stage: Stage, node: KafkaNode, how: str, least: float, most: float) -> None:
    stage.journal.note("broker", node=node.node_id, how=how)
    await asyncio.to_thread(node.stop if how == "stop" else node.kill)
    await some_time(stage, least, most)
    await asyncio.to_thread(node.start)
    stage.journal.note("broker back", node=node.node_id)


async def broker_stop(stage: Stage, _: Traffic) -> None:
    """A broker is stopped in order and started again."""
    await away(stage, some_broker(stage), "stop", 1, 6)


async def broker_kill(stage: Stage, _: Traffic) -> None:
    """A broker is killed and started again."""
    await away(stage, some_broker(stage), "kill", 1, 6)


async def broker_outage(stage: Stage, _: Traffic) -> None:
    """A broker is killed and stays away for 70 s."""
    await away(stage, some_broker(stage), "kill", _OUTAGE_SECONDS, _OUTAGE_SECONDS)


async def broker_freeze(stage: Stage, _: Traffic) -> None:
    """A broker is frozen for longer than its own session and every deadline, then goes on."""
    node = some_broker(stage)
    stage.journal.note("broker", node=node.node_id, how="freeze")
    node.suspend()
    await some_time(stage, SESSION, SESSION + 12)
    node.resume()
    await asyncio.to_thread(node.wait_ready)


async def leader_change(stage: Stage, _: Traffic) -> None:
    """The leader of a partition of the output is stopped, so that leadership moves; then it comes back."""
    leader = await leader_of(stage.client, stage.topics.predictions, stage.rng.randrange(3))
    node = next((node for node in stage.kafka.nodes if node.node_id == leader), stage.kafka.nodes[0])
    await away(stage, node, "stop", 3, 8)


async def disk_full(stage: Stage, _: Traffic) -> None:
    """A broker's disk takes nothing more: its files cannot grow, so it gives up; then there is room again."""
    node = some_broker(stage)
    assert node.part.pid is not None
    stage.journal.note("disk full", node=node.node_id)
    resource.prlimit(node.part.pid, resource.RLIMIT_FSIZE, (4_096, resource.RLIM_INFINITY))
    try:
        await until(lambda: not node.running, seconds=20, what="the broker to give up")
    except AssertionError:
        await asyncio.to_thread(node.kill)  # it holds on to the full disk: somebody restarts it
    await asyncio.to_thread(node.start)
    stage.journal.note("broker back", node=node.node_id)
