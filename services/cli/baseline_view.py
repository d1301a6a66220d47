"""A drift baseline on a terminal: which channels can keep the promise, which cannot, and why."""

from __future__ import annotations

import click

from services.cli.printing import table
from shared.drift.baseline import Baseline
from shared.drift.channel import ChannelBaseline
from shared.drift.label_baseline import LabelBaseline
from shared.drift.residual_baseline import ResidualBaseline
from shared.drift.rhythm import lacks_rhythm

COLUMNS = ("channel", "kind", "rows", "worth", "season", "smallest shift", "missing", "calibrated")

WITHOUT_TIMES = (
    "no season was looked for, and their own order was taken for that of time. If they were shuffled, or "
    "values follow the hour or the weekday, there will be more false alarms than the budget allows."
)


def print_baseline(baseline: Baseline) -> None:
    """Print one line per channel, and what the person should know of the whole."""
    channels = (*baseline.watched, *baseline.predictions)
    rows = [channel_row(channel) for channel in channels]
    rows += truth_rows(baseline)
    click.echo()
    table(COLUMNS, rows)
    for sentence in remarks(baseline):
        click.echo(sentence)


def channel_row(channel: ChannelBaseline) -> tuple[str, ...]:
    """Return the cells of a channel, in the order of ``COLUMNS``."""
    missing = f"{channel.counts[-1] / channel.rows:.1%}" if channel.counts and channel.rows else ""
    start = (channel.name, channel.kind, f"{channel.rows:,}")
    if not channel.calibrated:
        return (*start, "", "", "", missing, f"no: {channel.reason}")
    season = channel.cycle.replace("-", " ") if channel.cycle else ""
    worth, floor = f"{channel.effective_rows:,.0f}", f"{channel.smallest_shift:.3f} sd"
    return (*start, worth, season, floor, missing, "yes")


def truth_rows(baseline: Baseline) -> list[tuple[str, ...]]:
    """Return a line for what labels are held against, none where the data had no labels."""
    rows = []
    if (labels := baseline.labels) is not None:
        rows.append(_truth_row(labels, "labels", sum(labels.labels)))
    if isinstance(residuals := baseline.residuals, ResidualBaseline):
        rows.append(_truth_row(residuals, "residuals", sum(map(sum, residuals.counts))))
    return rows


def _truth_row(labels: LabelBaseline | ResidualBaseline, kind: str, count: int) -> tuple[str, ...]:
    start = ("label given score", kind, f"{count:,}")
    if not labels.calibrated:
        return (*start, "", "", "", "", f"no: {labels.reason}")
    floor = f"{labels.smallest_shift:.3f} sd" if labels.effective_rows else ""
    return (*start, f"{labels.effective_rows:,.0f}", "", floor, "", "yes")


def remarks(baseline: Baseline) -> list[str]:
    """Return what holds for the whole baseline, in sentences."""
    channels = (*baseline.watched, *baseline.predictions)
    watched = sum(channel.calibrated for channel in channels)
    found = [f"{watched} of {len(channels)} channels can be watched for drift; the others never alarm."]
    if any(lacks_rhythm(channel.reason) for channel in channels):
        found.append(
            "Rows must show two rounds of the longest rhythm that events may have. Where there is none of "
            "the week, --seasonality day asks for less, and --seasonality none for nothing."
        )
    elif not baseline.ordered:
        found.append(f"The rows have no times (--time-column): {WITHOUT_TIMES}")
    labels = baseline.truths
    if labels is not None and not labels.held_out:
        found.append(
            "Label given score is of the rows the model was fitted to, which flatter it: "
            "--held-out names rows that it has not seen."
        )
    return found
