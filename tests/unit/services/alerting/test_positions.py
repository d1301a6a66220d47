"""Which record is the next one, whatever became of those before it."""

from __future__ import annotations

from faust.types import TP

from services.alerting.positions import Positions

ONE, TWO = TP("reports", 0), TP("reports", 1)


def positions() -> Positions:
    made = Positions("g")
    made.begin(ONE, 40)
    return made


def test_what_goes_on_where_the_last_one_ended_is_next() -> None:
    made = positions()
    assert made.take(ONE, 40, 40) == "next"
    assert made.take(ONE, 44, 41) == "next", "41 to 43 are markers of transactions, or compacted away"
    assert made.take(ONE, 45, 42) == "next", "read from a place within: none lies between"
    assert made.all() == {ONE: 46}


def test_what_was_acted_on_is_known() -> None:
    made = positions()
    made.take(ONE, 44, 40)
    assert [made.take(ONE, 42, 30), made.take(ONE, 44, 43)] == ["known", "known"]
    assert made.all() == {ONE: 45}


def test_what_comes_too_early_waits_for_what_is_missing() -> None:
    made = positions()
    assert [made.take(ONE, 42, 41), made.take(ONE, 43, 43)] == ["gap", "gap"]
    assert made.all() == {ONE: 40}
    assert [made.take(ONE, offset, offset) for offset in (40, 41, 42, 43)] == ["next"] * 4


def test_nothing_is_next_before_it_is_known_where_to_begin() -> None:
    assert positions().take(TWO, 0, 0) == "gap"


def test_a_partition_is_stuck_that_does_not_move_although_more_was_handed_out() -> None:
    made = positions()
    assert made.stuck({ONE: 45}) == set(), "just handed out"
    assert made.stuck({ONE: 45}) == {ONE}
    made.take(ONE, 44, 40)
    assert made.stuck({ONE: 45}) == set()
    assert made.stuck({ONE: 45, TWO: 1}) == set()
    assert made.stuck({ONE: 45, TWO: 1}) == {TWO}


def test_positions_survive_as_records_and_only_changes_are_written() -> None:
    made = positions()
    made.take(TWO, 0, 0)
    records = made.drain()
    assert records == {"position/g/reports/0": b'{"group":"g","topic":"reports","partition":0,"offset":40}'}
    assert made.drain() == {}
    again = Positions("g")
    again.load({key: value for key, value in records.items() if value} | {"reading/x": b"{}"})
    assert again.all() == {ONE: 40}
    assert again.drain() == {}


def test_another_group_begins_anew() -> None:
    made = positions()
    made.take(ONE, 40, 40)
    other = Positions("h")
    other.load({key: value for key, value in made.drain().items() if value})
    assert other.all() == {}
