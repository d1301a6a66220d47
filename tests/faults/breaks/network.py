"""The way between services and brokers: cut, or slow."""

from __future__ import annotations

from tests.faults.breaks.choices import some_time
from tests.faults.limits import SESSION
from tests.faults.stage import Stage
from tests.faults.traffic import Traffic


async def partition(stage: Stage, _: Traffic) -> None:
    """The services are cut off from the brokers past their session; what they sent arrives late."""
    cut = stage.proxies if stage.rng.random() < 0.5 else [stage.rng.choice(stage.proxies)]
    stage.journal.note("cut off", brokers=len(cut))
    for proxy in cut:
        proxy.cut()
    await some_time(stage, SESSION + 1, SESSION + 14)
    for proxy in cut:
        proxy.mend()


async def delay(stage: Stage, _: Traffic) -> None:
    """Every read and write between services and brokers takes a while longer."""
    for proxy in stage.proxies:
        proxy.delay = stage.rng.uniform(0.1, 0.5)
    await some_time(stage, 8, 15)
    for proxy in stage.proxies:
        proxy.delay = 0.0
