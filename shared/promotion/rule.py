"""The rule: from where a model stands and what its gates say to the one change that is due, if any."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from shared.bundle.gates import GatesSpec
from shared.promotion.evidence import Evidence, Pair
from shared.promotion.standing import Comparison, Standing
from shared.promotion.verdict import REASON_LIMIT, Verdict
from shared.registry import HistoryEntry

Kind = Literal["promoted", "refused", "canary-step", "canary-paused", "rolled-back", "probation-passed"]

PREFIX: Final = "gates/"
"""Request ids of every change that the gates decided begin so."""


@dataclass(frozen=True, slots=True)
class Act:
    """A change of the registry that is due.

    Attributes
    ----------
    version
        The version that is decided about.
    decision_id
        The registry's request id: the same for whoever comes to this decision, however often, so that
        it happens once.
    percent
        Of a canary step.
    keep_former
        Of a promotion: a probation follows.
    """

    kind: Kind
    model: str
    version: str
    reason: str
    decision_id: str
    percent: float | None = None
    keep_former: bool = False


def decision_id(kind: Kind, version: str, basis: int, percent: float | None = None) -> str:
    """Return the request id of a decision.

    ``basis`` is the revision at which the comparison began; of a canary step the present one, because the
    same step may be due again after somebody has taken it back.

    Examples
    --------
    >>> decision_id("promoted", "2013q3", 7), decision_id("canary-step", "2013q3", 7, 5.0)
    ('gates/promoted/2013q3/7', 'gates/canary-step/2013q3/7/5')
    """
    step = "" if percent is None else f"/{percent:g}"
    return f"{PREFIX}{kind}/{version}/{basis}{step}"


def promotion(comparison: Comparison, verdict: Verdict, gates: GatesSpec, *, why: str = "") -> Act:
    """Return the promotion of a candidate whose gates pass; ``why`` is a person's reason, put in front."""
    pair = comparison.pair
    reason = verdict.reason if not why else f"{why} ({verdict.reason})"
    return Act(
        "promoted",
        pair.model,
        pair.candidate,
        reason[:REASON_LIMIT],
        decision_id("promoted", pair.candidate, comparison.basis),
        keep_former=gates.probation > 0,
    )


def hold(comparison: Comparison, history: Sequence[HistoryEntry]) -> HistoryEntry | None:
    """Return the change by which a person gave a candidate less traffic; None if it is not the last word.

    The rule does not give it back: it goes on once a person gives the candidate more again.

    Parameters
    ----------
    history
        The model's changes, newest first.
    """
    version = comparison.pair.candidate
    shares = [
        entry
        for entry in history
        if entry.revision > comparison.basis
        and (entry.action, version)
        in (("set-canary", entry.to_version), ("remove-canary", entry.from_version))
    ]
    if not shares or shares[0].request_id.startswith(PREFIX):
        return None
    before = (shares[1].percent or 0.0) if len(shares) > 1 else 0.0
    less = shares[0].percent is None or shares[0].percent < before
    return shares[0] if less else None


def next_act(
    standing: Standing,
    verdicts: Mapping[Pair, Verdict],
    evidence: Mapping[Pair, Evidence],
    gates: GatesSpec,
    held: Collection[Pair] = (),
) -> Act | None:
    """Return the one change that is due, or None.

    In this order: a probation ends one way or the other; a candidate whose gates fail is refused, or
    loses at least its canary traffic; one whose gates pass goes a step further. Refusing and promoting need
    ``automatic``. While a champion is in probation nobody else is promoted. Refusals come first, because a
    promotion begins every other comparison anew.

    Parameters
    ----------
    verdicts, evidence
        By pair; of the probation as :func:`~shared.promotion.gates.judge_probation` gives it.
    held
        Who is to go no further: see :func:`hold`.
    """
    if standing.probation is not None:
        act = _after_probation(standing.probation, verdicts[standing.probation.pair])
        if act is not None:
            return act
    others = [comparison for comparison in standing.comparisons if comparison is not standing.probation]
    for comparison in others:
        if verdicts[comparison.pair].state == "fail":
            act = _against(comparison, verdicts[comparison.pair], standing, gates)
            if act is not None:
                return act
    if not gates.automatic or standing.probation is not None:
        return None
    for comparison in others:
        if verdicts[comparison.pair].state == "pass" and comparison.pair not in held:
            found = evidence[comparison.pair]
            act = _onwards(comparison, verdicts[comparison.pair], found, standing, gates)
            if act is not None:
                return act
    return None


def _after_probation(comparison: Comparison, verdict: Verdict) -> Act | None:
    """Roll back when a gate has turned, end the probation when all pass."""
    pair = comparison.pair
    if verdict.state == "wait":
        return None
    if verdict.state == "fail":
        named = decision_id("rolled-back", pair.champion, comparison.basis)
        return Act("rolled-back", pair.model, pair.champion, verdict.reason, named)
    named = decision_id("probation-passed", pair.champion, comparison.basis)
    return Act("probation-passed", pair.model, pair.champion, verdict.reason, named)


def _against(comparison: Comparison, verdict: Verdict, standing: Standing, gates: GatesSpec) -> Act | None:
    """Refuse a candidate, or without ``automatic`` at least give it no more traffic."""
    pair, canary = comparison.pair, standing.pointers.canary
    if gates.automatic:  # a canary that it was ends with it
        named = decision_id("refused", pair.candidate, comparison.basis)
        return Act("refused", pair.model, pair.candidate, verdict.reason, named)
    if canary is not None and canary.version == pair.candidate:
        named = decision_id("canary-paused", pair.candidate, canary.since)
        return Act("canary-paused", pair.model, pair.candidate, verdict.reason, named)
    return None


def _onwards(
    comparison: Comparison, verdict: Verdict, evidence: Evidence, standing: Standing, gates: GatesSpec
) -> Act | None:
    """Take the next canary step, or promote after the last one; wait while another one is the canary."""
    pair, canary = comparison.pair, standing.pointers.canary
    percent = 0.0
    if canary is not None:
        if canary.version != pair.candidate:
            return None
        percent = canary.percent
    taken = sum(step <= percent for step in gates.canary_steps)
    if evidence.sums.comparison.canary < taken * gates.step_events:
        return None
    following = [step for step in gates.canary_steps if step > percent]
    if not following:
        return promotion(comparison, verdict, gates)
    named = decision_id("canary-step", pair.candidate, standing.pointers.revision, following[0])
    return Act("canary-step", pair.model, pair.candidate, verdict.reason, named, percent=following[0])
