"""Guarded segments: better on the whole is not good enough when it is worse for one carrier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shared.bundle.gates import GatesSpec, Metric
from shared.bundle.spec import FeatureSpec, ModelSpec
from shared.promotion.evidence import Evidence
from shared.promotion.measure import Measured, measure_pairs
from shared.promotion.verdict import Gate, State

OPEN_VALUES = 51
"""Segments of a feature without declared categories: what the shadow tells apart, and the others."""
NAMED = 3


@dataclass(frozen=True, slots=True)
class GuardedSegment:
    """One segment that a gate watches.

    Attributes
    ----------
    state
        ``fail``: shown to be worse than by the margin; ``wait``: looks so, and is not shown yet;
        ``pass``: does not look so, or has too few labels to look like anything.
    """

    feature: str
    value: str
    measured: Measured
    state: State

    @property
    def name(self) -> str:
        """``feature=value``."""
        return f"{self.feature}={self.value}"


def guarded_segments(
    evidence: Evidence, spec: ModelSpec, gates: GatesSpec, metric: Metric, *, probation: bool = False
) -> Iterator[Gate]:
    """Yield one gate per guarded feature.

    ``alpha`` is shared out equally among all segments there can be, so that the chance that any of
    them is ever wrongly shown to be worse stays at or below it.

    Parameters
    ----------
    probation
        Look at the champion's side: it is the new one that must not be worse.
    """
    for feature in gates.guard_segments:
        found = watched(evidence, spec, gates, metric, feature, probation=probation)
        yield _gate(feature, found, evidence, gates, probation=probation)


def watched(
    evidence: Evidence,
    spec: ModelSpec,
    gates: GatesSpec,
    metric: Metric,
    feature: str,
    *,
    probation: bool = False,
) -> list[GuardedSegment]:
    """Return the segments of a guarded feature with enough labels, the worst in front."""
    alpha = gates.alpha / segment_count(spec, gates)
    by_pairs: Metric = "brier" if metric == "auc" else metric  # an area needs more labels than segments have
    found = []
    for value, segment in evidence.sums.segments.get(feature, {}).items():
        if segment.judged.pairs < gates.min_segment_labels:
            continue
        measured = measure_pairs(segment.judged, by_pairs, alpha)
        state = _state(measured, gates.tolerated_in_segments, probation=probation)
        if state == "fail" and not probation and evidence.sums.judged.pairs < gates.min_labels:
            state = "wait"
        found.append(GuardedSegment(feature, value, measured, state))
    sign = -1 if probation else 1
    return sorted(found, key=lambda s: (sign * s.measured.interval.estimate, s.value))


def segment_count(spec: ModelSpec, gates: GatesSpec) -> int:
    """Return the number of segments that the guarded features can have: what alpha is shared among."""
    features = {feature.name: feature for feature in spec.features}
    return sum(_values(features[name]) for name in gates.guard_segments) or 1


def _values(feature: FeatureSpec) -> int:
    if feature.kind == "boolean":
        return 3
    return min(len(feature.categories), OPEN_VALUES) + 1 if feature.categories else OPEN_VALUES


def _state(measured: Measured, margin: float, *, probation: bool) -> State:
    interval = measured.interval
    if probation:
        return "fail" if interval.above(margin) else "pass"
    if interval.below(-margin):
        return "fail"
    return "wait" if interval.estimate < -margin else "pass"


def _gate(
    feature: str, found: list[GuardedSegment], evidence: Evidence, gates: GatesSpec, *, probation: bool
) -> Gate:
    name = f"segment {feature}"
    seen = len(evidence.sums.segments.get(feature, {}))
    for state in ("fail", "wait"):
        those = [segment for segment in found if segment.state == state]
        if those:
            shown = "is shown to be" if state == "fail" else "may be"
            who = "the new champion " if probation else ""
            listed = ", ".join(f"{s.name} ({_how(s, probation=probation)})" for s in those[:NAMED])
            more = f" and {len(those) - NAMED} more" if len(those) > NAMED else ""
            sentence = f"{who}{shown} worse by more than {gates.tolerated_in_segments:g} in {listed}{more}"
            return Gate(name=name, state=state, sentence=sentence, segment=those[0].name)
    if not seen:
        return Gate(name=name, state="pass", sentence="no segment has an event yet")
    few = seen - len(found)
    sentence = f"none of {len(found)} segments is worse by more than {gates.tolerated_in_segments:g}"
    if found:
        sentence += f", the least good is {found[0].name} ({_how(found[0], probation=probation)})"
    if few:
        sentence += f"; {few} have fewer than {gates.min_segment_labels:,} labels and decide nothing"
    return Gate(name=name, state="pass", sentence=sentence)


def _how(segment: GuardedSegment, *, probation: bool) -> str:
    text = segment.measured.sentence
    if not probation:
        return text
    return f"the old champion is {text}"
