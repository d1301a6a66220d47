"""What the README and the guide tell people to run is run, as it stands there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from devstack.apache_kafka import ApacheKafka
from devstack.redis_server import RedisServer
from shared.kafka.topics import create_topics
from shared.messages import Event, Prediction, Source
from shared.topics import TopicNames, topic_specs
from tests.integration.cli.conftest import ROOT, read, with_producer

pytestmark = pytest.mark.kafka


def blocks(file: str, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / file).read_text("utf-8"), re.MULTILINE | re.DOTALL
    )


@pytest.fixture
def servers(kafka: ApacheKafka) -> Iterator[str]:
    """A broker with the topics under the names that the documents use; they are deleted again."""
    servers = kafka.bootstrap_servers
    names = TopicNames()

    async def delete() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        try:
            ours = {spec.name for spec in topic_specs(names)}
            await admin.delete_topics([topic for topic in await admin.list_topics() if topic in ours])
        finally:
            await admin.close()

    yield servers
    asyncio.run(delete())


def environment(servers: str, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTLINE_")}
    return kept | {"DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS": servers, "PYTHONPATH": str(ROOT)} | more


def test_the_producer_and_the_consumer_of_the_readme(servers: str) -> None:
    asyncio.run(create_topics({"bootstrap_servers": servers}, TopicNames(), partitions=2))
    produce, consume = blocks("README.md", "python")
    subprocess.run([sys.executable, "-c", produce], env=environment(servers), check=True, timeout=60)
    (record,) = read(servers, "events")
    event = msgspec.json.decode(record.value, type=Event)
    assert (record.key, event.event_id, event.features) == (b"N14228", "UA1545", {"dep_delay": 2, "hour": 5})

    async def answer(producer: AIOKafkaProducer) -> None:
        source = Source("events", record.partition, record.offset)
        prediction = Prediction("UA1545", "flight-delays", "1", 0.25, 1, 2, source, "N14228", "on time")
        await producer.send_and_wait("predictions", msgspec.json.encode(prediction))

    with_producer(servers, answer)
    consumer = subprocess.Popen(
        [sys.executable, "-u", "-c", consume], env=environment(servers), stdout=subprocess.PIPE
    )
    watchdog = threading.Timer(60, consumer.kill)
    watchdog.start()
    assert consumer.stdout is not None
    try:
        assert consumer.stdout.readline() == b"UA1545 0.25 on time\n"
    finally:
        watchdog.cancel()
        consumer.kill()
        consumer.wait()
        consumer.stdout.close()


def test_the_guide_from_a_model_to_dead_letters(
    servers: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    """The blocks run as one script; only how `driftline` is found, and the HTTP port, are ours."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, words in {"driftline": "-m services.cli", "python": ""}.items():
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        (folder / name).chmod(0o755)
    until_refused = """
until driftline dead-letters list | grep -q 'features.dep_delay'; do sleep 0.2; done
driftline dead-letters list
"""
    script = "set -e\n" + "\n".join(blocks("docs/getting-started.md", "sh")) + until_refused
    walk = subprocess.Popen(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment(
            servers,
            DRIFTLINE_REDIS_URL=redis_server.url,
            DRIFTLINE_HTTP_PORT="0",
            DRIFTLINE_GROUP_PREFIX=f"guide-{os.getpid()}",
            PATH=f"{folder}:{os.environ['PATH']}",
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = walk.communicate(timeout=150)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(walk.pid, signal.SIGKILL)  # the service that it left running
        walk.communicate()
    assert walk.returncode == 0, out + err + (tmp_path / "inference.log").read_text()
    assert "0 failed" in out
    assert re.search(r"flight-delays 1  UA1545  score 0\.99\d*  ", out), out
    assert "ValidationError" in out
