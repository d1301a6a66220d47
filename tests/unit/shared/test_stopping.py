"""Stopping a client whose own task was cancelled before it began, as aiokafka's fetches may be."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from shared.kafka.stopping import stop_within


class Connections:
    """What a client has open."""

    closed = False
    _conns: ClassVar[dict[int, Any]] = {}

    async def close(self) -> None:
        self.closed = True


class Client:
    """Ends as aiokafka's fetcher does: cancels a task of its own and awaits it."""

    def __init__(self, *, hangs: bool = False) -> None:
        self._client = Connections()
        self._hangs = hangs

    async def stop(self) -> None:
        fetch = asyncio.create_task(asyncio.sleep(60))
        if self._hangs:
            await fetch
        fetch.cancel()
        await fetch


async def test_a_fetch_that_never_began_cancels_nobody_else() -> None:
    client: Any = Client()
    await stop_within(client, 5.0)
    assert client._client.closed


async def test_a_client_that_hangs_is_cut_off() -> None:
    client: Any = Client(hangs=True)
    await stop_within(client, 0.01)
    assert client._client.closed


async def test_who_is_cancelled_meanwhile_stays_cancelled() -> None:
    client: Any = Client(hangs=True)
    stopping = asyncio.create_task(stop_within(client, 60.0))
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
