"""Carrying out what the rule decided, once or not at all, and telling it from the history afterwards."""

from __future__ import annotations

from typing import get_args

from shared.messages import DecisionReport, Window
from shared.promotion.rule import PREFIX, Act, Kind
from shared.promotion.standing import Standing
from shared.registry import HistoryEntry, Registry

RULE = "gates"
"""Who signs for what no person asked for."""


async def carry_out(registry: Registry, act: Act, standing: Standing, *, who: str = RULE) -> HistoryEntry:
    """Make the change; returns what the registry's history says of it.

    The change is bound to the revision that was judged, and to the decision's id. Redis carries the
    pointer, the history and the id out together or not at all; so after an outage in the middle of it the
    same decision, taken again by whomever, either finds itself done or does it.

    Raises
    ------
    RegistryError
        The model has changed since it was judged.
    TransientError
        Redis is away, and the outcome unknown until the decision is taken again.
    """
    signed = {"who": who, "why": act.reason, "request_id": act.decision_id}
    at = standing.pointers.revision
    match act.kind:
        case "promoted":
            return await registry.promote(
                act.model, act.version, **signed, expect_revision=at, keep_former=act.keep_former
            )
        case "refused":
            return await registry.remove_candidate(act.model, act.version, **signed, expect_revision=at)
        case "canary-step":
            assert act.percent is not None
            return await registry.set_canary(
                act.model, act.version, percent=act.percent, **signed, expect_revision=at
            )
        case "canary-paused":
            return await registry.remove_canary(act.model, **signed, expect_revision=at)
        case "rolled-back":
            return await registry.rollback(act.model, **signed, expect_revision=at)
        case "probation-passed":
            assert standing.probation is not None
            old = standing.probation.pair.candidate
            return await registry.remove_candidate(act.model, old, **signed, expect_revision=at)


def decision_report(entry: HistoryEntry) -> DecisionReport | None:
    """Return what to tell about a change, or None where the gates had no part in it.

    Examples
    --------
    >>> entry = HistoryEntry(model="m", revision=7, at=5, who="gates", why="better", action="promote",
    ...                      from_version="1", to_version="2", request_id="gates/promoted/2/6")
    >>> told = decision_report(entry)
    >>> told.decision, told.model_version, told.other_version
    ('promoted', '2', '1')
    """
    if not entry.request_id.startswith(PREFIX):
        return None
    kind, _, rest = entry.request_id.removeprefix(PREFIX).partition("/")
    version = rest.partition("/")[0]
    if kind not in get_args(Kind):
        return None  # somebody else's id that happens to begin as ours
    other = entry.to_version if kind == "rolled-back" else entry.from_version
    return DecisionReport(
        model=entry.model,
        model_version=version,
        window=Window(start=entry.at, end=entry.at),
        source_topic="registry",
        partition=0,
        first_offset=entry.revision,
        next_offset=entry.revision + 1,
        written_at=entry.at,
        final=True,
        decision=kind,  # type: ignore[arg-type]  # checked above
        other_version=None if other == version else other,
        percent=entry.percent,
        revision=entry.revision,
        who=entry.who,
        reason=entry.why,
    )
