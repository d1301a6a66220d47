"""What services keep elsewhere: a disk that is full, a Redis that goes away or forgets."""

from __future__ import annotations

import asyncio
import resource

import redis.asyncio as aioredis

from tests.faults.breaks.choices import EXIT_SECONDS, some_time
from tests.faults.stage import Stage
from tests.faults.traffic import Traffic
from tests.streams import until


async def store_full(stage: Stage, _: Traffic) -> None:
    """The disk of the performance service's store takes nothing more; later it does, with what it has kept.

    The process must end and say why, and another one on the same disk must go on where nothing is lost.
    """
    for other in stage.fleet.alive("performance"):
        await stage.fleet.stop(other)
    full = stage.fleet.start("performance")
    join = full.data_dir / "join"
    await until(lambda: any(join.rglob("data.mdb")), seconds=EXIT_SECONDS, what="a store to be there")
    await some_time(stage, 1, 4)
    assert full.pid is not None
    stage.fleet.is_doomed(full)
    largest = max(file.stat().st_size for file in join.rglob("data.mdb"))
    log_ends_at = full.log.stat().st_size + (1 << 16)  # or it could not say why
    stage.journal.note("store full", process=full.name, bytes=max(largest, log_ends_at))
    resource.prlimit(full.pid, resource.RLIMIT_FSIZE, (max(largest, log_ends_at), resource.RLIM_INFINITY))
    await until(lambda: not full.running, seconds=3 * EXIT_SECONDS, what=f"{full.name} to find its disk full")
    assert "join_dir: the store of open events" in full.log_tail(), f"no reason is given in {full.log}"
    stage.fleet.start("performance", DRIFTLINE_JOIN_DIR=str(join))


async def redis_restart(stage: Stage, _: Traffic) -> None:
    """Redis is killed, stays away for a while and comes back with its data."""
    await asyncio.to_thread(stage.redis.kill)
    await some_time(stage, 2, 8)
    await asyncio.to_thread(stage.redis.start)


async def redis_loss(stage: Stage, _: Traffic) -> None:
    """Redis loses everything: what serves goes on serving."""
    async with aioredis.Redis.from_url(stage.redis.url) as client:
        await client.flushall()
    stage.registry_lost = True
    stage.journal.note("redis empty")
    await redis_restart(stage, _)
