"""``driftline events send``: events from a file, from standard input or from options."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import click
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, MessageSizeTooLargeError
from aiokafka.partitioner import DefaultPartitioner

from services.cli.connection import Connection, connection_options
from services.cli.event_lines import Outgoing, build_event, outgoing, parse_feature, read_lines
from shared.errors import ServiceError
from shared.kafka.stopping import stop_within
from shared.messages import FeatureValue

_MOST_IN_FLIGHT = 5_000
_LONGEST_WAIT = 30.0
_LARGEST_RECORD = 1 << 30  # the broker decides what is too large


def _features(
    _ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]
) -> dict[str, FeatureValue]:
    try:
        return dict(map(parse_feature, texts))
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error


@click.command()
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--event-id", help="Send one event, made of options, instead of a file.")
@click.option(
    "--feature", "features", multiple=True, metavar="NAME=VALUE", callback=_features, help="Repeat."
)
@click.option("--model", help="Of the one event: the model that scores it.")
@click.option("--entity-id", help="Of the one event: its entity, which is the key.")
@click.option("--occurred-at", help="Of the one event: RFC 3339 or epoch milliseconds; now if left out.")
@click.option(
    "--check/--no-check", default=True, help="Refuse what is no event before sending it; the default."
)
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Events per second, at most.")
@connection_options
def send(
    connection: Connection,
    *,
    file: BinaryIO | None,
    event_id: str | None,
    features: dict[str, FeatureValue],
    model: str | None,
    entity_id: str | None,
    occurred_at: str | None,
    check: bool,
    rate: float | None,
) -> None:
    """Send events: JSON lines from FILE, or from standard input (-), or one made of options.

    An event is keyed by its entity_id, or by its event_id where it has none. Lines are sent as they
    are, byte for byte. A line that is no event ends the sending; what came before it is sent.
    """
    records: Iterable[Outgoing]
    source: BinaryIO | None = None
    if event_id is not None:
        if file is not None:
            raise click.UsageError("--event-id sends one event made of options: leave FILE out.")
        value = build_event(event_id, features, model=model, entity_id=entity_id, occurred_at=occurred_at)
        records = [outgoing(value, check=check, place="the event")]
    elif features or model or entity_id or occurred_at:
        raise click.UsageError("--feature, --model, --entity-id and --occurred-at go with --event-id.")
    elif file is None and sys.stdin.isatty():
        raise click.UsageError("Give a FILE, - for standard input, or --event-id and --feature.")
    else:
        source = file or sys.stdin.buffer
        records = read_lines(
            source, check=check, name=file.name if file and file.name != "<stdin>" else "standard input"
        )
    incoming = _without_blocking(records, may_wait=_may_wait(source))
    connection.run(_send(connection, incoming, connection.topics.events, _Pace(rate)))


@dataclass(slots=True)
class _Sending:
    """What is on its way, and what arrived."""

    total: int = 0
    acknowledged: int = 0
    in_flight: deque[tuple[str, asyncio.Future[Any]]] = field(default_factory=deque)

    async def settle(self, at_most: int) -> None:
        """Wait until no more than ``at_most`` records are unacknowledged."""
        while len(self.in_flight) > at_most:
            place, future = self.in_flight.popleft()
            try:
                await future
            except KafkaError as error:
                raise ServiceError(f"{place}: the broker did not take it: {_reason(error)}") from error
            self.acknowledged += 1


def _reason(error: KafkaError) -> str:
    if isinstance(error, MessageSizeTooLargeError):
        return "it is larger than the topic's max.message.bytes"
    return repr(error)


async def _send(connection: Connection, records: AsyncIterator[Outgoing], topic: str, pace: _Pace) -> None:
    """Send all records; whatever ends it, what was handed over is waited for and counted."""
    sending = _Sending()
    progress = _Progress()
    started = time.monotonic()
    async with _producer(connection, topic) as producer:
        try:
            async for record in records:
                await pace.wait()
                future = await producer.send(topic, record.value, key=record.key)
                sending.in_flight.append((record.place, future))
                sending.total += 1
                progress.update(sending.total)
                await sending.settle(_MOST_IN_FLIGHT)
        finally:
            try:
                await sending.settle(0)
            finally:
                progress.clear()
                _summary(topic, sending, time.monotonic() - started)


@asynccontextmanager
async def _producer(connection: Connection, topic: str) -> AsyncIterator[AIOKafkaProducer]:
    """Open a producer that neither loses nor repeats a record, if the topic is there.

    A broker that cannot number a producer's records (the embedded one) gets one that loses none.
    """
    async with connection.reader() as consumer:
        await connection.partitions(consumer, topic)
    producer = _new_producer(connection, idempotent=True)
    try:
        try:
            await producer.start()
        except KafkaConnectionError:
            raise
        except KafkaError:
            await stop_within(producer, _LONGEST_WAIT)
            click.echo("this broker has no idempotent producers: a retry may send an event twice", err=True)
            producer = _new_producer(connection, idempotent=False)
            await producer.start()
        yield producer
    finally:
        await stop_within(producer, _LONGEST_WAIT)


def _new_producer(connection: Connection, *, idempotent: bool) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        **connection.client,
        acks="all",
        enable_idempotence=idempotent,
        partitioner=DefaultPartitioner(),
        linger_ms=5,
        max_request_size=_LARGEST_RECORD,
    )


async def _without_blocking(records: Iterable[Outgoing], *, may_wait: bool) -> AsyncIterator[Outgoing]:
    """Iterate over records without holding up those on their way.

    A pipe or a terminal may fall silent after any line, so its lines are waited for in a thread.
    """
    iterator = iter(records)
    while True:
        record = await asyncio.to_thread(next, iterator, None) if may_wait else next(iterator, None)
        if record is None:
            return
        yield record


def _may_wait(source: BinaryIO | None) -> bool:
    """Return whether reading on may have to wait for somebody."""
    return source is not None and not stat.S_ISREG(os.fstat(source.fileno()).st_mode)


def _summary(topic: str, sending: _Sending, seconds: float) -> None:
    events = f"{sending.acknowledged} event{'' if sending.acknowledged == 1 else 's'}"
    lost = sending.total - sending.acknowledged
    click.echo(
        f"{events} sent to {topic} in {seconds:.1f} s" + (f"; {lost} not acknowledged" if lost else "")
    )


class _Progress:
    """A counter on one line of a terminal; nothing where stderr is none."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._next = 0.0

    def update(self, total: int) -> None:
        if self._shown and time.monotonic() >= self._next:
            click.echo(f"\r{total} events", nl=False, err=True)
            self._next = time.monotonic() + 0.2

    def clear(self) -> None:
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)


class _Pace:
    """Lets at most ``rate`` records a second pass; None lets all."""

    def __init__(self, rate: float | None) -> None:
        self._seconds = 0.0 if rate is None else 1 / rate
        self._due = time.monotonic()

    async def wait(self) -> None:
        """Wait until the next record is due."""
        if self._seconds:
            early = self._due - time.monotonic()
            if early > 0:
                await asyncio.sleep(early)
            self._due = max(self._due, time.monotonic() - 1) + self._seconds
