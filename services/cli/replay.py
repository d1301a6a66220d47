"""Sending dead letters again: the original record to where it came from, and a mark that it was done.

Exactly once, per partition of the dead-letters topic:

1. open the partition's transactional producer: whatever another replay left open there is aborted,
   and that replay can commit nothing any more
2. read the marks: nobody but us can add one now
3. per batch, one transaction: the original records to their source, and one mark for each letter of them

So a letter and its mark are visible together or not at all, and no two replays ever decide about
the same letter at the same time. Without transactions the mark follows the record in a second step,
and a replay that dies in between sends those records again: at least once.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced

from services.cli.letters import Letter, bounds, mark_output, marked_offset, scan
from services.cli.selection import Selection
from services.cli.twins import Twins
from shared.dead_letters import REPLAY_OF
from shared.errors import PartitionLost, TransientError
from shared.kafka.records import Headers, Output
from shared.kafka.stopping import stop_within
from shared.pipeline.options import PipelineOptions
from shared.pipeline.writer import AtLeastOnceWriter, PartitionWriter, TransactionalWriter

_BATCH_LETTERS = 500
_BATCH_BYTES = 4 << 20

Spans = dict[TopicPartition, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay would do.

    Attributes
    ----------
    to_send
        How many events it would send: of several letters of one event, one.
    done
        How many of the selected ones were sent before.
    sources
        The topics that any letter came from, selected or not: where a replay may write, and where an earlier
        one may have left a transaction open.
    """

    to_send: int
    done: int
    sources: frozenset[str]


@dataclass(slots=True)
class Tally:
    """What a replay did.

    Attributes
    ----------
    replayed
        Letters sent again, durably.
    skipped
        Letters sent again by an earlier replay.
    unsendable
        One sentence per letter that has no place to go to.
    """

    replayed: int = 0
    skipped: int = 0
    unsendable: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Past:
    """What a partition's letters and marks say.

    Attributes
    ----------
    marked
        Letters that were sent again, by their offsets.
    newest
        Timestamp of the newest mark, epoch milliseconds: every transaction gets a later one.
    """

    twins: Twins = field(default_factory=Twins)
    marked: set[int] = field(default_factory=set)
    newest: int = 0


@dataclass(slots=True, kw_only=True)
class Replay:
    """One run over the dead-letters topic.

    Parameters
    ----------
    consumer
        Started, reading committed records, assigned by nobody else.
    options
        ``group`` is the prefix of the transactional ids, ``delivery`` the guarantee.
    selection
        Which letters.
    again
        Whether to send those that were sent before, too.
    limit
        Most letters to send; None for all.
    """

    consumer: AIOKafkaConsumer
    options: PipelineOptions
    selection: Selection
    again: bool = False
    limit: int | None = None
    tally: Tally = field(default_factory=Tally, init=False)
    known: Mapping[str, set[int]] = field(default_factory=dict, init=False)
    outputs: tuple[str, ...] = field(default=(), init=False)

    async def plan(self, spans: Spans) -> Plan:
        """Return what a run over these spans would do, as things stand now."""
        selected: dict[int, set[int]] = defaultdict(set)
        marked: dict[int, set[int]] = defaultdict(set)
        twins: dict[int, Twins] = defaultdict(Twins)
        sources: set[str] = set()
        async for letter in scan(self.consumer, spans):
            if letter.reason is not None:
                sources.add(letter.reason.topic)
            if (offset := marked_offset(letter)) is not None:
                marked[letter.partition].add(offset)
                continue
            twins[letter.partition].add(letter)
            if letter in self.selection:
                selected[letter.partition].add(letter.offset)
        events = {p: twins[p].firsts(offsets) for p, offsets in selected.items()}
        count = sum(map(len, events.values()))
        done = (
            0 if self.again else sum(len(twins[p].firsts(marked[p]) & found) for p, found in events.items())
        )
        return Plan(min(count - done, self.limit or sys.maxsize), done, frozenset(sources))

    async def run(self, spans: Spans, known: Mapping[str, set[int]], sources: frozenset[str]) -> Tally:
        """Send the selected letters of these spans, partition by partition.

        Parameters
        ----------
        spans
            First offset and the one behind the last, by partition of the dead-letters topic.
        known
            The partitions of every topic there is.
        sources
            The topics that the letters came from, of the plan.

        Raises
        ------
        PartitionLost
            Another replay took over; what was committed stays committed.
        TransientError
            The broker was away; the next replay finds out what was committed.
        """
        self.known = known
        self.outputs = tuple(sorted(topic for topic in sources if topic in known))
        for tp, span in sorted(spans.items()):
            if self._left() > 0:
                async with _explained(tp), self._writer(tp) as writer:
                    await writer.open()  # 1
                    await self._partition(writer, tp, span)
        return self.tally

    async def _partition(self, writer: PartitionWriter, tp: TopicPartition, span: tuple[int, int]) -> None:
        past = await self._past(tp)  # 2
        writer.follow(past.newest)
        marked = set() if self.again else past.twins.firsts(past.marked)
        sent: set[int] = set()
        batch: list[Letter] = []
        size = 0
        async for letter in scan(self.consumer, {tp: span}):
            if len(batch) >= self._left():
                break
            event = past.twins.first(letter.offset)
            if event in sent or not self._wanted(letter, event in marked):
                continue
            sent.add(event)
            batch.append(letter)
            size += len(letter.value or b"")
            if len(batch) == _BATCH_LETTERS or size >= _BATCH_BYTES:
                await self._commit(writer, batch, past.twins)
                batch, size = [], 0
        if batch:
            await self._commit(writer, batch, past.twins)

    def _left(self) -> int:
        return sys.maxsize if self.limit is None else self.limit - self.tally.replayed

    async def _past(self, tp: TopicPartition) -> _Past:
        past = _Past()
        async for letter in scan(self.consumer, await bounds(self.consumer, [tp])):
            if (offset := marked_offset(letter)) is None:
                past.twins.add(letter)
            else:
                past.marked.add(offset)
                past.newest = max(past.newest, letter.timestamp)
        return past

    def _wanted(self, letter: Letter, marked: bool) -> bool:
        if marked_offset(letter) is not None or letter not in self.selection:
            return False
        if marked:
            self.tally.skipped += 1
            return False
        problem = self._unsendable(letter)
        if problem is not None:
            self.tally.unsendable.append(f"{letter.partition}:{letter.offset} {problem}")
        return problem is None

    def _unsendable(self, letter: Letter) -> str | None:
        """Return why a letter has no place to go to, None where it has one."""
        if letter.reason is None:
            return "carries no driftline headers, so nobody knows where it came from"
        topic, partition = letter.reason.topic, letter.reason.partition
        known = self.known.get(topic)
        if not known:
            return f"came from topic {topic}, which is not there any more"
        if partition not in known:
            return f"came from {topic}[{partition}], and that topic has {len(known)} partitions now"
        return None

    async def _commit(self, writer: PartitionWriter, batch: list[Letter], twins: Twins) -> None:
        """Make a batch durable."""  # 3
        now = int(time.time() * 1000)
        originals = _originals(batch)
        marks = [
            mark_output(letter, now, of=offset) for letter in batch for offset in twins.of(letter.offset)
        ]
        await writer.commit(originals, marks)
        self.tally.replayed += len(batch)

    @asynccontextmanager
    async def _writer(self, tp: TopicPartition) -> AsyncIterator[PartitionWriter]:
        # Every one of these is looked through for what an earlier replay left open: no others, of which
        # there may be thousands.
        options = dataclasses.replace(self.options, outputs=self.outputs)
        if options.delivery == "exactly-once":
            writer = TransactionalWriter(tp, options, max_batch_bytes=options.max_batch_bytes)
            try:
                yield writer
            finally:
                await writer.discard()
            return
        producer = AIOKafkaProducer(
            **options.client, acks="all", request_timeout_ms=int(options.request_timeout * 1000)
        )
        try:
            await producer.start()
            yield AtLeastOnceWriter(options, producer=producer, max_batch_bytes=options.max_batch_bytes)
        finally:
            await stop_within(producer, 5.0)


def _originals(batch: list[Letter]) -> list[Output]:
    """Return the batch's original records, in order, grouped by the partition they came from."""
    groups: dict[tuple[str, int], list[Letter]] = {}
    for letter in batch:
        assert letter.reason is not None
        groups.setdefault((letter.reason.topic, letter.reason.partition), []).append(letter)
    return [
        Output(
            topic,
            partition,
            keys=[letter.key for letter in letters],
            values=[letter.value for letter in letters],
            headers=[_headers(letter) for letter in letters],
        )
        for (topic, partition), letters in groups.items()
    ]


def _headers(letter: Letter) -> Headers:
    """Return the original headers, and where the record was replayed from.

    Examples
    --------
    >>> given = [("traceparent", b"00-1"), ("driftline-error", b"DecodeError")]
    >>> _headers(Letter("dead-letters", 2, 7, 0, None, None, given, None))
    [('traceparent', b'00-1'), ('driftline-replay-of', b'dead-letters/2/7')]
    """
    place = f"{letter.topic}/{letter.partition}/{letter.offset}".encode()
    kept = [(name, value) for name, value in letter.headers if not name.startswith("driftline-")]
    return [*kept, (REPLAY_OF, place)]


@asynccontextmanager
async def _explained(tp: TopicPartition) -> AsyncIterator[None]:
    """Turn what the broker says into what a person can do."""
    try:
        yield
    except (ProducerFenced, InvalidProducerEpoch) as error:
        raise PartitionLost(
            f"another replay took over {tp.topic}[{tp.partition}], and this one stopped: "
            "what it had committed was replayed once, the rest is up to the other"
        ) from error
    except (TimeoutError, KafkaError, OSError) as error:
        raise TransientError(
            f"the broker did not answer while {tp.topic}[{tp.partition}] was replayed ({error!r}): run the "
            "same command again, it finds out what was committed and sends only the rest"
        ) from error
