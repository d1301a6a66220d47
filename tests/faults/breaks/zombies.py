"""Processes that stand still past their session, lose their partitions, and then go on as if nothing were."""

from __future__ import annotations

import asyncio
import random
import signal
import time

from tests.faults.breaks.choices import EXIT_SECONDS, each, wait
from tests.faults.breaks.steps import freeze_inside, step_of, takes_over, works
from tests.faults.limits import SESSION
from tests.faults.stage import Stage
from tests.faults.traffic import Traffic
from tests.streams import until


async def _freeze(stage: Stage, service: str, rng: random.Random, point: str) -> None:
    """Freeze a process at a crash point until its heir has taken over; then wake it.

    The heir is up before, so that the freeze need not last beyond a transaction's deadline. Of the alerting
    service only one process works: there it must be the frozen one, and the heir comes afterwards.
    """
    alone = service == "alerting"
    for other in stage.fleet.alive(service):
        await stage.fleet.stop(other)
    here = step_of(service, point)
    quiet = {"DRIFTLINE_REPORT_SECONDS": "3600"} if service == "inference" else {}  # it must hold answers
    frozen = stage.fleet.start(service, crash=f"{here}:1000000:hold=1.0", **quiet)
    await until(lambda: works(frozen), seconds=EXIT_SECONDS, what=f"{frozen.name} to own partitions")
    if not alone:
        heir = stage.fleet.start(service)
        await until(lambda: works(heir), seconds=EXIT_SECONDS, what=f"{heir.name} to work beside it")
    await wait(stage, rng, 0.0, 1.0)
    await freeze_inside(stage, frozen, here)
    asleep = time.monotonic()
    if alone:
        stage.fleet.start(service)
    else:
        await takes_over(heir)
    if alone or (rng.random() < 0.5 and not stage.control):  # past every deadline, too
        await asyncio.sleep(max(0.0, asleep + SESSION + 10 - time.monotonic()))
    stage.journal.note("woken", process=frozen.name, after=round(time.monotonic() - asleep, 1))
    stage.fleet.signal(frozen, signal.SIGCONT)
    await wait(stage, rng, 3.0, 5.0)
    await stage.fleet.kill(frozen)


async def zombie(stage: Stage, _: Traffic) -> None:
    """SIGSTOP past the session inside an open transaction, then SIGCONT."""
    await each(stage, lambda stage, service, rng: _freeze(stage, service, rng, "before-commit"))


async def zombie_before_begin(stage: Stage, _: Traffic) -> None:
    """SIGSTOP past the session with outputs in hand whose transaction has not begun, then SIGCONT."""
    await each(stage, lambda stage, service, rng: _freeze(stage, service, rng, "before-begin"))


async def blocked_loop(stage: Stage, _: Traffic) -> None:
    """A process's event loop stands still past its session."""
    for service in stage.services:
        stage.fleet.signal(stage.drawing(service).choice(stage.fleet.alive(service)), signal.SIGUSR2)
    await asyncio.sleep(SESSION + 6)
