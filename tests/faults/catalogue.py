"""The faults: what each does, in order, and what it heals before it returns."""

from __future__ import annotations

import asyncio
import random
import resource
import signal
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import redis.asyncio as aioredis
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from devstack.kafka_node import KafkaNode
from devstack.part import Part
from shared.errors import RegistryError
from tests.faults.evidence import is_held, said, was_killed_at
from tests.faults.stage import HOLD, SESSION, Stage
from tests.faults.traffic import Traffic
from tests.streams import leader_of, until

Fault = Callable[[Stage, Traffic], Awaitable[None]]

_OUTAGE_SECONDS: Final = 70.0
_EXIT_SECONDS: Final = 90.0

_ALERTING_POINTS: Final = {
    "before-begin": "alerts-published",
    "after-begin": "alerts-published",
    "after-send": "alerts-kept",
    "before-commit": "before-post",
    "after-commit": "after-post",
}
"""Its steps: it has no transactions."""


async def _killed(stage: Stage, part: Part, point: str) -> None:
    """Wait until a process has ended at a crash point; only a planted mistake may end it elsewhere."""
    await until(lambda: not part.running, seconds=_EXIT_SECONDS, what=f"{part.name} to end")
    assert stage.control or was_killed_at(part, point), (
        f"{part.name} ended, but not at {point}: see {part.log}"
    )


async def _each(stage: Stage, action: Callable[[Stage, str, random.Random], Awaitable[None]]) -> None:
    """Do the same to every service at once, each with choices of its own."""
    drawn = [(service, stage.drawing(service)) for service in stage.services]
    await asyncio.gather(*(action(stage, service, rng) for service, rng in drawn))


async def _wait(stage: Stage, rng: random.Random, least: float, most: float) -> None:
    seconds = rng.uniform(least, most)
    stage.journal.note("wait", seconds=round(seconds, 3))
    await asyncio.sleep(seconds)


async def _some_time(stage: Stage, least: float, most: float) -> None:
    await _wait(stage, stage.rng, least, most)


def _point(service: str, point: str) -> str:
    """The step of a commit in this service's own words."""
    return _ALERTING_POINTS[point] if service == "alerting" else point


def _killed_at(point: str) -> Fault:
    async def kill(stage: Stage, service: str, rng: random.Random) -> None:
        for other in stage.fleet.alive(service):  # the one that crashes must own partitions
            await stage.fleet.stop(other)
        here = _point(service, point)
        doomed = stage.fleet.start(service, crash=f"{here}:{rng.randint(2, 9)}{HOLD}")
        await _killed(stage, doomed, here)
        stage.journal.note("crashed", process=doomed.name, point=point)
        stage.fleet.start(service)

    async def fault(stage: Stage, _: Traffic) -> None:
        await _each(stage, kill)

    return fault


async def _freeze(stage: Stage, service: str, rng: random.Random, point: str) -> None:
    """Freeze a process at a crash point until its heir has taken over; then wake it.

    The heir is up before, so that the freeze need not last beyond a transaction's deadline. Of the alerting
    service only one process works: there it must be the frozen one, and the heir comes afterwards.
    """
    alone = service == "alerting"
    for other in stage.fleet.alive(service):
        await stage.fleet.stop(other)
    here = _point(service, point)
    quiet = {"DRIFTLINE_REPORT_SECONDS": "3600"} if service == "inference" else {}  # it must hold answers
    frozen = stage.fleet.start(service, crash=f"{here}:1000000:hold=1.0", **quiet)
    await until(lambda: _works(frozen), seconds=_EXIT_SECONDS, what=f"{frozen.name} to own partitions")
    if not alone:
        heir = stage.fleet.start(service)
        await until(lambda: _works(heir), seconds=_EXIT_SECONDS, what=f"{heir.name} to work beside it")
    await _wait(stage, rng, 0.0, 1.0)
    await _freeze_inside(stage, frozen, here)
    asleep = time.monotonic()
    if alone:
        stage.fleet.start(service)
    else:
        await _takes_over(heir)
    if alone or (rng.random() < 0.5 and not stage.control):  # past every deadline, too
        await asyncio.sleep(max(0.0, asleep + SESSION + 10 - time.monotonic()))
    stage.journal.note("woken", process=frozen.name, after=round(time.monotonic() - asleep, 1))
    stage.fleet.signal(frozen, signal.SIGCONT)
    await _wait(stage, rng, 3.0, 5.0)
    await stage.fleet.kill(frozen)


async def _takes_over(heir: Part) -> None:
    opened = said(heir, "partition opened")
    await until(
        lambda: said(heir, "partition opened") > opened,
        seconds=_EXIT_SECONDS,
        what=f"{heir.name} to take over",
    )
    await asyncio.sleep(1.5)  # it commits


async def _freeze_inside(stage: Stage, part: Part, point: str) -> None:
    """SIGSTOP while the process is held at a crash point: it is let go, and caught again, until it is."""
    deadline = time.monotonic() + _EXIT_SECONDS
    while time.monotonic() < deadline:
        if is_held(part, point):
            stage.fleet.signal(part, signal.SIGSTOP)
            await asyncio.sleep(0.05)
            if is_held(part, point):
                stage.journal.note("frozen", process=part.name, point=point)
                return
            stage.fleet.signal(part, signal.SIGCONT)
        await asyncio.sleep(0.05)
    raise AssertionError(f"{part.name} was never at {point} for {_EXIT_SECONDS:g} s")


async def zombie(stage: Stage, _: Traffic) -> None:
    """SIGSTOP past the session inside an open transaction, then SIGCONT."""
    await _each(stage, lambda stage, service, rng: _freeze(stage, service, rng, "before-commit"))


async def zombie_before_begin(stage: Stage, _: Traffic) -> None:
    """SIGSTOP past the session with outputs in hand whose transaction has not begun, then SIGCONT."""
    await _each(stage, lambda stage, service, rng: _freeze(stage, service, rng, "before-begin"))


async def scale(stage: Stage, _: Traffic) -> None:
    """One process, then three, then one: two leave, one in order and one killed."""
    await _each(stage, _scale)


def _works(part: Part) -> bool:
    """Whether a process has been given partitions; of the alerting service one has all of them."""
    return said(part, "partition opened" if "alerting" not in part.name else "http server listens") > 0


async def _scale(stage: Stage, service: str, rng: random.Random) -> None:
    for other in stage.fleet.alive(service)[1:]:
        await stage.fleet.stop(other)
    await _wait(stage, rng, 1, 3)
    while len(stage.fleet.alive(service)) < 3:
        stage.fleet.start(service, crash=f"{_point(service, 'before-commit')}:1000000{HOLD}")
    for part in stage.fleet.alive(service):
        await until(
            lambda part=part: _works(part), seconds=_EXIT_SECONDS, what=f"{part.name} to own partitions"
        )
    await _wait(stage, rng, 1, 4)
    leaving, killed = rng.sample(stage.fleet.alive(service), 2)
    await stage.fleet.kill(killed)
    await _wait(stage, rng, 0.5, 3)
    await stage.fleet.stop(leaving)
    stage.journal.note("scaled down", killed=killed.name, left=leaving.name)


def _node(stage: Stage) -> KafkaNode:
    return stage.rng.choice(stage.kafka.nodes)


async def _away(stage: Stage, node: KafkaNode, how: str, least: float, most: float) -> None:
    stage.journal.note("broker", node=node.node_id, how=how)
    await asyncio.to_thread(node.stop if how == "stop" else node.kill)
    await _some_time(stage, least, most)
    await asyncio.to_thread(node.start)
    stage.journal.note("broker back", node=node.node_id)


async def broker_stop(stage: Stage, _: Traffic) -> None:
    """A broker is stopped in order and started again."""
    await _away(stage, _node(stage), "stop", 1, 6)


async def broker_kill(stage: Stage, _: Traffic) -> None:
    """A broker is killed and started again."""
    await _away(stage, _node(stage), "kill", 1, 6)


async def broker_outage(stage: Stage, _: Traffic) -> None:
    """A broker is killed and stays away for 70 s."""
    await _away(stage, _node(stage), "kill", _OUTAGE_SECONDS, _OUTAGE_SECONDS)


async def broker_freeze(stage: Stage, _: Traffic) -> None:
    """A broker is frozen for longer than its own session and every deadline, then goes on."""
    node = _node(stage)
    stage.journal.note("broker", node=node.node_id, how="freeze")
    node.suspend()
    await _some_time(stage, SESSION, SESSION + 12)
    node.resume()
    await asyncio.to_thread(node.wait_ready)


async def leader_change(stage: Stage, _: Traffic) -> None:
    """The leader of a partition of the output is stopped, so that leadership moves; then it comes back."""
    leader = await leader_of(stage.client, stage.topics.predictions, stage.rng.randrange(3))
    node = next((node for node in stage.kafka.nodes if node.node_id == leader), stage.kafka.nodes[0])
    await _away(stage, node, "stop", 3, 8)


async def partition(stage: Stage, _: Traffic) -> None:
    """The services are cut off from the brokers past their session; what they sent arrives late."""
    cut = stage.proxies if stage.rng.random() < 0.5 else [stage.rng.choice(stage.proxies)]
    stage.journal.note("cut off", brokers=len(cut))
    for proxy in cut:
        proxy.cut()
    await _some_time(stage, SESSION + 1, SESSION + 14)
    for proxy in cut:
        proxy.mend()


async def delay(stage: Stage, _: Traffic) -> None:
    """Every read and write between services and brokers takes a while longer."""
    for proxy in stage.proxies:
        proxy.delay = stage.rng.uniform(0.1, 0.5)
    await _some_time(stage, 8, 15)
    for proxy in stage.proxies:
        proxy.delay = 0.0


async def disk_full(stage: Stage, _: Traffic) -> None:
    """A broker's disk takes nothing more: its files cannot grow, so it gives up; then there is room again."""
    node = _node(stage)
    assert node.part.pid is not None
    stage.journal.note("disk full", node=node.node_id)
    resource.prlimit(node.part.pid, resource.RLIMIT_FSIZE, (4_096, resource.RLIM_INFINITY))
    try:
        await until(lambda: not node.running, seconds=20, what="the broker to give up")
    except AssertionError:
        await asyncio.to_thread(node.kill)  # it holds on to the full disk: somebody restarts it
    await asyncio.to_thread(node.start)
    stage.journal.note("broker back", node=node.node_id)


async def store_full(stage: Stage, _: Traffic) -> None:
    """The disk of the performance service's store takes nothing more; later it does, with what it has kept.

    The process must end and say why, and another one on the same disk must go on where nothing is lost.
    """
    for other in stage.fleet.alive("performance"):
        await stage.fleet.stop(other)
    full = stage.fleet.start("performance")
    join = full.data_dir / "join"
    await until(lambda: any(join.rglob("data.mdb")), seconds=_EXIT_SECONDS, what="a store to be there")
    await _some_time(stage, 1, 4)
    assert full.pid is not None
    stage.fleet.is_doomed(full)
    largest = max(file.stat().st_size for file in join.rglob("data.mdb"))
    log_ends_at = full.log.stat().st_size + (1 << 16)  # or it could not say why
    stage.journal.note("store full", process=full.name, bytes=max(largest, log_ends_at))
    resource.prlimit(full.pid, resource.RLIMIT_FSIZE, (max(largest, log_ends_at), resource.RLIM_INFINITY))
    await until(
        lambda: not full.running, seconds=3 * _EXIT_SECONDS, what=f"{full.name} to find its disk full"
    )
    assert "join_dir: the store of open events" in full.log_tail(), f"no reason is given in {full.log}"
    stage.fleet.start("performance", DRIFTLINE_JOIN_DIR=str(join))


async def redis_restart(stage: Stage, _: Traffic) -> None:
    """Redis is killed, stays away for a while and comes back with its data."""
    await asyncio.to_thread(stage.redis.kill)
    await _some_time(stage, 2, 8)
    await asyncio.to_thread(stage.redis.start)


async def redis_loss(stage: Stage, _: Traffic) -> None:
    """Redis loses everything: what serves goes on serving."""
    async with aioredis.Redis.from_url(stage.redis.url) as client:
        await client.flushall()
    stage.registry_lost = True
    stage.journal.note("redis empty")
    await redis_restart(stage, _)


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


async def blocked_loop(stage: Stage, _: Traffic) -> None:
    """A process's event loop stands still past its session."""
    for service in stage.services:
        stage.fleet.signal(stage.drawing(service).choice(stage.fleet.alive(service)), signal.SIGUSR2)
    await asyncio.sleep(SESSION + 6)


async def clock_jump(stage: Stage, _: Traffic) -> None:
    """A process's clock jumps ahead or back, and later back to the truth; then the process is killed."""
    await _each(stage, _jump)


async def _jump(stage: Stage, service: str, rng: random.Random) -> None:
    victim = rng.choice(stage.fleet.alive(service))
    stage.fleet.shift_clock(victim, rng.choice((-7_200.0, -90.0, 90.0, 1_800.0)))
    await _wait(stage, rng, 3, 6)
    stage.fleet.shift_clock(victim, 0.0)
    await _wait(stage, rng, 1, 3)
    await stage.fleet.kill(victim)
    stage.fleet.start(service)


async def corrupt_bundle(stage: Stage, _: Traffic) -> None:
    """A version rots before it is made champion, another one afterwards; then a good one takes over.

    The first is refused. The second answers wherever it was loaded before it rotted, and a process that
    comes only now must refuse it and wait, while the others go on.
    """
    try:
        await stage.publish(corrupt=True)
    except RegistryError as error:
        stage.journal.note("refused", error=str(error))
    else:
        raise AssertionError("a bundle whose bytes have rotted was made champion")
    rotten = await stage.publish()
    for part in stage.fleet.alive("inference"):
        await _serving(part, rotten)
    await _some_time(stage, 2, 4)  # the other services read it as well
    stage.spoil(rotten)
    late = stage.fleet.start("inference")
    await until(
        lambda: said(late, "model cannot be loaded, what is loaded stays", model_version=rotten) > 0,
        seconds=_EXIT_SECONDS,
        what=f"{late.name} to refuse version {rotten}",
    )
    assert not said(late, "model swapped in"), f"{late.name} serves a bundle whose bytes have rotted"
    await _serving(late, await stage.publish())
    await stage.fleet.stop(late)
    await _some_time(stage, 2, 4)


async def _serving(part: Part, version: str) -> None:
    await until(
        lambda: said(part, "model swapped in", model_version=version) > 0,
        seconds=_EXIT_SECONDS,
        what=f"{part.name} to serve version {version}",
    )


async def poison(stage: Stage, traffic: Traffic) -> None:
    """A storm of bad events of every kind, and a process killed in the middle of it."""
    traffic.poison(600)
    await _each(stage, _kill_one)


async def _kill_one(stage: Stage, service: str, rng: random.Random) -> None:
    await _wait(stage, rng, 1, 3)
    await stage.fleet.kill(rng.choice(stage.fleet.alive(service)))
    stage.fleet.start(service)


CATALOGUE: dict[str, Fault] = {
    **{
        f"kill-{point}": _killed_at(point)
        for point in ("before-begin", "after-begin", "after-send", "before-commit", "after-commit")
    },
    "zombie": zombie,
    "zombie-before-begin": zombie_before_begin,
    "scale": scale,
    "broker-stop": broker_stop,
    "broker-kill": broker_kill,
    "broker-outage": broker_outage,
    "broker-freeze": broker_freeze,
    "leader-change": leader_change,
    "partition": partition,
    "delay": delay,
    "disk-full": disk_full,
    "store-full": store_full,
    "redis-restart": redis_restart,
    "redis-loss": redis_loss,
    "message-bytes": message_bytes,
    "blocked-loop": blocked_loop,
    "clock-jump": clock_jump,
    "corrupt-bundle": corrupt_bundle,
    "poison": poison,
}
"""By name."""

NEEDS: Final = {"store-full": "performance", "message-bytes": "inference", "corrupt-bundle": "inference"}
"""Faults of one service: without it at work there is nothing to break."""


def possible(fault: str, services: Collection[str]) -> bool:
    """Whether there is something to break.

    Examples
    --------
    >>> possible("store-full", ("inference",)), possible("scale", ("inference",))
    (False, True)
    """
    return NEEDS.get(fault, next(iter(services))) in services


OF_SERVERS: Final = frozenset(
    {
        "broker-stop",
        "broker-kill",
        "broker-outage",
        "broker-freeze",
        "leader-change",
        "disk-full",
        "redis-restart",
        "redis-loss",
    }
)
"""Those that hurt what all fleets on a cluster share."""

SAMPLE: Final = ("kill-before-commit", "zombie-before-begin", "partition")
"""Those that a short run takes."""
