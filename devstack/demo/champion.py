"""The registry of the demo: the model goes in, and one version of it is champion."""

from __future__ import annotations

from pathlib import Path

from devstack.demo.contract import MODEL
from devstack.demo.model import FlightModel
from shared.errors import TransientError
from shared.registry import RedisRegistry

WHO = "make demo"


async def publish(registry: RedisRegistry, model: FlightModel) -> None:
    """Register the model and make it champion."""
    await registry.register(model.bundle, who=WHO, why="trained on January to March 2013")
    await registry.promote(MODEL, model.version, who=WHO, why="the first model")


async def champion(registry: RedisRegistry) -> str | None:
    """Return the champion's version; None while Redis is away."""
    try:
        return (await registry.pointers(MODEL)).champion
    except TransientError:
        return None


def open_registry(redis_url: str, folder: Path) -> RedisRegistry:
    """Return the registry whose bundles lie in the run's folder."""
    return RedisRegistry(redis_url, str(folder / "bundles"), folder / "bundle-cache")
