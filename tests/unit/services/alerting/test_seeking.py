"""From where Faust's consumer reads, and what of it may be committed: the state says so, not Faust."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from services.alerting.consumer import CommittedConsumer, CommittedConsumerThread
from services.alerting.faust_app import Worker
from services.alerting.positions import Positions

STATE, NEW, USED = TP("state", 0), TP("reports", 0), TP("reports", 1)


class Kafka:
    """aiokafka's consumer, of partitions whose records are 10 to 99."""

    def __init__(self, committed: dict[TP, int]) -> None:
        self._committed = committed
        self.sought: dict[TP, int] = {}

    def assignment(self) -> set[TP]:
        return {STATE, NEW, USED}

    async def beginning_offsets(self, tps: list[TP]) -> dict[TP, int]:
        return dict.fromkeys(tps, 10)

    async def end_offsets(self, tps: list[TP]) -> dict[TP, int]:
        return dict.fromkeys(tps, 100)

    async def committed(self, tp: TP) -> int | None:
        return self._committed.get(tp)

    def seek(self, tp: TP, offset: int) -> None:
        self.sought[tp] = offset


def thread() -> Any:
    made: Any = CommittedConsumerThread.__new__(CommittedConsumerThread)
    made.consumer, made.handed_out, made._read = consumer(set()), {USED: 50}, {}
    return made


def consumer(active: set[TP]) -> Any:
    made: Any = CommittedConsumer.__new__(CommittedConsumer)
    made.app = SimpleNamespace(
        tables=SimpleNamespace(changelog_topics={"state"}),
        positions=Positions(),
        topics=SimpleNamespace(acks_enabled_for=lambda _: True),
    )
    made.held_back, made._active_partitions, made._paused_partitions = set(), active, set()
    made._committed_offset, made._durable, made._acked = {NEW: None, USED: None}, {}, {}
    made._unacked_messages, made.flow_active = WeakSet(), True
    made.assignment = lambda: {STATE, NEW, USED}
    return made


@pytest.mark.parametrize(
    ("known", "committed", "place"),
    [
        pytest.param(42, 70, 42, id="where the state says, whatever is committed"),
        pytest.param(None, 70, 70, id="a state of an older version has no position"),
        pytest.param(None, None, 10, id="nor a commit"),
        pytest.param(5, 70, 10, id="its records are gone"),
        pytest.param(101, 70, 10, id="its topic was made anew"),
        pytest.param(100, None, 100, id="nothing new"),
    ],
)
async def test_where_a_partition_is_read_on(known: int | None, committed: int | None, place: int) -> None:
    reader, kafka = thread(), Kafka({} if committed is None else {USED: committed})
    positions = {NEW: 11} | ({} if known is None else {USED: known})
    assert await reader._seek_to(kafka, positions) == {NEW: 11, USED: place} == kafka.sought
    assert reader.handed_out == {}, "what was handed out before the seek does not count"


async def test_no_record_is_taken_before_the_seek() -> None:
    made = consumer(set())

    async def seek() -> None:
        assert made._active_partitions == {STATE}, "records were taken from where nobody has sought yet"
        made.resume_partitions({NEW})  # another rebalance meanwhile

    made.seek_to_positions = seek
    made.resume_partitions({STATE, USED})
    await made.perform_seek()
    assert made._active_partitions == {STATE, USED}, "what was resumed later waits for its own seek"


async def test_what_was_paused_or_taken_away_during_the_seek_stays_so() -> None:
    made = consumer(set())

    async def seek() -> None:
        made.pause_partitions({USED})
        made.assignment = lambda: {STATE}

    made.seek_to_positions = seek
    made.resume_partitions({NEW, USED})
    await made.perform_seek()
    assert made._active_partitions == set()


async def test_a_seek_does_not_take_back_what_was_acted_on_meanwhile() -> None:
    made = consumer(set())
    positions = made.app.positions
    positions.begin(USED, 42)

    async def seek_to(known: Mapping[TP, int]) -> dict[TP, int]:
        positions.take(USED, 42, 42)
        return {NEW: 10, **known}

    made._thread = SimpleNamespace(seek_to=seek_to)
    await made.seek_to_positions()
    assert positions.all() == {NEW: 10, USED: 43}


def test_what_faust_acknowledges_is_not_committed() -> None:
    """It acknowledges what it skips, and a batch whose agent was cancelled in the middle of it."""
    made = consumer(set())

    class Message:
        tp, topic, offset, acked = USED, USED.topic, 42, False

    message = Message()
    made._unacked_messages.add(message)
    assert made.ack(message)
    assert not made._unacked_messages
    assert made._filter_committable_offsets([USED]) == {}
    made.durable({USED: 7, TP("reports", 2): 9})
    assert made._filter_committable_offsets([]) == {USED: 7}, "and only what is assigned"
    made._committed_offset[USED] = 7
    assert made._filter_committable_offsets([]) == {}


class Fetcher:
    """aiokafka's fetcher, with records ready: it takes an empty set for all partitions."""

    def __init__(self, place: Any) -> None:
        self._place = place
        self._subscriptions = SimpleNamespace(reassignment_in_progress=False)
        self.answer: tuple[dict[TP, list[int]], int] = {}, 0
        self.asked: list[set[TP]] = []

    async def fetched_records(self, partitions: set[TP]) -> dict[TP, list[Any]]:
        self.asked.append(set(partitions))
        records, self._place._position = self.answer
        return {
            tp: [SimpleNamespace(offset=offset) for offset in offsets]
            for tp, offsets in records.items()
            if not partitions or tp in partitions
        }

    def _create_fetch_waiter(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Any:
    async def fetch(_thread: Any, kafka: Any, partitions: set[TP], *_: Any) -> Any:
        return await kafka._fetcher.fetched_records(partitions)

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
    state = SimpleNamespace(_position=40)
    fetcher = Fetcher(state)
    fetcher.answer = {USED: [42, 43, 46], NEW: [7]}, 47
    assignment = SimpleNamespace(state_value=lambda _: state)
    subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
    return SimpleNamespace(_fetcher=fetcher, _subscription=subscription, assignment=lambda: {NEW, USED})


async def test_every_record_says_from_where_it_was_read(kafka: Any) -> None:
    reader = thread()
    found = await reader._fetch_records(kafka, {USED}, 0.01, 500)
    assert [(one.record.offset, one.follows) for one in found[USED]] == [(42, 40), (43, 43), (46, 44)]
    assert reader.handed_out == {USED: 47}


async def test_markers_that_come_without_a_record_are_no_gap(kafka: Any) -> None:
    """The end of a transaction takes an offset, and is often all that a fetch brings."""
    reader, place = thread(), kafka._subscription.subscription.assignment.state_value(USED)

    async def follows(before: int, after: int, offsets: list[int]) -> list[int]:
        kafka._fetcher.answer, place._position = ({USED: offsets} if offsets else {}, after), before
        found = await reader._fetch_records(kafka, {USED}, 0, 500)
        return [one.follows for one in found.get(USED, [])]

    assert await follows(40, 43, [40, 42]) == [40, 41]
    assert await follows(43, 44, []) == []
    assert await follows(44, 45, [44]) == [43]
    assert await follows(50, 51, [50]) == [50], "somebody has sought: 45 to 49 may be records"
    assert await follows(45, 46, []) == []
    assert await follows(46, 47, [46]) == [45]


async def test_no_partition_is_not_every_partition(kafka: Any) -> None:
    """Faust empties the set that it handed over while records are waited for."""
    reader = thread()
    assert await reader._fetch_records(kafka, set(), 0.01, 500) == {}
    kafka._fetcher.answer, asked = ({}, 40), {USED}
    waiting = asyncio.ensure_future(reader._fetch_records(kafka, asked, 0.05, 500))
    await asyncio.sleep(0)
    asked.clear()
    assert await waiting == {}
    assert all(kafka._fetcher.asked)


async def test_what_was_handed_out_and_does_not_come_is_read_again() -> None:
    sought = []

    async def seek() -> None:
        sought.append(worker.positions.all())

    worker: Any = SimpleNamespace(
        positions=Positions(),
        rebalancing=False,
        consumer=SimpleNamespace(
            thread=SimpleNamespace(handed_out={USED: 47}), perform_seek=seek, held_back=set()
        ),
    )
    worker.positions.begin(USED, 40)
    await Worker.read_on(worker)
    worker.positions.take(USED, 42, 40)
    await Worker.read_on(worker)
    assert sought == [], "it goes on: no need"
    await Worker.read_on(worker)
    assert sought == [{USED: 43}]


async def test_a_seek_that_could_not_be_done_is_done_later() -> None:
    """Faust waits 30 s for it and then goes on without: nothing was ever read again."""
    sought = []

    async def seek() -> None:
        sought.append("sought")

    consumer = SimpleNamespace(thread=SimpleNamespace(handed_out={}), perform_seek=seek, held_back={USED})
    worker: Any = SimpleNamespace(positions=Positions(), rebalancing=True, consumer=consumer)
    await Worker.read_on(worker)
    assert sought == [], "Faust is about to do it"
    worker.rebalancing = False
    await Worker.read_on(worker)
    assert sought == ["sought"]


@pytest.mark.parametrize("silent", [False, True])
def test_the_topic_of_the_tables_is_no_stream_that_stands_still(
    silent: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It is read up to an end that the writer moves on; what matters is that Kafka is still asked."""
    now = 1_700_000_000.0
    partition = SimpleNamespace(timestamp=(now - 3_600 * silent) * 1_000, highwater=100, position=10)
    assignment = SimpleNamespace(active=True, state_value=lambda tp: partition)
    subscriptions = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
    reader = thread()
    reader.time_started = now - 3_600
    reader.log = logging.getLogger("reader")
    reader._consumer = SimpleNamespace(_fetcher=SimpleNamespace(_subscriptions=subscriptions))
    reader.tp_fetch_request_timeout_secs = reader.tp_stream_timeout_secs = 300
    reader.consumer.app.monitor = SimpleNamespace(stream_inbound_time={})
    reader.consumer.app.conf = SimpleNamespace(stream_processing_timeout=300)
    driver.AIOKafkaConsumerThread.verify_event_path(reader, now, STATE)
    assert len(caplog.records) == 1, "what Faust would say"
    caplog.clear()
    reader.verify_event_path(now, STATE)
    assert len(caplog.records) == silent
