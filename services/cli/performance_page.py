"""Realised quality as one HTML file: figures over time, calibration, KPIs and cut-offs, segments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from services.cli import performance_view as view
from services.cli.page import COLOURS, Page, new_figure
from services.cli.performance_compare import Difference
from services.cli.performance_reading import VersionQuality
from shared.messages import PerformanceReport
from shared.quality.estimate import estimated
from shared.quality.figures import calibration_curve, figures_of
from shared.quality.kpis import advise

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot


def performance_page(versions: Sequence[VersionQuality], compared: Sequence[Difference]) -> Page:
    """Return the page of some versions of one model."""
    first = versions[0]
    page = Page(f"Performance of {first.model}", lead=f"{view.span(first)}, event time")
    for version in versions:
        _version(page, version)
    if compared:
        page.heading("KPIs of the versions beside each other")
        page.table(view.COMPARISON_COLUMNS, view.comparison_rows(compared))
    elif view.comparable(versions):
        page.heading("KPIs of the versions beside each other").text(view.NOT_COMPARED)
    return page


def _version(page: Page, version: VersionQuality) -> None:
    report = version.realised
    page.heading(f"Version {version.version}").text(f"{view.label_sentence(version.every)}.")
    if (doubt := view.trust(version)) != "":
        page.text(f"{doubt[0].upper()}{doubt[1:]}.", mood="bad" if version.concept is not None else "")
    if version.provisional:
        page.text("No window is final yet: labels and outcomes that come early are seldom like the others.")
    page.table(view.figure_columns(version), view.figure_rows(version))
    kinds = "realised" if report.task == "regression" else "realised and estimated"
    page.plot(_over_time(version), f"{view.NAMES[view.HEADLINE[report.task]]} by window, {kinds}")
    if report.task != "regression":
        page.plot(_calibration(version), "Calibration: how often a score was right")
        page.table(*_confusion(version))
    for name in report.kpis:
        if (plot := _cut_offs(version, name)) is not None:
            page.plot(plot, f"{name} per decision by cut-off")
    if report.kpis:
        page.table(view.KPI_COLUMNS, view.kpi_rows(version))
    if report.segments:
        page.table(view.segment_columns(report), view.segment_rows(report))


def _over_time(version: VersionQuality) -> Plot:
    name = view.HEADLINE[version.every.task]
    plot = new_figure()
    axes = plot.subplots()
    final = [(w, f) for w in version.windows if (f := figures_of(w).get(name)) is not None]
    for is_final, marker in ((True, "o"), (False, "D")):
        points = [(w, f) for w, f in final if w.final is is_final]
        if points:
            low = [max(0.0, f.value - f.low) if f.low is not None else 0.0 for _, f in points]
            high = [max(0.0, f.high - f.value) if f.high is not None else 0.0 for _, f in points]
            axes.errorbar(
                [_moment(w) for w, _ in points],
                [f.value for _, f in points],
                yerr=[low, high],
                fmt=marker,
                markersize=4,
                linewidth=1,
                color=COLOURS["current"],
                alpha=1.0 if is_final else 0.4,
                label="realised" if is_final else "realised, provisional",
            )
    promised = [(w, f) for w in version.windows if (f := estimated(w).get(name)) is not None]
    if promised:
        axes.plot(
            [_moment(w) for w, _ in promised],
            [f.value for _, f in promised],
            color=COLOURS["bad"] if version.concept is not None else COLOURS["reference"],
            linestyle="--",
            label="estimated, not to be trusted" if version.concept is not None else "estimated",
        )
    axes.set_ylabel(view.NAMES[name])
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    plot.autofmt_xdate(rotation=0, ha="center")
    return plot


def _moment(window: PerformanceReport) -> Any:
    return datetime.fromtimestamp((window.window.start + window.window.end) / 2000, UTC)


def _calibration(version: VersionQuality) -> Plot:
    report = version.realised
    plot = new_figure(4.2, 3.6)
    axes = plot.subplots()
    axes.plot([0, 1], [0, 1], color=COLOURS["reference"], linewidth=1, linestyle="--")
    curve = calibration_curve(report.quality, report.edges)
    rates = [point.rate.value for point in curve]
    low = [max(0.0, p.rate.value - (p.rate.low or 0.0)) for p in curve]
    high = [max(0.0, (p.rate.high or 1.0) - p.rate.value) for p in curve]
    axes.errorbar(
        [p.score for p in curve], rates, yerr=[low, high], fmt="o-", color=COLOURS["current"], markersize=4
    )
    axes.set_xlabel("score")
    axes.set_ylabel(f"share of {report.positive}" if report.positive else "share of right answers")
    return plot


def _confusion(version: VersionQuality) -> tuple[list[str], list[list[str | int]]]:
    table = version.realised.quality.confusion
    classes = sorted({*table, *(name for row in table.values() for name in row)})
    rows: list[list[str | int]] = [
        [truth, *(table.get(truth, {}).get(c, 0) for c in classes)] for truth in classes
    ]
    return ["truth", *(f"answered {name}" for name in classes)], rows


def _cut_offs(version: VersionQuality, name: str) -> Plot | None:
    report = version.realised
    if report.threshold is None:
        return None
    kpi = report.kpis[name]
    advice = advise(kpi, report.edges, report.threshold, kpi.goal)
    if advice is None or not advice.matters:
        return None
    plot = new_figure(height=2.2)
    axes = plot.subplots()
    axes.plot([at for at, _ in advice.curve], [value for _, value in advice.curve], color=COLOURS["current"])
    axes.axvline(
        advice.now, color=COLOURS["champion"], linestyle="--", label=f"in force, {view.number(advice.now)}"
    )
    if not math.isinf(advice.threshold) and advice.threshold != advice.now:
        axes.axvline(advice.threshold, color=COLOURS["good"], label=f"best, {view.number(advice.threshold)}")
    axes.set_xlabel("cut-off of the score")
    axes.set_ylabel("per decision")
    axes.set_title(name, loc="left", fontsize=9)
    axes.legend(frameon=False, fontsize=8)
    return plot
