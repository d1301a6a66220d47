"""What a process showed of a model goes when another one merges it, or another version is watched."""

from __future__ import annotations

import random

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry

from services.drift.merge import MergeStep
from services.drift.metrics import DriftMetrics
from shared.bundle.spec import FeatureSpec
from shared.drift import fit_baseline
from shared.drift.stream.counting import SourcePartition
from shared.drift.stream.partials import Partial, encode_partial
from shared.kafka.records import Records
from shared.topics import TopicNames
from tests.unit.shared.drift.stream.streams import SPEC, baseline, count, partitions, told_by, watched

TOPIC = TopicNames("").drift_counts


class Process:
    """The second stage of one process, with the collectors it shows."""

    def __init__(self) -> None:
        self.collectors = CollectorRegistry()
        metrics = DriftMetrics(self.collectors)
        self.step = MergeStep(TopicNames(""), metrics, clock=lambda: 1_000_000, report_interval=1_000)
        self.step.open(TOPIC, 0, 0, None)

    def read(self, log: list[Partial]) -> None:
        values = [encode_partial(one) for one in log]
        size = len(values)
        records = Records(
            TOPIC, 0, 0, size, list(range(size)), [0] * size, [None] * size, values, [()] * size
        )
        self.step.encode(self.step.decode([records]), 0)
        self.step.flush(TOPIC, 0, leaving=True)

    @property
    def shown(self) -> set[tuple[str, str]]:
        """Metric and channel of every series about the model."""
        return {
            (sample.name, sample.labels.get("channel", ""))
            for family in self.collectors.collect()
            for sample in family.samples
            if sample.labels.get("model") == "m"
        }


def test_the_old_owner_of_a_partition_shows_no_alarm_for_ever() -> None:
    (told,) = told_by(watched(baseline()), partitions(4_000, 1), random.Random(1))
    process = Process()
    process.read(told)
    alarms = process.collectors.get_sample_value("driftline_drift_alarms", {"model": "m"})
    assert alarms is not None
    assert alarms >= 1
    assert ("driftline_drift_evidence", "x") in process.shown
    process.step.close(TOPIC, 0)
    assert process.shown == set()


def test_channels_that_only_the_former_champion_had_go() -> None:
    rng = np.random.default_rng(3)
    spec = msgspec.structs.replace(SPEC, version="2", features=(FeatureSpec(name="x", nullable=True),))
    new = watched(fit_baseline({"x": rng.normal(size=5_000)}, {"x": "numeric"}), spec)
    records = partitions(2_000, 1, shift_at=1.0)[0]
    source = SourcePartition("features", "events", 0, 1)
    log = count(source, watched(baseline()), records[:1_000])
    process = Process()
    process.read(log)
    assert ("driftline_drift_evidence", "c") in process.shown
    log += count(source, new, records[1_000:])
    log += source.settle([new], 10_000_000)
    process.step.open(TOPIC, 0, 0, None)
    process.read(log)
    assert ("driftline_drift_evidence", "x") in process.shown
    assert ("driftline_drift_evidence", "c") not in process.shown
