"""``python -m tests.faults.malformed --events 1000000``: each bad event ends in the dead letters by name.

The events are bad in every way of :func:`tests.faults.traffic.bad_event`, or good ones with a byte changed
and closed too often; one in a thousand is good. Exit code 1 if one is missing, there twice, changed, or
refused without a sentence.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from devstack.apache_kafka import ApacheKafka
from devstack.redis_server import RedisServer
from shared.dead_letters import read_dead_letter
from tests.faults.journal import Journal
from tests.faults.progress import inference_positions
from tests.faults.stage import PARTITIONS, Stage, staged
from tests.faults.traffic import bad_event, good_event
from tests.streams import Client, until

GOOD_EVERY = 1_000
IN_FLIGHT = 20_000


def values(count: int) -> Iterator[bytes]:
    """The same events every time: number by number."""
    rng = random.Random("malformed")
    for number in range(count):
        if number % GOOD_EVERY == 0:
            yield good_event(number, rng)
        elif rng.random() < 0.9:
            yield bad_event(number, rng)
        else:  # closed too often by two: always wrong, whatever the changed byte does
            spoiled = bytearray(good_event(number, rng) + b"}}")
            spoiled[rng.randrange(len(spoiled) - 2)] = rng.randrange(256)
            yield bytes(spoiled)


async def send(client: Client, topic: str, count: int) -> None:
    """Produce the events, number ``n`` to partition ``n`` modulo their number."""
    async with AIOKafkaProducer(**client, linger_ms=5, enable_idempotence=True) as producer:
        waiting: collections.deque[asyncio.Future[object]] = collections.deque()
        for number, value in enumerate(values(count)):
            waiting.append(await producer.send(topic, value, partition=number % PARTITIONS))
            if len(waiting) >= IN_FLIGHT:
                await waiting.popleft()
        await asyncio.gather(*waiting)


async def letters(
    client: Client, topic: str
) -> tuple[dict[tuple[int, int], bytes], list[str], collections.Counter[str]]:
    """Return the letters' bytes by source partition and offset, what is wrong with them, and their errors."""
    consumer = AIOKafkaConsumer(
        **client, isolation_level="read_committed", auto_offset_reset="earliest", enable_auto_commit=False
    )
    found: dict[tuple[int, int], bytes] = {}
    problems: list[str] = []
    errors: collections.Counter[str] = collections.Counter()
    async with consumer:
        await consumer._client._wait_on_metadata(topic)
        tps = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        for tp in tps:
            consumer.seek(tp, 0)
        for tp in tps:
            while await consumer.position(tp) < ends[tp]:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        reason = read_dead_letter(record.headers)
                        if reason is None or not reason.message:
                            problems.append(f"{record.partition}:{record.offset} has no reason")
                            continue
                        key = (reason.partition, reason.offset)
                        if key in found:
                            problems.append(f"events[{key[0]}] offset {key[1]} is there twice")
                        found[key] = record.value
                        errors[reason.error] += 1
    return found, problems, errors


def compare(count: int, found: dict[tuple[int, int], bytes]) -> list[str]:
    """Return what is missing, changed or should not be there."""
    problems = []
    expected = 0
    for number, value in enumerate(values(count)):
        if number % GOOD_EVERY == 0:
            continue
        expected += 1
        letter = found.get((number % PARTITIONS, number // PARTITIONS))
        if letter != value:
            problems.append(
                f"event {number} {'is missing' if letter is None else 'was changed'}: {value[:60]!r}"
            )
    if len(found) > expected:
        problems.append(f"{len(found) - expected} dead letters too many")
    return problems


async def check(stage: Stage, count: int) -> tuple[list[str], dict[str, int]]:
    """Send everything, wait until it is done, and compare."""
    for _ in range(2):
        stage.fleet.start("inference")
    await send(stage.client, stage.topics.events, count)

    async def done() -> bool:
        return sum((await inference_positions(stage)).values()) == count

    await until(done, seconds=60 + count / 500, every=0.5, what=f"{count} events done")
    found, problems, errors = await letters(stage.client, stage.topics.dead_letters)
    return problems + compare(count, found), dict(errors)


async def _run(
    kafka: ApacheKafka, redis: RedisServer, count: int, folder: Path
) -> tuple[list[str], dict[str, int]]:
    journal = Journal(folder)
    try:
        async with staged(kafka, redis, journal, seed="malformed", services=("inference",)) as stage:
            return await check(stage, count)
    finally:
        journal.close()


def main() -> int:
    """Run and report; return the exit code."""
    parser = argparse.ArgumentParser("python -m tests.faults.malformed", description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = Path(f".devstack/faults/{time.strftime('%Y%m%d-%H%M%S')}-malformed").resolve()
    began = time.monotonic()
    with ApacheKafka() as kafka, RedisServer() as redis:
        problems, errors = asyncio.run(_run(kafka, redis, options.events, folder))
    seconds = time.monotonic() - began
    if options.json:
        print(
            json.dumps(
                {"events": options.events, "seconds": seconds, "errors": errors, "problems": problems[:20]}
            )
        )
    else:
        print(f"{options.events} events in {seconds:.0f} s: {errors}; {len(problems)} problems")
        print("".join(f"  {problem}\n" for problem in problems[:20]), end="")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
