"""The watermark follows event time after the grace, not much later, and never beyond what was meanwhile."""

from __future__ import annotations

from services.performance.clock import ClockState, EventClock

SOURCES = ("predictions/0", "labels/0")
HOUR = 3_600_000


def clock_of(*sources: str, grace: int = 800) -> EventClock:
    return EventClock(sources or SOURCES, ClockState(grace=grace))


def test_the_watermark_is_never_less_than_the_grace_behind_nor_much_more() -> None:
    clock = clock_of()
    clock.heard("labels/0", 0, idle=True, at=0)
    most = 0
    for at in range(0, 20_000, 7):
        watermark = clock.heard("predictions/0", at, idle=False, at=at)
        assert watermark == -1 or 800 <= at - watermark <= 800 + 100 + 2 * 7, (at, watermark)
        settled = clock.settled
        assert settled == -1 or 1_600 <= at - settled <= 1_600 + 100 + 2 * 7, (at, settled)
        state = clock.state(grace=800)
        most = max(most, len(state.marks), len(state.followed))
    assert settled > 18_000
    assert most <= 10


def test_time_goes_on_with_any_later_packet() -> None:
    clock = clock_of("predictions/0")
    assert clock.heard("predictions/0", 500, idle=True, at=1_000) == -1
    assert clock.heard("predictions/0", 500, idle=True, at=1_799) == -1
    assert clock.heard("labels/9", -1, idle=True, at=1_800) == 500


def test_what_was_reached_while_a_source_was_called_idle_is_forgotten_once_it_has_records_again() -> None:
    clock = clock_of(grace=60_000)
    clock.heard("labels/0", HOUR, idle=True, at=0)
    clock.heard("predictions/0", 100 * HOUR, idle=False, at=1_000)
    for second in range(30, 120):  # a backlog of labels longer than what is left of the grace
        watermark = clock.heard("labels/0", HOUR + second, idle=False, at=second * 1_000)
    assert watermark <= HOUR + 60, "not what was reached without the labels"
    clock.heard("labels/0", HOUR + 200, idle=True, at=121_000)
    assert clock.heard("predictions/0", 100 * HOUR, idle=False, at=180_999) < 100 * HOUR
    assert clock.heard("predictions/0", 100 * HOUR, idle=False, at=181_000) == 100 * HOUR


def test_what_remains_of_a_mark_counts_from_when_it_was_made() -> None:
    clock = clock_of()
    clock.heard("labels/0", 0, idle=True, at=0)
    clock.heard("predictions/0", 1_000, idle=False, at=0)
    clock.heard("labels/0", 700, idle=False, at=500)
    assert clock.heard("predictions/0", 1_000, idle=False, at=799) == -1
    assert clock.heard("predictions/0", 1_000, idle=False, at=800) == 700


def test_a_writer_whose_clock_is_behind_holds_nobody_up_for_long() -> None:
    clock = clock_of("predictions/0")
    clock.heard("predictions/0", 500, idle=False, at=5_000)
    clock.heard("predictions/0", 600, idle=False, at=4_300)
    assert clock.heard("predictions/0", 600, idle=False, at=5_799) == -1
    assert clock.heard("predictions/0", 600, idle=False, at=5_800) == 600


def test_a_writer_whose_clock_is_ahead_by_less_than_the_grace_changes_nothing() -> None:
    clock = clock_of()
    clock.heard("labels/0", 0, idle=True, at=0)
    for at in range(0, 10_000, 10):  # each writer's own time, the labels' 700 ahead
        clock.heard("predictions/0", at, idle=False, at=at)
        watermark = clock.heard("labels/0", 0, idle=True, at=at + 700)
        if at > 2_000:  # before it was heard, time was the others'
            assert 800 - 10 <= at - watermark <= 800 + 100 + 2 * 10, (at, watermark)
    assert watermark > 9_000


def test_a_writer_whose_clock_is_far_ahead_stops_nobody_once_another_is_heard() -> None:
    clock = clock_of("predictions/0")
    clock.heard("predictions/0", 500, idle=False, at=HOUR)
    for at in range(0, 3 * 800 + 100, 50):
        watermark = clock.heard("predictions/0", 500 + at, idle=False, at=at)
    assert watermark >= 500, "after two graces"
    for at in range(3 * 800, 10_000, 50):
        watermark = clock.heard("predictions/0", 500 + at, idle=False, at=at)
        if at > 5_000:
            assert 800 <= 500 + at - watermark <= 800 + 100 + 2 * 50
    assert clock.settled > 5_000


def test_horizons_end_a_grace_later_where_outcomes_come_by_way_of_entities() -> None:
    plain, by_entity = clock_of("predictions/0"), clock_of("predictions/0")
    for at in (0, 800, 1_600):
        for clock in (plain, by_entity):
            clock.heard("predictions/0", 500 if at == 0 else 501, idle=False, at=at)
        ended = plain.end(by_entity=False), by_entity.end(by_entity=True)
        assert ended == {0: (-1, -1), 800: (500, -1), 1_600: (501, 500)}[at]
    assert by_entity.end(by_entity=False) == 501
    assert by_entity.end(by_entity=True) == 501, "what is over stays over"


def test_a_clock_begun_anew_from_its_state_goes_on_alike() -> None:
    once, again = clock_of(), clock_of()
    for step, at in enumerate(range(0, 9_000, 50)):
        for source in SOURCES:
            skew = 5_000 if step % 41 == 0 else 0
            idle = source == "labels/0" and step % 7 < 3
            said = [clock.heard(source, at, idle=idle, at=at + skew) for clock in (once, again)]
            assert said[0] == said[1]
            assert once.settled == again.settled
        again = EventClock(SOURCES, again.state(grace=800))
