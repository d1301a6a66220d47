import asyncio
from typing import Any

import pytest

from devstack.demo.events import Outgoing
from devstack.demo.replay import Replay


class RecordingProducer:
    """Acknowledges every record, or fails from the ``fail_after``-th on."""

    def __init__(self, fail_after: int | None = None) -> None:
        self.sent: list[tuple[str, bytes, bytes]] = []
        self.flushed = False
        self._fail_after = fail_after

    async def send(self, topic: str, value: bytes, *, key: bytes) -> asyncio.Future[Any]:
        self.sent.append((topic, value, key))
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._fail_after is not None and len(self.sent) > self._fail_after:
            done.set_exception(ConnectionError("the broker is gone"))
        else:
            done.set_result(None)
        return done

    async def flush(self) -> None:
        self.flushed = True


class SteppingClock:
    """Moves on by ``step`` seconds whenever it is read."""

    def __init__(self, step: float) -> None:
        self.now, self._step = 0.0, step

    def __call__(self) -> float:
        self.now += self._step
        return self.now


def records(count: int) -> list[Outgoing]:
    return [Outgoing(b"N%d" % (n % 3), b"%d" % n, str(n)) for n in range(count)]


async def test_everything_is_sent_in_order_and_noted_first() -> None:
    producer, noted = RecordingProducer(), []
    replay = Replay(
        producer, "events", records(50), rate=1000, clock=SteppingClock(0.001),
        note=lambda record, _: noted.append((record.event_id, len(producer.sent))),
    )  # fmt: skip
    await replay.run(asyncio.Event())
    assert [value for _, value, _ in producer.sent] == [b"%d" % n for n in range(50)]
    assert producer.sent[4] == ("events", b"4", b"N1")
    assert noted == [(str(n), n) for n in range(50)]
    assert (replay.sent, replay.exhausted, producer.flushed) == (50, True, True)


async def test_it_stops_when_told_and_sends_no_more_than_is_due() -> None:
    producer, stop = RecordingProducer(), asyncio.Event()
    clock = SteppingClock(0.5)  # read at the start, and at the first tick: 0.5 s have passed

    def note(record: Outgoing, _: float) -> None:
        stop.set()

    replay = Replay(producer, "events", records(50), rate=20, note=note, clock=clock)
    await replay.run(stop)
    assert (replay.sent, replay.exhausted, producer.flushed) == (10, False, True)


async def test_a_record_that_is_not_delivered_ends_the_replay() -> None:
    replay = Replay(
        RecordingProducer(3),
        "events",
        records(50),
        rate=1000,
        note=lambda *_: None,
        clock=SteppingClock(0.01),
    )
    with pytest.raises(ConnectionError, match="the broker is gone"):
        await replay.run(asyncio.Event())
