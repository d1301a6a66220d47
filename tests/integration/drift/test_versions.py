"""Which version is watched: one without a baseline learns it, a new champion begins with its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from devstack.redis_server import RedisServer
from shared.registry import RedisRegistry
from tests.integration.drift.conftest import Stage, fitted
from tests.processes import service
from tests.streams import until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]


def by_registry(stage: Stage, redis_server: RedisServer, tmp_path: Path) -> dict[str, str]:
    """Settings of a service that takes its model from a registry of its own."""
    return stage.settings | {
        "DRIFTLINE_REDIS_URL": redis_server.url,
        "DRIFTLINE_REDIS_PREFIX": stage.topics.prefix,
        "DRIFTLINE_BUNDLE_STORE": str(tmp_path / "store"),
        "DRIFTLINE_MODELS": "demo",
    }


def registry_of(settings: dict[str, str], tmp_path: Path) -> RedisRegistry:
    """The registry that these settings name."""
    url, store, prefix = (
        settings[f"DRIFTLINE_{name}"] for name in ("REDIS_URL", "BUNDLE_STORE", "REDIS_PREFIX")
    )
    return RedisRegistry(url, store, tmp_path / "cache", prefix)


async def test_a_baseline_is_learnt_and_a_new_champion_begins_with_its_own(
    stage: Stage, redis_server: RedisServer, tmp_path: Path
) -> None:
    settings = by_registry(stage, redis_server, tmp_path) | {"DRIFTLINE_LEARN_EVENTS": "800"}
    async with registry_of(settings, tmp_path) as registry:
        await registry.register(stage.bundle("1", seasonality="none"), who="test", why="test")
        await registry.register(stage.bundle("2", fitted()), who="test", why="test")
        await registry.promote("demo", "1", who="test", why="test")
        with service("drift", stage.folder, settings) as drift:
            await drift.ready()
            await stage.play(500)

            async def learning() -> bool:
                return any(report.baseline == "learning" for report in await stage.reports())

            await until(learning, seconds=120, every=0.5, what="a report that says learning")
            await stage.play(1_100)

            async def learnt() -> bool:
                return any(
                    report.baseline == "learnt" and report.events and report.predictions
                    for report in await stage.reports()
                )

            await until(learnt, seconds=120, every=0.5, what="a report that says learnt")
            first = (await stage.merger()).models["demo"].versions["1"].watch("features")
            assert first is not None
            assert {channel.rows for channel in first.channels} == {800}
            await registry.promote("demo", "2", who="test", why="test")

            async def swapped() -> bool:
                return await drift.metric('driftline_model_info{model="demo",version="2"}') == 1

            await until(swapped, seconds=60, what="the new champion")
            await stage.play(1_000, shift=0.7, version="2")
            merger = await stage.counted(1_000, 1_000, version="2")
            versions = merger.models["demo"].versions
            second = versions["2"].watch("features")
            assert second is not None
            assert "f1" in second.latch.active
            assert versions["1"].watch("features") is not None  # kept, for a rollback
            drift.part.stop()
    reports = await stage.reports()
    assert {(r.model_version, r.baseline) for r in reports} >= {("1", "learnt"), ("2", "bundle")}
    assert sum(r.events for r in reports if r.model_version == "2") == 1_000


@pytest.mark.faults
async def test_a_rollback_past_three_champions_is_watched_and_counts_every_event(
    stage: Stage, redis_server: RedisServer, tmp_path: Path
) -> None:
    """The state keeps three versions: the fourth-last was forgotten, and comes back to the merging half."""
    settings = by_registry(stage, redis_server, tmp_path)
    async with registry_of(settings, tmp_path) as registry:
        for version in "1234":
            await registry.register(stage.bundle(version, fitted()), who="test", why="test")
        await registry.promote("demo", "1", who="test", why="test")
        with service("drift", stage.folder, settings) as drift:
            await drift.ready()
            for version in "12341":

                async def watched(version: str = version) -> bool:
                    return (
                        await drift.metric(f'driftline_model_info{{model="demo",version="{version}"}}') == 1
                    )

                await registry.promote("demo", version, who="test", why="test")
                await until(watched, seconds=60, what=f"version {version} as champion")
                await stage.play(100, version=version)
                merger = await stage.counted(100, 100, version=version)
                assert merger.models["demo"].is_active(version)
            assert merger.waiting == 0
            orders = merger.models["demo"].versions["1"].orders.values()
            assert [order.unordered for order in orders] == [0, 0]
            assert set(merger.models["demo"].versions) == {"1", "3", "4"}
            drift.part.stop()
