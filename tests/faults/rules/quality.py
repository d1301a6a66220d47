"""The performance service: its sums equal a join of the raw topics, made offline in plain loops."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import msgspec

from shared.messages import Label, Labelled, Outcome, PerformanceReport, Prediction
from tests.faults.rules.found import Found, differing
from tests.faults.traffic import KPIS

Key = tuple[str, int]
"""Version and beginning of the window."""


def quality(found: Found) -> list[str]:
    """Return what the performance service has done wrong."""
    truth = {label.event_id: str(label.label) for label in found.all(found.topics.labels, Label)}
    return [*_reports(found, truth), *_labelled(found, truth)]


def _answers(found: Found) -> list[tuple[Prediction, bool]]:
    """Every answer, and whether it was given in the shadow."""
    topics = ((found.topics.predictions, False), (found.topics.shadow_predictions, True))
    return [
        (one, shadow)
        for topic, shadow in topics
        for made in found.predictions(topic).values()
        for one in made
    ]


def _reports(found: Found, truth: dict[str, str]) -> list[str]:
    """Each window of each version: answers, labels, confusion, Brier score, what decisions were worth."""
    outcomes = {o.event_id: o.value for o in found.all(found.topics.outcomes, Outcome)}
    windows = {r.window.start: r.window.end for r in found.reports(PerformanceReport)}
    length = next((end - start for start, end in windows.items()), 1)
    expected: dict[Key, Counter[Any]] = defaultdict(Counter)
    for answer, shadow in _answers(found):
        key = (answer.model_version, answer.occurred_at - answer.occurred_at % length)
        _judge(expected[key], answer, truth.get(answer.event_id), outcomes.get(answer.event_id), shadow)
    made: dict[Key, Counter[Any]] = defaultdict(Counter)
    for report in found.reports(PerformanceReport):
        _add(made[report.model_version, report.window.start], report)
    problems = []
    for key in sorted({*made, *expected}):
        name = f"performance of version {key[0]} from {key[1]}"
        rounded = [{k: round(v, 6) for k, v in c.items() if v} for c in (made[key], expected[key])]
        problems += differing(name, *rounded)
    return problems[:12]


def _judge(
    sums: Counter[Any], answer: Prediction, truth: str | None, outcome: float | None, shadow: bool
) -> None:
    sums["predictions"] += 1
    decided = answer.label == "yes"
    if truth is not None:
        sums["labels"] += 1
        sums[truth, answer.label] += 1
        sums["brier"] += (answer.score - (truth == "yes")) ** 2  # type: ignore[assignment]
    if shadow:
        return  # nobody acted on it
    if truth is not None:
        wrong = (decided and truth == "no", not decided and truth == "yes")
        sums["cost"] += -5 * wrong[0] - 20 * wrong[1]
    if outcome is not None:
        sums["sales"] += outcome - decided  # type: ignore[assignment]


def _add(sums: Counter[Any], report: PerformanceReport) -> None:
    sums["predictions"] += report.quality.predictions
    sums["labels"] += report.quality.labels
    for truth, row in report.quality.confusion.items():
        sums.update({(truth, answer): count for answer, count in row.items()})
    sums["brier"] += report.quality.brier.total if report.quality.brier else 0  # type: ignore[assignment]
    for name in KPIS:
        if name in report.kpis:
            sums[name] += report.kpis[name].value.total  # type: ignore[assignment]


def _labelled(found: Found, truth: dict[str, str]) -> list[str]:
    """Each event with label and answer is told: once as new, at last with the truth and all answers."""
    versions: dict[str, set[str]] = defaultdict(set)
    for answer, _ in _answers(found):
        versions[answer.event_id].add(answer.model_version)
    new: Counter[str] = Counter()
    last: dict[str, Labelled] = {}
    problems = []
    for told in found.all(found.topics.labelled, Labelled):
        before = last.get(told.event_id)
        if told.replaces is None:
            new[told.event_id] += 1
        elif before is None or msgspec.structs.replace(before, replaces=None) != told.replaces:
            problems.append(f"labelled: {told.event_id} replaces what was not said before")
        last[told.event_id] = told
    problems += [f"labelled: {event} told as new {n} times" for event, n in new.items() if n > 1]
    expected = {event: label for event, label in truth.items() if event in versions}
    problems += differing("labelled", {event: told.truth for event, told in last.items()}, expected)
    problems += [
        f"labelled: {event} has answers of {sorted(a.model_version for a in told.answers)}"
        for event, told in last.items()
        if {a.model_version for a in told.answers} != versions[event]
    ]
    return problems[:12]
