"""The checks of Redis, of the registry in it and of the bundles it points to."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import redis.asyncio as aioredis
from redis.exceptions import RedisError

from services.cli.checks import Check, failed, ok
from services.cli.checks_kafka import compare_clocks
from services.cli.connection import CliSettings
from shared.address import masked
from shared.errors import ServiceError
from shared.logs import redact
from shared.registry import RedisRegistry

_SECONDS = 5.0


async def redis(settings: CliSettings, most: float) -> list[Check]:
    """Ask Redis for its time and whether it may throw keys away."""
    url = settings.redis_url.get_secret_value()
    client = aioredis.Redis.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)
    try:
        before = time.time()
        seconds, micros = await client.time()
        after = time.time()
        about: dict[str, Any] = await client.info()
    except (RedisError, OSError) as error:
        raise ServiceError(redact(f"{masked(url)} does not answer as it should: {error}")) from error
    finally:
        await client.aclose()
    ahead = seconds + micros / 1e6 - (before + after) / 2
    return [_kept(about), compare_clocks("Redis's clock", ahead, most)]


def _kept(about: dict[str, Any]) -> Check:
    """Return whether Redis keeps the registry's keys when its memory is full.

    Examples
    --------
    >>> _kept({"redis_version": "7.2.4", "maxmemory": 1000, "maxmemory_policy": "allkeys-lru"}).todo
    'redis-cli CONFIG SET maxmemory-policy noeviction'
    """
    found = f"version {about.get('redis_version', '?')}"
    policy = about.get("maxmemory_policy", "noeviction")
    if about.get("maxmemory") and policy.startswith("allkeys"):
        found += f", but a full memory throws keys away (maxmemory-policy {policy}), the registry's too"
        return failed("Redis", found, "redis-cli CONFIG SET maxmemory-policy noeviction")
    return ok("Redis", found)


async def registry(settings: CliSettings) -> list[Check]:
    """Look for a champion of each model, and read its bundle, every byte of it."""
    with tempfile.TemporaryDirectory(prefix="driftline-doctor-") as cache:  # what the store has, not our copy
        url, store = settings.redis_url.get_secret_value(), settings.bundle_store
        async with RedisRegistry(url, store, Path(cache), settings.redis_prefix) as opened:
            models = await opened.models()
            if not models:
                todo = "driftline models package, then: driftline models register BUNDLE --promote"
                return [failed("registry", "no model is registered", todo)]
            checks = [ok("registry", f"{len(models)} model{'' if len(models) == 1 else 's'}")]
            for model in models:
                checks.append(await _champion(opened, model))
            return checks


async def _champion(opened: RedisRegistry, model: str) -> Check:
    name = f"model {model}"
    version = (await opened.pointers(model)).champion
    if version is None:
        versions = [info.version for info in await opened.versions(model)]
        which = versions[-1] if versions else "VERSION"
        todo = f"driftline models promote {model} {which} --why WHY"
        return failed(name, f"no champion among {', '.join(versions) or 'no versions'}", todo)
    try:
        await opened.fetch(model, version)
    except ServiceError as error:
        todo = (
            "is --bundle-store (DRIFTLINE_BUNDLE_STORE) the one it was registered in? If so, register it "
            "again from its directory (driftline models register BUNDLE), or go back to the one before: "
            f"driftline models rollback {model} --why WHY"
        )
        return failed(name, f"champion {version}: {redact(str(error))}", todo)
    return ok(name, f"champion {version}, every byte of its bundle is there")
