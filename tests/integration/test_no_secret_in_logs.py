"""Planted secrets: whatever goes wrong, at the most talkative level, none is in what a service says."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from devstack.apache_kafka import ApacheKafka
from devstack.redis_server import RedisServer
from tests.processes import ServiceProcess, service
from tests.streams import until

PASSWORD, REDIS, TOKEN = "planted-sasl-9f31", "planted-redis-77ac", "planted-token-c0de"
SERVICES = ("inference", "drift", "shadow", "performance", "alerting")

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.mark.parametrize(
    ("name", "protocol"),
    [("inference", "SASL_SSL"), ("inference", "PLAINTEXT"), *((name, "SASL_PLAINTEXT") for name in SERVICES)],
)
async def test_no_planted_secret_is_in_the_log_or_the_pages(
    kafka: ApacheKafka, redis_server: RedisServer, tmp_path: Path, name: str, protocol: str
) -> None:
    """A login nobody wants, TLS where there is none, and a Redis that refuses the password."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    rules = tmp_path / "rules.yml"
    rules.write_text(
        f"receivers: [{{name: r, url: 'https://127.0.0.1:9', allow_private: true, token_file: {token}}}]"
    )
    settings = {
        "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "DRIFTLINE_KAFKA_SECURITY_PROTOCOL": protocol,
        "DRIFTLINE_KAFKA_SASL_USERNAME": "driftline",
        "DRIFTLINE_KAFKA_SASL_PASSWORD": PASSWORD,
        "DRIFTLINE_REDIS_URL": redis_server.url.replace("redis://", f"redis://:{REDIS}@"),
        "DRIFTLINE_CACHE_DIR": str(tmp_path / "cache"),
        "DRIFTLINE_BUNDLE_STORE": str(tmp_path / "store"),
        "DRIFTLINE_TOPIC_PREFIX": "nobody-",
        "DRIFTLINE_MODELS": "demo",
        "DRIFTLINE_LOG_LEVEL": "DEBUG",
    }
    if name == "alerting":
        settings |= {"DRIFTLINE_ALERT_RULES": str(rules)}
        del settings["DRIFTLINE_MODELS"]
    with service(name, tmp_path / "process", settings) as process:
        pages = await _said_something(process)
        said = process.part.log.read_text(errors="replace") + pages
    assert "driftline" in said.lower() or name in said, f"it said nothing: the test tests nothing: {said!r}"
    for secret in (PASSWORD, REDIS, TOKEN):
        assert secret not in said, said[max(0, said.index(secret) - 300) : said.index(secret) + 60]


async def _said_something(process: ServiceProcess) -> str:
    """Wait until the service has run into its trouble, and read what it shows meanwhile."""
    pages: list[str] = []

    async def spoken() -> bool:
        for path in ("/readyz", "/metrics", "/healthz"):
            pages.append((await process.get(path))[1])
        return not process.part.running or len(process.part.log_tail(1_000).splitlines()) >= 5

    await until(spoken, seconds=30, every=0.3, what=f"something in {process.part.log}")
    await asyncio.sleep(1.0)  # one more try of what fails
    return "\n".join(pages)
