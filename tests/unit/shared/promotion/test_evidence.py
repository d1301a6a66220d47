"""Gathering reports: any order, repetition and cut gives the same sums."""

from __future__ import annotations

import random

import msgspec
import pytest

from shared.messages import Comparison, Example, Histogram, Judged, Ranking, Window
from shared.promotion import Evidence, Gathered, Pair
from shared.promotion.merging import added
from tests.unit.shared.promotion.reports import HOUR, report

PAIR = Pair("flights", "2", "1")


def cumulative(partition: int, start: int, steps: int) -> list:
    """The reports of one window as the service writes them: growing, the last one final."""
    return [
        report(
            partition=partition,
            window=Window(start=start, end=start + HOUR),
            next_offset=n,
            written_at=n,
            final=n == steps,
            comparison=Comparison(both=n, agreed=n // 2),
        )
        for n in range(1, steps + 1)
    ]


def test_order_and_repetition_do_not_matter():
    reports = [r for p in range(3) for hour in (1, 2) for r in cumulative(p, hour * HOUR, 10)]
    for seed in range(20):
        shuffled = reports + random.Random(seed).sample(reports, 20)
        random.Random(seed).shuffle(shuffled)
        found = Gathered()
        for one in shuffled:
            found.take(one)
        evidence = found.evidence(PAIR)
        assert (evidence.sums.comparison.both, evidence.sums.comparison.agreed) == (60, 30)
        assert (evidence.since, evidence.until, evidence.seconds) == (HOUR, 3 * HOUR, 0)


def hourly(*events: int) -> Evidence:
    """So many events in each hour, from the first one on."""
    found = Gathered()
    for hour, count in enumerate(events):
        window = Window(start=hour * HOUR, end=(hour + 1) * HOUR)
        found.take(report(window=window, comparison=Comparison(both=count)))
    return found.evidence(PAIR)


def test_time_goes_by_in_whole_windows_between_the_first_and_the_last():
    assert [hourly(*[50] * n).seconds for n in (1, 2, 3, 26)] == [0, 0, 3_600, 24 * 3_600]


def test_a_few_events_from_another_time_do_not_make_it_that_time():
    assert hourly(50, 50, 50, *[0] * 20, 10).seconds == 3_600
    assert hourly(2_000, 2_000, 2_000, *[0] * 20, 60).seconds == 3_600
    assert hourly(3, *[0] * 20, 50, 50, 50).seconds == 3_600
    assert hourly(50, 50, 50, *[0] * 20, 11).seconds == 22 * 3_600, "as many are no mistake"
    assert hourly(1, *[0] * 30, 1).seconds == 0


def test_open_windows_count_with_their_newest_report():
    found = Gathered()
    for one in cumulative(0, HOUR, 10)[:4]:
        found.take(one)
    assert found.evidence(PAIR).sums.comparison.both == 4
    assert not found.take(cumulative(0, HOUR, 10)[2])


def test_comparisons_of_the_same_two_versions_are_kept_apart_whenever_their_reports_are_written():
    found = Gathered()
    assert found.take(report(basis=9, written_at=50, comparison=Comparison(both=7)))
    # The windows of the earlier one are closed late, and told again by whoever takes the partition over.
    assert found.take(report(basis=5, written_at=99, comparison=Comparison(both=5)))
    assert [found.evidence(PAIR, basis).sums.comparison.both for basis in (5, 9, 12)] == [5, 7, 0]
    assert (found.newest(PAIR), found.evidence(PAIR).sums.comparison.both) == (9, 7)


def test_pairs_are_kept_apart():
    found = Gathered()
    found.take(report(comparison=Comparison(both=1)))
    found.take(report(champion_version="0", comparison=Comparison(both=2)))
    assert found.pairs() == [Pair("flights", "2", "0"), PAIR]
    assert found.evidence(PAIR).sums.comparison.both == 1
    assert found.evidence(Pair("flights", "9", "1")).asked == 0


def test_the_most_different_examples_of_all_are_kept():
    def examples(partition: int) -> tuple[Example, ...]:
        return tuple(
            Example(
                event_id=f"{partition}-{i}",
                partition=partition,
                offset=i,
                occurred_at=1,
                champion_score=0.0,
                candidate_score=i / 100,
            )
            for i in range(9)
        )

    found = Gathered()
    for partition in range(2):
        found.take(report(partition=partition, examples=examples(partition)))
    kept = found.evidence(PAIR).examples
    assert [e.event_id for e in kept[:3]] == ["0-8", "1-8", "0-7"]
    assert len(kept) == 10


def test_trouble_is_what_the_newest_report_of_events_says():
    found = Gathered()
    found.take(report(written_at=20, trouble="it crashed"))
    found.take(report(written_at=30, source_topic="labelled", judged=Judged(pairs=3)))
    assert found.evidence(PAIR).trouble == "it crashed"
    found.take(report(written_at=40, partition=1, comparison=Comparison(both=1)))
    assert found.evidence(PAIR).trouble is None


def test_parts_are_added_field_by_field():
    one = Histogram(edges=(0.5,), counts=(1, 2))
    assert added(one, one).counts == (2, 4)
    assert added(None, one) == one
    rankings = [
        Ranking(
            edges=(0.5,), champion_positive=(1, 0), joint_edges=(0.5,), joint_positive=((0, 0, 2), (1, 0, 1))
        ),
        Ranking(edges=(0.5,), champion_positive=(0, 3), joint_edges=(0.5,), joint_positive=((1, 0, 4),)),
    ]
    merged = added(*rankings)
    assert merged.champion_positive == (1, 3)
    assert merged.joint_positive == ((0, 0, 2), (1, 0, 5))
    assert added(Ranking(), rankings[0]) == rankings[0]
    with pytest.raises(ValueError, match="cannot be added"):
        added(one, msgspec.structs.replace(one, edges=(0.4,)))
