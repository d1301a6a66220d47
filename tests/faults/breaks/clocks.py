"""Clocks that jump."""

from __future__ import annotations

import random

from tests.faults.breaks.choices import each, wait
from tests.faults.stage import Stage
from tests.faults.traffic import Traffic


async def clock_jump(stage: Stage, _: Traffic) -> None:
    """A process's clock jumps ahead or back, and later back to the truth; then the process is killed."""
    await each(stage, _jump)


async def _jump(stage: Stage, service: str, rng: random.Random) -> None:
    victim = rng.choice(stage.fleet.alive(service))
    stage.fleet.shift_clock(victim, rng.choice((-7_200.0, -90.0, 90.0, 1_800.0)))
    await wait(stage, rng, 3, 6)
    stage.fleet.shift_clock(victim, 0.0)
    await wait(stage, rng, 1, 3)
    await stage.fleet.kill(victim)
    stage.fleet.start(service)
