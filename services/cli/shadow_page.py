"""What the shadow found as one HTML file: gates, figures and plots."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from services.cli.page import COLOURS, Page, new_figure
from services.cli.shadow_answers import BOTH, COLUMNS, Answers, cells
from services.cli.shadow_figures import (
    decision_row,
    example_rows,
    facts,
    metric_rows,
    segment_answers,
    segment_measures,
    segment_rows,
    window_answers,
)
from services.cli.shadow_reading import Compared, Shadow
from services.cli.shadow_view import SEGMENT_COLUMNS, headline, outcome
from shared.messages import Histogram
from shared.promotion.measure import UNITS
from shared.sequential import LOSS_BOUNDS, PairedSums, difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOODS = {"pass": "good", "fail": "bad", "wait": ""}
SEGMENTS_DRAWN = 24


def shadow_page(shadow: Shadow, compared: Sequence[Compared]) -> Page:
    """Return the page of a model's comparisons."""
    champion = shadow.standing.pointers.champion or "none"
    page = Page(f"Shadow of {shadow.model}", lead=f"Champion {champion}. Advantages are the candidate's.")
    for one in compared:
        _comparison(page, one)
    if not compared:
        page.text("Nothing is compared, and no report says that anything ever was.")
    if shadow.decisions:
        page.heading("Decided by the gates")
        page.table(("When", "Decision", "Version", "By", "Why"), [decision_row(d) for d in shadow.decisions])
    return page


def _comparison(page: Page, one: Compared) -> None:
    page.heading(headline(one))
    page.text(outcome(one).replace("`", ""), mood=_mood(one))
    if one.verdict is not None:
        gates = [(gate.name, gate.state, gate.sentence) for gate in one.verdict.gates]
        page.table(("Gate", "State", "Why"), gates)
    page.table(("What", "Figures"), facts(one))
    rows = metric_rows(one)
    if rows:
        page.heading("Beside the truth")
        page.table(("Metric", "Champion", "Candidate", "Advantage", "From", "To", "Labels"), rows)
        page.text(
            "From and to are the bounds of a confidence sequence: they hold at every moment at once, "
            "however often one looks; of an area under the curve in the limit of many labels (asymptotic). "
            "* marks the metric of the gates."
        )
        _advantage(page, one)
    _scores(page, one)
    _windows(page, one)
    _segments(page, one)
    examples = example_rows(one.evidence)
    if examples:
        page.heading("Events on which the two differ most")
        page.table(("Event", "Champion", "Candidate", "Labels", "Segments"), examples)


def _mood(one: Compared) -> str:
    """Return how the outcome is coloured: a comparison that is over is neither good nor bad news."""
    return MOODS[one.verdict.state] if one.verdict is not None and one.role != "former" else ""


def _advantage(page: Page, one: Compared) -> None:
    """Draw the advantage and its confidence sequence as the labels came in."""
    metric = "brier" if one.metric in ("auc", "none") else one.metric
    by_window: dict[int, PairedSums] = {}
    for (_, _, start, _), sums in one.series.labels.items():
        by_window[start] = by_window.get(start, PairedSums()) + sums
    alpha = one.gates.alpha if one.gates else 0.05
    bound = LOSS_BOUNDS.get(metric, 1.0)
    total, when, found = PairedSums(), [], []
    for start in sorted(by_window):
        total += by_window[start]
        if total.n > 0:
            when.append(datetime.fromtimestamp(start / 1000, UTC))
            found.append(difference(total, bound, alpha))
    if len(found) < 2:
        return
    figure = new_figure()
    axes = figure.subplots()
    axes.fill_between(
        when,  # type: ignore[arg-type]  # Matplotlib takes dates, its types do not say so
        [i.lower for i in found],
        [i.upper for i in found],
        color=COLOURS["candidate"],
        alpha=0.18,
        linewidth=0,
    )
    axes.plot(when, [i.estimate for i in found], color=COLOURS["candidate"])  # type: ignore[arg-type]
    # The first windows know nothing: what matters would be a line in a plot that shows all of [-1, 1].
    reach = 1.3 * max(abs(v) for i in found[len(found) // 4 :] for v in (i.lower, i.upper))
    axes.set_ylim(-reach, reach)
    _lines(axes, one, horizontal=True)
    axes.set_title(f"Advantage in {UNITS[metric]} as labels came in (above zero: the candidate is better)")
    figure.autofmt_xdate(rotation=0, ha="center")
    page.plot(figure, f"the candidate's advantage over time with its {1 - alpha:.0%} confidence sequence")


def _lines(axes: Axes, one: Compared, *, horizontal: bool, margin: float | None = None) -> None:
    """Draw zero and what the gate asks for."""
    line = axes.axhline if horizontal else axes.axvline
    line(0, color=COLOURS["champion"], linewidth=0.8)
    if one.gates is not None:
        goal = one.gates.margin if one.gates.rule == "superior" else -one.gates.margin
        where = goal if margin is None else -margin
        line(where, color=COLOURS["bad"], linewidth=0.8, linestyle="--", label=f"gate at {where:+g}")
        axes.legend(frameon=False, loc="lower right" if horizontal else "best")


def _scores(page: Page, one: Compared) -> None:
    sums = one.evidence.sums
    if sums.champion_scores is None or sums.candidate_scores is None:
        return
    page.heading("Scores")
    figure = new_figure()
    left, right = figure.subplots(1, 2)
    for name, histogram in (("champion", sums.champion_scores), ("candidate", sums.candidate_scores)):
        _steps(left, histogram, COLOURS[name], name)
    left.set_title("Density of the scores")
    left.legend(frameon=False)
    if sums.difference is not None:
        _steps(right, sums.difference, COLOURS["candidate"], "")
        right.set_title("Density of candidate's score minus champion's")
    page.plot(figure, "distribution of both versions' scores, and of their difference")


def _steps(axes: Axes, histogram: Histogram, colour: str, label: str) -> None:
    """Draw the density between the (uneven) edges; the open ends are as wide as their neighbours."""
    edges = np.array(histogram.edges, dtype=float)
    ends = (
        (2 * edges[0] - edges[1], 2 * edges[-1] - edges[-2])
        if len(edges) > 1
        else (edges[0] - 1, edges[0] + 1)
    )
    places = np.concatenate(([ends[0]], edges, [ends[1]]))
    counts = np.array(histogram.counts, dtype=float)
    axes.stairs(
        counts / max(counts.sum(), 1.0) / np.diff(places),
        places,
        color=colour,
        label=label,
        fill=False,
        linewidth=1.4,
    )


def _windows(page: Page, one: Compared) -> None:
    """Draw what the two answered over the events' time."""
    found = window_answers(one)
    if len(found) < 2:
        return
    when: Any = [datetime.fromtimestamp(start / 1000, UTC) for start, _, _ in found]
    answers = [figures for _, _, figures in found]
    page.heading("By window")
    figure = new_figure(height=4.4)
    (agreement, difference), (stability, errors) = figure.subplots(2, 2, sharex=True)
    if one.spec.task == "regression":
        _line(agreement, when, [a.pairs for a in answers], "candidate")
        agreement.set_title("Pairs")
    else:
        _line(agreement, when, [_number(a.agreement) for a in answers], "candidate")
        agreement.set_title("Share with the same label")
    differences = [a.score_difference for a in answers]
    low, high = ([_number(d.quantiles.get(q) if d else None) for d in differences] for q in ("0.05", "0.95"))
    difference.fill_between(when, low, high, color=COLOURS["candidate"], alpha=0.18, linewidth=0)
    _line(difference, when, [_number(d.mean if d else None) for d in differences], "candidate")
    difference.set_title("Score: candidate minus champion (mean, 5 to 95 %)")
    _line(stability, when, [_number(a.population_stability_index) for a in answers], "candidate")
    stability.set_title("Population stability index")
    _line(errors, when, [_number(a.champion_error_rate) for a in answers], "champion")
    _line(errors, when, [_number(a.candidate_error_rate) for a in answers], "candidate")
    errors.set_title("Share without an answer")
    errors.set_ylim(bottom=0.0)
    errors.legend(frameon=False)
    few_dates(stability, errors)
    page.plot(figure, "agreement, score difference, population stability and errors by window")


def _line(axes: Axes, when: Any, values: Sequence[float], who: str) -> None:
    """Draw a line; the champion's is the broader one, since the two are often the same."""
    axes.plot(when, values, color=COLOURS[who], label=who, linewidth=3.0 if who == "champion" else 1.2)


def few_dates(*axes: Axes) -> None:
    """Let each time axis have few enough dates to be read."""
    import matplotlib.dates

    dates: Any = matplotlib.dates
    for one in axes:
        locator = dates.AutoDateLocator(minticks=2, maxticks=5)
        one.xaxis.set_major_locator(locator)
        one.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _segments(page: Page, one: Compared) -> None:
    answered = segment_answers(one)
    judged = segment_rows(one)
    if not answered and not judged:
        return
    page.heading("Segments")
    if judged:
        _advantages(page, one)
        page.table(SEGMENT_COLUMNS, judged)
    if answered:
        _differences(page, answered)
        page.text(BOTH)
        page.table(("Segment", *COLUMNS), [(f"{f}={v}", *cells(answers)) for f, v, answers in answered])


def _advantages(page: Page, one: Compared) -> None:
    """Draw the advantage of the segments that are worst beside the truth."""
    least = one.gates.min_segment_labels if one.gates else 1
    worst = [row for row in segment_measures(one) if row[2].interval.n >= least][:SEGMENTS_DRAWN]
    if not worst:
        return
    figure = new_figure(height=1.2 + 0.22 * len(worst))
    axes = figure.subplots()
    for y, (_, _, measured) in enumerate(reversed(worst)):
        i = measured.interval
        axes.plot([i.lower, i.upper], [y, y], color=COLOURS["candidate"], linewidth=2, alpha=0.4)
        axes.plot([i.estimate], [y], "o", color=COLOURS["candidate"], markersize=4)
    axes.set_ylim(-0.6, len(worst) - 0.4)
    axes.set_yticks(range(len(worst)), [f"{feature} {value}" for feature, value, _ in reversed(worst)])
    if one.gates is not None and one.gates.guard_segments:
        _lines(axes, one, horizontal=False, margin=one.gates.tolerated_in_segments)
    else:
        axes.axvline(0, color=COLOURS["champion"], linewidth=0.8)
    axes.set_title(f"Advantage in {UNITS[worst[0][2].metric]} by segment, the worst in front")
    page.plot(figure, "the candidate's advantage by segment with confidence sequences")


def _differences(page: Page, answered: Sequence[tuple[str, str, Answers]]) -> None:
    """Draw how the scores differ in the segments with most pairs."""
    known = [row for row in answered if row[2].score_difference and row[2].score_difference.quantiles]
    largest = sorted(known, key=lambda row: -row[2].pairs)[:SEGMENTS_DRAWN]
    if not largest:
        return
    figure = new_figure(height=1.2 + 0.22 * len(largest))
    axes = figure.subplots()
    for y, (_, _, answers) in enumerate(reversed(largest)):
        d = answers.score_difference
        assert d is not None
        outer, inner = (("0.05", "0.95"), ("0.25", "0.75"))
        axes.plot(
            [d.quantiles[q] for q in outer], [y, y], color=COLOURS["candidate"], linewidth=1.5, alpha=0.4
        )
        axes.plot([d.quantiles[q] for q in inner], [y, y], color=COLOURS["candidate"], linewidth=5, alpha=0.4)
        axes.plot([d.mean], [y], "o", color=COLOURS["candidate"], markersize=4)
    axes.axvline(0, color=COLOURS["champion"], linewidth=0.8)
    axes.set_ylim(-0.6, len(largest) - 0.4)
    axes.set_yticks(range(len(largest)), [f"{feature} {value}" for feature, value, _ in reversed(largest)])
    axes.set_title("Candidate's score minus champion's by segment (mean, 25 to 75 %, 5 to 95 %)")
    page.plot(figure, "the difference of the scores by segment")
