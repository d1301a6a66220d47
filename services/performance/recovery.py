"""Brings a partition's join back to where it was committed, from the state topic, the store and the log.

1. The newest checkpoint: windows and base, as of log offset X.
2. The local store, as of A, never beyond X. It is made anew if it belongs to another life of the log.
3. Events of the log in [A, X) into the store; for a new store from the oldest offset that an open event
   needs. The windows have these already.
4. The log in [X, committed): the join itself, whose outputs have been committed already.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.performance.cells import WindowCells, unpack
from services.performance.checkpoints import Base, decode_base
from services.performance.facts import FactsBook, Version
from services.performance.packets import Packet, decode_packet
from services.performance.partition import PartitionJoin
from services.performance.process import state_prefix
from services.performance.store import EventStore
from shared.kafka.reader import reader
from shared.logs import get_logger

log = get_logger(__name__)

_SAVE_EVERY: Final = 50_000


class Recovery:
    """Recovers partitions into a step's ``recovered``.

    Parameters
    ----------
    client
        Arguments of every aiokafka client.
    state_topic
        Where checkpoints lie.
    folder
        Where stores lie, one directory per partition.
    expected
        Names of all sources whose time counts.
    into
        Gets the join of each recovered partition.
    grace
        Milliseconds of the log's time by which the watermark follows event time, from the next checkpoint on.
    """

    def __init__(
        self,
        client: dict[str, Any],
        *,
        state_topic: str,
        folder: Path,
        book: FactsBook,
        expected: Sequence[str],
        into: dict[int, PartitionJoin],
        grace: int,
        on_recovered: Callable[[float], None],
    ) -> None:
        self._client = client
        self._state_topic = state_topic
        self._folder = folder
        self._book = book
        self._expected = expected
        self._into = into
        self._grace = grace
        self._on_recovered = on_recovered
        self._locks: dict[int, asyncio.Lock] = {}

    async def __call__(self, tp: TopicPartition, next_offset: int, state: bytes | None) -> None:
        """Recover one partition up to ``next_offset``."""
        async with self._locks.setdefault(tp.partition, asyncio.Lock()):
            unused = self._into.pop(tp.partition, None)
            if unused is not None:
                unused.store.close()
            began = time.monotonic()
            join = await self._recover(tp, next_offset)
            self._into[tp.partition] = join
            self._on_recovered(time.monotonic() - began)
            log.info(
                "join recovered",
                topic=tp.topic,
                partition=tp.partition,
                offset=next_offset,
                open_events=join.open_events,
                seconds=round(time.monotonic() - began, 2),
            )

    async def _recover(self, tp: TopicPartition, next_offset: int) -> PartitionJoin:
        base, windows = await self._checkpoint(tp)  # 1
        store = await asyncio.to_thread(
            EventStore, self._folder / f"{tp.topic}-{tp.partition}", base.lineage
        )  # 2
        try:
            async with self._reader(tp) as records:
                first = await records.first()
                begin = max(store.offset, min(base.oldest.values(), default=base.offset), first)
                if begin < base.offset:
                    await self._rebuild(records, store, base, begin)  # 3
                join = PartitionJoin(
                    self._facts_of, self._expected, base, windows, store,
                    log=(tp.topic, tp.partition), grace=self._grace,
                )  # fmt: skip
                async for offset, at, packet in records.read(max(base.offset, first), next_offset):  # 4
                    await self._meet(packet)
                    join.apply(packet, offset, at)
                    join.take_said()
        except BaseException:
            store.close()
            raise
        return join

    async def _rebuild(self, records: _LogReader, store: EventStore, base: Base, begin: int) -> None:
        """Put the events of the log in ``[begin, base.offset)`` into the store."""
        blank = Base(base.lineage, begin)
        join = PartitionJoin(self._facts_of, (), blank, (), store)
        async for offset, at, packet in records.read(begin, base.offset):
            await self._meet(packet)
            join.apply(packet, offset, at)
            join.take_said()
            if join.unsaved >= _SAVE_EVERY:
                join.save(offset + 1)
        join.end_as(base)
        join.save(base.offset)

    def _facts_of(self, model: str, version: str) -> Any:
        facts = self._book.get(model, version)
        assert facts is not None, (model, version)
        return facts

    async def _meet(self, packet: Packet) -> None:
        for model, version in packet.versions():
            if self._book.get(model, version) is None:
                await self._book.meet(model, version)

    async def _checkpoint(self, tp: TopicPartition) -> tuple[Base, list[WindowCells]]:
        """Return the newest checkpoint of a partition, an empty one where there is none."""
        prefix = state_prefix(tp.topic, tp.partition).encode()
        newest: dict[bytes, bytes | None] = {}
        state = TopicPartition(self._state_topic, tp.partition)
        async with self._reader(state) as changelog:
            async for key, value in changelog.records():
                if key.startswith(prefix + b"/"):
                    newest[key] = value
        raw = newest.pop(prefix + b"/base", None)
        if raw is None:
            return Base(uuid.uuid4().hex, 0, grace=self._grace), []
        base = decode_base(raw)
        facts: dict[Version, Any] = {}
        for known in base.facts:
            self._book.add(known)
            facts[known.model, known.version] = self._book.get(known.model, known.version)
        return base, [unpack(value, facts) for value in newest.values() if value is not None]

    @asynccontextmanager
    async def _reader(self, tp: TopicPartition) -> AsyncIterator[_LogReader]:
        async with reader(self._client, fetch_max_wait_ms=20) as consumer:
            consumer.assign([tp])
            yield _LogReader(consumer, tp)


class _LogReader:
    """Reads one partition from one offset to another."""

    def __init__(self, consumer: AIOKafkaConsumer, tp: TopicPartition) -> None:
        self._consumer = consumer
        self._tp = tp

    async def first(self) -> int:
        """Return the first offset that is still there."""
        offsets: dict[TopicPartition, int] = await self._consumer.beginning_offsets([self._tp])
        return offsets[self._tp]

    async def read(self, begin: int, end: int) -> AsyncIterator[tuple[int, int, Packet]]:
        """Yield offset, time and packet in ``[begin, end)``, giving way to others between fetches."""
        if begin >= end:
            return
        self._consumer.seek(self._tp, begin)
        while await self._consumer.position(self._tp) < end:
            fetched = await self._consumer.getmany(self._tp, timeout_ms=200, max_records=50)
            for record in fetched.get(self._tp, []):
                if record.offset < end:
                    yield record.offset, record.timestamp, decode_packet(record.value)
            await asyncio.sleep(0)

    async def records(self) -> AsyncIterator[tuple[bytes, bytes | None]]:
        """Yield every key and value up to what is written now.

        That is the high watermark of the first answer, not the end that a committed reader is told:
        an open transaction of another input partition could hold that end back.
        """
        self._consumer.seek(self._tp, await self.first())
        end: int | None = None
        while end is None or await self._consumer.position(self._tp) < end:
            for record in (await self._consumer.getmany(self._tp, timeout_ms=50)).get(self._tp, []):
                yield record.key, record.value
            if end is None:
                end = self._consumer.highwater(self._tp)
