"""Who is asked while a version cannot be loaded: nobody in vain whose bundle may still come."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from services.shadow.candidates import Candidates
from services.shadow.loading import Lineups
from services.shadow.metrics import ShadowMetrics
from shared.errors import BundleError, TransientError
from shared.registry import Change, Pointers
from tests.models import linear, numeric_spec, write_bundle
from tests.streams import until


class FakeRegistry:
    """One model with two candidates; bundles are there or not, as a test says."""

    available = True

    def __init__(self, bundles: dict[str, Path | Exception]) -> None:
        self.bundles = bundles

    async def watch(self, models: Any = None) -> Any:
        since = dict.fromkeys(self.bundles, 5)
        pointers = Pointers(model="demo", candidates=tuple(since), since=since, revision=5)
        yield Change("demo", None, pointers)
        await asyncio.Event().wait()

    async def fetch(self, model: str, version: str) -> Path:
        found = self.bundles[version]
        if isinstance(found, Exception):
            raise found
        return found


async def test_a_store_that_is_away_gets_no_candidate_refused_and_no_label_passed_over(
    tmp_path: Path,
) -> None:
    bundle = write_bundle(tmp_path / "demo", linear(3), numeric_spec(3, version="2"))
    registry = FakeRegistry({"2": TransientError("the store is away"), "3": BundleError("no such operator")})
    candidates = Candidates()
    lineups = Lineups(
        registry,  # type: ignore[arg-type]  # no more of a registry is asked for
        candidates,
        ShadowMetrics(CollectorRegistry()),
        names=(),
        max_event_bytes=1 << 20,
        threads=1,
        time_limit=20.0,
    )
    tasks = [asyncio.create_task(work) for work in (lineups.loader.watch(), lineups.loader.load())]
    try:
        await asyncio.wait_for(lineups.loader.settled.wait(), 60)
        lineup = candidates.lineups["demo"]
        assert (lineup.candidates, lineup.absent) == ((), {"3": "version 3: no such operator"})
        assert lineup.bases == {"2": 5, "3": 5}
        assert lineups.loader.trouble["demo"].startswith("version 2: the store is away")
        assert not lineups.contracts_known()
        registry.bundles["2"] = bundle.path

        async def loaded() -> bool:
            return bool(candidates.lineups["demo"].candidates)

        await until(loaded, seconds=60, what="the candidate, once the store is back")
        assert [c.model.version for c in candidates.lineups["demo"].candidates] == ["2"]
        assert lineups.contracts_known()
        assert "demo" in lineups.specs
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        lineups.close()
