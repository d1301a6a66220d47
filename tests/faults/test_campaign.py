"""The order of a campaign, with lanes that only note what happens to them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults import campaign
from tests.faults.campaign import Campaign
from tests.faults.result import Result

FAULTS = ["redis-loss", "poison", "broker-kill", "corrupt-bundle", "scale"]


class Noting:
    """Stands in for a lane, its stage, its traffic and its fleet."""

    began: list[str]
    broken: set[tuple[int, str]]
    done: list[str]

    def __init__(self, stage: Any, seed: int, _rate: float) -> None:
        self.stage, self.seed = stage, seed
        self.traffic = SimpleNamespace(resume=lambda: None)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        self.began.append(f"{self.seed} begins")
        yield
        self.began.append(f"{self.seed} is over")

    async def hurt(self, result: Result, fault: Any = None) -> None:
        if fault is not None:
            await fault(self.stage, self.traffic)

    async def judge(self, result: Result) -> None:
        if (self.seed, result.fault) in self.broken:
            result.violations.append("something was lost")
        if (self.seed, result.fault + "!") in self.broken:
            raise RuntimeError("no answer")

    async def leave(self, result: Result) -> None: ...

    async def look_again(self, result: Result) -> None:
        self.began.append(f"{self.seed} is read again")


@pytest.fixture
def noting(monkeypatch: pytest.MonkeyPatch) -> type[Noting]:
    Noting.began, Noting.broken, Noting.done = [], set(), []

    @asynccontextmanager
    async def staged(*_: Any, **__: Any) -> AsyncIterator[Any]:
        fleet = SimpleNamespace(misbehaved=list, close=lambda: None)
        yield SimpleNamespace(fleet=fleet, rng=None, registry_lost=False)

    async def once(stage: Any, _: Any) -> None:
        Noting.done.append("a server was hurt")

    monkeypatch.setattr(campaign, "staged", staged)
    monkeypatch.setattr(campaign, "Lane", Noting)
    monkeypatch.setattr(campaign, "CATALOGUE", dict.fromkeys(FAULTS, once))
    return Noting


async def results(tmp_path: Path, seeds: int = 3) -> list[Result]:
    servers: Any = SimpleNamespace(
        kafka=None, redis=None, topology="one", heal=lambda: Noting.done.append("the servers are healed")
    )
    lanes = [(seed, ("inference",)) for seed in range(1, seeds + 1)]
    return [one async for one in Campaign(servers, tmp_path, lanes, FAULTS).results()]


async def test_every_seed_meets_every_fault_once_and_servers_are_hurt_once_for_all(
    tmp_path: Path, noting: type[Noting]
) -> None:
    found = await results(tmp_path)
    assert [r.fault for r in found if r.seed == 1] == [
        "poison",
        "broker-kill",
        "scale",
        "corrupt-bundle",
        "redis-loss",
        "(end)",
    ]
    assert len(found) == 18
    assert all(r.passed for r in found)
    assert noting.done == ["a server was hurt", "the servers are healed"] * 2
    assert sorted(noting.began)[:3] == ["1 begins", "1 is over", "1 is read again"]


async def test_a_lane_in_which_a_rule_was_broken_is_replaced(tmp_path: Path, noting: type[Noting]) -> None:
    noting.broken = {(2, "broker-kill"), (3, "poison!")}
    found = await results(tmp_path)
    assert [(r.seed, r.fault) for r in found if not r.passed] == [(3, "poison"), (2, "broker-kill")]
    assert [what for what in noting.began if what.startswith("2")] == [
        "2 begins",
        "2 is over",
        "2 begins",
        "2 is read again",
        "2 is over",
    ]


async def test_a_lane_ends_after_some_faults(
    tmp_path: Path, noting: type[Noting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "FRESH_AFTER", 2)
    found = await results(tmp_path, seeds=1)
    assert [r.fault for r in found].count("(end)") == 3
    assert noting.began.count("1 is read again") == 3
