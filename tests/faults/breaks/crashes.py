"""SIGKILL: at each step of a transaction, and in the middle of a storm of bad events."""

from __future__ import annotations

import random

from tests.faults.breaks.choices import Fault, each, wait
from tests.faults.breaks.steps import killed, step_of
from tests.faults.fleet import HOLD
from tests.faults.stage import Stage
from tests.faults.traffic import Traffic


def killed_at(point: str) -> Fault:
    async def kill(stage: Stage, service: str, rng: random.Random) -> None:
        for other in stage.fleet.alive(service):  # the one that crashes must own partitions
            await stage.fleet.stop(other)
        here = step_of(service, point)
        doomed = stage.fleet.start(service, crash=f"{here}:{rng.randint(2, 9)}{HOLD}")
        await killed(stage, doomed, here)
        stage.journal.note("crashed", process=doomed.name, point=point)
        stage.fleet.start(service)

    async def fault(stage: Stage, _: Traffic) -> None:
        await each(stage, kill)

    return fault


async def poison(stage: Stage, traffic: Traffic) -> None:
    """A storm of bad events of every kind, and a process killed in the middle of it."""
    traffic.poison(600)
    await each(stage, _kill_one)


async def _kill_one(stage: Stage, service: str, rng: random.Random) -> None:
    await wait(stage, rng, 1, 3)
    await stage.fleet.kill(rng.choice(stage.fleet.alive(service)))
    stage.fleet.start(service)
