"""The broker and Redis of the demo."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.apache_kafka import ApacheKafka
from devstack.demo.options import Options
from devstack.embedded_kafka import EmbeddedKafka
from devstack.part import Part
from devstack.redis_server import RedisServer


@dataclass(frozen=True, slots=True)
class Servers:
    """What the services connect to.

    Attributes
    ----------
    client
        aiokafka arguments of any client.
    parts
        The processes.
    """

    kafka_name: str
    bootstrap_servers: str
    redis_url: str
    client: dict[str, Any]
    parts: list[Part]

    def reader(self, options: Options) -> dict[str, Any]:
        """Return aiokafka arguments of a consumer that sees only what is committed."""
        isolation = "read_committed" if options.delivery == "exactly-once" else "read_uncommitted"
        return self.client | {"isolation_level": isolation}


def start_servers(options: Options, folder: Path, stack: ExitStack) -> Servers:
    """Start broker and Redis, and have ``stack`` stop them; blocks until both serve.

    Raises
    ------
    DevstackError
        One of them cannot be found or does not start; the message says why.
    """
    redis = stack.enter_context(RedisServer(folder / "redis"))
    if options.kafka == "apache":
        apache = stack.enter_context(ApacheKafka(data_dir=folder / "kafka"))
        name, bootstrap, settings = "Apache Kafka", apache.bootstrap_servers, apache.client_settings()
        parts = [node.part for node in apache.nodes]
    else:
        tansu = stack.enter_context(EmbeddedKafka(folder / "kafka"))
        name, bootstrap, settings = "Tansu", tansu.bootstrap_servers, tansu.client_settings()
        parts = [tansu.part]
    client = {"bootstrap_servers": bootstrap, **settings}
    return Servers(name, bootstrap, redis.url, client, [*parts, redis.part])
