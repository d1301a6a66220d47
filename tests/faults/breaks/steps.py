"""Steps of a commit as places to hurt a process at: was it killed there, and is it caught there?"""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Final

from devstack.part import Part
from tests.faults.breaks.choices import EXIT_SECONDS
from tests.faults.evidence import is_held, said, was_killed_at
from tests.faults.stage import Stage
from tests.streams import until

_ALERTING_POINTS: Final = {
    "before-begin": "alerts-published",
    "after-begin": "alerts-published",
    "after-send": "alerts-kept",
    "before-commit": "before-post",
    "after-commit": "after-post",
}
"""Its steps: it has no transactions."""


def step_of(service: str, point: str) -> str:
    """The step of a commit in this service's own words."""
    return _ALERTING_POINTS[point] if service == "alerting" else point


async def killed(stage: Stage, part: Part, point: str) -> None:
    """Wait until a process has ended at a crash point; only a planted mistake may end it elsewhere."""
    await until(lambda: not part.running, seconds=EXIT_SECONDS, what=f"{part.name} to end")
    assert stage.control or was_killed_at(part, point), (
        f"{part.name} ended, but not at {point}: see {part.log}"
    )


def works(part: Part) -> bool:
    """Whether a process has been given partitions; of the alerting service one has all of them."""
    return said(part, "partition opened" if "alerting" not in part.name else "http server listens") > 0


async def takes_over(heir: Part) -> None:
    opened = said(heir, "partition opened")
    await until(
        lambda: said(heir, "partition opened") > opened,
        seconds=EXIT_SECONDS,
        what=f"{heir.name} to take over",
    )
    await asyncio.sleep(1.5)  # it commits


async def freeze_inside(stage: Stage, part: Part, point: str) -> None:
    """SIGSTOP while the process is held at a crash point: it is let go, and caught again, until it is."""
    deadline = time.monotonic() + EXIT_SECONDS
    while time.monotonic() < deadline:
        if is_held(part, point):
            stage.fleet.signal(part, signal.SIGSTOP)
            await asyncio.sleep(0.05)
            if is_held(part, point):
                stage.journal.note("frozen", process=part.name, point=point)
                return
            stage.fleet.signal(part, signal.SIGCONT)
        await asyncio.sleep(0.05)
    raise AssertionError(f"{part.name} was never at {point} for {EXIT_SECONDS:g} s")
