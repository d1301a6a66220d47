"""What the shadow found, as a person reads it in a terminal and a program as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import click
import msgspec
import numpy as np
from rich.text import Text

from services.cli.printing import moment, table
from services.cli.shadow_answers import BOTH, COLUMNS, Answers, cells
from services.cli.shadow_figures import (
    METRICS,
    decision_row,
    example_rows,
    facts,
    metric_rows,
    segment_answers,
    segment_measures,
    segment_metric,
    segment_rows,
    window_answers,
)
from services.cli.shadow_reading import Compared, Shadow
from shared.promotion.evidence import Sums
from shared.promotion.measure import Measured, measure
from shared.registry.records import printable
from shared.sequential.interval import unknown

COLOURS: Final = {"pass": "green", "wait": "yellow", "fail": "red"}
WORST: Final = 8
LARGEST: Final = 20
SEGMENT_COLUMNS: Final = ("Segment", "Labels", "Win rate", "Advantage", "From", "To")


def print_shadow(shadow: Shadow, compared: Sequence[Compared], *, windows: bool = False) -> None:
    """Print comparisons, on request window by window, and what was decided."""
    for one in compared:
        print_compared(one, windows=windows)
        click.echo()
    if not compared:
        click.echo(f"{shadow.model}: nothing is compared, and no report says that anything ever was")
    if shadow.decisions:
        click.echo("Decided by the gates")
        table(
            ("When", "Decision", "Version", "By", "Why"), [decision_row(d) for d in shadow.decisions], whole=3
        )


def print_compared(one: Compared, *, windows: bool = False) -> None:
    """Print one comparison."""
    click.echo(headline(one))
    for name, text in facts(one):
        click.echo(f"  {name:<14}{text}")
    rows = metric_rows(one)
    if rows:
        click.echo()
        table(("Beside the truth", "Champion", "Candidate", "Advantage", "From", "To", "Labels"), rows)
    _print_segments(one)
    if windows:
        click.echo()
        rows = [(moment(start), *cells(answers)) for start, _, answers in window_answers(one)]
        table(("Window from", *COLUMNS), rows)
    examples = example_rows(one.evidence)
    if examples:
        click.echo()
        table(("Most different", "Champion", "Candidate", "Labels", "Segments"), examples[:5])
    if one.verdict is not None:
        click.echo()
        gates = [
            (gate.name, Text(gate.state, COLOURS[gate.state]), printable(gate.sentence))
            for gate in one.verdict.gates
        ]
        table(("Gate", "State", "Why"), gates)
    click.echo(outcome(one))


def _print_segments(one: Compared) -> None:
    """Print the segments that are worst beside the truth, and the largest ones with all other figures."""
    judged = segment_rows(one)
    if judged:
        click.echo()
        table(SEGMENT_COLUMNS, judged[:WORST])
        if len(judged) > WORST:
            click.echo(f"  and {len(judged) - WORST} segments with a smaller loss (--json, --html)")
    answered = [(printable(f"{f}={v}"), *cells(answers)) for f, v, answers in segment_answers(one)]
    if answered:
        click.echo()
        table(("Segment", *COLUMNS), answered[:LARGEST])
        if len(answered) > LARGEST:
            click.echo(f"  and {len(answered) - LARGEST} segments more (--json, --html)")
        click.echo(f"  {BOTH}")


def headline(one: Compared) -> str:
    """Return who is compared with whom.

    A probation is told from the new champion's side, since it is the one that has to prove itself.
    """
    pair = one.pair
    if one.role == "probation":
        return f"{pair.model}: champion {pair.champion} in probation, beside its predecessor {pair.candidate}"
    former = ", no longer a candidate" if one.role == "former" else ""
    return f"{pair.model}: candidate {pair.candidate} against champion {pair.champion}{former}"


def outcome(one: Compared) -> str:
    """Return what follows from the gates, in a sentence."""
    if one.verdict is None:
        return "There are no gates in model.toml: only people promote."
    state, pair = one.verdict.state, one.pair
    if one.role == "former":
        return "No longer compared: the gates are shown as they would stand on what was gathered."
    if one.role == "probation":
        return {
            "pass": "The probation is over: nothing turned against the new champion.",
            "wait": "In probation: nothing has turned against the new champion so far.",
            "fail": "A gate has turned: the rule rolls back.",
        }[state]
    by_hand = f"`driftline models promote {pair.model} {pair.candidate} --if-gates-pass`"
    automatic = one.gates is not None and one.gates.automatic
    if state == "pass" and automatic:
        return _by_rule(one, by_hand)
    return {
        "pass": f"The gates pass: it may be promoted ({by_hand}).",
        "wait": "Not decided yet: a gate waits for more.",
        "fail": "A gate fails: it is not promoted.",
    }[state] + canary_text(one)


def _by_rule(one: Compared, by_hand: str) -> str:
    """Return what the rule does with a candidate whose gates pass: promote it, go by steps, or nothing."""
    if one.hold is not None:
        less = f"{one.hold.who} gave it less traffic (revision {one.hold.revision})"
        return (
            f"The gates pass, and the rule goes no further: {printable(less)}. "
            f"It goes on when somebody gives it more (`driftline models canary {one.pair.model} "
            f"{one.pair.candidate} --percent`), or by hand: {by_hand}." + canary_text(one)
        )
    if one.gates is not None and one.gates.canary_steps:
        steps = ", ".join(f"{step:g}" for step in one.gates.canary_steps)
        return f"The gates pass: the rule goes by steps of {steps} % and then promotes it." + canary_text(one)
    return "The gates pass: it may be promoted (by rule)."


def canary_text(one: Compared) -> str:
    """Return how far a canary has come, to be put behind a sentence; nothing where there is none."""
    if one.canary is None:
        return ""
    answered = one.evidence.sums.comparison.canary
    wanted = ""
    if one.gates is not None and one.gates.canary_steps:
        taken = sum(step <= one.canary.percent for step in one.gates.canary_steps)
        wanted = f" of {taken * one.gates.step_events:,}"
    failed = one.evidence.sums.fallbacks
    but = f", {failed:,} it could not" if failed else ""
    return f" Canary at {one.canary.percent:g} %: {answered:,}{wanted} events answered{but}."


def as_json(shadow: Shadow, compared: Sequence[Compared]) -> dict[str, Any]:
    """Return everything, for a program."""
    return {
        "model": shadow.model,
        "champion": shadow.standing.pointers.champion,
        "comparisons": [_comparison_json(one) for one in compared],
        "decisions": [msgspec.to_builtins(decision) for decision in shadow.decisions],
    }


def _comparison_json(one: Compared) -> dict[str, Any]:
    evidence = one.evidence
    alpha = one.gates.alpha if one.gates else 0.05
    metrics = METRICS[one.spec.task] if evidence.sums.judged.pairs else ()
    return {
        "candidate": one.pair.candidate,
        "champion": one.pair.champion,
        "role": one.role,
        "since": evidence.since,
        "until": evidence.until,
        "complete": evidence.complete,
        "agreement": evidence.agreement,
        "win_rate": evidence.win_rate,
        "population_stability_index": one.answers.population_stability_index,
        "answers": msgspec.to_builtins(one.answers),
        "trouble": evidence.trouble,
        "canary_percent": one.canary.percent if one.canary else None,
        "held_since_revision": one.hold.revision if one.hold else None,
        "state": one.verdict.state if one.verdict else None,
        "gates": msgspec.to_builtins(one.verdict.gates) if one.verdict else [],
        "advantage": {metric: _measured_json(measure(evidence, metric, alpha)) for metric in metrics},
        "segments": _segments_json(one),
        "windows": [
            {"start": start, "end": end, "answers": msgspec.to_builtins(answers)}
            for start, end, answers in window_answers(one)
        ],
        "sums": msgspec.to_builtins(evidence.sums),
        "examples": msgspec.to_builtins(evidence.examples),
    }


def _segments_json(one: Compared) -> list[dict[str, Any]]:
    """Return every segment, the worst beside the truth in front."""
    measured = {(feature, value): found for feature, value, found in segment_measures(one)}
    answered = {(feature, value): found for feature, value, found in segment_answers(one)}
    nothing = Measured(segment_metric(one), unknown(1.0))
    return [
        {
            "feature": feature,
            "value": value,
            **_measured_json(measured.get((feature, value), nothing)),
            "answers": msgspec.to_builtins(answered.get((feature, value), Answers.of(Sums()))),
        }
        for feature, value in measured | answered
    ]


def _measured_json(measured: Measured) -> dict[str, Any]:
    i = measured.interval
    estimate = None if i.n == 0 or np.isnan(i.estimate) else i.estimate
    return {
        "metric": measured.metric,
        "labels": i.n,
        "estimate": estimate,
        "lower": i.lower,
        "upper": i.upper,
        "exact": i.exact,
    }
