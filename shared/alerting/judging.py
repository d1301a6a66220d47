"""Whether one rule holds for one thing: its figure in the newest window that says enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from shared.alerting.conditions import Condition
from shared.alerting.states import Memory
from shared.alerting.vocabulary import Part

MOST_POINTS: Final = 200
"""Points remembered for one rate."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found in one thing.

    Attributes
    ----------
    breached
        Whether the figure is beyond the threshold.
    window
        Start of the window it is from; of a service when the report was written; of an absence when
        anything was last heard.
    value
        The figure as it was judged: a rate, or the share of the baseline, where the rule says so.
    baseline
        The median that it was divided by.
    figures, notes
        Everything else that is known of the thing there.
    """

    breached: bool
    window: int
    value: float
    baseline: float | None
    figures: dict[str, float]
    notes: dict[str, str]


def judge(
    condition: Condition,
    windows: Sequence[tuple[int, Part]],
    memory: Memory,
    written_at: int,
    others: Sequence[Memory] = (),
) -> Finding | None:
    """Return what the rule finds, ``None`` where nothing says enough: what was found before stands.

    Parameters
    ----------
    windows
        The thing's merged part by window, the newest first.
    memory
        The rule's own, of this thing; changed in place.
    written_at
        When the report was written that made us look.
    others
        What is remembered of the same thing as other processes saw it: what it grew by there is added.
    """
    if condition.absent is not None:
        heard = _heard(condition, windows[0][1], memory, written_at)
        return Finding(False, heard, 0.0, None, {}, {})
    if condition.rule.relative_to is not None:
        return _relative(condition, windows, memory)
    for window, part in windows:
        figures = condition.vocabulary.values(part)
        value = _value(condition, figures)
        if value is None:
            continue
        at = window or written_at
        if condition.rate_over is not None:
            rate = _rate(condition, memory, written_at, value, others)
            if rate is None:
                return None
            value = rate
        return Finding(condition.breached(value), at, value, None, figures, part.notes)
    return None


def _value(condition: Condition, figures: dict[str, float]) -> float | None:
    """Return the rule's figure, ``None`` where it is not known or too little was counted."""
    if condition.rule.min_count:
        count = figures.get(condition.rule.count or condition.vocabulary.count)
        if count is None or count < condition.rule.min_count:
            return None
    assert condition.formula is not None
    value = condition.formula(figures)
    return None if value is None or value != value else value  # noqa: PLR0124 - NaN


def _heard(condition: Condition, part: Part, memory: Memory, at: int) -> int:
    """Return when anything was last heard: of a topic, when a record of it was read."""
    if not condition.vocabulary.shared:
        return at
    count = part.peaks["consumed"]
    if not memory.points or count > memory.points[-1][1] or (count and count < memory.points[-1][1]):
        memory.points = [(at, count)]
    return memory.points[-1][0]


def _rate(
    condition: Condition, memory: Memory, at: int, value: float, others: Sequence[Memory]
) -> float | None:
    """Return the growth per second over the rule's time; ``None`` at the first point.

    Also ``None`` while less than that time is known, where the rule is for too little growth. A figure that
    has become smaller began anew: what it counted since is all that is known.
    """
    over = condition.rate_over
    assert over is not None
    points = memory.points
    if points and at <= points[-1][0]:
        points = [point for point in points if point[0] < at]  # the same report once more
    if points and value < points[-1][1]:
        points = [(points[-1][0], 0.0)]
    points = [*points, (at, value)]
    while len(points) > 2 and points[1][0] <= at - over:
        points = points[1:]
    if len(points) > MOST_POINTS:
        points = [*points[:-1:2], points[-1]]
    memory.points = points
    (first, before), (last, now) = points[0], points[-1]
    known = min([first, *(other.points[0][0] for other in others)])
    if last <= first or (condition.rule.below is not None and known > at - over):
        return None
    growth = (now - before) / max(last - first, over)
    return 1000 * (growth + sum(_growth(other.points, at - over) for other in others) / over)


def _growth(points: Sequence[tuple[int, float]], since: int) -> float:
    """Return what a count grew by since then, as far as is known."""
    before = [value for at, value in points if at <= since]
    return points[-1][1] - (before[-1] if before else points[0][1])


def _relative(condition: Condition, windows: Sequence[tuple[int, Part]], memory: Memory) -> Finding | None:
    """Judge the newest window by the median of those before it in which the rule did not hold."""
    baseline = condition.rule.relative_to
    assert baseline is not None
    past = dict(memory.points)
    finding = None
    for window, part in reversed(windows):
        figures = condition.vocabulary.values(part)
        value = _value(condition, figures)
        if value is None:
            continue
        before = [known for start, known in sorted(past.items()) if start < window][-baseline.windows :]
        past[window] = value
        finding = None
        if len(before) >= baseline.at_least and (usual := median(before)):
            share = value / usual
            finding = Finding(condition.breached(share), window, share, usual, figures, part.notes)
            if finding.breached:
                del past[window]  # what is wrong must not become what is usual
    memory.points = sorted(past.items())[-(baseline.windows + len(windows)) :]
    return finding
