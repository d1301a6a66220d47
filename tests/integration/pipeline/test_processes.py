"""Several processes, killed, frozen and multiplied: the committed output stays the input, in order."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.apache_kafka import ApacheKafka
from tests.integration.pipeline.test_pipeline import (
    all_committed,
    by_partition,
    make_topics,
    numbered,
    values,
)
from tests.streams import committed_offsets, produce, read_all, until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
ROOT = Path(__file__).parents[3]


class Processes:
    """Echo services as processes; all of them are killed at the end."""

    def __init__(self, client: dict[str, object], prefix: str, logs: Path) -> None:
        self._client = client
        self._prefix = prefix
        self._logs = logs
        self._all: list[subprocess.Popen[bytes]] = []

    def start(self, crash_point: str = "") -> subprocess.Popen[bytes]:
        environment = os.environ | ({"DRIFTLINE_CRASH_POINT": crash_point} if crash_point else {})
        with (self._logs / f"echo{len(self._all)}.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.integration.pipeline.echo",
                    str(self._client["bootstrap_servers"]),
                    self._prefix,
                    "exactly-once",
                ],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )
        self._all.append(process)
        return process

    def kill(self) -> None:
        for process in self._all:
            if process.poll() is None:
                process.kill()
            process.wait()


@contextmanager
def processes(client: dict[str, object], prefix: str, logs: Path) -> Iterator[Processes]:
    started = Processes(client, prefix, logs)
    try:
        yield started
    finally:
        started.kill()


async def exited(process: subprocess.Popen[bytes]) -> int:
    await until(lambda: process.poll() is not None, what="the process to end")
    return process.returncode


@pytest.mark.parametrize("point", ["after-begin", "after-send", "before-commit", "after-commit"])
async def test_killed_at_each_step_of_a_transaction(
    kafka: ApacheKafka, topic_prefix: str, tmp_path: Path, point: str
) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    await make_topics(client, topic_prefix)
    sent = numbered(3_000)
    await produce(client, f"{topic_prefix}in", sent[:600])
    with processes(client, topic_prefix, tmp_path) as running:
        doomed = running.start(f"{point}:2")
        assert await exited(doomed) == -signal.SIGKILL
        running.start()
        await produce(client, f"{topic_prefix}in", sent[600:])
        await until(lambda: all_committed(client, topic_prefix, 3_000), what="3,000 committed")
        assert values(await read_all(client, f"{topic_prefix}out")) == by_partition(sent)


async def test_one_to_three_to_one_with_a_zombie(
    kafka: ApacheKafka, topic_prefix: str, tmp_path: Path
) -> None:
    client = {"bootstrap_servers": kafka.bootstrap_servers, **kafka.client_settings()}
    await make_topics(client, topic_prefix)
    sent = numbered(12_000)

    async def trickle() -> None:
        for first in range(0, len(sent), 100):
            await produce(client, f"{topic_prefix}in", sent[first : first + 100])
            await asyncio.sleep(0.15)

    async def committed(at_least: int) -> bool:
        return (
            sum((await committed_offsets(client, f"{topic_prefix}echo", f"{topic_prefix}in")).values())
            >= at_least
        )

    with processes(client, topic_prefix, tmp_path) as running:
        producing = asyncio.create_task(trickle())
        zombie = running.start("before-commit:1000000:hold=0.3")  # holds every transaction open
        await until(lambda: committed(600), what="the first process to commit")
        second, third = running.start(), running.start()
        await until(lambda: committed(1_500), what="progress by three")
        zombie.send_signal(signal.SIGSTOP)
        await asyncio.sleep(8)  # past the session timeout of 6 s, inside an open transaction
        await until(lambda: committed(4_000), what="progress without the zombie")
        zombie.send_signal(signal.SIGCONT)
        third.kill()
        await asyncio.sleep(1)
        second.terminate()
        assert await exited(second) == 0
        await producing
        await until(lambda: committed(len(sent)), seconds=90, what="everything committed")
        assert zombie.poll() is None
    assert values(await read_all(client, f"{topic_prefix}out")) == by_partition(sent)
