"""docker-compose.yml as processes: the same commands, settings and files, up to a webhook received."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from devstack.apache_kafka import ApacheKafka
from devstack.compose.processes import Translation, process, scraped
from devstack.compose.reading import command, read_compose
from devstack.debian import find_program
from devstack.part import Part
from devstack.ports import Ports
from devstack.prometheus import Prometheus
from devstack.redis_server import RedisServer
from shared.kafka.topics import create_topics
from shared.registry import RedisRegistry
from shared.topics import TopicNames
from tests.deploy.test_compose import RUNNING, SERVICES
from tests.integration.inference.conftest import good_event
from tests.models import table, table_spec, write_bundle
from tests.streams import produce, read_all, until

ROOT = Path(__file__).parents[2]
SECONDS = 120
RUN = """
RUN as processes of this machine: the commands, settings and files of docker-compose.yml's own services, until
  an alert of Prometheus and one of the alerting service had reached their webhooks. Kafka and Redis were the
  tests' own, not the file's. Alertmanager had the file's flags and configuration; Prometheus had the file's
  targets and rules, in a configuration of the tests' own. Addresses were put in their places."""


@dataclass
class Receiver:
    """What was posted to the two webhooks of ``monitoring/alertmanager/alertmanager.yml``."""

    port: int
    posted: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def alerts(self, path: str) -> set[str]:
        return {a["labels"]["alertname"] for post in self.posted.get(path, []) for a in post["alerts"]}


@contextmanager
def receiver(port: int) -> Iterator[Receiver]:
    got = Receiver(port)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.posted.setdefault(self.path, []).append(body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=3):
            return True
    except OSError:
        return False


@contextmanager
def running(part: Part) -> Iterator[Part]:
    part.launch()
    try:
        yield part
    finally:
        part.kill()


@pytest.mark.slow
@pytest.mark.kafka
async def test_it_runs_up_to_a_webhook(
    kafka: ApacheKafka,
    redis_server: RedisServer,
    tmp_path: Path,
    monitoring: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    ports = Ports()
    here = {name: ports.reserve() for name in RUNNING}
    hooks, manager = ports.reserve(), ports.reserve()
    translation = Translation(
        {
            "kafka:19092": kafka.bootstrap_servers,
            "redis:6379": redis_server.url.removeprefix("redis://").partition("/")[0],
            "alertmanager:9093": f"127.0.0.1:{manager}",
            "127.0.0.1:9999": f"127.0.0.1:{hooks}",
            "group_wait: 30s": "group_wait: 1s",  # waiting for more of a group proves nothing here
        },
        ROOT,
        tmp_path,
    )
    parts = {name: process(name, SERVICES[name], here[name], translation) for name in RUNNING}
    topics = process("topics", SERVICES["topics"], 0, translation)
    prefix = {
        "DRIFTLINE_TOPIC_PREFIX": "compose.",
        "DRIFTLINE_GROUP_PREFIX": "compose",
        "DRIFTLINE_REDIS_PREFIX": "compose:",
    }
    for part in (topics, *parts.values()):
        part.environment |= prefix  # the test session's Kafka and Redis are shared
    with ExitStack() as stack:
        got = stack.enter_context(receiver(hooks))
        stack.enter_context(running(alertmanager(translation, manager)))
        done = await asyncio.to_thread(
            subprocess.run,
            topics.command,
            env=environment(topics),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        store = translation.volume("bundles")
        async with RedisRegistry(redis_server.url, str(store), tmp_path / "cache", "compose:") as registry:
            bundle = write_bundle(tmp_path / "table-1", table([0.5] * 10), table_spec(10))
            await registry.register(bundle.path, who="test", why="test")
            await registry.promote("table", "1", who="test", why="test")
            for name in RUNNING:
                stack.enter_context(running(parts[name]))
            for name in RUNNING:
                await until(
                    lambda name=name: alive_and_ready(parts[name], here[name]), seconds=SECONDS, what=name
                )
            config = ROOT / "monitoring/prometheus/prometheus.yml"
            stack.enter_context(
                Prometheus(
                    scraped(config, {listens(name): port for name, port in here.items()}),
                    rule_files=[config.parent / "rules" / name for name in ("recording.yml", "alerts.yml")],
                    alertmanagers=[f"127.0.0.1:{manager}"],
                )
            )
            await scores_and_fails(kafka, TopicNames("compose."))
            await until(
                lambda: "DriftlineWatchdog" in got.alerts("/still-alive"),
                seconds=SECONDS,
                what="the dead man's switch, from Prometheus over Alertmanager to its webhook",
            )
            await until(
                lambda: "prediction-failures" in got.alerts("/people"),
                seconds=SECONDS,
                what="the alert of a failing model, from alerting over Alertmanager to the webhook",
            )
    with capsys.disabled():
        print(RUN)


@pytest.mark.kafka
async def test_the_flights_of_the_demo_profile_arrive(
    kafka: ApacheKafka, redis_server: RedisServer, tmp_path: Path
) -> None:
    translation = Translation(
        {
            "kafka:19092": kafka.bootstrap_servers,
            "redis:6379": redis_server.url.removeprefix("redis://").partition("/")[0],
        },
        ROOT,
        tmp_path,
    )
    part = process("flights", SERVICES["flights"], 0, translation)
    part.environment |= {"DRIFTLINE_TOPIC_PREFIX": "feed.", "DRIFTLINE_REDIS_PREFIX": "feed:"}
    part.environment.pop("DRIFTLINE_CACHE")  # the trained model of this machine will do
    client, names = (
        {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()},
        TopicNames("feed."),
    )
    await create_topics(client, names, partitions=3)
    with running(part):

        async def arrived() -> bool:
            assert part.running, part.explain()
            return all(
                [
                    sum(map(len, (await read_all(client, topic)).values())) > 100
                    for topic in (names.events, names.labels, names.outcomes)
                ]
            )

        await until(arrived, seconds=SECONDS, every=1, what="events, labels and outcomes")
    store = str(translation.volume("bundles"))
    async with RedisRegistry(redis_server.url, store, tmp_path / "cache", "feed:") as registry:
        assert (await registry.pointers("flights")).champion is not None


def listens(name: str) -> str:
    """Where a service's container answers, by its name in the file's network."""
    return f"{name}:{SERVICES[name]['environment']['DRIFTLINE_HTTP_PORT']}"


def environment(part: Part) -> dict[str, str]:
    return os.environ | part.environment


def alive_and_ready(part: Part, port: int) -> bool:
    assert part.running, part.explain()
    return ready(port)


def alertmanager(translation: Translation, port: int) -> Part:
    """Alertmanager as the compose file runs it: its command's flags and its configuration file."""
    (source,) = [v.split(":")[0] for v in SERVICES["alertmanager"]["volumes"] if v.startswith(".")]
    config = translation.file(f"{source}/alertmanager.yml")
    return Part(
        "alertmanager",
        [
            find_program("prometheus-alertmanager"),
            f"--config.file={config}",
            f"--storage.path={translation.volume('alertmanager')}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        translation.folder / "logs",
    )


async def scores_and_fails(kafka: ApacheKafka, names: TopicNames) -> None:
    """Two hundred events in, of which the model fails on every fourth."""
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    rows = [99 if i % 4 == 0 else i % 10 for i in range(200)]
    events = [good_event(f"e{i}", features={"row": row}, model="table") for i, row in enumerate(rows)]
    await produce(client, names.events, [(i % 3, event) for i, event in enumerate(events)])

    async def answered() -> bool:
        return sum(map(len, (await read_all(client, names.predictions)).values())) == 150

    await until(answered, what="150 predictions")


def test_the_command_is_the_images() -> None:
    assert command(SERVICES["topics"], ROOT)[1:] == ["-m", "services.cli", "topics", "create"]
    assert (
        read_compose(ROOT / "docker-compose.yml", {"RATE": "7"})["services"]["flights"]["environment"][
            "DRIFTLINE_RATE"
        ]
        == "7"
    )
