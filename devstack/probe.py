"""Asks a broker for its metadata with aiokafka: the readiness check of every Kafka here."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

REQUEST_TIMEOUT_MS = 3_000


@dataclass(frozen=True)
class Cluster:
    """What a broker says about its cluster.

    The id tells ours from somebody else's broker on the same port.
    """

    cluster_id: str
    brokers: frozenset[int]


NOBODY = Cluster("", frozenset())


class _TidyLoop(asyncio.SelectorEventLoop):
    """Remembers its connections: aiokafka does not wait for the end of one whose first request failed."""

    def __init__(self) -> None:
        super().__init__()
        self._opened: list[asyncio.Transport] = []

    async def create_connection(self, *args: Any, **settings: Any) -> Any:
        """Open a connection, as the base class does."""
        transport, protocol = await super().create_connection(*args, **settings)
        self._opened.append(transport)
        return transport, protocol

    async def abort_connections(self) -> None:
        """Close every connection at once, whatever the other side does."""
        for transport in self._opened:
            transport.abort()
        for _ in range(3):  # TLS over TCP: each layer hears of it one round later
            await asyncio.sleep(0)


def describe_cluster(host: str, port: int, client_settings: Mapping[str, Any]) -> Cluster:
    """Return the cluster's id and the brokers that are alive; `NOBODY` when nobody answers (yet).

    It runs in a thread with its own event loop, so that code inside a running loop may call it.
    """
    try:  # aiokafka logs an error for a refused connection, and refusing is normal here
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return NOBODY
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_run, f"{host}:{port}", client_settings).result()


def _run(bootstrap_servers: str, client_settings: Mapping[str, Any]) -> Cluster:
    loop = _TidyLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            return runner.run(_ask(bootstrap_servers, client_settings))
        finally:
            runner.run(loop.abort_connections())


async def _ask(bootstrap_servers: str, client_settings: Mapping[str, Any]) -> Cluster:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap_servers, request_timeout_ms=REQUEST_TIMEOUT_MS, **client_settings
    )
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
    except (TimeoutError, KafkaError, OSError):
        return NOBODY
    finally:
        await admin.close()
    return Cluster(cluster["cluster_id"], frozenset(broker["node_id"] for broker in cluster["brokers"]))
