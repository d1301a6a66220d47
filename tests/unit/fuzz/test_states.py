"""What a service wrote for itself may be damaged where it lies: it is read, or refused by name."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from aiokafka import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services.drift.merge import MergeStep
from services.drift.metrics import DriftMetrics
from services.inference.reports import PartitionReports
from services.shadow.comparison import PartitionComparison
from shared.drift.stream.counting import SourcePartition
from shared.drift.stream.merging import Merger
from shared.drift.stream.partials import decode_partial, encode_partial
from shared.errors import ServiceError
from shared.kafka.records import Records
from shared.pipeline.state import understanding
from shared.topics import TopicNames
from tests.unit.fuzz.test_every_step import EVENT, PREDICTION
from tests.unit.services.shadow.harness import Harness
from tests.unit.shared.drift.stream.streams import baseline, interleaved, partitions, told_by, watched

thorough = settings(max_examples=60, deadline=None)
TOPICS = TopicNames("")
Restore = Callable[[bytes], object]

RESTORE: dict[str, Restore] = {
    "inference": lambda raw: PartitionReports("events", 0, raw),
    "shadow": lambda raw: PartitionComparison("events", 0, 6, raw),
    "drift": lambda raw: SourcePartition("features", "events", 0, 2, raw),
    "drift-merge": lambda raw: Merger(TOPICS.drift_counts, 0, 5, raw),
    "drift-merge, where to read on": Merger.resume_at,
}


@cache
def partials() -> list[bytes]:
    """What the counting half of the drift service tells the other."""
    one = watched(baseline(2_000))
    told = told_by(one, partitions(300, 2), random.Random(1))
    return [encode_partial(partial) for partial in interleaved(told, random.Random(2))]


@cache
def states() -> dict[str, bytes]:
    """A state of each service with something in it."""
    with TemporaryDirectory() as folder:
        shadow = Harness(Path(folder))
        shadow.ask([msgspec.json.encode(EVENT)] * 6)
        shadow.tell([msgspec.json.encode(PREDICTION | {"model": "demo"})])
        compared = shadow.step.snapshot("events", 0)
    counting = SourcePartition("features", "events", 0, 2)
    reports = PartitionReports("events", 0, None)
    merger = Merger(TOPICS.drift_counts, 0)
    merger.take(((at, decode_partial(raw)) for at, raw in enumerate(partials())), len(partials()))
    found = {
        "inference": reports.snapshot(),
        "shadow": compared or b"",
        "drift": counting.snapshot(),
        "drift-merge": merger.snapshot(),
    }
    return found | {"drift-merge, where to read on": found["drift-merge"]}


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """The good bytes with some changed or lost; or any bytes at all."""
    how = draw(st.integers(0, 3))
    if how == 0:
        return draw(st.binary(min_size=1, max_size=80))
    raw = bytearray(zlib.decompress(good) if good[:1] == b"x" and how == 1 else good)
    for _ in range(draw(st.integers(1, 3))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    if how == 1 and good[:1] == b"x":
        return zlib.compress(bytes(raw), 1)
    return bytes(raw) if how < 3 else bytes(raw[: draw(st.integers(1, len(raw)))])


@pytest.mark.parametrize("service", RESTORE)
@given(data=st.data())
@thorough
def test_a_state_is_restored_or_refused_with_a_sentence_that_names_it(
    service: str, data: st.DataObject
) -> None:
    RESTORE[service](states()[service])
    raw = data.draw(damaged(states()[service]))
    refused: list[ServiceError] = []
    try:
        with understanding("state", TopicPartition("events", 3), 77):
            RESTORE[service](raw)
    except ServiceError as error:
        refused.append(error)
    for one in refused:
        assert "the state in state that belongs here cannot be read" in str(one)
        assert (one.topic, one.partition, one.offset) == ("events", 3, 77)


@given(st.lists(st.binary(max_size=80), max_size=5), st.data())
@settings(max_examples=25, deadline=None)
def test_drift_passes_over_what_is_no_counts_on_its_own_topic(
    strangers: list[bytes], data: st.DataObject
) -> None:
    step = MergeStep(TOPICS, DriftMetrics(CollectorRegistry()), clock=lambda: 0, report_interval=1_000)
    step.open(TOPICS.drift_counts, 0, 0, None)
    good = partials()
    cut = good[-1][: data.draw(st.integers(0, len(good[-1]) - 1))]
    values = [*good, *strangers, cut, None]
    size = len(values)
    mine = Records(
        TOPICS.drift_counts, 0, 0, size, list(range(size)), [0] * size, [None] * size, values, [()] * size
    )
    work = step.decode([mine])
    assert len(work.partials[0]) == len(good)
    step.encode(work, 0)
    step.open(TOPICS.drift_counts, 0, size, step.snapshot(TOPICS.drift_counts, 0))
