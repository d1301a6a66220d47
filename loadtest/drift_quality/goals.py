"""Whether the promises hold: each figure beside its goal, and whether it could have shown the contrary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, Literal

from scipy.special import gammainccinv, pdtrc

from loadtest.drift_quality.delay_cells import Delays
from loadtest.report import Report
from loadtest.summary import markdown

MOST_RATIO: Final = 1.5
"""Of our mean delay to that of the CUSUM that knows the law."""
LEAST_GAIN: Final = 3.0
"""Of River's best error detector's delay to ours, on labels."""
MOST_EXCESS: Final = 3.0
"""A count that would not have shown so many times the budget proves nothing."""
_SURE: Final = 0.05

Verdict = Literal["met", "not met", "cannot be told"]


@dataclass(frozen=True, slots=True)
class Goal:
    """One promise.

    Attributes
    ----------
    what, found, goal
        For a person.
    """

    what: str
    found: str
    goal: str
    verdict: Verdict


def alarms_goal(what: str, alarms: int, allowed: float) -> Goal:
    """Return whether so many false alarms keep a budget, as counts of Poisson go (95 %).

    Examples
    --------
    >>> alarms_goal("stationary", 1, 2.5).verdict, alarms_goal("stationary", 9, 2.5).verdict
    ('met', 'not met')
    >>> few = alarms_goal("stationary", 0, 0.1)                  # thirty times the budget would look the same
    >>> few.verdict, few.found
    ('cannot be told', '0 of 0.1 allowed, at most 30 times the budget')
    """
    most = float(gammainccinv(alarms + 1, _SURE)) / allowed
    found = f"{alarms} of {allowed:.3g} allowed, at most {most:.2g} times the budget"
    verdict: Verdict = "met"
    if alarms and pdtrc(alarms - 1, allowed) < _SURE:
        verdict = "not met"
    elif most > MOST_EXCESS:
        verdict = "cannot be told"
    return Goal(what, found, "no more than the budget", verdict)


def ratio_goal(change: str, ratio: float | None, missed: int) -> Goal:
    """Return whether a change is found soon enough, and always."""
    found = "never" if ratio is None else f"{ratio:.2f}" + (f", {missed} missed" if missed else "")
    kept = ratio is not None and ratio <= MOST_RATIO and not missed
    goal = f"{MOST_RATIO:g} times the knowing CUSUM's, none missed"
    return Goal(f"delay, {change}", found, goal, "met" if kept else "not met")


def gain_goal(concept: str, gain: float) -> Goal:
    """Return whether a concept drift is found so much sooner than by the best of River."""
    found = f"{gain:.1f} times sooner" if gain < float("inf") else "River missed it"
    kept = gain >= LEAST_GAIN
    return Goal(f"labels, {concept}", found, f"{LEAST_GAIN:g} times sooner than River's best", _verdict(kept))


def _verdict(kept: bool) -> Verdict:
    return "met" if kept else "not met"


def tabulate_goals(
    report: Report,
    alarms: Mapping[str, tuple[int, float]],
    ratios: Mapping[str, float | None],
    ours: Mapping[str, Delays],
    gains: Mapping[str, float],
) -> None:
    """Add the table of goals.

    Parameters
    ----------
    alarms
        False alarms and how many are allowed, by what they were counted on.
    ratios, ours
        By change: ratio to the knowing CUSUM, and our delays.
    gains
        By concept drift: how many times sooner than River's best.
    """
    goals = [alarms_goal(f"false alarms, {what}", *counted) for what, counted in alarms.items()]
    goals += [ratio_goal(name, ratio, ours[name].count(None)) for name, ratio in ratios.items()]
    goals += [gain_goal(name, gain) for name, gain in gains.items()]
    rows = [(one.what, one.found, one.goal, one.verdict) for one in goals]
    unmet = sum(one.verdict == "not met" for one in goals)
    report.text += [
        f"Goals: {unmet} of {len(goals)} not met. Of a count of alarms a bound (95 %) says how many times "
        "the budget it could mean:",
        markdown(["what", "found", "goal", ""], rows),
    ]
    report.figures["goals"] = [asdict(one) for one in goals]
