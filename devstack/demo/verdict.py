"""Whether all is well, and the one JSON object that says so; later parts of Driftline add their own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from devstack.demo.alerts import LONGEST_SECONDS
from devstack.demo.contribution import Contribution
from devstack.demo.drift import (
    JUDGED_FROM,
    PLANTED_CHANNEL,
    PLANTED_ORIGIN,
    alarm_fact,
    budget_fact,
    story,
)
from devstack.demo.quality import quality_facts
from devstack.demo.shadow_verdict import shadow_contribution
from devstack.demo.state import Run

Contributor = Callable[[Run], Contribution]


def replay_contribution(run: Run) -> Contribution:
    """Return what was sent, and how fast."""
    rate = run.events / run.elapsed if run.elapsed else 0.0
    problems = [] if run.ledger.good else ["nothing was sent"]
    return Contribution({"events": run.events, "events_per_second": round(rate, 1)}, problems)


def predictions_contribution(run: Run) -> Contribution:
    """Return what came back: one prediction per good event, or at least one at least once."""
    ledger = run.ledger
    _, p99 = ledger.percentiles()
    return Contribution(
        {"predictions": ledger.predictions, "p99_ms": None if math.isnan(p99) else p99},
        [*_prediction_problems(run), *_slow_start(run), *ledger.problems[:5]],
        [] if run.first_prediction_seconds is None else [_timing(run, run.first_prediction_seconds)],
    )


def _timing(run: Run, first: float) -> str:
    p50, p99 = run.ledger.percentiles()
    return (
        f"first prediction {first:.1f} s after the command\n"
        f"from produce to visible prediction: p50 {p50:g} ms, p99 {p99:g} ms"
    )


def _slow_start(run: Run) -> Iterator[str]:
    first, promised = run.first_prediction_seconds, run.options.first_within
    if first is not None and first > promised and not run.model.fresh:
        yield (
            f"the first prediction came {first:.0f} s after the command, and the model was there already: "
            f"{promised:g} s were promised (--first-within)"
        )


def _prediction_problems(run: Run) -> Iterator[str]:
    ledger = run.ledger
    if ledger.waiting:
        yield f"{ledger.waiting} events have no prediction, among them {', '.join(ledger.missing())}"
    if ledger.repeated and run.options.delivery == "exactly-once":
        yield f"{ledger.repeated} events have more than one prediction, and exactly-once was promised"


def dead_letters_contribution(run: Run) -> Contribution:
    """Return how many bad events were refused with a reason: all of them must be."""
    missing = run.ledger.unexplained
    problems = [f"{missing} bad events are in no dead letter"] if missing else []
    return Contribution({"dead_letters": run.ledger.dead_letters}, problems)


def champion_contribution(run: Run) -> Contribution:
    """Return which version is champion, and whether only versions that were promoted answered."""
    promoted = [run.model.version, *(told.model_version for told in run.shadow.decided("promoted"))]
    expected = run.shadow.champion(run.model.version)
    problems = []
    if run.champion != expected:
        problems.append(f"the registry's champion is {run.champion}, promoted was {expected}")
    strangers = sorted(set(run.ledger.versions) - set(promoted))
    if strangers:
        problems.append(f"versions that were never promoted answered: {', '.join(strangers)}")
    return Contribution({"champion": run.champion}, problems)


def alerts_contribution(run: Run) -> Contribution:
    """Return how many alerts fired and how many webhooks came: everybody must have been told in time."""
    alerts = run.alerts
    facts = {"alerts_fired": len(alerts.fired), "webhooks_delivered": len(alerts.delivered)}
    problems = list(dict.fromkeys(alerts.problems))
    if not alerts.settled:
        problems.append("an alert fired and its webhook never came")
    slow = [seconds for seconds in alerts.seconds if seconds > LONGEST_SECONDS]
    if slow:
        problems.append(f"from a drift alarm to its webhook it took {max(slow):.1f} s")
    remarks = [
        f"from the drift alarm to its webhook: {seconds:.2f} s, from the report's writing to the receipt"
        for seconds in alerts.seconds
    ]
    return Contribution(facts, problems, remarks)


def services_contribution(run: Run) -> Contribution:
    """Return which services and servers are not as they should be."""
    problems = [
        f"the service {name} is {sight.state}" for name, sight in run.sights.items() if sight.state != "ready"
    ]
    ended = run.ended_part()
    if ended is not None and ended.name not in run.sights and not run.process_ended.is_set():
        problems.append(f"{ended.name} is not running any more")
    return Contribution({}, problems)


def quality_contribution(run: Run) -> Contribution:
    """Return realised and estimated quality of the version that answered: every label must be joined."""
    facts = quality_facts(run.quality.of(run.model.version))
    missing = run.labels_unjoined
    problems = [f"{missing} labels are joined to no prediction"] if missing > 0 else []
    return Contribution(facts, problems)


def drift_contribution(run: Run) -> Contribution:
    """Return the drift that was found: the planted fault must be among it, once enough was sent."""
    book = run.drift
    problems = []
    if run.events >= JUDGED_FROM and book.planted_fault() is None:
        problems.append(f"the kilometres planted at {PLANTED_ORIGIN} were not found in {PLANTED_CHANNEL}")
    planted = book.planted_fault()
    if planted is not None and str(planted.segment) != f"origin={PLANTED_ORIGIN}":
        problems.append(f"the kilometres were found, but at {planted.segment} and not at {PLANTED_ORIGIN}")
    facts = {
        "drift_alarms": [alarm_fact(channel, alarm) for channel, alarm in book.in_order],
        "false_alarm_budget": budget_fact(book.newest),
    }
    return Contribution(facts, problems, [story(channel, alarm) for channel, alarm in book.in_order])


CONTRIBUTORS: list[Contributor] = [
    replay_contribution,
    predictions_contribution,
    dead_letters_contribution,
    champion_contribution,
    drift_contribution,
    services_contribution,
    quality_contribution,
    alerts_contribution,
    shadow_contribution,
]
"""Everybody who adds to the verdict, in the order of the last line's keys."""

KEY_ORDER = ("events", "predictions", "dead_letters", "events_per_second", "p99_ms", "champion")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a demo.

    Attributes
    ----------
    facts
        What the last line says.
    problems
        Empty when all is well.
    remarks
        What else a person should know.
    """

    facts: dict[str, Any]
    problems: list[str]
    remarks: list[str]

    @property
    def exit_code(self) -> int:
        """0 when all is well, else 1."""
        return 1 if self.problems else 0

    def with_problems(self, problems: list[str]) -> Verdict:
        """Return the same verdict with problems that came up later."""
        return Verdict(self.facts, self.problems + problems, self.remarks)

    def last_line(self) -> str:
        """Return the facts as one line of JSON."""
        return json.dumps(self.facts)


def judge(run: Run) -> Verdict:
    """Return the verdict over a run that has ended."""
    facts: dict[str, Any] = {}
    remarks: list[str] = []
    problems = list(run.problems)
    for contributor in CONTRIBUTORS:
        contribution = contributor(run)
        facts |= contribution.facts
        problems += contribution.problems
        remarks += contribution.remarks
    ordered = {key: facts[key] for key in KEY_ORDER if key in facts}
    return Verdict(ordered | facts, problems, remarks)
