"""Named places at which a fault test may kill the process; off unless the environment names one.

``DRIFTLINE_CRASH_POINT=before-commit:3`` kills the process with SIGKILL the third time it passes
``before-commit``; ``before-commit:3:hold=0.4`` waits 0.4 s there first, which widens the window in
which a transaction is open. Never set it in production: the variable is read once, at import.
"""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from typing import Final

from shared.logs import get_logger

CRASH_POINTS: Final = (
    "before-begin",
    "after-begin",
    "after-send",
    "before-commit",
    "after-commit",
    "alerts-found",
    "alerts-published",
    "alerts-kept",
    "alerts-placed",
    "before-post",
    "after-post",
)
"""The steps of one commit, in order; then those of the alerting service."""

VARIABLE: Final = "DRIFTLINE_CRASH_POINT"

HELD: Final = "held at a crash point"
LET_GO: Final = "let go of by a crash point"
KILLED: Final = "killed at a crash point"
"""What is logged there."""

log = get_logger(__name__)


@dataclass(slots=True)
class _Plan:
    point: str
    passes_left: int
    hold: float

    @classmethod
    def parse(cls, text: str) -> _Plan:
        point, _, rest = text.partition(":")
        count, _, hold = rest.partition(":hold=")
        if point not in CRASH_POINTS:
            raise ValueError(f"{VARIABLE} names {point!r}; the points are {', '.join(CRASH_POINTS)}")
        return cls(point, int(count or 1), float(hold or 0))


_plan = _Plan.parse(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None


async def crash_point(name: str) -> None:
    """Kill the process here if the environment asked for it; otherwise do nothing."""
    if _plan is None or _plan.point != name:
        return
    if _plan.hold:
        log.info(HELD, point=name)
        await asyncio.sleep(_plan.hold)
        log.info(LET_GO, point=name)
    _plan.passes_left -= 1
    if _plan.passes_left == 0:
        log.warning(KILLED, point=name)
        os.kill(os.getpid(), signal.SIGKILL)
