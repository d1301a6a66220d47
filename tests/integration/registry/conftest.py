from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest

from devstack.redis_server import RedisServer
from shared.registry import RedisRegistry

MakeBundle = Callable[..., Path]


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """Return a function that writes a bundle; the registry never opens the graph, so any bytes do."""

    def make(version: str = "1", *, name: str = "flights", graph: bytes = b"graph", **files: bytes) -> Path:
        spec = (
            f'name = "{name}"\nversion = "{version}"\ntask = "regression"\n'
            'output = {score = "y"}\nfeatures = [{name = "x"}]\n'
        )
        contents = {"model.onnx": graph, "model.toml": spec.encode()}
        contents |= {file.replace("_", "."): raw for file, raw in files.items()}
        directory = tmp_path / "made" / f"{name}-{version}-{hashlib.sha256(graph).hexdigest()[:8]}"
        directory.mkdir(parents=True)
        for file, raw in contents.items():
            (directory / file).write_bytes(raw)
        lines = [f"{hashlib.sha256(raw).hexdigest()}  {file}\n" for file, raw in sorted(contents.items())]
        (directory / "SHA256SUMS").write_text("".join(lines))
        return directory

    return make


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
