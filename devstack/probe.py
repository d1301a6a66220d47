"""Asks a broker for its metadata with aiokafka: the readiness check of every Kafka here."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

REQUEST_TIMEOUT_MS = 3_000


def broker_ids(host: str, port: int, client_settings: Mapping[str, Any]) -> set[int]:
    """Return the ids of the brokers that the cluster's metadata names; empty when nobody answers yet.

    It runs in a thread with its own event loop, so that code inside a running loop may call it.
    """
    try:  # aiokafka logs an error for a refused connection, and refusing is normal here
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return set()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _ask(f"{host}:{port}", client_settings)).result()


async def _ask(bootstrap_servers: str, client_settings: Mapping[str, Any]) -> set[int]:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap_servers, request_timeout_ms=REQUEST_TIMEOUT_MS, **client_settings
    )
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
    except (TimeoutError, KafkaError, OSError):
        return set()
    finally:
        await admin.close()
    return {broker["node_id"] for broker in cluster["brokers"]}
