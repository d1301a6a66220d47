"""Drift as one HTML file: every channel, evidence over time, reference against current."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from services.cli.drift_reading import Watched
from services.cli.drift_view import alarm_sentence, alarm_sentences, headline, in_order
from services.cli.page import COLOURS, Page, new_figure
from shared.messages import DriftChannel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PLOTS: Final = 12
_LONGEST: Final = 14


def drift_page(watched: Watched, *, channels: Sequence[str] = ()) -> Page:
    """Return the page of one version.

    Parameters
    ----------
    channels
        Those to plot; left out, the twelve with the strongest evidence.
    """
    report = watched.newest
    page = Page(f"Drift of {report.model}", lead=f"version {report.model_version}")
    for sentence in headline(watched):
        page.text(sentence, mood="bad" if sentence.endswith("in alarm.") and watched.alarming else "")
    order = in_order(watched.channels)
    page.heading("Channels")
    page.table(
        (
            "channel",
            "state",
            "evidence",
            "peak",
            "PSI",
            "Jensen-Shannon",
            "Wasserstein",
            "floor (sd)",
            "what is different",
        ),
        [_row(channel) for channel in order],
    )
    page.heading("Evidence over time")
    shown = [c for c in order if c.name in channels] if channels else _strongest(watched, order)
    page.plot(_evidence_figure(watched, shown), "log10 of the evidence of each channel, by event time")
    for channel in shown:
        _channel(page, watched, channel)
    return page


def _strongest(watched: Watched, order: Sequence[DriftChannel]) -> list[DriftChannel]:
    def peak(channel: DriftChannel) -> float:
        return max((one.peak for _, one in watched.over_time(channel.name)), default=0.0)

    calibrated = [channel for channel in order if channel.calibrated and watched.over_time(channel.name)]
    return sorted(calibrated, key=lambda channel: (channel.alarm is None, -peak(channel)))[:MOST_PLOTS]


def _row(channel: DriftChannel) -> list[str | int | float]:
    figures = channel.figures
    state = "not watched" if not channel.calibrated else "alarm" if channel.alarming else "quiet"
    story = channel.reason or ("" if channel.alarm is None else alarm_sentence(channel.alarm))
    watched: list[str | int | float] = (
        ["", "", ""]
        if not channel.calibrated
        else [round(channel.evidence, 2), round(channel.peak, 2), channel.floor or ""]
    )
    return [
        channel.name,
        state,
        watched[0],
        watched[1],
        "" if figures is None or not channel.bins else round(figures.psi, 3),
        "" if figures is None or not channel.bins else round(figures.jensen_shannon, 3),
        "" if figures is None or figures.wasserstein is None else round(figures.wasserstein, 3),
        watched[2],
        story,
    ]


def _times(ends: Sequence[int]) -> Any:
    return [datetime.fromtimestamp(end / 1000, UTC) for end in ends]


def _evidence_figure(watched: Watched, channels: Sequence[DriftChannel]) -> Figure:
    figure = new_figure(height=3.2)
    axes = figure.subplots()
    for channel in channels:
        past = watched.over_time(channel.name)
        strong = channel.alarm is not None
        axes.plot(
            _times([end for end, _ in past]),
            [max(one.evidence, one.peak) for _, one in past],
            label=channel.name if strong else None,
            linewidth=1.6 if strong else 0.8,
            color=None if strong else COLOURS["reference"],
            marker="." if len(past) < 40 else None,
        )
    budget = watched.newest.budget
    if budget is not None:
        label = f"alarm at {budget.threshold:.2f}, all together"
        axes.axhline(budget.threshold, color=COLOURS["bad"], linestyle="--", linewidth=1, label=label)
    axes.set_ylabel("evidence, log10")
    axes.set_ylim(bottom=0)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    figure.autofmt_xdate()
    return figure


def _channel(page: Page, watched: Watched, channel: DriftChannel) -> None:
    page.heading(channel.name)
    if channel.alarm is not None:
        mood = "bad" if channel.alarming else ""
        for number, sentence in enumerate(alarm_sentences(channel.alarm)):
            page.text(sentence, mood=mood if not number else "")
    figures = channel.figures
    if figures is not None and figures.new:
        page.text(
            "Not in training: " + ", ".join(f"{name} ({count:,} events)" for name, count in figures.new)
        )
    page.plot(_bins_figure(watched, channel), f"{channel.name}: share of each bin in training and lately")


def _bins_figure(watched: Watched, channel: DriftChannel) -> Figure:
    figure = new_figure(height=2.4)
    axes = figure.subplots()
    counted, windows = watched.recent(channel)
    reference, current = np.array(channel.reference), np.array(counted)
    some = (reference + current) > 0
    names = [_short(name) for name, shown in zip(channel.bins, some, strict=True) if shown]
    at = np.arange(len(names))
    for shift, counts, key in ((-0.2, reference, "reference"), (0.2, current, "current")):
        shares = 100 * counts[some] / max(int(counts.sum()), 1)
        label = "training" if key == "reference" else f"last {windows} windows, {int(counts.sum()):,} events"
        axes.bar(at + shift, shares, width=0.4, color=COLOURS[key], label=label)
    axes.set_xticks(at, names, rotation=60, ha="right", fontsize=7)
    axes.set_ylabel("%")
    axes.legend(frameon=False)
    return figure


def _short(name: str) -> str:
    """Return a bin's name for an axis: of an interval, where it begins."""
    if name.startswith("[") and "," in name:
        low, high = name[1:-1].split(", ")
        return f"< {high}" if low == "-inf" else f"{low} ..."
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
