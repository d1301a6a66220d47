"""Gauges from the shadow's reports: does the candidate agree, and who is right when labels come."""

from __future__ import annotations

from collections import Counter

from services.alerting.exposition.gauges import Gauges, ratio
from services.alerting.exposition.histograms import merged, percentile
from shared.messages import ShadowReport


def put_shadow(gauges: Gauges, windows: list[list[ShadowReport]]) -> None:
    """Put the figures of one comparison, from the reports of one source topic.

    Of a candidate that was set again only the newest comparison is shown; it comes first.
    Agreement is of the two newest windows. Labels are rare and come late, so what they say is of every
    window kept (about 200).
    """
    first = windows[0][0]
    labels = {
        "model": first.model,
        "candidate": first.model_version,
        "champion": first.champion_version,
    }
    recent = [report for window in windows[:2] for report in window]
    known = (
        gauges.first("driftline_shadow_pairs", **labels),
        gauges.first("driftline_shadow_judged_pairs", **labels),
    )
    if known[0] is None and any(asked(report) for report in recent):
        _put_comparison(gauges, recent, labels)
    judged = [report for window in windows for report in window if report.judged.pairs]
    if known[1] is None and judged:
        _put_judged(gauges, judged, labels)


def asked(report: ShadowReport) -> int:
    """Return how many events the candidate was asked about."""
    counts = report.comparison
    return counts.both + counts.champion_only + counts.candidate_only + counts.neither


def _put_comparison(gauges: Gauges, reports: list[ShadowReport], labels: dict[str, str]) -> None:
    both = sum(report.comparison.both for report in reports)
    gauges.put("driftline_shadow_pairs", "Events both answered, in the two newest windows", both, **labels)
    gauges.put(
        "driftline_shadow_agreement_ratio",
        "Share of those pairs with the same decision (no decision in a regression: 0)",
        ratio(sum(report.comparison.agreed for report in reports), both),
        **labels,
    )
    gauges.put(
        "driftline_shadow_score_difference_mean",
        "Mean of the candidate's score minus the champion's",
        ratio(sum(report.comparison.difference.total for report in reports), both),
        **labels,
    )
    gauges.put(
        "driftline_shadow_failure_ratio",
        "Share of the events asked about that the champion answered and the candidate did not",
        ratio(
            sum(report.comparison.champion_only for report in reports),
            sum(asked(report) for report in reports),
        ),
        **labels,
    )
    gauges.put(
        "driftline_shadow_trouble",
        "1 while something is wrong with the candidate",
        any(report.trouble for report in reports),
        **labels,
    )
    errors: Counter[str] = Counter()
    for report in reports:
        errors.update(report.errors)
    for reason, count in sorted(errors.items()):
        gauges.put(
            "driftline_shadow_errors",
            "Events without an answer of the candidate, by error class",
            count,
            **labels,
            reason=reason,
        )
    for role in ("champion", "candidate"):
        timings = [getattr(report, f"{role}_timing") for report in reports]
        gauges.put(
            "driftline_shadow_model_seconds",
            "Time the model itself takes per event",
            ratio(sum(t.seconds for t in timings), sum(t.events for t in timings)),
            **labels,
            role=role,
        )
        scores = merged(getattr(report, f"{role}_scores") for report in reports)
        gauges.put(
            "driftline_shadow_score_median",
            "Median score of the pairs",
            percentile(scores, 50),
            **labels,
            role=role,
        )


def _put_judged(gauges: Gauges, reports: list[ShadowReport], labels: dict[str, str]) -> None:
    judged = [report.judged for report in reports]
    pairs = sum(part.pairs for part in judged)
    wins, losses = sum(part.wins for part in judged), sum(part.losses for part in judged)
    gauges.put("driftline_shadow_judged_pairs", "Pairs with a label", pairs, **labels)
    gauges.put(
        "driftline_shadow_win_ratio",
        "Share of the judged pairs that are no tie in which the candidate was closer to the truth",
        ratio(wins, wins + losses),
        **labels,
    )
    for name, documentation in (
        ("log_loss", "Mean log loss over the judged pairs"),
        ("brier", "Mean Brier score over the judged pairs"),
        ("correct", "Share of the judged pairs whose decision was right"),
        ("absolute_error", "Mean absolute error over the judged pairs (regression)"),
    ):
        for role in ("champion", "candidate"):
            gauges.put(
                f"driftline_shadow_{'accuracy_ratio' if name == 'correct' else name}",
                documentation,
                ratio(sum(getattr(getattr(part, role), name) for part in judged), pairs),
                **labels,
                role=role,
            )
