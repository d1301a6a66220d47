"""The gates: what the reports say, held against what ``model.toml`` asks. Pure; one sentence each."""

from __future__ import annotations

from collections.abc import Iterator

from shared.bundle.gates import GatesSpec, metric_of
from shared.bundle.spec import ModelSpec
from shared.messages import Timing
from shared.promotion.evidence import Evidence
from shared.promotion.measure import Measured, measure
from shared.promotion.segments import guarded_segments
from shared.promotion.serving import CanaryNow
from shared.promotion.verdict import Gate, State, Verdict
from shared.sequential import PairedSums, difference

SLOW_WINDOWS = 3
"""A candidate fails for its time when it was too slow in so many windows, and in most of them: one busy
hour of a machine says nothing about a model."""

TIMED_IN_WINDOW = 50
"""Timed events that a window needs to be counted for or against it."""

TIMED_EVENTS = 500
"""Below this the ratio of two times says more about the machine than about the models. The shadow times
one event in eight, up to 500 a second."""


def judge_candidate(
    evidence: Evidence, spec: ModelSpec, gates: GatesSpec, canary: CanaryNow | None = None
) -> Verdict:
    """Return what the gates say about a candidate that wants to be champion.

    Parameters
    ----------
    evidence
        The candidate against the present champion.
    spec
        The champion's contract: its task and the values of its segments.
    gates
        The gates in force.
    canary
        The share of the traffic that it is to answer now.
    """
    found = [_events(evidence, gates), _candidate_errors(evidence, gates), _latency(evidence, gates)]
    found += _canary(evidence, gates, canary)
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
        why = f": {evidence.trouble}" if evidence.trouble else ""
        return Gate(name=gate.name, state=gate.state, sentence=f"{gate.sentence} ({classes}{why})")
    return gate


def _champion_errors(evidence: Evidence, gates: GatesSpec) -> Gate:
    return _errors(evidence.sums.comparison.candidate_only, evidence.asked, gates, "the new champion")


def _errors(failed: int, asked: int, gates: GatesSpec, who: str) -> Gate:
    """Fail when more are shown to fail than may, and good answers up to ``min_events`` cannot mend it."""
    share = gates.max_error_rate
    state: State = "wait"
    if failed > share * max(asked, gates.min_events) and shown_above(failed, asked, share, gates.alpha):
        state = "fail"
    elif asked >= gates.min_events and failed <= share * asked:
        state = "pass"
    sentence = "no events yet"
    if asked:
        found = f"{failed / asked:.2%}; at most {share:.2%}"
        sentence = f"{who} failed on {failed:,} of {asked:,} events ({found})"
    return Gate(name="errors", state=state, sentence=sentence)


def shown_above(hits: int, n: int, share: float, alpha: float) -> bool:
    """Return whether it is shown that more than a share of events are hits.

    By the same confidence sequence as the differences of two models: it may be looked at after every
    event, and the chance of ever being wrong about a rate within the limit stays at or below ``alpha``.

    Examples
    --------
    >>> shown_above(11, 10_000, 0.001, 0.05), shown_above(60, 10_000, 0.001, 0.05)
    (False, True)
    """
    if share == 0:
        return hits > 0
    sums = PairedSums(n, hits - share * n, hits * (1 - share) ** 2 + (n - hits) * share**2)
    return difference(sums, 1.0, alpha).above(0.0)


def _latency(evidence: Evidence, gates: GatesSpec, *, champion: bool = False) -> Gate:
    sums, limit = evidence.sums, gates.max_latency_ratio
    theirs, ours = _sides((sums.champion_timing, sums.candidate_timing), champion=champion)
    timed = min(ours.events, theirs.events)
    if timed < TIMED_EVENTS or evidence.asked < gates.min_events or theirs.seconds <= 0:
        sentence = f"{timed:,} events timed of {TIMED_EVENTS:,} needed, {evidence.asked:,} events compared"
        return Gate(name="latency", state="wait", sentence=sentence)
    mine, other = (t.seconds / t.events * 1e6 for t in (ours, theirs))
    state: State = "pass"
    sentence = f"{mine:.1f} us per event against {other:.1f}, {mine / other:.2f} times (at most {limit:g})"
    if mine > limit * other:
        windows = [_sides(both, champion=champion) for both in evidence.timed.values()]
        enough = [both for both in windows if min(t.events for t in both) >= TIMED_IN_WINDOW]
        slow = sum(_ratio(*both) > limit for both in enough)
        state = "fail" if slow >= SLOW_WINDOWS and 2 * slow > len(enough) else "wait"
        sentence += f", too slow in {slow:,} of {len(enough):,} windows"
        if state == "wait":
            sentence += f": {SLOW_WINDOWS} and most of them decide"
    return Gate(name="latency", state=state, sentence=sentence)


def _sides(both: tuple[Timing, Timing], *, champion: bool) -> tuple[Timing, Timing]:
    """Return what the other one spent, and the one that is judged: the champion in its probation."""
    return (both[1], both[0]) if champion else both


def _ratio(theirs: Timing, ours: Timing) -> float:
    if theirs.seconds <= 0:
        return 0.0
    return (ours.seconds / ours.events) / (theirs.seconds / theirs.events)


def _canary(evidence: Evidence, gates: GatesSpec, canary: CanaryNow | None) -> Iterator[Gate]:
    """Judge what the candidate does with the traffic that it is given: live, not in the shadow.

    Fail when it could not answer, when inference cannot load it, and when nobody answers any more.
    """
    answered, failed = evidence.sums.comparison.canary, evidence.sums.fallbacks
    tried, share, limit = answered + failed, gates.max_error_rate, gates.answer_within
    if tried == 0 and canary is None:
        return
    state: State = "wait"
    if tried and failed <= share * tried:
        state = "pass"
    if shown_above(failed, tried, share, gates.alpha):
        state = "fail"
    found = f"{failed / tried:.2%}; at most {share:.2%}" if tried else ""
    sentence = f"could not answer {failed:,} of its {tried:,} events ({found})"
    if canary is not None and tried == 0:
        sentence = f"none of its {canary.percent:g} % of the traffic has been answered yet"
    missing = canary.not_loaded if canary is not None else None
    if missing is not None:
        state = "fail" if state == "fail" or missing.seconds > limit else "wait"
        long = f"for {missing.seconds:,.0f} s ({missing.instance}; at most {limit:,} s)"
        sentence += f"; inference cannot load it {long}: {missing.why}"
    elif canary is not None and evidence.waiting_seconds > limit:
        state = "fail"
        sentence += f"; nobody has answered for {evidence.waiting_seconds:,.0f} s (at most {limit:,} s)"
    yield Gate(name="canary", state=state, sentence=sentence)


def _agreement(evidence: Evidence, gates: GatesSpec) -> Iterator[Gate]:
    if gates.min_agreement == 0:
        return
    c, share = evidence.sums.comparison, evidence.agreement
    if share is None or c.both < gates.min_events:
        yield Gate(
            name="agreement", state="wait", sentence=f"{c.both:,} pairs of {gates.min_events:,} needed"
        )
        return
    sentence = f"the same label in {share:.2%} of {c.both:,} pairs (at least {gates.min_agreement:.2%})"
    state: State = "pass"
    if share < gates.min_agreement:
        shown = shown_above(c.both - c.agreed, c.both, 1 - gates.min_agreement, gates.alpha)
        state = "fail" if shown else "wait"
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
