"""Following a registry: who answers after each change, and what a bad bundle or a store that is away does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.inference.champions import Champions
from services.inference.metrics import InferenceMetrics
from shared.errors import BundleError, TransientError
from shared.registry import CanaryShare, Change, Pointers
from shared.serving import loading
from shared.serving.models import ServedModels
from tests.models import linear, numeric_spec, write_bundle
from tests.streams import until


class Registry:
    """A registry whose changes a test makes; fetching a version may fail."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.changes: asyncio.Queue[Change] = asyncio.Queue()
        self.failures: dict[str, list[Exception]] = {}
        self.fetched: list[str] = []

    def say(self, model: str = "demo", **pointers: Any) -> None:
        self.changes.put_nowait(Change(model, None, Pointers(model=model, revision=1, **pointers)))

    async def watch(self, models: Collection[str] | None = None) -> AsyncIterator[Change]:
        while True:
            yield await self.changes.get()

    async def fetch(self, model: str, version: str) -> Path:
        self.fetched.append(version)
        if self.failures.get(version):
            raise self.failures[version].pop(0)
        path = self.folder / model / version
        if not path.exists():
            write_bundle(path, linear(3), numeric_spec(3, name=model, version=version))
        return path


class Stage:
    def __init__(self, folder: Path, names: Sequence[str] = ("demo",)) -> None:
        self.registry = Registry(folder)
        self.served = ServedModels()
        metrics = InferenceMetrics(CollectorRegistry())
        self.champions = Champions(
            self.registry,  # type: ignore[arg-type]
            self.served,
            metrics,
            names=names,
            max_event_bytes=1 << 20,
            threads=1,
        )

    def answering(self) -> tuple[str | None, str | None, float]:
        """Champion, canary and its share."""
        champion, canary = self.served.current.get("demo"), self.served.canaries.get("demo")
        return (
            champion.version if champion else None,
            canary.model.version if canary else None,
            canary.share if canary else 0.0,
        )

    async def becomes(self, champion: str, canary: str | None = None, share: float = 0.0) -> None:
        await until(lambda: self.answering() == (champion, canary, share), seconds=20, every=0.01)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with followed(Stage(tmp_path)) as stage:
        yield stage


@asynccontextmanager
async def followed(stage: Stage) -> AsyncIterator[Stage]:
    tasks = [
        asyncio.create_task(work) for work in (stage.champions.loader.watch(), stage.champions.loader.load())
    ]
    yield stage
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_champion_and_canary_come_change_and_go(stage: Stage) -> None:
    assert stage.champions.presence.missing() == "no champion loaded yet for demo"
    stage.registry.say(champion="1")
    await stage.becomes("1")
    assert stage.champions.presence.missing() is None
    stage.registry.say(champion="1", candidates=("2",), canary=CanaryShare("2", 5.0))
    await stage.becomes("1", "2", 0.05)
    stage.registry.say(champion="1", candidates=("2",), canary=CanaryShare("2", 50.0))
    await stage.becomes("1", "2", 0.5)
    stage.registry.say(champion="2")
    await stage.becomes("2")
    assert stage.registry.fetched == ["1", "2"], "what is loaded already is not loaded again"
    stage.registry.say(champion="1")
    await stage.becomes("1")
    assert stage.registry.fetched == ["1", "2", "1"], "what nobody wanted any more was let go"


async def test_a_canary_that_cannot_be_loaded_leaves_the_champion_all_of_the_traffic(stage: Stage) -> None:
    stage.registry.failures["2"] = [BundleError("it is damaged")]
    stage.registry.say(champion="1", candidates=("2",), canary=CanaryShare("2", 5.0))
    await stage.becomes("1")
    await until(lambda: "demo" in stage.champions.loader.trouble, seconds=20, every=0.01)
    assert stage.champions.loader.trouble == {"demo": "version 2: it is damaged"}
    stage.registry.say(champion="1")
    await until(lambda: not stage.champions.loader.trouble, seconds=20, every=0.01)
    assert stage.answering() == ("1", None, 0.0)


async def test_a_store_that_is_away_is_tried_again_and_the_former_champion_answers(stage: Stage) -> None:
    stage.registry.say(champion="1")
    await stage.becomes("1")
    stage.registry.failures["2"] = [TransientError("the store is away")]
    stage.registry.say(champion="2")
    await until(lambda: "demo" in stage.champions.loader.trouble, seconds=20, every=0.01)
    assert stage.answering() == ("1", None, 0.0)
    await stage.becomes("2")
    assert stage.champions.loader.trouble == {}


async def test_a_damaged_bundle_that_was_repaired_is_loaded_though_no_pointer_changed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loading, "_REFUSED_SECONDS", 0.05)
    stage.registry.failures["1"] = [BundleError("it is damaged")] * 3
    stage.registry.say(champion="1")
    await stage.becomes("1")
    assert stage.registry.fetched == ["1"] * 4
    assert stage.champions.loader.trouble == {}
    said = [record for record in caplog.records if "cannot be loaded" in record.getMessage()]
    assert len(said) == 1, "the same trouble is told once"


async def test_where_no_model_is_named_it_is_complete_when_every_one_was_tried(tmp_path: Path) -> None:
    """The first champion was enough once: at every restart the events of the others were refused."""
    stage = Stage(tmp_path, names=())
    gate = asyncio.Event()
    fetch = stage.registry.fetch

    async def slow(model: str, version: str) -> Path:
        if model == "second":
            await gate.wait()
        return await fetch(model, version)

    stage.registry.fetch = slow  # type: ignore[method-assign]
    stage.registry.failures["9"] = [BundleError("it is damaged")]
    for model, champion in (("demo", "1"), ("second", "2"), ("broken", "9")):
        stage.registry.say(model, champion=champion)
    async with followed(stage):
        complete = asyncio.create_task(stage.champions.complete())
        await stage.becomes("1")
        await asyncio.sleep(0.05)
        assert not complete.done()
        assert stage.champions.missing() == "not every model of the registry has been loaded yet"
        gate.set()
        await asyncio.wait_for(complete, 20)
        assert stage.champions.missing() is None
        assert set(stage.served.current) == {"demo", "second"}, "a damaged one holds nobody up"
