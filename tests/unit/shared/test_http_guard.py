"""What strangers on the network can do to the pages: nothing without the token, and nothing for ever."""

from __future__ import annotations

import asyncio
import base64
import time

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from shared import http_guard
from shared.health import HealthServer
from tests.streams import until

TOKEN = "kept-to-ourselves"


async def status(server: HealthServer, path: str, **headers: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}{path}", headers=headers) as response,
    ):
        assert TOKEN not in await response.text()
        return response.status


def guarded() -> HealthServer:
    server = HealthServer(CollectorRegistry(), token=SecretStr(TOKEN))
    server.add_page("/", lambda _: "<p>here</p>")
    return server


async def test_without_the_token_there_are_probes_and_nothing_else() -> None:
    basic = base64.b64encode(f"ann:{TOKEN}".encode()).decode()
    async with guarded() as server:
        for path in ("/metrics", "/", "/nowhere"):
            assert await status(server, path) == 401
            for wrong in ("Bearer guess", "Bearer", f"Digest {TOKEN}", "Basic ????", "Basic YTpi", TOKEN):
                assert await status(server, path, Authorization=wrong) == 401
        assert (await status(server, "/healthz"), await status(server, "/readyz")) == (200, 200)
        for right in (f"Bearer {TOKEN}", f"Basic {basic}"):
            assert await status(server, "/metrics", Authorization=right) == 200
            assert await status(server, "/", Authorization=right) == 200
            assert await status(server, "/nowhere", Authorization=right) == 404


async def test_without_a_token_set_nobody_is_asked() -> None:
    async with HealthServer(CollectorRegistry()) as server:
        assert await status(server, "/metrics") == 200


@pytest.mark.parametrize("begun", [b"", b"GET /metrics HTTP/1.1\r\nX-Slow: "])
async def test_a_connection_that_never_asks_is_ended(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr(http_guard, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(http_guard, "_LOOK_SECONDS", 0.05)
    async with guarded() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(begun)
        began = time.monotonic()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asyncio.wait_for(reader.readexactly(1), 30)
        assert time.monotonic() - began > 0.2
        writer.close()
        assert await status(server, "/healthz") == 200


async def test_of_too_many_connections_those_that_have_been_quiet_longest_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_guard, "MOST_CONNECTIONS", 5)
    monkeypatch.setattr(http_guard, "_LOOK_SECONDS", 0.05)
    async with guarded() as server:
        opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(30)]
        await until(lambda: sum(reader.at_eof() or bool(reader.exception()) for reader, _ in opened) >= 25)
        assert await status(server, "/healthz") == 200
        for _, writer in opened:
            writer.close()
