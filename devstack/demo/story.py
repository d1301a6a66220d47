"""Half way through a minute, two newer versions appear in the shadow: one is better, one is a mistake."""

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

APPEAR_AFTER: Final = 15_000
"""Events: 30 s at 500 a second, the middle of July."""
DECIDED_AFTER: Final = 27_000
"""Events after which both must have been decided about."""
POLL_SECONDS: Final = 0.2

WHY: Final = {
    CANDIDATE.name: "retrained on May and June",
    MISTAKE.name: "retrained on May and June, with the departure delay in hours by mistake",
}


def prepare_challengers(
    frame: pd.DataFrame, options: Options, cache: Path | None = None
) -> list[FlightModel]:
    """Return the two newer versions; none for a run that ends before they would appear."""
    if options.seconds is not None and options.seconds * options.rate < APPEAR_AFTER:
        return []
    return [prepare_model(frame, cache, recipe) for recipe in (CANDIDATE, MISTAKE)]


async def introduce(run: Run, over: asyncio.Event) -> None:
    """Make the newer versions candidates once so many flights have left."""
    while run.events < APPEAR_AFTER:
        if over.is_set():
            return
        await asyncio.sleep(POLL_SECONDS)
    for model in run.challengers:
        why = WHY[model.version.rpartition("-")[0]]
        await run.registry.register(model.bundle, who=WHO, why=why)
        await run.registry.set_candidate(MODEL, model.version, who=WHO, why=why)
        run.shadow.news.append(f"{model.version} appears in the shadow: {why}")
