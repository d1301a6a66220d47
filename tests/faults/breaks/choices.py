"""What all faults are made of: choices that the seed draws, and waiting that the journal notes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from tests.faults.stage import Stage
from tests.faults.traffic import Traffic

Fault = Callable[[Stage, Traffic], Awaitable[None]]

EXIT_SECONDS: Final = 90.0


async def each(stage: Stage, action: Callable[[Stage, str, random.Random], Awaitable[None]]) -> None:
    """Do the same to every service at once, each with choices of its own."""
    drawn = [(service, stage.drawing(service)) for service in stage.services]
    await asyncio.gather(*(action(stage, service, rng) for service, rng in drawn))


async def wait(stage: Stage, rng: random.Random, least: float, most: float) -> None:
    seconds = rng.uniform(least, most)
    stage.journal.note("wait", seconds=round(seconds, 3))
    await asyncio.sleep(seconds)


async def some_time(stage: Stage, least: float, most: float) -> None:
    await wait(stage, stage.rng, least, most)
