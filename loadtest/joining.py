"""Predictions and labels for the join: the same bytes for every contender, made as they are sent."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
from aiokafka import AIOKafkaProducer

from loadtest.backlog import RawBatch, _encode
from shared.messages import Label, Prediction, Source

CHUNK = 20_000
HORIZON_MS = 14 * 86_400_000
"""A label horizon: what is open spans so much event time."""

OLDEST = 0.9
"""Labels are for the newest 90 % of the open predictions: none is late."""

_encode_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class JoinStream:
    """Predictions at even distances, so that ``open_events`` of them fill a label horizon.

    Attributes
    ----------
    horizon
        Milliseconds.
    """

    model: str
    open_events: int
    horizon: int
    partitions: int
    start: int

    @classmethod
    def of(cls, model: str, open_events: int, horizon: int, partitions: int) -> JoinStream:
        """Return a stream that ends before now, since times from the future are refused."""
        return cls(model, open_events, horizon, partitions, int(time.time() * 1000) - 3 * horizon)

    def occurred_at(self, number: int) -> int:
        """Return the event time of a prediction."""
        return self.start + number * self.horizon // self.open_events

    def prediction(self, number: int) -> bytes:
        """Return a prediction as the inference service writes it."""
        at = self.occurred_at(number)
        score = (number * 2_654_435_761 % 1_000_003) / 1_000_003
        source = Source("events", number % self.partitions, number)
        label = "1" if score >= 0.5 else "0"
        return _encode_json(
            Prediction(event_id(number), self.model, "1", score, at, at, source, f"c{number % 9_973}", label)
        )

    def label(self, position: int, before: int) -> tuple[int, bytes]:
        """Return which prediction a label is for, and the label: random among the open ones ``before``.

        Those are stored already: a join as of a time misses labels that it reads before their prediction.
        """
        open_still = int(OLDEST * self.open_events) - (position - before)
        number = before - 1 - random.Random(position).randrange(max(1, open_still))
        at = self.occurred_at(position)
        return number, self._label(number, at)

    def _label(self, number: int, observed_at: int) -> bytes:
        return _encode_json(Label(event_id=event_id(number), label=str(number % 2), observed_at=observed_at))

    def last_label(self, number: int) -> tuple[int, bytes]:
        """Return a label of one of the oldest, observed when the newest open prediction was made."""
        return number, self._label(number, self.occurred_at(self.open_events - 1))


def event_id(number: int) -> str:
    """Return the id of an event: 20 characters, in no order that a hash would keep."""
    return f"{number * 11_400_714_819_323_198_485 % (1 << 64):016x}-{number % 1000:03}"


async def send(
    producer: AIOKafkaProducer, topic: str, partitions: int, items: Iterator[tuple[int, bytes, bytes]]
) -> None:
    """Produce ``(partition, key, value)`` in order and wait until the broker has them."""
    stamp = int(time.time() * 1000)
    while chunk := [item for _, item in zip(range(CHUNK), items, strict=False)]:
        futures = []
        for partition in range(partitions):
            keys = [key for at, key, _ in chunk if at == partition]
            values = [value for at, _, value in chunk if at == partition]
            futures += [
                await producer.send_batch(RawBatch(raw, count), topic, partition=partition)
                for raw, count in (_encode(keys, values, stamp) if values else [])
            ]
        await asyncio.gather(*futures)


def predictions(stream: JoinStream, first: int, count: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield predictions for :func:`send`, an event always in the same partition."""
    return _items(stream, range(first, first + count), lambda n: (n, stream.prediction(n)))


def labels(stream: JoinStream, first: int, count: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield labels for :func:`send`, each in the partition of its prediction."""
    return _items(stream, range(first, first + count), lambda position: stream.label(position, first))


def labels_of_the_oldest(stream: JoinStream, count: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield labels of the first predictions: those end next, and ending with a label is work too.

    ``OLDEST`` keeps the other labels away from them.
    """
    assert count <= round((1 - OLDEST) * stream.open_events)
    return _items(stream, range(count), stream.last_label)


def _items(
    stream: JoinStream, numbers: range, make: Callable[[int], tuple[int, bytes]]
) -> Iterator[tuple[int, bytes, bytes]]:
    for number in numbers:
        of, value = make(number)
        yield of % stream.partitions, event_id(of).encode(), value
