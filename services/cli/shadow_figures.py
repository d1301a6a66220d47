"""The figures of a comparison as rows of text: for the terminal and for the page."""

from __future__ import annotations

from typing import Final

from services.cli.printing import moment
from services.cli.shadow_answers import Answers
from services.cli.shadow_reading import Compared
from shared.bundle.gates import Metric
from shared.messages import DecisionReport, Timing
from shared.promotion.evidence import Evidence, Sums
from shared.promotion.measure import UNITS, Measured, measure, measure_pairs
from shared.promotion.merging import added
from shared.promotion.segments import segment_count
from shared.registry.records import printable
from shared.sequential import BinnedScores, auc

METRICS: Final[dict[str, tuple[Metric, ...]]] = {
    "binary": ("brier", "log_loss", "accuracy", "win_rate", "auc"),
    "multiclass": ("brier", "log_loss", "accuracy", "win_rate"),
    "regression": ("relative_error", "win_rate"),
}


def decision_row(decision: DecisionReport) -> tuple[str, ...]:
    """Return a decision as cells."""
    what = decision.decision if decision.percent is None else f"{decision.decision} {decision.percent:g} %"
    when = moment(decision.written_at)
    return when, what, decision.model_version, decision.who, printable(decision.reason)


def facts(one: Compared) -> list[tuple[str, str]]:
    """Return the figures of a comparison, name and text."""
    evidence, sums, answers = one.evidence, one.evidence.sums, one.answers
    c = sums.comparison
    found = [
        ("compared", f"{c.both:,} pairs, event time {moment(evidence.since)} to {moment(evidence.until)}")
    ]
    if evidence.asked == 0:
        return [("compared", "nothing yet")]
    if not evidence.complete:
        found.append(("incomplete", "it began earlier: the reports topic has forgotten what came before"))
    if evidence.agreement is not None and one.spec.task != "regression":
        flips = "; ".join(f"{a} -> {b}: {n:,}" for a, row in c.flips.items() for b, n in sorted(row.items()))
        found.append(("agreement", f"{evidence.agreement:.2%}" + (f"; {flips}" if flips else "")))
    if answers.score_difference is not None:
        found.append(("score", _score_text(answers)))
    unpaired = [
        (c.champion_only, "champion only"),
        (c.candidate_only, "candidate only"),
        (c.neither, "neither"),
    ]
    unpaired += [(c.canary, "answered as canary"), (sums.repeated, "repeated"), (sums.late, "late")]
    text = ", ".join(f"{n:,} {what}" for n, what in unpaired if n)
    found.append(("unpaired", text or "none"))
    found.append(("errors", _errors_text(evidence, answers)))
    if sums.errors:
        found.append(("no answer", ", ".join(f"{n:,} {name}" for name, n in sorted(sums.errors.items()))))
    found.append(
        ("time/event", f"champion {_time(sums.champion_timing)}, candidate {_time(sums.candidate_timing)}")
    )
    found += _latency_rows(answers)
    if evidence.win_rate is not None:
        j = sums.judged
        found.append(
            ("win rate", f"{evidence.win_rate:.2%} ({j.wins:,} wins, {j.losses:,} losses, {j.ties:,} ties)")
        )
    if evidence.trouble:
        found.append(("trouble", printable(evidence.trouble)))
    return found


def _errors_text(evidence: Evidence, answers: Answers) -> str:
    """Return how often each of the two gave no answer, of the events that both were asked about."""
    if answers.champion_error_rate is None or answers.candidate_error_rate is None:
        return "nothing but canary answers yet"
    c = evidence.sums.comparison
    champion, candidate = c.candidate_only + c.neither, c.champion_only + c.neither
    return (
        f"champion {answers.champion_error_rate:.2%} ({champion:,}), "
        f"candidate {answers.candidate_error_rate:.2%} ({candidate:,})"
    )


def _latency_rows(answers: Answers) -> list[tuple[str, str]]:
    """Return the time from an event's append to each answer; the shadow runs behind, and may."""
    both = (("champion", answers.champion_latency), ("candidate", answers.candidate_latency))
    texts = [f"{who} p50 {o.p50 * 1e3:.0f} ms, p99 {o.p99 * 1e3:.0f} ms" for who, o in both if o is not None]
    if not texts:
        return []
    return [("latency", f"{'; '.join(texts)} (from append to answer; the shadow runs behind)")]


def _score_text(answers: Answers) -> str:
    d = answers.score_difference
    assert d is not None
    text = f"candidate minus champion {d.mean:+.4f} on average, standard deviation {d.deviation:.4f}"
    if d.quantiles:
        text += f", 90 % between {d.quantiles['0.05']:+.3f} and {d.quantiles['0.95']:+.3f}"
    shift = answers.population_stability_index
    return text if shift is None else f"{text}; population stability index {shift:.4f}"


def _time(timing: Timing) -> str:
    return f"{timing.seconds / timing.events * 1e6:.1f} us" if timing.events else "not timed"


def metric_rows(one: Compared) -> list[tuple[str, ...]]:
    """Return one row per metric."""
    if one.evidence.sums.judged.pairs == 0:
        return []
    rows: list[tuple[str, ...]] = []
    for metric in METRICS[one.spec.task]:
        alpha = one.gates.alpha if one.gates else 0.05
        measured = measure(one.evidence, metric, alpha)
        champion, candidate = arms(one.evidence, metric)
        marked = UNITS[metric] + ("" if measured.interval.exact else " (asymptotic)")
        marked += " *" if metric == one.metric else ""
        rows.append((marked, champion, candidate, *_interval_cells(measured), f"{measured.interval.n:,}"))
    return rows


def arms(evidence: Evidence, metric: Metric) -> tuple[str, str]:
    """Return what each of the two reaches on its own, as text."""
    judged, ranking = evidence.sums.judged, evidence.sums.ranking
    if metric == "win_rate":
        return f"{judged.losses:,} wins", f"{judged.wins:,} wins"
    if metric == "auc":
        areas = (
            auc(BinnedScores(ranking.champion_positive, ranking.champion_negative)),
            auc(BinnedScores(ranking.candidate_positive, ranking.candidate_negative)),
        )
        return f"{areas[0]:.4f}", f"{areas[1]:.4f}"
    name = {"accuracy": "correct", "relative_error": "absolute_error"}.get(metric, metric)
    one, other = (getattr(quality, name) / judged.pairs for quality in (judged.champion, judged.candidate))
    return f"{one:.4f}", f"{other:.4f}"


def _interval_cells(measured: Measured) -> tuple[str, str, str]:
    i = measured.interval
    return f"{i.estimate:+.4f}", f"{i.lower:+.4f}", f"{i.upper:+.4f}"


def segment_metric(one: Compared) -> Metric:
    """Return the metric by which segments are compared: an area needs more labels than they have."""
    return "brier" if one.metric in ("auc", "none") and one.spec.task != "regression" else one.metric


def segment_measures(one: Compared) -> list[tuple[str, str, Measured]]:
    """Return feature, value and advantage of every segment with labels, the worst in front."""
    metric = segment_metric(one)
    if metric == "none":
        return []
    alpha = (one.gates.alpha / segment_count(one.spec, one.gates)) if one.gates else 0.05
    found = [
        (feature, value, measure_pairs(segment.judged, metric, alpha))
        for feature, values in one.evidence.sums.segments.items()
        for value, segment in values.items()
        if segment.judged.pairs > 0
    ]
    return sorted(found, key=lambda row: row[2].interval.estimate)


def segment_rows(one: Compared) -> list[tuple[str, ...]]:
    """Return one row per segment with labels, the worst in front."""
    rows: list[tuple[str, ...]] = []
    for feature, value, measured in segment_measures(one):
        j = one.evidence.sums.segments[feature][value].judged
        wins = f"{j.wins / (j.wins + j.losses):.1%}" if j.wins + j.losses else "-"
        name = printable(f"{feature}={value}")
        rows.append((name, f"{j.pairs:,}", wins, *_interval_cells(measured)))
    return rows


def segment_answers(one: Compared) -> list[tuple[str, str, Answers]]:
    """Return feature, value and figures of every segment that both were asked about, the largest in front."""
    sums = one.evidence.sums
    found = [
        (feature, value, Answers.of_segment(segment, sums))
        for feature, values in sums.segments.items()
        for value, segment in values.items()
    ]
    return sorted((row for row in found if row[2].asked), key=lambda row: (row[0], -row[2].asked, row[1]))


def window_answers(one: Compared) -> list[tuple[int, int, Answers]]:
    """Return start, end and figures of every window of the events' time, the oldest in front."""
    merged: dict[tuple[int, int], Sums] = {}
    for (_, _, start, end), sums in one.series.answers.items():
        merged[start, end] = added(merged.get((start, end), Sums()), sums)
    return [(*window, Answers.of(merged[window])) for window in sorted(merged)]


def example_rows(evidence: Evidence) -> list[tuple[str, ...]]:
    """Return the events on which the two differ most."""
    return [
        (
            printable(example.event_id),
            f"{example.champion_score:.3f}",
            f"{example.candidate_score:.3f}",
            " / ".join(filter(None, (example.champion_label, example.candidate_label))) or "-",
            printable(", ".join(f"{k}={v}" for k, v in (example.segments or {}).items())) or "-",
        )
        for example in evidence.examples
    ]
