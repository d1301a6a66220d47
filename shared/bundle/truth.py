"""What ``model.toml`` says of labels and business outcomes: how long to wait, and what they are worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from shared.errors import ValidationError
from shared.kpi.expression import ANSWER_NAMES, TRUTH_NAMES, parse

KpiName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class KpiSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one decision was worth.

    Attributes
    ----------
    name
        As reports and pages show it.
    value
        Arithmetic over ``score``, ``decision``, ``truth``, ``correct``, ``tp``, ``fp``, ``tn``, ``fn`` and
        the names of outcomes: ``"-5 * fp - 100 * fn"``, ``"revenue - 2 * decision"``.
    missing
        What an outcome that never came counts as, once the label horizon has passed. Left out, a decision
        whose outcome never came is not counted.
    goal
        Whether more of it is better, or less.
    by
        Whether outcomes name the event, or the entity: then they go to the entity's latest answer
        before them.
    description
        For people.
    """

    name: KpiName
    value: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    missing: float | None = None
    goal: Literal["max", "min"] = "max"
    by: Literal["event", "entity"] = "event"
    description: str = ""


def kpi_contradictions(kpis: Sequence[KpiSpec], task: str) -> list[str]:
    """Return one sentence per KPI that cannot be computed."""
    problems: list[str] = []
    names = [kpi.name for kpi in kpis]
    problems += [
        f"KPI {name!r} is declared twice" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    for kpi in kpis:
        try:
            expression = parse(kpi.value)
        except ValidationError as error:
            problems.append(f"kpis.{kpi.name}.value: {error.message}")
            continue
        if not expression.names:
            problems.append(f"kpis.{kpi.name}.value is a constant: it depends on no decision")
        if task == "regression" and expression.names & {"tp", "fp", "tn", "fn"}:
            problems.append(f"kpis.{kpi.name}.value: a regression has no tp, fp, tn or fn")
        if not expression.outcomes and kpi.missing is not None:
            problems.append(f"kpis.{kpi.name}.missing needs an outcome, and the value names none")
        if not expression.outcomes and kpi.by == "entity":
            problems.append(f"kpis.{kpi.name}.by = 'entity' needs an outcome, and the value names none")
    return problems


__all__ = ["ANSWER_NAMES", "TRUTH_NAMES", "KpiName", "KpiSpec", "kpi_contradictions"]
