"""The answer depends on the records alone: not on batches, replicas, restarts or interleaving."""

from __future__ import annotations

import random

import msgspec
import pytest

from tests.drift_oracle import Row, answer
from tests.unit.shared.drift.stream.streams import (
    Record,
    baseline,
    interleaved,
    merge,
    partitions,
    told_by,
    watched,
)


def rows(records: list[Record]) -> list[Row]:
    events = [msgspec.json.decode(record.value) for record in records]
    return [
        Row(record.timestamp, event["occurred_at"], event["features"])
        for record, event in zip(records, events, strict=True)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_state_equals_an_offline_computation_whatever_the_order(seed: int) -> None:
    fitted = baseline()
    records = partitions(shares=[0.7, 0.28, 0.02])
    rng = random.Random(seed)
    merger = merge(interleaved(told_by(watched(fitted), records, rng), rng), rng)
    version = merger.models["m"].versions["1"]
    watch = version.watch("features")
    expected = answer([rows(mine) for mine in records], fitted, of=3)
    assert merger.waiting == 0
    assert version.orders["features"].unordered == 0
    assert watch is not None
    assert watch.detector is not None
    assert watch.detector.snapshot() == expected.detector.snapshot()
    assert expected.alarms, "the stream shifts half-way: without an alarm this test shows nothing"
    assert "x" in watch.latch.active


def test_alarms_and_everything_about_them_are_the_same_in_two_runs() -> None:
    fitted, records = baseline(segments=["c"]), partitions(3_000, only="b", shift=1.5)
    told = []
    for seed in (5, 6):
        rng = random.Random(seed)
        merger = merge(interleaved(told_by(watched(fitted), records, rng), rng), rng, restarts=seed == 6)
        watch = merger.models["m"].versions["1"].watch("features")
        assert watch is not None
        state = watch.snapshot()
        told.append(msgspec.structs.replace(state, windows={}))  # which go once they are reported
        assert watch.segments["x"].categories == ("b",)
        assert state.recent
    assert told[0] == told[1]


def test_a_partition_that_says_nothing_holds_the_others_up_until_its_clock_goes_on() -> None:
    fitted, rng = baseline(), random.Random(1)
    records = partitions(2_000, shares=[0.5, 0.5, 0.0])
    told = told_by(watched(fitted), records, rng, end=0)
    merger = merge(interleaved(told, rng), rng)
    watch = merger.models["m"].versions["1"].watch("features")
    assert watch is not None
    assert watch.slot == 0
    told = told_by(watched(fitted), records, random.Random(1))  # its clock goes on: idle
    merger = merge(interleaved(told, rng), rng)
    watch = merger.models["m"].versions["1"].watch("features")
    assert watch is not None
    assert watch.rate.events == 2_000


def test_a_baseline_learnt_from_the_first_events_is_the_same_in_two_runs() -> None:
    records = partitions(4_000)
    learnt = []
    for seed in (1, 2):
        rng = random.Random(seed)
        merger = merge(interleaved(told_by(watched(None, learn=1_500), records, rng), rng), rng)
        version = merger.models["m"].versions["1"]
        watch = version.watch("features")
        assert watch is not None
        assert watch.detector is not None
        learnt.append((watch.channels, watch.detector.snapshot()))
        report = list(version.reports("drift-counts", 0, 1, 2, active=True))[-1]
        assert report.baseline == "learning"  # of the predictions, of which none came
        assert {c.name for c in report.channels if c.calibrated} == {"x", "c"}
        assert report.channels[0].figures is not None
    assert learnt[0] == learnt[1]
