"""A baseline learnt online: what has not shown its rhythm is not calibrated, and learning goes on."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np
import pytest

from shared.drift.stream.merging import Merger
from shared.drift.stream.offline import OfflineDrift
from shared.kafka.records import Records
from shared.messages import DriftReport
from tests.unit.shared.drift.stream.streams import SPEC, Record, interleaved, merge, told_by, watched

DAY = 86_400
START = 1_700_006_400


def stream(days: float, per_day: int, *, season: float, shift_on: float | None = None) -> list[Record]:
    """Events of ``x``, which follows the hour of the day; from a day on it is 2 sd higher."""
    rng = np.random.default_rng(7)
    count = int(days * per_day)
    at = np.sort(rng.uniform(0, days * DAY, count))
    x = rng.normal(size=count) + season * np.sin(2 * np.pi * at / DAY)
    x += np.where(at > (days if shift_on is None else shift_on) * DAY, 2.0, 0.0)
    made = []
    for i, (second, value, category) in enumerate(zip(at, x, rng.random(count) < 0.7, strict=True)):
        event = {
            "event_id": str(i),
            "occurred_at": int(1000 * (START + second)),
            "features": {"x": float(value), "c": "a" if category else "b"},
        }
        made.append(Record(i, event["occurred_at"], msgspec.json.encode(event)))  # type: ignore[call-overload]
    return made


def reports(records: list[Record], seasonality: str, learn: int = 800) -> tuple[Any, list[DriftReport]]:
    spec = msgspec.structs.replace(SPEC, window=DAY, seasonality=seasonality)
    offline = OfflineDrift(watched(None, spec, learn=learn), 1, "events")
    for low in range(0, len(records), 2_000):
        some = records[low : low + 2_000]
        offsets, stamps = [r.offset for r in some], [r.timestamp for r in some]
        nothing, values = [None] * len(some), [r.value for r in some]
        bare = [()] * len(some)
        offline.add(Records("events", 0, low, low + len(some), offsets, stamps, nothing, values, bare))
    return offline.version.watch("features"), list(offline.finish())


def alarmed(told: list[DriftReport]) -> set[str]:
    return {channel.name for report in told for channel in report.channels if channel.alarm is not None}


def test_a_season_that_the_first_events_could_not_show_raises_no_alarm_and_is_learnt() -> None:
    records = stream(18, 1_000, season=0.7, shift_on=16.5)
    watch, told = reports(records, "week")
    early = [report for report in told if report.window.end < 1000 * (START + 13 * DAY)]
    assert len(early) > 10
    for report in early:
        assert report.baseline == "learning"
        assert not any(channel.calibrated or channel.alarm for channel in report.channels)
    x = early[-1].channels[0]
    assert x.reason == (
        "a baseline is being learnt: 11,999 events so far, its rows span 12.1 days: "
        "2 weeks are needed to see a rhythm of the day and the week"
    )
    assert x.figures is not None
    assert x.figures.psi is not None
    assert early[-1].budget is not None
    assert early[-1].budget.expected_false_alarms == 0
    learnt = {channel.name: channel for channel in watch.channels}
    assert learnt["x"].calibrated
    assert learnt["x"].cycle == "hour-of-day"
    assert alarmed(told) == {"x"}
    figures = told[-1].channels[0].figures  # of a day on which x is 2 sd higher
    assert figures is not None
    assert figures.adjusted
    assert figures.reference_quantiles == pytest.approx([-1.645, -0.674, 0, 0.674, 1.645], abs=0.12)
    assert figures.quantiles == pytest.approx([0.355, 1.326, 2, 2.674, 3.645], abs=0.3)
    alarm = told[-1].channels[0].alarm
    assert alarm is not None
    assert (alarm.change, alarm.cleared) == ("location", None)
    assert 16.5 <= (alarm.raised.occurred_at / 1000 - START) / DAY < 16.6


def test_who_declares_that_there_is_no_rhythm_is_believed() -> None:
    records = stream(1, 10_000, season=0.7)
    assert "x" in alarmed(reports(records, "none")[1])
    assert alarmed(reports(records, "day")[1]) == set()


def test_one_clock_that_was_never_set_does_not_end_the_learning() -> None:
    records = stream(1, 3_000, season=0.0)
    event = msgspec.json.decode(records[50].value) | {"occurred_at": 0}
    records[50] = Record(50, records[50].timestamp, msgspec.json.encode(event))
    watch, _ = reports(records, "week")
    assert not any(channel.calibrated for channel in watch.channels)


def test_where_the_first_events_show_the_rhythm_nothing_more_is_waited_for() -> None:
    watch, told = reports(stream(4, 500, season=0.0), "day", learn=1_000)
    assert all(channel.calibrated for channel in watch.channels)
    assert watch.channels[0].rows == 1_000
    assert told[-1].baseline_span > 1_900 * DAY


@pytest.mark.parametrize("days", [1.5, 4.0])
def test_what_is_learnt_is_the_same_whatever_the_order_and_the_restarts(days: float) -> None:
    spec = msgspec.structs.replace(SPEC, window=DAY, seasonality="day")
    records = stream(days, 1_200, season=0.0)
    parts = [records[0::2], records[1::2]]
    parts = [[Record(i, r.timestamp, r.value) for i, r in enumerate(part)] for part in parts]
    end = records[-1].timestamp + 1_000_000
    states = []
    for seed in (1, 2):
        rng = random.Random(seed)
        one = watched(None, spec, learn=600)
        told = interleaved(told_by(one, parts, rng, end=end), rng)
        merger = merge(told, rng, restarts=seed == 2)
        version = merger.models["m"].versions["1"]
        state = version.snapshot()
        states.append((state.learnt, state.longer))
        watch = version.watch("features")
        assert watch is not None
        assert all(channel.calibrated == (days > 2) for channel in watch.channels)
        assert bool(state.longer) == (days < 2)
        again = Merger("drift-counts", 0, 0, merger.snapshot()).models["m"].versions["1"]
        assert again.snapshot().longer == state.longer
    assert states[0] == states[1]
