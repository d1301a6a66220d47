"""Drift on a terminal: the channels of a version in a table, one of them in detail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
from rich.text import Text

from services.cli.baseline_view import WITHOUT_TIMES
from services.cli.drift_reading import Watched
from services.cli.printing import duration, moment, table
from shared.messages import DriftAlarm, DriftBudget, DriftChannel, DriftFigures, DriftOpinion, DriftReport

COLUMNS = (
    "channel",
    "state",
    "evidence",
    "peak",
    "psi",
    "floor",
    "what is different, or why it is not watched",
)
SEASON_SHOWN = 14 * 86_400
"""Seconds that show a rhythm of the week."""
_BAR = 24
_SPARKS = "▁▂▃▄▅▆▇█"


def print_status(watched: Watched) -> None:
    """Print one line per channel, those that alarm first."""
    for sentence in headline(watched):
        click.echo(sentence)
    table(COLUMNS, [_row(channel, watched.budget(channel)) for channel in in_order(watched.channels)])


def headline(watched: Watched) -> Iterator[str]:
    """Yield what holds for the whole version, in sentences."""
    report = watched.newest
    state = "champion" if report.active else "no champion any more"
    window = f"{moment(report.window.start)} to {moment(report.window.end)}"
    yield f"{report.model} {report.model_version} ({state}), window {window}"
    counted = f"{report.events:,} events and {report.predictions:,} predictions in it"
    yield f"{counted}, as of {moment(report.written_at)}"
    if report.budget is not None:
        yield budget_sentence(report)
    if watched.labels:
        yield labels_sentence(watched.labels[-1])
        if watched.labels[-1].second_opinion is not None:
            yield opinion_sentence(watched.labels[-1].second_opinion, of="labels")
    yield from baseline_sentences(report)
    if report.skipped:
        parts = ", ".join(f"{count:,} {reason}" for reason, count in report.skipped.items())
        yield f"Passed over so far: {parts}."
    if report.unordered:
        yield f"{report.unordered:,} slots went on out of turn: another run may differ in them."
    if report.second_opinion is not None:
        yield opinion_sentence(report.second_opinion)
    on = watched.alarming
    yield f"{on} channel{'s' * (on != 1)} in alarm." if on else "No channel is in alarm."


def baseline_sentences(report: DriftReport) -> Iterator[str]:
    """Yield what limits a baseline that was not fitted from rows with times, in sentences."""
    rows, span = f"{report.baseline_rows:,} events", report.baseline_span / 1000
    if report.baseline == "learning":
        yield f"A baseline is being learnt ({rows} so far): channels without one cannot alarm yet."
    elif report.baseline == "learnt":
        yield f"The baseline was learnt from the first {rows}: what was wrong with them counts as normal."
        if span < SEASON_SHOWN:
            yield (
                f"They span {duration(span) if span else 'no time'}, which model.toml says is enough "
                "(seasonality): a rhythm that this did not show is taken for drift, beyond the budget."
            )
    elif not report.ordered:
        yield f"The training rows have no times: {WITHOUT_TIMES}"


def budget_sentence(report: DriftReport) -> str:
    """Return the promise that the detectors keep, as one sentence."""
    budget = report.budget
    assert budget is not None
    floor = "" if budget.floor is None else f"; the smallest shift to be seen is {budget.floor:.3f} sd"
    allowed = budget.false_alarms_per_30_days
    return (
        f"Budget: {allowed:g} false alarm{'s' * (allowed != 1)} per 30 days = one in "
        f"{budget.events_between_false_alarms:,.0f} events (rate {budget.rate_from}); alarm at evidence "
        f"{budget.threshold:.2f}; {budget.expected_false_alarms:.2f} expected so far{floor}."
    )


def labels_sentence(report: DriftReport) -> str:
    """Return the same promise in labels, as one sentence."""
    budget = report.budget
    assert budget is not None
    return (
        f"Labels: one in {budget.events_between_false_alarms:,.0f}; label given score alarms at evidence "
        f"{budget.threshold:.2f}, as of {moment(report.written_at)}."
    )


def opinion_sentence(opinion: DriftOpinion, of: str = "predictions") -> str:
    """Return what ADWIN says, which knows no baseline, as one sentence."""
    alike = f"the last {opinion.width:,} {of} look alike"
    if opinion.last_change is None:
        found = "no change found"
    else:
        times = f"{opinion.changes} change{'s' * (opinion.changes != 1)} found"
        found = f"{times}, the last {moment(opinion.last_change.occurred_at)}"
    return f"Second opinion without a baseline (ADWIN on {opinion.channel}): {found}; {alike}."


def in_order(channels: Sequence[DriftChannel]) -> list[DriftChannel]:
    """Return alarming channels first, then by evidence, those that are not calibrated last."""
    return sorted(channels, key=lambda c: (not c.alarming, not c.calibrated, -c.evidence, -c.peak))


def _row(channel: DriftChannel, budget: DriftBudget | None) -> tuple[str | Text, ...]:
    psi = "" if channel.figures is None or not channel.bins else f"{channel.figures.psi:.3f}"
    if not channel.calibrated:
        return (channel.name, Text("not watched", "dim"), "", "", psi, "", channel.reason or "")
    threshold = budget.threshold if budget is not None else None
    state = Text("ALARM", "bold red") if channel.alarming else Text("quiet", "green")
    if channel.alarm is not None and not channel.alarming:
        state = Text("over", "yellow")
    evidence = f"{channel.evidence:.2f}" + ("" if threshold is None else f" of {threshold:.2f}")
    floor = "" if channel.floor is None else f"{channel.floor:.3f} sd"
    story = "" if channel.alarm is None else alarm_sentence(channel.alarm)
    return (channel.name, state, evidence, f"{max(channel.peak, channel.evidence):.2f}", psi, floor, story)


def alarm_sentence(alarm: DriftAlarm) -> str:
    """Return an alarm as one sentence."""
    where = "" if alarm.segment is None else f", at {alarm.segment}"
    text = f"{alarm.change}: {alarm.detail}{where}, since {moment(alarm.change_point.occurred_at)}"
    more = alarm.explanation.removeprefix(alarm.detail).lstrip(": ")
    text += f"; {more}" if more else ""
    return text + (f"; over since {moment(alarm.cleared.occurred_at)}" if alarm.cleared is not None else "")


def print_channel(watched: Watched, name: str) -> None:
    """Print all there is to say about one channel."""
    channel, report = watched.channel(name), watched.newest
    click.echo(f"{name} ({channel.kind}, {channel.source}) of {report.model} {report.model_version}")
    if not channel.calibrated:
        click.echo(f"Not watched, never alarms: {channel.reason}.")
    else:
        budget = watched.budget(channel)
        threshold = f" of {budget.threshold:.2f}" if budget is not None else ""
        click.echo(
            f"Evidence {channel.evidence:.2f}{threshold}, {channel.peak:.2f} at its highest in the window; "
            f"it can see shifts from {channel.floor or 0:.3f} sd on."
        )
        past = [max(one.evidence, one.peak) for _, one in watched.over_time(name)]
        if len(past) > 1:
            click.echo(f"Evidence over the last {len(past[-60:])} windows: {sparkline(past[-60:])}")
    if channel.alarm is not None:
        for sentence in alarm_sentences(channel.alarm):
            click.echo(sentence)
    if channel.figures is not None:
        _print_figures(channel.figures, compared=bool(channel.bins))
    if channel.bins:
        _print_bins(channel, *watched.recent(channel))


def alarm_sentences(alarm: DriftAlarm) -> Iterator[str]:
    """Yield what an alarm says, with the places in the topics where to look."""
    raised, begun = alarm.raised, alarm.change_point
    yield ("ALARM" if alarm.cleared is None else "Alarm, over") + f": {alarm_sentence(alarm)}."
    for what, at in (
        ("began about", begun),
        ("raised", raised),
        ("last raised", alarm.last),
        ("over", alarm.cleared),
    ):
        if at is not None:
            where = f"{at.source.topic}[{at.source.partition}] offset {at.source.offset}"
            yield f"  {what:11} {moment(at.occurred_at)}, event {at.events:,}, {where}"
    if alarm.segment is not None:
        segment = alarm.segment
        share = f"{segment.explained:.0%} of the change is in {segment.events:.0%} of the events"
        yield f"  at          {segment}: {share} since then".replace("%", " %")
    yield f"  evidence {alarm.evidence:.2f}, raised {alarm.times} time{'s' * (alarm.times != 1)} so far"


def sparkline(values: Sequence[float]) -> str:
    """Return values as a row of bars, the largest one full.

    Examples
    --------
    >>> sparkline([0, 1, 2, 4])
    '▁▃▅█'
    """
    top = max(*values, 1e-9)
    return "".join(_SPARKS[round(value / top * (len(_SPARKS) - 1))] for value in values)


def _print_figures(figures: DriftFigures, *, compared: bool) -> None:
    rows: list[tuple[str, str, str]] = []
    if figures.mean is not None:
        rows.append(("mean", _number(figures.reference_mean), _number(figures.mean)))
        rows.append(("spread", _number(figures.reference_sd), _number(figures.sd)))
    for index, share in enumerate((5, 25, 50, 75, 95)):
        if figures.quantiles and (figures.reference_quantiles or not compared):
            name = "median" if share == 50 else f"{share} %"
            name += " (season taken out)" if figures.adjusted else ""
            reference = figures.reference_quantiles[index] if compared else None
            rows.append((name, _number(reference), _number(figures.quantiles[index])))
    rows.append(("missing", "", f"{figures.missing:.2%}"))
    if figures.unseen is not None:
        rows.append(("unseen", "", f"{figures.unseen:.2%}"))
    if compared:
        rows.append(("PSI", "", f"{figures.psi:.4f}"))
        rows.append(("Jensen-Shannon", "", f"{figures.jensen_shannon:.4f}"))
    if figures.wasserstein is not None:
        rows.append(("Wasserstein", "", f"{figures.wasserstein:.4f} sd"))
    click.echo()
    columns = ("training", f"window of {figures.events:,}") if compared else ("", f"first {figures.events:,}")
    table(("figure", *columns), rows)
    if not compared and figures.top:
        click.echo(f"Most frequent: {', '.join(f'{name} ({count:,})' for name, count in figures.top)}")
    if figures.new:
        names = ", ".join(f"{name} ({count:,})" for name, count in figures.new)
        click.echo(f"Not in training, with events so far: {names}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"


def _print_bins(channel: DriftChannel, current: Sequence[int], windows: int) -> None:
    """Print the shares of training and of the last windows side by side."""
    trained, now = sum(channel.reference) or 1, sum(current) or 1
    pairs = [
        (name, a / trained, b / now)
        for name, a, b in zip(channel.bins, channel.reference, current, strict=True)
        if a or b
    ]
    top = max(max(a, b) for _, a, b in pairs)
    click.echo()
    table(
        ("bin", "training", "", f"last {windows} windows, {sum(current):,} events", ""),
        [
            (name, f"{a:.1%}", Text(_bar(a / top), "dim"), f"{b:.1%}", Text(_bar(b / top), "blue"))
            for name, a, b in pairs
        ],
    )


def _bar(share: float) -> str:
    return "█" * round(share * _BAR)
