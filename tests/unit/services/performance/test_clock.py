"""The watermark follows event time after the grace, and not much later."""

from __future__ import annotations

from services.performance.clock import EventClock

SOURCES = ("predictions/0", "labels/0")


def test_the_watermark_is_never_less_than_the_grace_behind_nor_much_more() -> None:
    clock = EventClock(SOURCES, {}, -1, grace=800)
    clock.heard("labels/0", 0, idle=True, at=0)
    most = 0
    for at in range(0, 20_000, 7):
        watermark = clock.heard("predictions/0", at, idle=False, at=at)
        assert watermark == -1 or 800 <= at - watermark <= 800 + 100 + 2 * 7, (at, watermark)
        most = max(most, len(clock.marks))
    assert watermark > 18_000
    assert most <= 10


def test_time_goes_on_with_any_later_packet() -> None:
    clock = EventClock(("predictions/0",), {}, -1, grace=800)
    assert clock.heard("predictions/0", 500, idle=True, at=1_000) == -1
    assert clock.heard("predictions/0", 500, idle=True, at=1_799) == -1
    assert clock.heard("labels/9", -1, idle=True, at=1_800) == 500


def test_a_writer_whose_clock_is_behind_holds_nobody_up_for_long() -> None:
    clock = EventClock(("predictions/0",), {}, -1, grace=800)
    clock.heard("predictions/0", 500, idle=False, at=5_000)
    clock.heard("predictions/0", 600, idle=False, at=1_000)
    assert clock.heard("predictions/0", 600, idle=False, at=5_800) == 600


def test_a_clock_begun_anew_from_its_state_goes_on_alike() -> None:
    once, again = (EventClock(SOURCES, {}, -1, grace=800) for _ in range(2))
    for at in range(0, 5_000, 50):
        for source in SOURCES:
            assert once.heard(source, at, idle=False, at=at) == again.heard(source, at, idle=False, at=at)
        again = EventClock(SOURCES, again.times, again.watermark, grace=800, marks=again.marks)
