"""One process, then three, then one: partitions change hands while the traffic flows."""

from __future__ import annotations

import asyncio
import random
import signal
import time

from devstack.part import Part
from tests.faults.breaks.choices import EXIT_SECONDS, each, wait
from tests.faults.breaks.steps import freeze_inside, step_of, takes_over, works
from tests.faults.fleet import HOLD
from tests.faults.limits import SESSION
from tests.faults.stage import Stage
from tests.faults.traffic import Traffic
from tests.streams import until


async def scale(stage: Stage, _: Traffic) -> None:
    """One process, then three, then one: two leave, one in order and one killed."""
    await each(stage, _scale)


async def _scale(stage: Stage, service: str, rng: random.Random) -> None:
    for other in stage.fleet.alive(service)[1:]:
        await stage.fleet.stop(other)
    await wait(stage, rng, 1, 3)
    while len(stage.fleet.alive(service)) < 3:
        stage.fleet.start(service, crash=f"{step_of(service, 'before-commit')}:1000000{HOLD}")
    await _all_work(stage.fleet.alive(service))
    await wait(stage, rng, 1, 4)
    leaving, killed = rng.sample(stage.fleet.alive(service), 2)
    await stage.fleet.kill(killed)
    await wait(stage, rng, 0.5, 3)
    await stage.fleet.stop(leaving)
    stage.journal.note("scaled down", killed=killed.name, left=leaving.name)


async def scale_hung(stage: Stage, _: Traffic) -> None:
    """One process, then three, then one: the first hangs on its way out with outputs in hand, and comes back.

    A pod that is taken away while its node stands still: the others have its partitions before it goes on.
    """
    await each(stage, _scale_hung)


async def _scale_hung(stage: Stage, service: str, rng: random.Random) -> None:
    for other in stage.fleet.alive(service):
        await stage.fleet.stop(other)
    hanging, first, second = await _one_then_three(stage, service)
    await wait(stage, rng, 0.5, 2)
    here = step_of(service, "before-begin")
    await freeze_inside(stage, hanging, here)
    asleep = time.monotonic()
    if service == "alerting":  # one process works, and nothing is said when another does in its place
        await asyncio.sleep(SESSION + 10)
    else:
        await asyncio.gather(takes_over(first), takes_over(second))
    stage.journal.note("goes on", process=hanging.name, after=round(time.monotonic() - asleep, 1))
    stage.fleet.signal(hanging, signal.SIGCONT)
    await wait(stage, rng, 2, 4)
    await stage.fleet.kill(hanging)
    leaving = rng.choice((first, second))
    await stage.fleet.stop(leaving)
    stage.journal.note("scaled down", hung=hanging.name, left=leaving.name)


async def _one_then_three(stage: Stage, service: str) -> tuple[Part, Part, Part]:
    """Start one that can be caught before a transaction, then two more; all own partitions."""
    quiet = {"DRIFTLINE_REPORT_SECONDS": "3600"} if service == "inference" else {}  # it must hold answers
    crash = f"{step_of(service, 'before-begin')}:1000000:hold=1.0"
    alone = stage.fleet.start(service, crash=crash, **quiet)
    await _all_work([alone])
    first, second = stage.fleet.start(service), stage.fleet.start(service)
    await _all_work([first, second])
    return alone, first, second


async def _all_work(parts: list[Part]) -> None:
    for part in parts:
        await until(
            lambda part=part: works(part), seconds=EXIT_SECONDS, what=f"{part.name} to own partitions"
        )
