"""A small world of partitions for the tests: events, who counts them, and who merges."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from shared.bundle.spec import FeatureSpec, ModelSpec, OutputSpec
from shared.drift import Baseline, fit_baseline
from shared.drift.stream import counting
from shared.drift.stream.counting import Countable, SourcePartition
from shared.drift.stream.merging import Merger
from shared.drift.stream.partials import Partial, decode_partial, encode_partial
from shared.drift.stream.watched import Watched

SPEC = ModelSpec(
    name="m",
    version="1",
    task="regression",
    output=OutputSpec(score="y"),
    window=60,
    seasonality="none",
    features=(
        FeatureSpec(name="x", nullable=True),
        FeatureSpec(name="c", kind="categorical", categories=("a", "b", "z"), nullable=True),
    ),
)


@dataclass
class Record:
    """One record of a partition."""

    offset: int
    timestamp: int
    value: bytes


def baseline(rows: int = 20_000, seed: int = 1, segments: Sequence[str] = ()) -> Baseline:
    rng = np.random.default_rng(seed)
    columns = {"x": rng.normal(size=rows), "c": rng.choice(["a", "b"], rows, p=[0.7, 0.3]).tolist()}
    return fit_baseline(columns, {"x": "numeric", "c": "categorical"}, segments=segments)


def partitions(
    events: int = 6_000,
    count: int = 3,
    *,
    seed: int = 2,
    shift_at: float = 0.5,
    shares: Any = None,
    shift: float = 0.5,
    only: str | None = None,
) -> list[list[Record]]:
    """Events spread over partitions, their mean shifted from a moment on (of one category); 100 a second."""
    rng = np.random.default_rng(seed)
    found: list[list[Record]] = [[] for _ in range(count)]
    for i in range(events):
        shifted = i >= shift_at * events
        features: dict[str, Any] = {
            "x": None if rng.random() < 0.0005 else float(rng.normal()),
            "c": str(rng.choice(["a", "b"], p=[0.7, 0.3])),
        }
        if shifted and features["x"] is not None and only in (None, features["c"]):
            features["x"] += shift
        event = {"event_id": str(i), "occurred_at": 1_000_000 + 50 * i, "features": features}
        where = int(rng.choice(count, p=shares))
        stamp = 5_000_000 + 10 * i + int(rng.integers(0, 30))
        found[where].append(Record(len(found[where]), stamp, msgspec.json.encode(event)))
    return found


def watched(fitted: Baseline | None = None, spec: ModelSpec = SPEC, **options: Any) -> Watched:
    return Watched.of(spec, fitted, **options)


def countable(one: Watched, records: list[Record]) -> Countable:
    rows = one.reader.read([r.value for r in records], [r.timestamp for r in records])
    return counting.countable(one, "features", rows.kept, rows)


def count(
    source: SourcePartition, one: Watched, records: list[Record], *, skipped: dict[str, int] | None = None
) -> list[Partial]:
    return source.count(
        [countable(one, records)],
        {} if skipped is None else {one.model: skipped},
        offsets=np.array([r.offset for r in records]),
        timestamps=np.array([r.timestamp for r in records]),
    )


def told_by(
    one: Watched, records: list[list[Record]], rng: random.Random, *, end: int | None = None
) -> list[list[Partial]]:
    """What each partition tells, its records cut into batches at random, restarted now and then."""
    told: list[list[Partial]] = []
    for number, mine in enumerate(records):
        source = SourcePartition("features", "events", number, len(records))
        partials: list[Partial] = source.settle([one], None)
        at = 0
        while at < len(mine):
            step = rng.choice([1, 3, 17, 100, 400])
            partials += count(source, one, mine[at : at + step])
            at += step
            if rng.random() < 0.3:
                partials += source.settle([one], None)
            if rng.random() < 0.3:
                source = SourcePartition("features", "events", number, len(records), source.snapshot())
        partials += source.settle([one], end if end is not None else 10_000_000)
        told.append([decode_partial(encode_partial(partial)) for partial in partials])
    return told


def interleaved(told: list[list[Partial]], rng: random.Random) -> list[Partial]:
    """All partials in one topic: each partition's in its order, the partitions mixed at random."""
    queues = [list(mine) for mine in told if mine]
    log: list[Partial] = []
    while queues:
        queue = rng.choice(queues)
        for _ in range(rng.choice([1, 1, 2, 10])):
            if queue:
                log.append(queue.pop(0))
        queues = [queue for queue in queues if queue]
    return log


def merge(log: list[Partial], rng: random.Random, *, restarts: bool = True) -> Merger:
    """The merger after the whole log, read in random batches and restarted from its state at times."""
    merger = Merger("drift-counts", 0)
    at = 0
    while at < len(log):
        step = rng.choice([1, 2, 5, 40])
        merger.take(iter(list(enumerate(log))[at : at + step]), min(at + step, len(log)))
        at += step
        if restarts and rng.random() < 0.2:
            state = merger.snapshot()
            at = Merger.resume_at(state)
            merger = Merger("drift-counts", 0, at, state)
        if rng.random() < 0.2:
            list(merger.reports(0))
    return merger
