"""What must hold when everything has healed, whatever happened: each rule returns the sentences it broke."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from aiokafka import ConsumerRecord, TopicPartition

from shared.dead_letters import read_dead_letter
from shared.messages import InferenceReport, Prediction
from shared.pipeline.state import StateReader
from shared.reports import LatestReports, decode_report
from tests.faults.stage import PARTITIONS, Stage
from tests.faults.traffic import POISON, Witness
from tests.streams import ByPartition, read_all


def compare(name: str, expected: Sequence[int], found: Sequence[int]) -> list[str]:
    """Return how one list of offsets differs from another: lost, repeated, foreign, out of order.

    Examples
    --------
    >>> compare("predictions[0]", [1, 2, 3], [1, 3, 3, 2])
    ['predictions[0]: 1 repeated, the first at offset 3', 'predictions[0]: out of order at offset 2']
    >>> compare("predictions[0]", [1, 2, 3], [1, 3])
    ['predictions[0]: 1 of 3 lost, the first at offset 2']
    """
    want, have = Counter(expected), Counter(found)
    lost, more = sorted((want - have).elements()), sorted((have - want).elements())
    repeated = [offset for offset in more if offset in want]
    foreign = [offset for offset in more if offset not in want]
    problems = []
    if lost:
        problems.append(f"{name}: {len(lost)} of {len(expected)} lost, the first at offset {lost[0]}")
    if repeated:
        problems.append(f"{name}: {len(repeated)} repeated, the first at offset {repeated[0]}")
    if foreign:
        problems.append(f"{name}: {len(foreign)} that should not be there, the first at offset {foreign[0]}")
    behind = next((now for before, now in itertools.pairwise(found) if now < before), None)
    if behind is not None:
        problems.append(f"{name}: out of order at offset {behind}")
    return problems


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that was written, read to its end by a committed reader."""

    events: ByPartition
    predictions: ByPartition
    letters: ByPartition
    reports: ByPartition

    @classmethod
    async def read(cls, stage: Stage) -> Found:
        """Read the topics of a run."""
        topics = stage.topics
        return cls(
            await read_all(stage.client, topics.events),
            await read_all(stage.client, topics.predictions),
            await read_all(stage.client, topics.dead_letters),
            await read_all(stage.client, topics.reports),
        )

    def offsets(self, partition: int, *, bad: bool) -> list[int]:
        """Return the offsets of a partition's good or bad events."""
        return [record.offset for record in self.events[partition] if (record.key == POISON) is bad]


def every_good_event_scored_once_in_order(found: Found) -> list[str]:
    """The predictions of a partition are its good events: each once, in order, under its own name."""
    problems = []
    for partition, records in found.predictions.items():
        made = [msgspec.json.decode(record.value, type=Prediction) for record in records]
        expected = found.offsets(partition, bad=False)
        problems += compare(f"predictions[{partition}]", expected, [p.source.offset for p in made])
        names = {
            r.offset: msgspec.json.decode(r.value)["event_id"]
            for r in found.events[partition]
            if r.key != POISON
        }
        wrong = [p for p in made if names.get(p.source.offset) != p.event_id]
        problems += [
            f"predictions[{partition}]: {p.event_id} says it came from offset {p.source.offset}"
            for p in wrong[:3]
        ]
    return problems


def every_bad_event_dead_lettered_once(found: Found, service: str = "inference") -> list[str]:
    """The dead letters are the bad events: each once, byte for byte."""
    letters: dict[int, list[tuple[int, ConsumerRecord]]] = {p: [] for p in found.events}
    for records in found.letters.values():
        for record in records:
            reason = read_dead_letter(record.headers)
            if reason is not None and reason.service == service:
                letters[reason.partition].append((reason.offset, record))
    problems = []
    for partition, mine in letters.items():
        name = f"dead-letters of events[{partition}]"
        problems += compare(name, found.offsets(partition, bad=True), [offset for offset, _ in mine])
        values = {record.offset: record.value for record in found.events[partition]}
        changed = [offset for offset, record in mine if values.get(offset) != record.value]
        problems += [f"{name}: not the bytes of offset {offset}" for offset in changed[:3]]
    return problems


def reports_count_every_event_once(found: Found) -> list[str]:
    """The newest report of every window says how many events were scored and refused."""
    latest = LatestReports()
    for records in found.reports.values():
        for record in records:
            latest.take(decode_report(record.value))
    reports = [report for report in latest if isinstance(report, InferenceReport)]
    problems = []
    for partition in range(PARTITIONS):
        mine = [report for report in reports if report.partition == partition]
        counts = {
            "predictions": (sum(r.predictions for r in mine), len(found.offsets(partition, bad=False))),
            "errors": (sum(sum(r.errors.values()) for r in mine), len(found.offsets(partition, bad=True))),
        }
        problems += [
            f"reports of events[{partition}]: {counted} {what} counted, {true} happened"
            for what, (counted, true) in counts.items()
            if counted != true
        ]
    return problems


def a_reader_saw_what_is_there(found: Found, witness: Witness) -> list[str]:
    """Who read the predictions while everything broke saw what a later reader sees, and nothing else."""
    problems = []
    for partition, records in found.predictions.items():
        there = [(record.offset, hash(record.value)) for record in records]
        seen = witness.seen[partition]
        if seen != there:
            vanished, unseen = len(set(seen) - set(there)), len(set(there) - set(seen))
            problems.append(
                f"predictions[{partition}]: a reader saw {vanished} that vanished and missed {unseen}"
            )
    return problems


async def positions_are_at_the_end(stage: Stage, found: Found) -> list[str]:
    """State and group agree that every event is done."""
    reader = StateReader(stage.client, stage.topics.state("inference"))
    told = await stage.positions()
    problems = []
    for partition, records in found.events.items():
        end = records[-1].offset + 1 if records else 0
        snapshot = await reader.last(TopicPartition(stage.topics.events, partition))
        at = snapshot.next_offset if snapshot is not None else 0
        if at != end:
            problems.append(f"the state of events[{partition}] is at {at}, its end is {end}")
        if told.get(partition) != end:
            problems.append(
                f"the group says events[{partition}] is at {told.get(partition)}, its end is {end}"
            )
    return problems


async def broken(stage: Stage, witness: Witness) -> list[str]:
    """Return what does not hold, a sentence each."""
    found = await Found.read(stage)
    return [
        *every_good_event_scored_once_in_order(found),
        *every_bad_event_dead_lettered_once(found),
        *reports_count_every_event_once(found),
        *a_reader_saw_what_is_there(found, witness),
        *await positions_are_at_the_end(stage, found),
    ]
