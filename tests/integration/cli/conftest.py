"""The command line as a person runs it: a process of its own against a real Kafka."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord
from click.testing import CliRunner

from devstack.apache_kafka import ApacheKafka
from services.cli.__main__ import main
from shared.dead_letters import dead_letter_headers
from shared.errors import ValidationError
from shared.kafka.topics import create_topics
from shared.topics import TopicNames

ROOT = Path(__file__).parents[3]
T = TypeVar("T")


class _Main:
    """The command line with its handling of errors, as click's runner wants it."""

    name = "driftline"

    def main(self, args: Sequence[str], prog_name: str) -> None:
        main(args)


@dataclass(frozen=True)
class Cli:
    """Runs ``driftline`` with an environment that knows the broker and the prefix."""

    servers: str
    topics: TopicNames
    extra: Mapping[str, str] = field(default_factory=dict)

    def environment(self, **more: str) -> dict[str, str]:
        mine = {
            "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS": self.servers,
            "DRIFTLINE_TOPIC_PREFIX": self.topics.prefix,
            "DRIFTLINE_GROUP_PREFIX": f"{self.topics.prefix}driftline",
        }
        return (
            {k: v for k, v in os.environ.items() if not k.startswith("DRIFTLINE_")}
            | mine
            | dict(self.extra)
            | more
        )

    def start(self, *arguments: str, stdin: Any = subprocess.DEVNULL, **more: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "services.cli", *arguments],
            cwd=ROOT,
            env=self.environment(**more),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __call__(self, *arguments: str, stdin: bytes = b"", code: int = 0, **more: str) -> tuple[str, str]:
        """Return stdout and stderr of a command that must end with ``code``.

        What is given no input runs in this process: Python and its libraries take a second to start. How
        commands do as processes is tested with input, by `start` and by `raw`.
        """
        if stdin:
            out, err = self.raw(*arguments, stdin=stdin, code=code, **more)
            return out.decode(), err.decode()
        ours = dict.fromkeys(name for name in os.environ if name.startswith("DRIFTLINE_"))
        environment = {**ours, **self.environment(**more)}
        result = CliRunner(env=environment).invoke(_Main(), arguments, catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result.stdout, result.stderr

    def raw(self, *arguments: str, stdin: bytes = b"", code: int = 0, **more: str) -> tuple[bytes, bytes]:
        """The same as a process of its own, in bytes."""
        process = self.start(*arguments, stdin=subprocess.PIPE, **more)
        out, err = process.communicate(stdin, timeout=90)
        assert process.returncode == code, (out.decode(), err.decode())
        return out, err


@pytest.fixture
def cli(kafka: ApacheKafka, topic_prefix: str) -> Cli:
    """The command line, with all topics made: 3 partitions of events."""
    topics = TopicNames(topic_prefix)
    asyncio.run(create_topics({"bootstrap_servers": kafka.bootstrap_servers}, topics, partitions=3))
    return Cli(kafka.bootstrap_servers, topics)


def with_producer(servers: str, work: Callable[[AIOKafkaProducer], Coroutine[Any, Any, T]]) -> T:
    async def run() -> T:
        async with AIOKafkaProducer(bootstrap_servers=servers, max_request_size=1 << 24) as producer:
            return await work(producer)

    return asyncio.run(run())


def read(servers: str, topic: str, isolation_level: str = "read_committed") -> list[ConsumerRecord]:
    """Return every record of a topic, by partition and offset."""

    async def run() -> list[ConsumerRecord]:
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=servers, isolation_level=isolation_level, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
            ends = await consumer.end_offsets(partitions)
            found: list[ConsumerRecord] = []
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
            return sorted(found, key=lambda record: (record.partition, record.offset))
        finally:
            await consumer.stop()

    return asyncio.run(run())


@dataclass(frozen=True)
class Bad:
    """One refused event, for :func:`write_letters`."""

    partition: int
    value: bytes | None
    key: bytes | None = b"k"
    headers: tuple[tuple[str, bytes | None], ...] = ()
    field: str = "features.hour"


def write_letters(servers: str, topics: TopicNames, letters: list[Bad], topic: str | None = None) -> None:
    """Write dead letters as the inference service does: in the partition of their event."""

    async def work(producer: AIOKafkaProducer) -> None:
        for number, bad in enumerate(letters):
            error = ValidationError("hour is 77, above the declared maximum 23", field=bad.field)
            headers = dead_letter_headers(
                list(bad.headers),
                error,
                service="inference",
                topic=topic or topics.events,
                partition=bad.partition,
                offset=number,
                now=1_700_000_000_000,
            )
            await producer.send_and_wait(
                topics.dead_letters, bad.value, key=bad.key, headers=headers, partition=bad.partition
            )

    with_producer(servers, work)
