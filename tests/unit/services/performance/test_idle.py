"""When an input is said to be idle: when the broker had nothing, not when nobody looked."""

from __future__ import annotations

import msgspec
from prometheus_client import CollectorRegistry

from services.performance.clock import ClockState, EventClock
from services.performance.metrics import PerformanceMetrics
from services.performance.packets import Packet, decode_packet
from services.performance.routing import RouteStep
from shared.kafka.records import Output, Records
from shared.messages import Label
from shared.pipeline.settling import MOST_AHEAD_MS
from shared.topics import TopicNames

IDLE, GRACE = 1_000, 5_000


class Input:
    """A partition of labels, with a clock and a broker that a test sets."""

    def __init__(self) -> None:
        self.now = 10_000
        self.empty_at: int | None = None
        self.step = RouteStep(
            TopicNames(),
            PerformanceMetrics(CollectorRegistry()),
            partitions=2,
            by_entity=lambda *_: False,
            clock=lambda: self.now,
            idle_after=IDLE,
            grace=GRACE,
            max_future=0,
        )
        self.step.caught_up = lambda topic, partition: self.empty_at
        self.step.open("labels", 0, 0, None)

    def said(self, *, leaving: bool = False) -> list[Packet]:
        return packets(self.step.flush("labels", 0, leaving=leaving))

    def read(self) -> list[Packet]:
        value = msgspec.json.encode(Label(event_id="a", label="yes", observed_at=500))
        records = Records("labels", 0, 0, 1, [0], [self.now], [None], [value], [()])
        (share,) = work = self.step.decode([records])
        self.step.compute([share])
        return packets(self.step.encode(work, 0))


def packets(outputs: list[Output]) -> list[Packet]:
    return [decode_packet(value or b"") for output in outputs for value in output.values]


def test_a_process_that_stood_still_does_not_say_that_nothing_came() -> None:
    labels = Input()
    labels.empty_at = 10_900
    labels.now += 60_000  # and has not asked the broker since
    assert labels.said() == []
    labels.empty_at = None  # it asks: there is something
    assert labels.said() == []


def test_what_was_empty_for_so_long_is_idle_and_said_again_after_each_grace() -> None:
    labels = Input()
    labels.now = labels.empty_at = 11_000
    first = labels.said()
    assert [(packet.source, packet.idle) for packet in first] == [("labels/0", True)] * 2
    for again in (11_000 + 6_000, 11_000 + 12_000, 11_000 + 12_000 + MOST_AHEAD_MS):
        labels.now = labels.empty_at = again - 1
        assert labels.said() == []
        labels.now = labels.empty_at = again
        assert labels.said() == first
    labels.now = labels.empty_at = 10_000_000
    assert labels.said() == []


def test_what_a_silence_left_behind_is_ended_although_every_packet_takes_a_while_to_be_written() -> None:
    labels = Input()
    clock = EventClock(("labels/0",), ClockState(grace=GRACE))
    for now in range(11_000, 40_000, 1_000):  # as often as the pipeline asks
        labels.now = labels.empty_at = now
        for packet in labels.said()[:1]:
            clock.heard(packet.source, 500, idle=packet.idle, at=now + (900 if now == 11_000 else 10))
    assert (clock.watermark, clock.settled) == (500, 500)


def test_a_record_ends_the_idleness() -> None:
    labels = Input()
    labels.now = labels.empty_at = 11_000
    assert labels.said()
    assert {packet.idle for packet in labels.read()} == {False}
    labels.now = labels.empty_at = 11_999
    assert labels.said() == []
    labels.now = labels.empty_at = 12_000
    assert {packet.high for packet in labels.said()} == {500}


def test_who_leaves_says_nothing_of_the_next_owner() -> None:
    labels = Input()
    labels.now = labels.empty_at = 11_000
    assert labels.said(leaving=True) == []
