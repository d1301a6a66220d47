from __future__ import annotations

import asyncio
import shutil

import pytest

from shared.errors import BundleError, ConfigError, RegistryError
from shared.registry import Pointers, RegistryReader, StaticRegistry


async def test_each_bundle_is_the_champion_of_its_model(make_bundle):
    flights, trains = make_bundle("3"), make_bundle("7", name="trains")
    registry: RegistryReader
    async with StaticRegistry([trains, flights]) as registry:
        assert registry.available
        assert await registry.models() == ("flights", "trains")
        assert await registry.pointers("trains") == Pointers(
            model="trains", champion="7", revision=1, champion_revision=1
        )
        assert [info.version for info in await registry.versions("flights")] == ["3"]
        assert await registry.fetch("flights", "3") == flights
        assert await registry.history("flights") == ()


async def test_what_is_not_there_is_said(make_bundle):
    async with StaticRegistry([make_bundle("3")]) as registry:
        assert await registry.pointers("trains") == Pointers(model="trains")
        assert await registry.versions("trains") == ()
        with pytest.raises(RegistryError, match="version 4 of flights is none of the fixed bundles"):
            await registry.fetch("flights", "4")


async def test_watch_yields_each_model_once_and_then_waits(make_bundle):
    async with StaticRegistry([make_bundle("3"), make_bundle("7", name="trains")]) as registry:
        watch = aiter(registry.watch(["trains"]))
        change = await anext(watch)
        assert (change.model, change.before, change.after.champion) == ("trains", None, "7")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(watch), 0.05)


async def test_two_bundles_of_one_model_are_refused(make_bundle):
    with pytest.raises(ConfigError, match=r"model_bundles: .* are both of the model flights"):
        async with StaticRegistry([make_bundle("1"), make_bundle("2")]):
            pass


async def test_a_damaged_bundle_is_refused(make_bundle, tmp_path):
    bundle = shutil.copytree(make_bundle(), tmp_path / "copy")
    (bundle / "model.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"model\.onnx is damaged"):
        async with StaticRegistry([bundle]):
            pass
