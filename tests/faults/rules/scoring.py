"""The inference service: good events scored once, in order, bad ones dead-lettered once, all counted."""

from __future__ import annotations

import msgspec
from aiokafka import ConsumerRecord

from shared.dead_letters import read_dead_letter
from shared.messages import InferenceReport
from tests.faults.rules.found import Found, compare
from tests.faults.traffic import POISON


def scoring(found: Found) -> list[str]:
    """Return what the inference service has done wrong."""
    return [
        *every_good_event_scored_once_in_order(found),
        *every_bad_event_dead_lettered_once(found),
        *reports_count_every_event_once(found),
    ]


def every_good_event_scored_once_in_order(found: Found) -> list[str]:
    """The predictions of a partition are its good events: each once, in order, under its own name."""
    problems = []
    for partition, made in found.predictions(found.topics.predictions).items():
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
    problems = []
    for records in found.records[found.topics.dead_letters].values():
        for record in records:
            reason = read_dead_letter(record.headers)
            if reason is not None and reason.service == service:
                letters[reason.partition].append((reason.offset, record))
            else:  # nothing but events is bad
                problems.append(f"dead-letters: {reason} is nobody's")
    for partition, mine in letters.items():
        name = f"dead-letters of events[{partition}]"
        problems += compare(name, found.offsets(partition, bad=True), [offset for offset, _ in mine])
        values = {record.offset: record.value for record in found.events[partition]}
        changed = [offset for offset, record in mine if values.get(offset) != record.value]
        problems += [f"{name}: not the bytes of offset {offset}" for offset in changed[:3]]
    return problems


def reports_count_every_event_once(found: Found) -> list[str]:
    """The newest report of every window says how many events were scored and refused."""
    reports = found.reports(InferenceReport)
    problems = []
    for partition in found.events:
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
