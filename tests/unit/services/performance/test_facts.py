"""Where a version's contract comes from, and what happens while nobody can give it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Self

import pytest

from services.performance import facts
from services.performance.facts import FactsBook
from shared.errors import RegistryError, TransientError
from tests.models import linear, numeric_spec, write_bundle


class AwayShelf:
    """A registry that is away for so many asks, then has the bundle; or has none."""

    def __init__(self, bundle: Path | None, away: int) -> None:
        self.bundle = bundle
        self.away = away

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    async def fetch(self, model: str, version: str) -> Path:
        self.away -= 1
        if self.away >= 0:
            raise TransientError("the registry is away")
        if self.bundle is None:
            raise RegistryError("no such version")
        return self.bundle


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "_RETRY_SECONDS", 0.0)


async def test_a_version_met_while_the_registry_is_away_is_waited_for(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "demo", linear(3), numeric_spec(3, label_horizon=7_200)).path
    book, turns = FactsBook(AwayShelf(bundle, away=300)), []
    book.waiting = lambda: turns.append(1)
    met = await book.meet("demo", "1")
    assert (met.assumed, met.horizon) == (False, 7_200_000)
    assert len(turns) == 300, "the process counts as alive meanwhile"
    assert book.trouble == {}


async def test_whoever_is_to_stop_waits_no_longer(tmp_path: Path) -> None:
    stop = asyncio.Event()
    book = FactsBook(AwayShelf(None, away=1_000_000), stop=stop)
    asyncio.get_running_loop().call_later(0.05, stop.set)
    with pytest.raises(TransientError):
        await book.meet("demo", "1")
    assert book.get("demo", "1") is None


async def test_a_version_that_is_nowhere_is_judged_by_an_assumed_contract() -> None:
    book = FactsBook(AwayShelf(None, away=0))
    assert (await book.meet("demo", "1")).assumed
    assert "no such version" in book.trouble["demo"]
