"""``python -m tests.faults.malformed --events 1000000``: each bad event ends in the dead letters by name.

The events are bad in every way of :func:`tests.faults.traffic.spoilt_event`, or good ones with a byte changed
and closed too often; one in a thousand is good. Exit code 1 if a bad one is missing, there twice, changed, or
refused for another reason than its own, and if a good one is not scored once, as the model scores it.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from devstack.apache_kafka import ApacheKafka
from devstack.redis_server import RedisServer
from shared.dead_letters import read_dead_letter
from shared.messages import Prediction
from tests.faults.answers import TOLERANCE, score
from tests.faults.journal import Journal
from tests.faults.limits import PARTITIONS
from tests.faults.progress import inference_positions
from tests.faults.stage import Stage
from tests.faults.staging import staged
from tests.faults.traffic import Expected, good_event, spoilt_event
from tests.streams import Client, read_all, until

GOOD_EVERY = 1_000
IN_FLIGHT = 20_000
FIRST_VERSION = "1"

Place = tuple[int, int]
"""Partition and offset of an event."""


def values(count: int) -> Iterator[tuple[Expected | None, bytes]]:
    """The same events every time, number by number: what must be said of each, nothing of a good one."""
    rng = random.Random("malformed")
    for number in range(count):
        if number % GOOD_EVERY == 0:
            yield None, good_event(number, rng)
        elif rng.random() < 0.9:
            yield spoilt_event(number, rng)
        else:  # closed too often by two: always wrong, whatever the changed byte does
            spoiled = bytearray(good_event(number, rng) + b"}}")
            spoiled[rng.randrange(len(spoiled) - 2)] = rng.randrange(256)
            yield ("DecodeError", None), bytes(spoiled)


async def send(client: Client, topic: str, count: int) -> None:
    """Produce the events, number ``n`` to partition ``n`` modulo their number."""
    async with AIOKafkaProducer(**client, linger_ms=5, enable_idempotence=True) as producer:
        waiting: collections.deque[asyncio.Future[object]] = collections.deque()
        for number, (_, value) in enumerate(values(count)):
            waiting.append(await producer.send(topic, value, partition=number % PARTITIONS))
            if len(waiting) >= IN_FLIGHT:
                await waiting.popleft()
        await asyncio.gather(*waiting)


@dataclass(slots=True)
class Letters:
    """The dead letters of a run: bytes and reason by source partition and offset."""

    values: dict[Place, bytes] = field(default_factory=dict)
    reasons: dict[Place, Expected] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def take(self, record: ConsumerRecord) -> None:
        """Note one letter, and what is wrong with it by itself."""
        reason = read_dead_letter(record.headers)
        if reason is None or not reason.message:
            self.problems.append(f"{record.partition}:{record.offset} has no reason")
            return
        place = (reason.partition, reason.offset)
        if place in self.values:
            self.problems.append(f"events[{place[0]}] offset {place[1]} is there twice")
        self.values[place] = record.value
        self.reasons[place] = (reason.error, reason.field)
        self.errors[reason.error] += 1


async def letters(client: Client, topic: str) -> Letters:
    """Read every dead letter."""
    consumer = AIOKafkaConsumer(
        **client, isolation_level="read_committed", auto_offset_reset="earliest", enable_auto_commit=False
    )
    found = Letters()
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
                        found.take(record)
    return found


def compare(count: int, found: Letters) -> list[str]:
    """Return what is missing, changed, refused for a wrong reason or should not be there."""
    problems = list(found.problems)
    expected = 0
    for number, (reason, value) in enumerate(values(count)):
        if reason is None:
            continue
        expected += 1
        place = _place(number)
        letter = found.values.get(place)
        if letter != value:
            problems.append(
                f"event {number} {'is missing' if letter is None else 'was changed'}: {value[:60]!r}"
            )
        elif found.reasons[place] != reason:
            problems.append(
                f"event {number} is {found.reasons[place]}, it should be {reason}: {value[:60]!r}"
            )
    if len(found.values) > expected:
        problems.append(f"{len(found.values) - expected} dead letters too many")
    return problems


def compare_good(count: int, predictions: Iterable[Prediction]) -> list[str]:
    """Return which of the good events between them are not scored once, as the model scores them."""
    good = {_place(number): value for number, (reason, value) in enumerate(values(count)) if reason is None}
    made: Counter[Place] = Counter()
    problems = []
    for prediction in predictions:
        place = (prediction.source.partition, prediction.source.offset)
        made[place] += 1
        if place not in good:
            problems.append(f"events[{place[0]}] offset {place[1]} is bad and was scored")
            continue
        event = msgspec.json.decode(good[place])
        wanted = (event["event_id"], score(FIRST_VERSION, event["features"]))
        if prediction.event_id != wanted[0] or not abs(prediction.score - wanted[1]) <= TOLERANCE:
            problems.append(
                f"{prediction.event_id} has {prediction.score}, {wanted[0]} should have {wanted[1]}"
            )
    problems += [f"events[{p}] offset {o} was scored {made[p, o]} times" for p, o in good if made[p, o] != 1]
    return problems


def _place(number: int) -> Place:
    return number % PARTITIONS, number // PARTITIONS


async def check(stage: Stage, count: int) -> tuple[list[str], dict[str, int]]:
    """Send everything, wait until it is done, and compare."""
    for _ in range(2):
        stage.fleet.start("inference")
    await send(stage.client, stage.topics.events, count)

    async def done() -> bool:
        return sum((await inference_positions(stage)).values()) == count

    await until(done, seconds=60 + count / 500, every=0.5, what=f"{count} events done")
    found = await letters(stage.client, stage.topics.dead_letters)
    made = await read_all(stage.client, stage.topics.predictions)
    decode = msgspec.json.Decoder(Prediction).decode
    scored = [decode(record.value) for records in made.values() for record in records]
    return compare(count, found) + compare_good(count, scored), dict(found.errors)


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
