"""The gates: what the reports say, held against what ``model.toml`` asks. Pure; one sentence each."""

from __future__ import annotations

from collections.abc import Iterator

from shared.bundle.gates import GatesSpec, metric_of
from shared.bundle.spec import ModelSpec
from shared.promotion.evidence import Evidence
from shared.promotion.measure import Measured, measure
from shared.promotion.segments import guarded_segments
from shared.promotion.verdict import Gate, State, Verdict

TIMED_EVENTS = 500
"""Below this the ratio of two times says more about the machine than about the models. The shadow times
one event in eight."""


def judge_candidate(evidence: Evidence, spec: ModelSpec, gates: GatesSpec) -> Verdict:
    """Return what the gates say about a candidate that wants to be champion.

    Parameters
    ----------
    evidence
        The candidate against the present champion.
    spec
        The champion's contract: its task and the values of its segments.
    gates
        The gates in force.
    """
    found = [_events(evidence, gates), _candidate_errors(evidence, gates), _latency(evidence, gates)]
    found += _agreement(evidence, gates)
    metric = metric_of(gates, spec.task)
    if metric != "none":
        found.append(_quality(measure(evidence, metric, gates.alpha), evidence, gates, metric))
        found += guarded_segments(evidence, spec, gates, metric)
    return Verdict(pair=evidence.pair, gates=tuple(found))


def judge_probation(evidence: Evidence, spec: ModelSpec, gates: GatesSpec) -> Verdict:
    """Return what the gates say about a new champion while the old one runs as its candidate.

    A gate fails when it turns against the new champion; all pass when the probation is over.

    Parameters
    ----------
    evidence
        The old champion, as candidate, against the new one, as champion.
    """
    found = [_probation_time(evidence, gates), _answers(evidence, gates), _champion_errors(evidence, gates)]
    found.append(_latency(evidence, gates, champion=True))
    found += _agreement(evidence, gates)
    metric = metric_of(gates, spec.task)
    if metric != "none":
        found.append(_quality_held(measure(evidence, metric, gates.alpha), gates, metric))
        found += guarded_segments(evidence, spec, gates, metric, probation=True)
    return Verdict(pair=evidence.pair, gates=tuple(found))


def _events(evidence: Evidence, gates: GatesSpec) -> Gate:
    both = evidence.sums.comparison.both
    enough = both >= gates.min_events
    sentence = f"{both:,} pairs of answers" + ("" if enough else f" of the {gates.min_events:,} needed")
    if evidence.trouble:
        sentence += f"; the candidate gives no answers now: {evidence.trouble}"
    return Gate(name="events", state="pass" if enough and not evidence.trouble else "wait", sentence=sentence)


def _candidate_errors(evidence: Evidence, gates: GatesSpec) -> Gate:
    failed = evidence.sums.comparison.champion_only
    classes = ", ".join(f"{count:,} {name}" for name, count in sorted(evidence.sums.errors.items()) if count)
    gate = _errors(failed, evidence.asked, gates, "the candidate")
    if gate.state == "fail" and classes:
        return Gate(name=gate.name, state=gate.state, sentence=f"{gate.sentence} ({classes})")
    return gate


def _champion_errors(evidence: Evidence, gates: GatesSpec) -> Gate:
    return _errors(evidence.sums.comparison.candidate_only, evidence.asked, gates, "the new champion")


def _errors(failed: int, asked: int, gates: GatesSpec, who: str) -> Gate:
    """Fail as soon as so many answers are missing that good ones up to ``min_events`` cannot mend it."""
    limit = gates.max_error_rate * max(asked, gates.min_events)
    state: State = "fail" if failed > limit else "pass" if asked >= gates.min_events else "wait"
    sentence = "no events yet"
    if asked:
        share = f"{failed / asked:.2%}; at most {gates.max_error_rate:.2%}"
        sentence = f"{who} failed on {failed:,} of {asked:,} events ({share})"
    return Gate(name="errors", state=state, sentence=sentence)


def _latency(evidence: Evidence, gates: GatesSpec, *, champion: bool = False) -> Gate:
    ours, theirs = evidence.sums.candidate_timing, evidence.sums.champion_timing
    if champion:
        ours, theirs = theirs, ours
    timed = min(ours.events, theirs.events)
    if timed < TIMED_EVENTS or evidence.asked < gates.min_events or theirs.seconds <= 0:
        sentence = f"{timed:,} events timed of {TIMED_EVENTS:,} needed, {evidence.asked:,} events compared"
        return Gate(name="latency", state="wait", sentence=sentence)
    mine, other = (t.seconds / t.events * 1e6 for t in (ours, theirs))
    state: State = "fail" if mine > gates.max_latency_ratio * other else "pass"
    sentence = f"{mine:.1f} us per event against {other:.1f}, {mine / other:.2f} times"
    return Gate(name="latency", state=state, sentence=f"{sentence} (at most {gates.max_latency_ratio:g})")


def _agreement(evidence: Evidence, gates: GatesSpec) -> Iterator[Gate]:
    if gates.min_agreement == 0:
        return
    both, share = evidence.sums.comparison.both, evidence.agreement
    if share is None or both < gates.min_events:
        yield Gate(name="agreement", state="wait", sentence=f"{both:,} pairs of {gates.min_events:,} needed")
        return
    state: State = "pass" if share >= gates.min_agreement else "fail"
    sentence = f"the same label in {share:.2%} of {both:,} pairs (at least {gates.min_agreement:.2%})"
    yield Gate(name="agreement", state=state, sentence=sentence)


def _quality(measured: Measured, evidence: Evidence, gates: GatesSpec, metric: str) -> Gate:
    """Hold the whole interval against the margin: above it passes, below it fails, across it waits."""
    goal = gates.margin if gates.rule == "superior" else -gates.margin
    pairs = evidence.sums.judged.pairs
    shown = "better by more than" if gates.rule == "superior" else "no worse than by"
    wanted = f"must be shown to be {shown} {gates.margin:g}"
    state: State = "wait"
    if pairs < gates.min_labels:
        wanted = f"{pairs:,} labels of the {gates.min_labels:,} needed"
    elif measured.interval.below(goal):
        state = "fail"
    elif measured.interval.above(goal):
        state = "pass"
    return Gate(name=metric, state=state, sentence=f"{measured.sentence}; {wanted}")


def _quality_held(measured: Measured, gates: GatesSpec, metric: str) -> Gate:
    """Fail when the old champion is shown to be better by more than is tolerated.

    An exact interval may say so from the first label on: going back is the safe direction.
    """
    interval, margin = measured.interval, gates.tolerated_in_probation
    state: State = "wait" if interval.n < gates.min_labels else "pass"
    if interval.above(margin) and (interval.exact or state == "pass"):
        state = "fail"
    who = "the old champion is " if interval.n else ""
    sentence = f"{who}{measured.sentence}; must not be shown better by more than {margin:g}"
    return Gate(name=metric, state=state, sentence=sentence)


def _answers(evidence: Evidence, gates: GatesSpec) -> Gate:
    """Fail when the new champion does not answer at all: it hangs or crashes inference, or cannot be loaded.

    No event is compared then, so that no other gate would ever turn.
    """
    state: State = "fail"
    if evidence.waiting_seconds > gates.answer_within:
        sentence = f"no champion has answered for {evidence.waiting_seconds:,.0f} s"
    elif evidence.superseded_seconds > gates.answer_within:
        late = f"{evidence.superseded_seconds:,.0f} s after the promotion"
        sentence = f"{evidence.pair.candidate} still answered {late} ({evidence.superseded:,} events)"
    else:
        state = "pass"
        sentence = "the new champion answers" if evidence.asked else "no events yet"
    limit = f"at most {gates.answer_within:,} s" if state == "fail" else f"within {gates.answer_within:,} s"
    return Gate(name="answers", state=state, sentence=f"{sentence} ({limit})")


def _probation_time(evidence: Evidence, gates: GatesSpec) -> Gate:
    over = evidence.seconds >= gates.probation
    sentence = f"{evidence.seconds:,.0f} s of event time in whole windows since the promotion"
    sentence += f", of {gates.probation:,}"
    return Gate(name="probation", state="pass" if over else "wait", sentence=sentence)
