"""Realised quality as rows of text: for the terminal and for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from rich.text import Text

from services.cli.performance_compare import Difference
from services.cli.performance_reading import VersionQuality
from services.cli.printing import moment, table
from shared.messages import PerformanceReport, Realised
from shared.quality.estimate import estimated
from shared.quality.figures import Figure, Figures, figures_of
from shared.quality.kpis import advise, worth

NAMES: Final = {
    "auc": "AUC", "log_loss": "log loss", "brier": "Brier score", "accuracy": "accuracy",
    "precision": "precision", "recall": "recall", "f1": "F1", "calibration_error": "calibration error",
    "positive_rate": "positive rate", "mae": "MAE", "rmse": "RMSE", "mape": "MAPE", "bias": "bias",
    "residual_p05": "residual, 5 %", "residual_p25": "residual, 25 %", "residual_p50": "residual, median",
    "residual_p75": "residual, 75 %", "residual_p95": "residual, 95 %",
}  # fmt: skip
"""What figures are called on a page, in their order."""

HEADLINE: Final = {"binary": "auc", "multiclass": "accuracy", "regression": "mae"}
"""The one figure that stands for a version in a list."""


def number(value: float | None) -> str:
    """Return a figure with four digits that count.

    Examples
    --------
    >>> number(0.90468), number(12345.6), number(None), number(float("inf"))
    ('0.9047', '1.235e+04', '-', 'never')
    """
    if value is None or math.isnan(value):
        return "-"
    return "never" if math.isinf(value) else f"{value:.4g}"


def interval(figure: Figure | None) -> str:
    """Return a figure's 95 % interval."""
    if figure is None or figure.low is None or figure.high is None:
        return "-"
    return f"{number(figure.low)} to {number(figure.high)}"


def note(figure: Figure | None, *, averaged: bool = False) -> str:
    """Return what else to know of a figure."""
    if figure is None or not figure.resolution:
        return ""
    each = "each class against the others, " if averaged else ""
    return f"{each}binned, within {number(figure.resolution)}"


def figure_rows(version: VersionQuality) -> list[list[str]]:
    """Return a row per figure: name, value, interval, labels, estimates of the same and of open windows.

    A regression has no estimates, and no columns for them.
    """
    realised, promised = figures_of(version.realised), estimated(version.realised)
    waiting = estimated(version.open) if version.open is not None else {}
    names = [name for name in NAMES if name in realised or name in promised or name in waiting]
    beside = [] if version.every.task == "regression" else [promised, waiting]
    return [
        [
            NAMES[name],
            number(realised[name].value) if name in realised else "-",
            interval(realised.get(name)),
            f"{realised[name].n:,}" if name in realised else "0",
            *(cell for figures in beside for cell in _estimate(figures.get(name))),
            note(realised.get(name), averaged=name == "auc" and version.realised.task == "multiclass"),
        ]
        for name in names
    ]


def _estimate(figure: Figure | None) -> tuple[str, str]:
    return number(figure.value if figure is not None else None), interval(figure)


def figure_columns(version: VersionQuality) -> tuple[str, ...]:
    """Return the columns of :func:`figure_rows`.

    The first estimate is of the same windows as the realised figures, the other of those that wait for
    labels.
    """
    estimates = ("estimated", "95 %", "estimated, open windows", "95 %")
    beside = () if version.every.task == "regression" else estimates
    return ("figure", "realised", "95 %", "labels", *beside, "")


def label_sentence(report: PerformanceReport) -> str:
    """Return what became of the labels of a version, in one line."""
    counts = report.labels
    waiting = report.quality.predictions - counts.joined - counts.missing
    told = [
        f"{report.quality.predictions:,} answers ({report.answered:,} to the world)",
        f"{counts.joined:,} have their label",
        f"{waiting:,} wait for it",
        f"{counts.missing:,} never got one",
    ]
    odd = {
        "early": counts.early, "corrected": counts.corrected, "told twice": counts.duplicate,
        "late": counts.late, "unusable": counts.unusable,
    }  # fmt: skip
    told += [f"{count:,} {name}" for name, count in odd.items() if count]
    return ", ".join(told)


def trust(version: VersionQuality) -> str:
    """Return whether the estimate may be believed; of a regression, whether errors have moved; a sentence."""
    regression = version.every.task == "regression"
    what = "errors" if regression else "estimate"
    if version.concept is not None:
        found = f"{version.concept.detail}, found by label given score"
        return f"errors have moved: {found}" if regression else f"estimate: not to be trusted: {found}"
    if regression and version.concept_evidence is None:
        return ""
    if not regression and not version.every.calibration_rows:
        return "estimate: the bundle keeps no labels: scores are taken as they are"
    if version.concept_evidence is None:
        return "estimate: label given score has not been looked at yet"
    limit = number(version.concept_threshold)
    return f"{what}: label given score is quiet (evidence {number(version.concept_evidence)} of {limit})"


def kpi_rows(version: VersionQuality) -> list[list[str]]:
    """Return a row per KPI: name, per decision, interval, decisions, advice."""
    rows = []
    for name, kpi in version.realised.kpis.items():
        figure = worth(kpi)
        rows.append(
            [
                name,
                number(figure.value if figure is not None else None),
                interval(figure),
                f"{kpi.value.n:,}",
                finality(version),
                _advice(version, name),
            ]
        )
    return rows


KPI_COLUMNS: Final = ("KPI", "per decision", "95 %", "decisions", "windows", "best cut-off")


def finality(version: VersionQuality) -> str:
    """Return whether figures and KPIs rest on windows whose horizon has passed."""
    return "provisional" if version.provisional else "final"


def _advice(version: VersionQuality, name: str) -> str:
    report = version.realised
    if report.threshold is None:
        return "-"
    advice = advise(report.kpis[name], report.edges, report.threshold, report.kpis[name].goal)
    if advice is None:
        return "-"
    if not advice.matters:
        return "makes no difference"
    if advice.threshold == advice.now:
        return f"{number(advice.now)}, as it is"
    gain = f"{number(advice.value)} instead of {number(advice.value_now)}"
    return f"{number(advice.threshold)} ({gain} at {number(advice.now)})"


def comparison_rows(compared: Sequence[Difference]) -> list[list[str]]:
    """Return a row per KPI and version beside the one that it is compared with."""
    return [
        [
            d.kpi,
            d.version,
            f"{d.against}, {'champion' if d.champion else 'answered most'}",
            number(d.figure.value),
            interval(d.figure),
            str(d.windows),
            d.verdict,
        ]
        for d in compared
    ]


COMPARISON_COLUMNS: Final = (
    "KPI", "version", "against", "difference", "95 %, at all times", "windows", "verdict",
)  # fmt: skip

NOT_COMPARED: Final = "KPIs are not compared: in no window that is final has more than one version answered."


def comparable(versions: Sequence[VersionQuality]) -> bool:
    """Return whether more than one version has answered the world and has KPIs."""
    return sum(bool(one.every.answered and one.every.kpis) for one in versions) > 1


def segment_rows(report: PerformanceReport) -> list[list[str]]:
    """Return a row per segment: feature, value, answers, labels, headline figures with intervals."""
    rows = []
    for feature, values in report.segments.items():
        for value, quality in values.items():
            rows.append(
                [
                    feature,
                    value,
                    f"{quality.predictions:,}",
                    f"{quality.labels:,}",
                    *_headlines(report, quality),
                ]
            )
    return rows


def segment_columns(report: PerformanceReport) -> list[str]:
    """Return the columns of :func:`segment_rows`."""
    return [
        "segment",
        "value",
        "answers",
        "labels",
        NAMES[_second(report)],
        "95 %",
        NAMES[HEADLINE[report.task]],
        "95 %",
    ]


def _second(report: PerformanceReport) -> str:
    return "rmse" if report.task == "regression" else "accuracy" if report.task == "binary" else "f1"


def _headlines(report: PerformanceReport, quality: Realised) -> list[str]:
    figures = figures_of(report, quality)
    cells = []
    for name in (_second(report), HEADLINE[report.task]):
        cells += [number(figures[name].value) if name in figures else "-", interval(figures.get(name))]
    return cells


def print_status(versions: Sequence[VersionQuality]) -> None:
    """Print a line per version."""
    rows: list[list[str | Text]] = []
    for one in versions:
        name = HEADLINE[one.every.task]
        realised, promised = figures_of(one.realised), estimated(one.realised)
        waiting = estimated(one.open) if one.open is not None else {}
        labelled = one.every.labels.joined / max(1, one.every.quality.predictions)
        kpis = ", ".join(
            f"{k} {number(f.value)}" for k, s in one.realised.kpis.items() if (f := worth(s)) is not None
        )
        doubt = _doubt(one, promised or waiting)
        rows.append(
            [
                one.model, one.version, f"{one.every.quality.predictions:,}", f"{labelled:.0%}",
                f"{NAMES[name]} {number(realised[name].value) if name in realised else '-'}",
                interval(realised.get(name)), finality(one),
                number(promised[name].value) if name in promised else "-",
                number(waiting[name].value) if name in waiting else "-", doubt, kpis or "-",
                moment(one.every.window.end),
            ]
        )  # fmt: skip
    columns = (
        "model", "version", "answers", "labelled", "realised", "95 %", "labels", "estimated",
        "of open windows", "trusted", "KPIs", "until",
    )  # fmt: skip
    table(columns, rows, whole=2)
    if orphans := max((one.orphans for one in versions), default=0):
        print(f"\n{orphans:,} labels and outcomes, of whatever model, found no prediction in time")


def _doubt(version: VersionQuality, promised: Figures) -> Text:
    """Return whether estimates may be believed, in a word."""
    if version.concept is not None:
        return Text("no" if promised else "errors moved", "red")
    return Text("yes" if promised else "-")


def print_version(version: VersionQuality) -> None:
    """Print everything of one version."""
    report = version.realised
    print(f"{version.model} version {version.version}: {label_sentence(version.every)}")
    print(f"{span(version)}\n{trust(version)}\n" if trust(version) else f"{span(version)}\n")
    table(figure_columns(version), figure_rows(version))
    if report.kpis:
        print()
        table(KPI_COLUMNS, kpi_rows(version))
    if report.segments:
        print()
        table(segment_columns(report), segment_rows(report), whole=2)


def span(version: VersionQuality) -> str:
    """Return which windows the figures are of."""
    final = sum(window.final for window in version.windows)
    window = version.realised.window
    what = "figures are provisional" if version.provisional else "figures are of final windows"
    left = f"; {version.left_out} reports with other bins are left out" if version.left_out else ""
    whole = f"{moment(window.start)} to {moment(window.end)}: {what}"
    return f"{whole}; {final} of {len(version.windows)} are final{left}"
