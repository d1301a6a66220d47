"""One run: a fleet at work, one fault, two questions: does it move again, and is everything right?"""

from __future__ import annotations

import asyncio
import time
import traceback
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from devstack.apache_kafka import ApacheKafka
from devstack.redis_server import RedisServer
from tests.faults.catalogue import CATALOGUE
from tests.faults.invariants import broken
from tests.faults.journal import Journal
from tests.faults.stage import PARTITIONS, RESUMES_WITHIN, Stage, staged
from tests.faults.traffic import Traffic, Witness
from tests.streams import until

RATE = 120.0
STARTS_WITHIN = 90.0


@dataclass(slots=True)
class Result:
    """What came of a run.

    Attributes
    ----------
    violations
        A sentence per rule that was broken; none is what everybody hopes for.
    resumed_after
        Seconds from the end of the fault until every partition had moved; ``None`` if not in time.
    folder
        Where the event log and the processes' logs are, if they were kept.
    """

    seed: int
    fault: str
    topology: str
    control: str = ""
    violations: list[str] = field(default_factory=list)
    resumed_after: float | None = None
    events: int = 0
    seconds: float = 0.0
    folder: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing was broken."""
        return not self.violations

    @property
    def noticed(self) -> bool:
        """Whether a mistake showed in what was written: a run that merely broke off proves nothing."""
        return any("broke off" not in v and "ended by itself" not in v for v in self.violations)

    def as_json(self) -> dict[str, Any]:
        """Return what is printed with ``--json``."""
        return asdict(self) | {"passed": self.passed}


@dataclass(frozen=True, slots=True)
class Servers:
    """What runs share."""

    kafka: ApacheKafka
    redis: RedisServer
    topology: str

    def heal(self) -> None:
        """Bring back every broker and Redis, whatever a run that broke off has left."""
        for node in self.kafka.nodes:
            if node.running:
                node.resume()
            else:
                node.launch()
        self.kafka.wait_ready()
        if not self.redis.part.running:
            self.redis.start()


async def run(
    servers: Servers,
    folder: Path,
    *,
    seed: int,
    fault: str,
    services: tuple[str, ...] = ("inference",),
    control: str = "",
) -> Result:
    """Carry out one fault and return what was broken."""
    result = Result(seed, fault, servers.topology, control, folder=str(folder))
    journal = Journal(folder)
    journal.note("run", seed=seed, fault=fault, topology=servers.topology, control=control, services=services)
    started = time.monotonic()
    drawn = f"{seed} {fault} {servers.topology}"
    try:
        async with staged(
            servers.kafka, servers.redis, journal, seed=drawn, services=services, control=control
        ) as stage:
            await _play(stage, result, seed)
    except Exception as error:
        journal.note("broke off", error=repr(error), trace=traceback.format_exc())
        result.violations.append(f"the run broke off: {type(error).__name__}: {str(error)[:300]}")
    finally:
        result.seconds = round(time.monotonic() - started, 1)
        journal.note("result", **result.as_json())
        journal.close()
    return result


async def _play(stage: Stage, result: Result, seed: int) -> None:
    traffic = Traffic(stage.client, stage.topics.events, PARTITIONS, seed, RATE)
    witness = Witness(stage.client, stage.topics.predictions, PARTITIONS)
    for service in stage.services:
        stage.fleet.start(service)
        stage.fleet.start(service)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(witness.watching())
        async with traffic.flowing():
            await moving_beyond(stage, {}, STARTS_WITHIN)
            await asyncio.sleep(stage.rng.uniform(0.5, 2.0))
            stage.journal.note("fault", name=result.fault, sent=traffic.sent)
            await CATALOGUE[result.fault](stage, traffic)
            stage.journal.note("healed", sent=traffic.sent)
            result.resumed_after = await resumes(stage, result)
        result.events = traffic.sent
        if await all_done(stage, traffic.sent, result):
            await asyncio.sleep(1.5)  # the last reports of the windows, and the reader
            for service in stage.services:
                await leave_in_order(stage, service, result)
            await asyncio.sleep(1.0)
    result.violations += stage.fleet.ended_by_themselves()
    result.violations += await broken(stage, witness)


async def moving_beyond(stage: Stage, before: dict[int, int], seconds: float) -> None:
    """Wait until every partition has been committed beyond these positions."""

    async def moved() -> bool:
        now = await stage.positions()
        return len(now) == PARTITIONS and all(now[p] > before.get(p, 0) for p in now)

    await until(moved, seconds=seconds, every=0.25, what=f"every partition to move beyond {before}")


async def resumes(stage: Stage, result: Result) -> float | None:
    """Return after how many seconds every partition had moved; trace and report a stall."""
    began = time.monotonic()
    before: dict[int, int] = {}
    try:
        while len(before) < PARTITIONS and time.monotonic() < began + RESUMES_WITHIN:
            before = await stage.positions()
        await moving_beyond(stage, before, began + RESUMES_WITHIN - time.monotonic())
    except AssertionError:
        stage.journal.note("stall", positions=before)
        stage.fleet.trace()
        await asyncio.sleep(1)
        result.violations.append(
            f"no progress of every partition within {RESUMES_WITHIN:g} s of the end of the fault: {before}, "
            f"now {await stage.positions()}; where every task waits is in the logs of the processes"
        )
        return None
    return round(time.monotonic() - began, 1)


async def all_done(stage: Stage, sent: int, result: Result) -> bool:
    """Wait until every event is committed; return whether it was in time, report and trace it if not."""

    async def done() -> bool:
        return sum((await stage.positions()).values()) >= sent

    try:
        await until(done, seconds=RESUMES_WITHIN, every=0.25, what=f"{sent} events done")
    except AssertionError as error:
        stage.fleet.trace()
        await asyncio.sleep(1)
        result.violations.append(str(error))
        return False
    return True


async def leave_in_order(stage: Stage, service: str, result: Result) -> None:
    """SIGTERM to all; a process that has to be killed because it does not stop is a violation."""
    parts = stage.fleet.alive(service)
    for part in parts:
        part.resume()
    for part, stopped in zip(parts, await asyncio.gather(*map(stage.fleet.stop, parts)), strict=True):
        if not stopped:
            result.violations.append(f"{part.name} did not stop within 30 s of SIGTERM")
