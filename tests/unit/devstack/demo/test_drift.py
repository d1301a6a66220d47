import numpy as np
import pandas as pd

from devstack.demo.drift import PLANTED_FROM, PLANTED_TO, DriftBook, budget_fact, plant_kilometres, story
from devstack.demo.verdict import drift_contribution
from shared.messages import DriftAlarm, DriftChannel, DriftMoment, DriftReport, DriftSegment, Source, Window
from tests.unit.devstack.demo.runs import finished_run


def report(events: int, channel: str = "distance", start: int = 0, at: str = "LGA") -> DriftReport:
    def moment(at: int) -> DriftMoment:
        return DriftMoment(events=at, occurred_at=1_364_774_400_000, source=Source("events", 2, at // 4))

    alarm = DriftAlarm(
        change="shape",
        detail="x1.6",
        evidence=4.5,
        raised=moment(events),
        change_point=moment(events - 600),
        explanation="mean 1187 instead of 1015",
        segment=DriftSegment(feature="origin", categories=(at,), explained=0.97, events=0.31),
    )
    return DriftReport(
        model="flights",
        model_version="v1",
        window=Window(start=start, end=start + 1),
        source_topic="drift-counts",
        partition=0,
        first_offset=0,
        next_offset=1,
        written_at=1,
        events=9,
        channels=(DriftChannel(name=channel, kind="numeric", source="features", alarm=alarm),),
    )


def test_only_one_origin_and_only_for_a_while_is_in_kilometres() -> None:
    frame = pd.DataFrame({"origin": ["LGA", "JFK"] * 5_000, "distance": [100] * 10_000})
    changed = np.flatnonzero(plant_kilometres(frame)["distance"] != 100)
    assert (changed.min(), changed.max()) == (PLANTED_FROM, PLANTED_TO - 2)
    assert set(frame["origin"].iloc[changed]) == {"LGA"}
    assert plant_kilometres(frame)["distance"].max() == 160.9


def test_the_planted_fault_must_be_found_once_enough_was_sent() -> None:
    run = finished_run()
    run.ledger.good = 5_000
    assert drift_contribution(run).problems == ["the kilometres planted at LGA were not found in distance"]
    run.drift.take(report(1_200, "dest"))
    run.drift.take(report(2_600))
    assert len(drift_contribution(run).problems) == 1
    run.drift.take(report(1_200))
    contribution = drift_contribution(run)
    assert contribution.problems == []
    assert contribution.facts["drift_alarms"][1] == {
        "channel": "distance",
        "kind": "shape",
        "at": "origin=LGA",
        "partition": 2,
        "offset": 300,
    }


def test_the_planted_fault_must_be_named() -> None:
    run = finished_run()
    run.drift.take(report(1_200, at="JFK"))
    assert drift_contribution(run).problems == ["the kilometres were found, but at origin=JFK and not at LGA"]


def test_an_alarm_is_told_once_whatever_number_of_windows_report_it() -> None:
    book = DriftBook()
    for start in range(3):
        book.take(report(1_200, start=start))
    ((channel, alarm),) = book.in_order
    assert story(channel, alarm) == (
        "drift in distance at origin=LGA since 1 Apr, found 1 Apr after 600 events: x1.6; "
        "mean 1187 instead of 1015"
    )
    assert budget_fact(book.newest) is None
