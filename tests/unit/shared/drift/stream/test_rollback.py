"""Champions that come and go: whatever comes back is watched again, and every event of it counts once."""

from __future__ import annotations

import random

import msgspec
import pytest

from shared.drift.stream.counting import SourcePartition
from shared.drift.stream.merging import ModelWatch
from shared.drift.stream.partials import Partial
from tests.unit.shared.drift.stream.streams import (
    SPEC,
    baseline,
    count,
    interleaved,
    merge,
    partitions,
    watched,
)

FITTED = baseline()
EACH = 288


def told_through(
    champions: str, count_of: int, rng: random.Random, *, skipped_by: int = -1
) -> tuple[list[Partial], list[int]]:
    """What partitions tell while champions follow each other, and how many events each champion had.

    Partition ``skipped_by`` knows only the first and the last. Of several partitions some are restarted.
    """
    versions = {v: watched(FITTED, msgspec.structs.replace(SPEC, version=v)) for v in set(champions)}
    records = partitions(EACH * count_of * len(champions), count_of, shift_at=1.0)
    sources = [SourcePartition("features", "events", number, count_of) for number in range(count_of)]
    log: list[Partial] = []
    events = [0] * len(champions)
    for step, name in enumerate(champions):
        told: list[list[Partial]] = []
        for number, mine in enumerate(records):
            if number == skipped_by and 0 < step < len(champions) - 1:
                continue
            part = mine[step * EACH : (step + 1) * EACH]
            events[step] += len(part)
            told.append(count(sources[number], versions[name], part))
            told[-1] += sources[number].settle([versions[name]], None)
            if count_of > 1 and rng.random() < 0.3:
                state = sources[number].snapshot()
                sources[number] = SourcePartition("features", "events", number, count_of, state)
        log += interleaved(told, rng)
    for source in sources:
        log += source.settle([versions[champions[-1]]], 10_000_000)
    return log, events


def events_of(model: ModelWatch, version: str) -> int:
    watch = model.versions[version].watch("features")
    assert watch is not None
    return watch.rate.events


@pytest.mark.parametrize("partitions_", [1, 2, 3])
@pytest.mark.parametrize(
    ("champions", "kept"), [("12341", False), ("1234151", False), ("1231", True), ("123141", True)]
)
def test_a_rollback_is_watched_across_any_number_of_versions(
    champions: str, kept: bool, partitions_: int
) -> None:
    """A version that was kept all along goes on; one that was let go begins afresh, and misses nothing."""
    rng = random.Random(f"{champions}{partitions_}")
    log, events = told_through(champions, partitions_, rng)
    model = merge(log, rng).models["m"]
    last = champions[-1]
    steps = [step for step, version in enumerate(champions) if version == last]
    back = [step for step in steps if kept or step > champions.index("4")]
    assert events_of(model, last) == sum(events[step] for step in back)
    assert model.is_active(last)
    assert model.versions[last].orders["features"].unordered == 0


def test_a_partition_that_never_left_a_version_and_one_that_comes_back_to_it_both_count() -> None:
    rng = random.Random(8)
    log, events = told_through("12341", 2, rng, skipped_by=1)
    model = merge(log, rng).models["m"]
    assert events_of(model, "1") == events[0] + events[-1]
    assert model.versions["1"].orders["features"].unordered == 0


def test_reading_again_what_waited_brings_no_forgotten_version_back() -> None:
    log, _ = told_through("12345", 2, random.Random(9))
    whole = merge(log, random.Random(9), restarts=False)
    assert list(whole.models["m"].versions) == ["3", "4", "5"]
    for seed in range(5):
        assert merge(log, random.Random(seed)).snapshot() == whole.snapshot()
