"""The inference service: good events scored once, in order, bad ones dead-lettered once, all counted."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from aiokafka import ConsumerRecord

from shared.dead_letters import read_dead_letter
from shared.messages import InferenceReport, Prediction
from tests.faults.answers import TOLERANCE, score
from tests.faults.rules.found import Found, compare
from tests.faults.traffic import CANDIDATE, MODEL, POISON


class _Event(msgspec.Struct):
    event_id: str
    occurred_at: int
    features: dict[str, float]


_event = msgspec.json.Decoder(_Event).decode


def scoring(found: Found, *, sent: int, champions: Sequence[str]) -> list[str]:
    """Return what the inference service has done wrong.

    Parameters
    ----------
    sent
        How many events were sent: what the witness has read is compared with it.
    champions
        Every version that has been champion.
    """
    return [
        *every_event_that_was_sent_is_there(found, sent),
        *every_score_is_the_models(found, champions),
        *every_good_event_scored_once_in_order(found),
        *every_bad_event_dead_lettered_once(found),
        *reports_count_every_event_once(found),
    ]


def every_event_that_was_sent_is_there(found: Found, sent: int) -> list[str]:
    """The topic has as many events as were sent: what a broker has lost is missing from nothing else."""
    there = sum(map(len, found.events.values()))
    return [] if there == sent else [f"events: {there} are there, {sent} were sent"]


def every_score_is_the_models(found: Found, champions: Sequence[str]) -> list[str]:
    """Each prediction is what its version says of its event, and that version has been champion."""
    return _wrong_answers(found, found.topics.predictions, champions)


def every_shadow_score_is_the_candidates(found: Found) -> list[str]:
    """Each shadow prediction is what the candidate says of its event."""
    return _wrong_answers(found, found.topics.shadow_predictions, (CANDIDATE,))


def _wrong_answers(found: Found, topic: str, versions: Sequence[str]) -> list[str]:
    problems = []
    for partition, made in found.predictions(topic).items():
        events = {r.offset: r.value for r in found.events[partition] if r.key != POISON}
        wrong = [
            (p, why) for p in made if (why := _differs(p, events.get(p.source.offset), versions)) is not None
        ]
        problems += [
            f"{topic}[{partition}]: {len(wrong)} wrong answers, such as to {p.event_id}: {why}"
            for p, why in wrong[:1]
        ]
    return problems


def _differs(made: Prediction, raw: bytes | None, versions: Sequence[str]) -> str | None:
    if made.model != MODEL or made.model_version not in versions:
        return f"by {made.model} version {made.model_version}"
    if raw is None:
        return None  # that it is foreign is said already
    event = _event(raw)
    expected = score(made.model_version, event.features)
    if not abs(made.score - expected) <= TOLERANCE:
        return f"the score is {made.score}, it should be {expected}"
    if abs(expected - 0.5) > TOLERANCE and made.label != ("yes" if expected > 0.5 else "no"):
        return f"the label is {made.label} at a score of {made.score}"
    return None if made.occurred_at == event.occurred_at else f"it occurred at {made.occurred_at}"


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
