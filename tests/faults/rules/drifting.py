"""The drift service: its detectors equal one computed in one piece over the raw topics, bit for bit."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec
from aiokafka import ConsumerRecord, TopicPartition

from shared.drift import Baseline
from shared.drift.stream.merging import Merger
from shared.messages import DriftReport
from shared.pipeline.state import StateReader
from tests.drift_oracle import Answer, Row, answer, settled_rows
from tests.faults.limits import EVENTS_PER_DAY
from tests.faults.rules.found import Found
from tests.faults.stage import Stage
from tests.faults.traffic import MODEL
from tests.faults.versions import fitted


async def drifting(stage: Stage, found: Found) -> list[str]:
    """Return where the drift service's state or reports are not what the topics come to.

    Where a second champion took over under traffic nothing in the topics says at which event; then only
    the counts are compared.
    """
    merger = await _merger(stage, len(found.records[found.topics.drift_counts]))
    if merger is None or MODEL not in merger.models:
        return ["drift: nothing has been counted"]
    watches = merger.models[MODEL].versions
    problems = _counted(found, dict(watches))
    if len(stage.champions) > 1:
        return problems
    watch = watches[stage.champions[0]]
    problems += [f"drift: {o.unordered} slots out of order" for o in watch.orders.values() if o.unordered]
    baseline = fitted()
    channels = len(baseline.calibrated) + len(baseline.of_predictions().calibrated)
    groups = {
        "features": (_event_rows(found), Baseline(channels=baseline.channels, joint=baseline.joint)),
        "predictions": (_prediction_rows(found, stage.champions[0]), baseline.of_predictions()),
    }
    for name, (rows, its_baseline) in groups.items():
        group = watch.watch(name)
        if group is None or group.detector is None:
            problems.append(f"drift: no detector of {name}")
            continue
        settled, counted = settled_rows(rows), group.rate.events
        if counted < settled:
            problems.append(f"drift: {counted} {name} have reached the detector, {settled} should have")
            continue
        problems += _same(name, group.detector.snapshot(), rows, its_baseline, channels, counted)
    return problems


def _same(
    name: str,
    detector: object,
    rows: Sequence[Sequence[Row]],
    baseline: Baseline,
    channels: int,
    counted: int,
) -> list[str]:
    try:
        expected: Answer = answer(rows, baseline, of=channels, declared=EVENTS_PER_DAY * 30, rows=counted)
    except AssertionError as error:
        return [f"drift: {name}: {error}"]
    if detector != expected.detector.snapshot():
        return [f"drift: the detector of {name} after {counted} is not that of an offline computation"]
    return []


def _counted(found: Found, watches: dict[str, object]) -> list[str]:
    """The reports' windows add up to what the detectors have had."""
    reports = found.reports(DriftReport)
    problems = []
    for version, watch in watches.items():
        mine = [report for report in reports if report.model_version == version]
        for name, told in (
            ("features", sum(report.events for report in mine)),
            ("predictions", sum(report.predictions for report in mine)),
        ):
            group = watch.watch(name)  # type: ignore[attr-defined]
            if group is not None and group.rate.events != told:
                problems.append(
                    f"drift reports of version {version}: {told} {name}, the state has {group.rate.events}"
                )
    return problems


async def _merger(stage: Stage, partitions: int) -> Merger | None:
    tp = TopicPartition(stage.topics.drift_counts, zlib.crc32(MODEL.encode()) % partitions)
    reader = StateReader(stage.client, stage.topics.state("drift-merge"))
    snapshot = await reader.last(tp)
    return None if snapshot is None else Merger(tp.topic, tp.partition, snapshot.next_offset, snapshot.state)


def _event_rows(found: Found) -> list[list[Row]]:
    """What the detectors may see of the events, bad ones among them: whatever is JSON and has a time."""
    return [
        [row for record in found.events[p] if (row := _event_row(record)) is not None]
        for p in sorted(found.events)
    ]


def _event_row(record: ConsumerRecord) -> Row | None:
    try:
        message = msgspec.json.decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    return Row(record.timestamp, message["occurred_at"], message["features"])


def _prediction_rows(found: Found, version: str) -> list[list[Row]]:
    made = []
    for records in (found.records[found.topics.predictions][p] for p in sorted(found.events)):
        messages = [(record.timestamp, msgspec.json.decode(record.value)) for record in records]
        made.append(
            [
                Row(at, m["occurred_at"], {"score": m["score"], "predicted_class": m["label"]})
                for at, m in messages
                if m["model_version"] == version
            ]
        )
    return made
