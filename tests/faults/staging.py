"""The curtain of one run: what it plays on is set up, and cleared away."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from devstack.apache_kafka import ApacheKafka
from devstack.redis_server import RedisServer
from shared.kafka.topics import create_topics
from shared.registry import RedisRegistry
from shared.topics import TopicNames
from tests.alert_oracle import FAILING
from tests.faults.fleet import Fleet
from tests.faults.journal import Journal
from tests.faults.limits import PARTITIONS, SESSION
from tests.faults.proxy import Proxy
from tests.faults.stage import Stage
from tests.webhooks import WebhookReceiver


def _rules_file(folder: Path, receiver: WebhookReceiver) -> Path:
    """Write the one rule that the oracle knows, for the models of the planted reports."""
    hook = {"name": "hook", "url": receiver.url, "allow_http": True, "allow_private": True}
    rule = FAILING | {"where": {"model": "m?"}}
    file = folder / "rules.yml"
    file.write_text(json.dumps({"defaults": False, "rules": [rule], "receivers": [hook]}))
    return file


@asynccontextmanager
async def staged(
    kafka: ApacheKafka,
    redis: RedisServer,
    journal: Journal,
    *,
    seed: str,
    services: tuple[str, ...],
    control: str = "",
    nursery: Path | None = None,
) -> AsyncIterator[Stage]:
    """Topics, a first model and a fleet that has not been started yet; a nursery makes it start cheaply."""
    prefix = f"f{secrets.token_hex(3)}-"
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    names = TopicNames(prefix)
    await create_topics(client, names, partitions=PARTITIONS)
    store = journal.folder / "store"
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(WebhookReceiver())
        proxies = [await stack.enter_async_context(Proxy(node.port)) for node in kafka.nodes]
        settings = {
            "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "DRIFTLINE_TOPIC_PREFIX": prefix,
            "DRIFTLINE_GROUP_PREFIX": f"{prefix}driftline",
            "DRIFTLINE_REDIS_URL": redis.url,
            "DRIFTLINE_REDIS_PREFIX": prefix,
            "DRIFTLINE_BUNDLE_STORE": str(store),
            "DRIFTLINE_CACHE_DIR": str(journal.folder / "cache"),
            "DRIFTLINE_REPORT_SECONDS": "1",
            "DRIFTLINE_MODELS": "demo",
            "DRIFTLINE_SESSION_SECONDS": str(SESSION),
            "DRIFTLINE_ALERT_RULES": str(_rules_file(journal.folder, receiver)),
            "FAULTS_ROUTES": json.dumps({str(proxy.target): proxy.port for proxy in proxies}),
        }
        if control:
            settings["FAULTS_CONTROL"] = control
        registry = await stack.enter_async_context(
            RedisRegistry(redis.url, str(store), journal.folder / "cache", prefix)
        )
        fleet = Fleet(settings, journal, nursery)
        stack.callback(fleet.close)
        stage = Stage(
            kafka,
            redis,
            client,
            names,
            registry,
            journal,
            fleet,
            proxies,
            random.Random(seed),
            services,
            receiver,
            control,
        )
        await stage.publish()
        if "shadow" in services:
            await stage.publish_candidate()
        yield stage
