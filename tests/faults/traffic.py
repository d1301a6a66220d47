"""What flows through the whole run: events, good ones and bad ones, their labels, reports to be judged."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer

from shared.topics import TopicNames
from tests.alert_oracle import endless
from tests.reports import record
from tests.streams import Client

POISON: Final = b"poison"
"""Key of the bad events: every one of them must end in the dead letters, and nothing else."""

MODEL: Final = "demo"
CANDIDATE: Final = "candidate"
"""Version that runs in the shadow."""

KPIS: Final = {"cost": "-5 * fp - 20 * fn", "sales": "sale - decision"}
"""What decisions are worth: by their truth, and by what followed."""

START_MS: Final = 1_700_000_000_000
STEP_MS: Final = 2_000
_EVENTS_PER_REPORT: Final = 4


def good_event(number: int, rng: random.Random) -> bytes:
    """An event that the model scores."""
    features = {f"f{i}": rng.gauss(0, 1) for i in range(3)}
    occurred = START_MS + STEP_MS * number
    return msgspec.json.encode({"event_id": f"e{number}", "occurred_at": occurred, "features": features})


Expected = tuple[str, str | None]
"""Error and field that a dead letter must name."""


def bad_event(number: int, rng: random.Random) -> bytes:
    """An event that must be refused."""
    return spoilt_event(number, rng)[1]


def spoilt_event(number: int, rng: random.Random) -> tuple[Expected, bytes]:
    """An event that must be refused, and what must be said of it."""
    good = good_event(number, rng)
    features = msgspec.json.decode(good)["features"]

    def having(**changed: object) -> bytes:
        kept = {k: v for k, v in (features | changed).items() if v is not ...}
        return msgspec.json.encode({"event_id": f"e{number}", "occurred_at": START_MS, "features": kept})

    no_event, of = ("DecodeError", None), "ValidationError"
    kinds: tuple[tuple[Expected, bytes], ...] = (
        (no_event, b"{"),
        (no_event, b""),
        (no_event, b"\xff\xfe\x00"),
        (no_event, b"[" * 5_000),
        (no_event, b"null"),
        (no_event, good[:-3]),
        ((of, "event_id"), good.replace(b'"event_id"', b'"id"')),
        ((of, "features.f9"), good.replace(b'"features":{"f0":', b'"features":{"f0":NaN,"f9":')),
        ((of, "features.f0"), having(f0="text")),
        ((of, "features.f1"), having(f1=...)),
        ((of, "features.f2"), having(f2=1e308)),
        ((of, "features.f9"), having(f9=1)),
    )
    return rng.choice(kinds)


class Truths:
    """Labels and outcomes of the events, each some events later, some never, some corrected or repeated."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"truths {seed}")
        self._later: dict[int, list[tuple[str, int, bytes]]] = {}

    def after(self, number: int, topics: TopicNames, partitions: int) -> list[tuple[str, int, bytes]]:
        """Return topic, partition and value of what becomes known with the ``number``-th event."""
        rng, name, occurred = self._rng, f"e{number}", START_MS + STEP_MS * number
        for chance in (0.7, 0.15):  # the second one corrects, or says the same again
            if rng.random() < chance:
                events = rng.choice((0, 0, 10, 40, 200))
                label = {"event_id": name, "label": rng.choice(("yes", "no"))}
                label["observed_at"] = occurred + STEP_MS * events  # type: ignore[assignment]
                self._know(number + events, topics.labels, number % partitions, label)
        if rng.random() < 0.2:
            sale = {"kpi": "sale", "value": rng.randrange(40) / 4, "observed_at": occurred, "event_id": name}
            self._know(number + rng.choice((0, 20)), topics.outcomes, number % partitions, sale)
        return self._later.pop(number, [])

    def _know(self, when: int, topic: str, partition: int, message: dict[str, object]) -> None:
        self._later.setdefault(when, []).append((topic, partition, msgspec.json.encode(message)))


class Traffic:
    """Numbered events into one topic, round robin over its partitions, and what belongs to them.

    Parameters
    ----------
    services
        Those at work: labels flow for the performance service, reports for the alerting service.

    Attributes
    ----------
    sent
        How many events have been handed over.
    """

    def __init__(
        self,
        client: Client,
        topics: TopicNames,
        partitions: int,
        seed: int,
        rate: float,
        services: tuple[str, ...] = (),
    ) -> None:
        self._client = client
        self._topics = topics
        self._partitions = partitions
        self._rng = random.Random(f"traffic {seed}")
        self._rate = rate
        self._poison = 0
        self._going = asyncio.Event()
        self._going.set()
        self._done = False
        self._whole = asyncio.Lock()
        self._truths = Truths(seed) if "performance" in services else None
        self._reports = endless(seed) if "alerting" in services else None
        self._acknowledged: list[asyncio.Future[object]] = []
        self.sent = 0

    def poison(self, count: int) -> None:
        """Make the next so many events bad ones."""
        self._poison += count

    async def pause(self) -> None:
        """Stop sending; return once every record is acknowledged."""
        self._going.clear()
        async with asyncio.timeout(120), self._whole:  # what belongs to the last event is on its way too
            pass
        waiting, self._acknowledged = self._acknowledged, []
        await asyncio.wait_for(asyncio.gather(*waiting), 120)

    def resume(self) -> None:
        """Go on sending."""
        self._going.set()

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Send until the block is left, then wait until every record is acknowledged.

        Raises
        ------
        RuntimeError
            The traffic broke off; the block is left at once.
        """
        producer = AIOKafkaProducer(
            **self._client, linger_ms=5, enable_idempotence=True, request_timeout_ms=120_000
        )
        await producer.start()
        try:
            async with _beside(self._flow(producer)) as task:
                yield
                self._done = True
                self._going.set()
                await asyncio.wait_for(task, 120)
                await self.pause()
        finally:
            await producer.stop()

    async def _flow(self, producer: AIOKafkaProducer) -> None:
        for number in itertools.count():
            await self._going.wait()
            if self._done:
                return
            async with self._whole:
                for topic, partition, key, value in self._records(number):
                    sending = await producer.send(topic, value, key=key, partition=partition)
                    self._acknowledged.append(sending)
                self.sent += 1
            await asyncio.sleep(1 / self._rate)

    def _records(self, number: int) -> Iterator[tuple[str, int, bytes, bytes]]:
        """Yield topic, partition, key and value of an event and of all that belongs to it."""
        bad = self._poison > 0 or self._rng.random() < 0.02
        self._poison = max(0, self._poison - 1)
        value = (bad_event if bad else good_event)(number, self._rng)
        key = POISON if bad else b"k%d" % (number % 50)
        yield self._topics.events, number % self._partitions, key, value
        yield from self._others(number)

    def _others(self, number: int) -> Iterator[tuple[str, int, bytes, bytes]]:
        if self._truths is not None:
            for topic, partition, value in self._truths.after(number, self._topics, self._partitions):
                yield topic, partition, b"t", value
        if self._reports is not None and number % _EVENTS_PER_REPORT == 0:
            report = next(self._reports)
            key, value = record(report)
            yield self._topics.reports, sum(report.model.encode()) % self._partitions, key, value


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run a task beside a block, and break the block off as soon as the task fails."""
    block = asyncio.current_task()
    assert block is not None
    task = asyncio.create_task(work)
    broke: list[BaseException] = []

    def over(done: asyncio.Task[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            broke.append(error)
            block.cancel()

    task.add_done_callback(over)
    try:
        yield task
    except BaseException:
        if not broke or (block.cancelling() and block.uncancel() > 0):
            raise  # by somebody else
        raise RuntimeError(f"the traffic broke off: {broke[0]!r}") from broke[0]
    finally:
        task.cancel()
        await asyncio.wait([task])
