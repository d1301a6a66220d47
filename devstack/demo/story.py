"""Within a minute two newer versions appear in the shadow: first a mistake, half way through a better one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import pandas as pd

from devstack.demo.champion import WHO
from devstack.demo.contract import MODEL
from devstack.demo.model import FlightModel, prepare_model
from devstack.demo.options import Options
from devstack.demo.recipes import CANDIDATE, MISTAKE
from devstack.demo.state import Run

MISTAKE_AFTER: Final = 9_000
"""Events: 18 s at 500 a second. A promotion begins every other comparison anew: the mistake comes so much
earlier that it is judged before anybody is promoted, on a slow machine too."""
APPEAR_AFTER: Final = 15_000
"""Events until the better one appears: 30 s at 500 a second, the middle of July."""
DECIDED_AFTER: Final = 27_000
"""Events after which both must have been decided about."""
POLL_SECONDS: Final = 0.2

AFTER: Final = {MISTAKE.name: MISTAKE_AFTER, CANDIDATE.name: APPEAR_AFTER}
WHY: Final = {
    CANDIDATE.name: "retrained on May and June",
    MISTAKE.name: "retrained on May and June, with the departure delay in hours by mistake",
}


def prepare_challengers(
    frame: pd.DataFrame, options: Options, cache: Path | None = None
) -> list[FlightModel]:
    """Return the two newer versions as they appear; none for a run that ends before both would."""
    if options.seconds is not None and options.seconds * options.rate < APPEAR_AFTER:
        return []
    return [prepare_model(frame, cache, recipe) for recipe in (MISTAKE, CANDIDATE)]


async def introduce(run: Run, over: asyncio.Event) -> None:
    """Make each newer version a candidate once so many flights have left."""
    for model in run.challengers:
        name = model.version.rpartition("-")[0]
        while run.events < AFTER[name]:
            if over.is_set():
                return
            await asyncio.sleep(POLL_SECONDS)
        why = WHY[name]
        await run.registry.register(model.bundle, who=WHO, why=why)
        await run.registry.set_candidate(MODEL, model.version, who=WHO, why=why)
        run.shadow.news.append(f"{model.version} appears in the shadow: {why}")
