"""Everything that was written, as a committed reader has it, and how lists of offsets are compared."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from aiokafka import ConsumerRecord

from shared.messages import InferenceReport, Prediction
from shared.reports import LatestReports, decode_report
from shared.topics import TopicNames
from tests.faults.traffic import MODEL, POISON

R = TypeVar("R")

_prediction = msgspec.json.Decoder(Prediction).decode


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


def differing(name: str, found: Mapping[Any, Any], expected: Mapping[Any, Any]) -> list[str]:
    """Return a sentence for each figure that is not what it should be."""
    return [
        f"{name}: {what} is {found.get(what)}, it should be {expected.get(what)}"
        for what in sorted({*found, *expected}, key=str)
        if found.get(what) != expected.get(what)
    ]


@dataclass(frozen=True, slots=True)
class Found:
    """The records of a run, by topic and partition, in order."""

    topics: TopicNames
    records: Mapping[str, Mapping[int, Sequence[Any]]]

    @property
    def events(self) -> Mapping[int, Sequence[Any]]:
        """The events."""
        return self.records[self.topics.events]

    def offsets(self, partition: int, *, bad: bool) -> list[int]:
        """Return the offsets of a partition's good or bad events."""
        return [record.offset for record in self.events[partition] if (record.key == POISON) is bad]

    def predictions(self, topic: str) -> dict[int, list[Prediction]]:
        """Return the predictions of a topic, by partition."""
        return {p: [_prediction(r.value) for r in records] for p, records in self.records[topic].items()}

    def all(self, topic: str, kind: type[R]) -> Iterator[R]:
        """Yield a topic's messages; those of one partition in order."""
        decode = msgspec.json.Decoder(kind).decode
        for records in self.records[topic].values():
            for record in records:
                yield decode(record.value)

    def reports(self, kind: type[R]) -> list[R]:
        """Return the newest report of each key, of one kind, about the model of the run."""
        latest = LatestReports()
        for record in self._reports():
            report = decode_report(record.value)
            if getattr(report, "model", None) == MODEL:
                latest.take(report)
        return [report for report in latest if isinstance(report, kind)]

    def planted(self) -> list[InferenceReport]:
        """Return the reports that were written for the alerting service to judge, in order by model."""
        found = [decode_report(record.value) for record in self._reports()]
        return [r for r in found if isinstance(r, InferenceReport) and r.model != MODEL]

    def _reports(self) -> Iterator[ConsumerRecord]:
        for records in self.records[self.topics.reports].values():
            yield from records
