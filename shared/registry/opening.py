"""The registry that a service's settings name."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from shared.metrics import registry_up
from shared.registry.protocol import RegistryReader
from shared.registry.redis_registry import RedisRegistry
from shared.registry.static import StaticRegistry
from shared.settings import ServiceSettings


def redis_registry(settings: ServiceSettings, collectors: CollectorRegistry) -> RedisRegistry:
    """Return the registry in Redis; whether it answers is a gauge among ``collectors``."""
    up = registry_up(collectors)
    return RedisRegistry(
        settings.redis_url.get_secret_value(),
        settings.bundle_store,
        settings.cache_dir,
        settings.redis_prefix,
        on_available=lambda available: up.set(int(available)),
    )


def registry_or_bundles(
    settings: ServiceSettings, bundles: tuple[str, ...], collectors: CollectorRegistry
) -> RegistryReader:
    """Return the bundles that are named, each the champion of its model; without any, Redis's registry."""
    if bundles:
        return StaticRegistry([Path(path) for path in bundles])
    return redis_registry(settings, collectors)
