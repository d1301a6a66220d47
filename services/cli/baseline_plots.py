"""Plots of a drift baseline: the training values of a channel, its season, and what a score meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from services.cli.page import COLOURS, new_figure
from shared.drift.channel import ChannelBaseline
from shared.drift.label_baseline import SCORE_EDGES, LabelBaseline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SHOWN = 15


def channel_plot(channel: ChannelBaseline, unit: str | None = None) -> Figure:
    """Return the training values of a channel: a density for numbers, shares for categories."""
    figure = new_figure()
    axes = figure.subplots()
    if channel.kind == "numeric":
        bounds, density = channel_density(channel, np.array(channel.counts, np.float64))
        axes.stairs(density, bounds, fill=True, color=COLOURS["reference"], alpha=0.7)
        axes.set_ylabel("density")
        axes.set_xlabel(_unit_of(channel, unit))
    else:
        counts, names = np.array(channel.counts, np.float64), channel.bin_names
        shown = [i for i in np.argsort(-counts, kind="stable").tolist() if counts[i]][:_SHOWN]
        axes.bar([names[i] for i in shown], counts[shown] / counts.sum(), color=COLOURS["reference"])
        axes.set_ylabel("share")
        axes.tick_params(axis="x", rotation=40 if len(shown) > 8 else 0)
    return figure


def channel_density(
    channel: ChannelBaseline, counts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bounds of a numeric channel's bins, and the density of counts within them.

    The outermost bins have no bound; they are drawn as far as the training mean within them lies inside.
    Bins narrower than a hundredth of the whole are drawn together: a value that is repeated would
    dwarf everything else.
    """
    edges, centres = np.array(channel.edges), np.array(channel.centres)
    low = min(2 * centres[0] - edges[0], edges[0] - 1e-9 * (1 + abs(edges[0])))
    high = max(2 * centres[-1] - edges[-1], edges[-1] + 1e-9 * (1 + abs(edges[-1])))
    bounds, values = np.concatenate([[low], edges, [high]]), counts[: len(edges) + 1]
    least, kept, merged = (high - low) / 100, [0], [0.0]
    for i, value in enumerate(values.tolist(), start=1):
        merged[-1] += value
        if bounds[i] - bounds[kept[-1]] >= least or i == len(values):
            kept.append(i)
            merged.append(0.0)
    chosen = bounds[kept]
    density: NDArray[np.float64] = np.array(merged[:-1]) / max(values.sum(), 1.0) / np.diff(chosen)
    return chosen, density


def season_plot(channel: ChannelBaseline) -> Figure:
    """Return the mean and spread, or the largest shares, of a channel through its cycle."""
    figure = new_figure(height=2.2)
    axes = figure.subplots()
    if channel.phases is not None:
        mean, sd = np.array(channel.phases.mean), np.array(channel.phases.sd)
        place = np.arange(len(mean))
        axes.plot(place, mean, color=COLOURS["current"], label="mean")
        axes.fill_between(place, mean - sd, mean + sd, color=COLOURS["current"], alpha=0.15, label="one sd")
    elif channel.shares is not None:
        table = np.array(channel.shares.counts, np.float64)
        rows = table.sum(axis=1, keepdims=True)
        shares = np.where(rows > 0, table / np.maximum(rows, 1), np.nan)
        for j in np.argsort(-table.sum(axis=0), kind="stable")[:5].tolist():
            axes.plot(np.arange(len(table)), shares[:, j], label=channel.bin_names[j])
        axes.set_ylabel("share")
    _label_cycle(axes, str(channel.cycle))
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def label_plot(labels: LabelBaseline) -> Figure:
    """Return how often the label was positive in each bin of the score, beside what the score said."""
    figure = new_figure()
    axes = figure.subplots()
    bounds = np.array([0.0, *SCORE_EDGES, 1.0])
    middle, counts = (bounds[:-1] + bounds[1:]) / 2, np.array(labels.labels)
    rates = labels.calibration
    error = 1.96 * np.sqrt(rates * (1 - rates) * labels.deff / np.maximum(counts, 1))
    some = counts > 0
    axes.plot([0, 1], [0, 1], color=COLOURS["reference"], linestyle="--", label="score = share")
    axes.errorbar(
        middle[some], rates[some], yerr=error[some], fmt="o", color=COLOURS["current"], label="labels"
    )
    axes.set_xlabel("score")
    axes.set_ylabel("positive labels")
    axes.set_ylim(-0.02, 1.02)
    axes.legend(fontsize=8, frameon=False)
    return figure


def _unit_of(channel: ChannelBaseline, unit: str | None) -> str:
    if channel.phases is not None:
        return f"standard deviations from the mean of its {channel.phases.cycle.replace('-', ' ')}"
    return unit or "value"


def _label_cycle(axes: Axes, cycle: str) -> None:
    if cycle == "hour-of-day":
        axes.set_xlabel("hour of the day, UTC")
    elif cycle == "day-of-week":
        axes.set_xticks(range(7), _DAYS)
    else:
        axes.set_xticks(range(12, 168, 24), _DAYS)
        axes.set_xlabel("hour of the week, UTC")
