"""Figures to look at: lines over a number, bars over names; a file each, SVG by its ending."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.summary import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#2563eb", "#8a94a6", "#c2410c", "#15803d")
INCHES = (7.0, 3.4)
Points = Sequence[tuple[float | str, Spread]] | Sequence[tuple[float, Spread]] | Sequence[tuple[str, Spread]]


@dataclass(frozen=True, slots=True, kw_only=False)
class Plot:
    """Medians, with the lowest and the highest round as whiskers.

    Attributes
    ----------
    name
        Of the file.
    y
        What is measured.
    series
        Points by legend; where x is a name, bars are drawn, of the first series only.
    x
        What the numbers below are.
    """

    name: str
    title: str
    y: str
    series: Mapping[str, Points]
    x: str = ""


def draw(plot: Plot, target: Path) -> None:
    """Draw one plot; no window and no global state are involved."""
    from matplotlib.figure import Figure

    names = [x for points in plot.series.values() for x, _ in points if isinstance(x, str)]
    height = INCHES[1] if not names else 1.0 + 0.3 * len(names)
    figure = Figure(figsize=(INCHES[0], height), layout="constrained")
    axes = figure.subplots()
    if names:
        _bars(axes, plot)
    else:
        _lines(axes, plot)
    axes.set_title(plot.title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e2e8f0")
    axes.set_axisbelow(True)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target)


def _bars(axes: Axes, plot: Plot) -> None:
    points = next(iter(plot.series.values()))
    names, spreads = [str(x) for x, _ in points], [spread for _, spread in points]
    axes.barh(names, [s.median for s in spreads], xerr=_whiskers(spreads), color=COLOURS[0], capsize=2)
    axes.invert_yaxis()
    axes.set_xlabel(plot.y)


def _lines(axes: Axes, plot: Plot) -> None:
    for (label, points), colour in zip(plot.series.items(), COLOURS, strict=False):
        numbers, spreads = [float(x) for x, _ in points], [spread for _, spread in points]
        medians = [s.median for s in spreads]
        axes.errorbar(
            numbers, medians, yerr=_whiskers(spreads), label=label, color=colour, marker="o", capsize=2
        )
    axes.set_xticks(sorted({float(x) for points in plot.series.values() for x, _ in points}))
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)


def _whiskers(spreads: Sequence[Spread]) -> list[list[float]]:
    return [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
