from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest

from devstack.redis_server import RedisServer
from shared.registry import RedisRegistry
from tests.unit.shared.registry.conftest import make_bundle  # noqa: F401 (a fixture)


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis of this test alone, which may kill and suspend it."""
    with RedisServer() as server:
        yield server


class OpenRegistry(Protocol):
    def __call__(self, url: str = ..., *, prefix: str = ..., poll_interval: float = ...) -> RedisRegistry: ...


@pytest.fixture
async def open_registry(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenRegistry]:
    """Return a function that opens registries over one store, under a prefix of this test alone."""
    own_prefix = f"test-{secrets.token_hex(4)}:"
    async with AsyncExitStack() as stack:

        def open_one(
            url: str | None = None, *, prefix: str = own_prefix, poll_interval: float = 0.2
        ) -> RedisRegistry:
            if url is None:
                url = request.getfixturevalue("redis_server").url
            registry = RedisRegistry(
                url, str(tmp_path / "store"), tmp_path / "cache", prefix, poll_interval=poll_interval
            )
            stack.push_async_exit(registry)
            return registry

        yield open_one
