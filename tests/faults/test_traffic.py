"""The traffic of the suite: it breaks off aloud, and its planted reports have no end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.topics import TopicNames
from tests.alert_oracle import endless, stream
from tests.faults import traffic
from tests.faults.traffic import Traffic


class Producer:
    """Takes what it is given, until it is told to fail."""

    fails_at = 1 << 60

    def __init__(self, **_: Any) -> None:
        self.taken: list[str] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(self, topic: str, value: bytes, *, key: bytes, partition: int) -> Any:
        self.taken.append(topic)
        if len(self.taken) >= self.fails_at:
            raise RuntimeError("no room")
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def a_traffic(monkeypatch: pytest.MonkeyPatch, fails_at: int = 1 << 60, rate: float = 1e4) -> Traffic:
    monkeypatch.setattr(traffic, "AIOKafkaProducer", Producer)
    monkeypatch.setattr(Producer, "fails_at", fails_at)
    return Traffic({}, TopicNames(), 3, 1, rate, ("inference", "performance", "alerting"))


async def test_a_traffic_that_breaks_off_ends_what_happens_beside_it_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flowing = a_traffic(monkeypatch, fails_at=40)
    with pytest.raises(RuntimeError, match="the traffic broke off: RuntimeError\\('no room'\\)"):
        async with flowing.flowing():
            await asyncio.sleep(3_600)
    assert 0 < flowing.sent < 40
    await asyncio.sleep(0)  # and the task of this test goes on


async def test_a_block_that_is_cancelled_stays_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    flowing = a_traffic(monkeypatch)

    async def block() -> None:
        async with flowing.flowing():
            await asyncio.sleep(3_600)

    task = asyncio.create_task(block())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_sent_is_counted_and_stands_still_while_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    flowing = a_traffic(monkeypatch)
    async with flowing.flowing():
        while flowing.sent < 50:
            await asyncio.sleep(0.001)
        await flowing.pause()
        sent = flowing.sent
        await asyncio.sleep(0.05)
        assert flowing.sent == sent
        flowing.resume()
        while flowing.sent == sent:
            await asyncio.sleep(0.001)


def test_planted_reports_have_no_end_and_begin_like_those_that_have_one() -> None:
    reports = endless(3)
    assert [next(reports) for _ in range(40_000)][:360] == stream(3)
