"""A Kafka client that is broken off while it starts: no connection is left."""

from __future__ import annotations

import asyncio
import gc
import struct
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.protocol.admin import ApiVersionRequest

from shared.kafka.starting import start
from shared.kafka.stopping import cut_off


class Silent:
    """A broker that says which versions it knows, and answers nothing else."""

    def __init__(self) -> None:
        self.asked, self.left = asyncio.Event(), asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                request = await reader.readexactly(size)
                api, _version, correlation = struct.unpack(">hhi", request[:8])
                if api != ApiVersionRequest.API_KEY:
                    self.asked.set()
                    continue
                answer = struct.pack(">ihi", correlation, 0, 1) + struct.pack(">hhh", 3, 0, 1)
                writer.write(struct.pack(">i", len(answer)) + answer)
        except asyncio.IncompleteReadError:
            self.left.set()
        finally:
            writer.close()


@asynccontextmanager
async def silent_broker() -> AsyncIterator[tuple[Silent, str]]:
    broker = Silent()
    async with await asyncio.start_server(broker.serve, "127.0.0.1", 0) as server:
        yield broker, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("kind", [AIOKafkaProducer, AIOKafkaConsumer])
async def test_a_start_that_is_cancelled_closes_its_first_connection(kind: type) -> None:
    async with silent_broker() as (broker, address):
        client = kind(bootstrap_servers=address)
        starting = asyncio.create_task(start(client))
        await asyncio.wait_for(broker.asked.wait(), 30)
        starting.cancel()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            with pytest.raises(asyncio.CancelledError):
                await starting
            del starting
            await asyncio.wait_for(broker.left.wait(), 30)
            await cut_off(client)
            del client
            gc.collect()
        assert [str(one.message) for one in said] == []
