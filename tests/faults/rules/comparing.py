"""The shadow service: pairs joined by source, each counted once; and judged once beside the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from shared.messages import Labelled, Prediction, ShadowReport
from tests.faults.rules.found import Found, compare, differing
from tests.faults.rules.scoring import every_shadow_score_is_the_candidates
from tests.faults.traffic import CANDIDATE

GAVE_NO_ANSWER = ("Timeout", "Crash", "Unavailable")
"""What a report calls an event to which the candidate, stopped by somebody, has no answer."""

KINDS = ("both", "champion_only", "candidate_only", "neither", "canary")


def comparing(found: Found, *, lost_sight: bool = False) -> list[str]:
    """Return what the shadow service has done wrong.

    Parameters
    ----------
    lost_sight
        Whether the registry had forgotten the candidate for a while: nobody then asked it, and nothing
        in the topics says when.
    """
    reports = [r for r in found.reports(ShadowReport) if r.source_topic == found.topics.events]
    counts: Counter[str] = Counter()
    flips: Counter[tuple[str, str]] = Counter()
    for report in reports:
        counts.update({kind: getattr(report.comparison, kind) for kind in KINDS})
        counts["agreed"] += report.comparison.agreed
        counts["repeated"] += report.repeated
        for before, after in report.comparison.flips.items():
            flips.update({(before, to): n for to, n in after.items()})
    difference = sum(report.comparison.difference.total for report in reports)
    expected, expected_flips, expected_difference = _expected(found)
    if lost_sight:
        for kind in ("champion_only", "neither"):
            counts.pop(kind, None)
            expected.pop(kind, None)
    problems = differing("shadow reports", +counts, +expected)
    problems += differing("shadow reports, flips", flips, expected_flips)
    if abs(difference - expected_difference) > 1e-8 * max(1, expected["both"]):
        problems.append(f"shadow reports: scores differ by {difference}, it should be {expected_difference}")
    return problems + _shadow_predictions(found, reports, lost_sight=lost_sight)


def _expected(found: Found) -> tuple[Counter[str], Counter[tuple[str, str]], float]:
    """Join events, predictions and shadow predictions by their offsets."""
    counts: Counter[str] = Counter()
    flips: Counter[tuple[str, str]] = Counter()
    difference = 0.0
    theirs, ours = (_by_offset(found, t) for t in (found.topics.predictions, found.topics.shadow_predictions))
    for partition, records in found.events.items():
        for record in records:
            a = theirs[partition].get(record.offset)
            b = ours[partition].get(record.offset)
            if a is None or b is None:
                counts["neither" if a is b else "candidate_only" if a is None else "champion_only"] += 1
                continue
            counts["both"] += 1
            difference += b.score - a.score
            if a.label == b.label:
                counts["agreed"] += 1
            else:
                flips[str(a.label), str(b.label)] += 1
    return counts, flips, difference


def _by_offset(found: Found, topic: str) -> dict[int, dict[int, Prediction]]:
    return {p: {one.source.offset: one for one in made} for p, made in found.predictions(topic).items()}


def _shadow_predictions(found: Found, reports: Sequence[ShadowReport], *, lost_sight: bool) -> list[str]:
    """They are the good events in order, none twice, each with the candidate's score.

    None is missing but those that the reports say the candidate gave no answer to.
    """
    problems, missing = every_shadow_score_is_the_candidates(found), 0
    for partition, made in found.predictions(found.topics.shadow_predictions).items():
        good, answered = found.offsets(partition, bad=False), [p.source.offset for p in made]
        missing += len(set(good) - set(answered))
        compared = compare(f"shadow-predictions[{partition}]", good, answered)
        problems += [problem for problem in compared if " lost" not in problem]
    owned = sum(report.errors.get(why, 0) for report in reports for why in GAVE_NO_ANSWER)
    if missing != owned and not lost_sight:
        problems.append(
            f"shadow-predictions: {missing} lost, of which the reports own to {owned} without an answer"
        )
    return problems


def judging(found: Found) -> list[str]:
    """Return what is wrong in the comparison beside the truth, recomputed from ``labelled``."""
    last: dict[str, Labelled] = {}
    for told in found.all(found.topics.labelled, Labelled):
        last[told.event_id] = told
    expected: Counter[str] = Counter()
    for told in last.values():
        by_version = {answer.model_version: answer.score for answer in told.answers}
        champion = next((a.score for a in told.answers if not a.shadow), None)
        if champion is None or CANDIDATE not in by_version:
            continue
        truth = 1.0 if told.truth == "yes" else 0.0
        ours, theirs = abs(by_version[CANDIDATE] - truth), abs(champion - truth)
        expected["pairs"] += 1
        expected["wins" if ours < theirs else "losses" if ours > theirs else "ties"] += 1
    found_: Counter[str] = Counter()
    for report in found.reports(ShadowReport):
        if report.source_topic == found.topics.labelled:
            for name in ("pairs", "wins", "losses", "ties"):
                found_[name] += getattr(report.judged, name)
    return differing("shadow reports beside the truth", +found_, +expected)
