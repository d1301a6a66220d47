"""``driftline drift simulate``: before going live, what would the detectors have made of your own history?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from numpy.typing import NDArray

from services.cli.drift_baseline import need_baseline
from services.cli.printing import duration, moment, table
from shared.bundle.baseline import feature_column, load_baseline
from shared.bundle.data import read_table
from shared.bundle.read import Bundle, load_bundle
from shared.bundle.times import read_times
from shared.drift import Baseline, events_between_false_alarms, fit_baseline
from shared.drift.alarm import SECONDS_PER_MONTH
from shared.drift.shifts import parse_shift
from shared.drift.simulate import Outcome, Trial, replay_history, try_shift
from shared.drift.stream.budget import on_common_scale, share_of
from shared.drift.stream.groups import group_kinds, shared_channels
from shared.errors import BundleError

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class History:
    """Rows in the order of time, and what the promise means for them.

    Attributes
    ----------
    columns
        Values of each feature.
    times
        Seconds since 1970 UTC; None where the rows have none.
    rate
        Events per second.
    budget
        False alarms allowed in 30 days.
    baseline
        What they are compared with.
    sharing
        How many channels of the model share the budget: those of predictions and labels too, which take no
        part here.
    left_out
        Names of the latter.
    """

    columns: dict[str, Any]
    times: NDArray[np.float64] | None
    rate: float
    budget: float
    baseline: Baseline
    sharing: int
    left_out: tuple[str, ...] = ()

    @property
    def events_between_alarms(self) -> float:
        """A of the whole model: events per 30 days over the budget."""
        return events_between_false_alarms(self.rate, self.budget)

    @property
    def watched(self) -> int:
        """How many channels take part here."""
        return len(self.baseline.calibrated)

    @property
    def own(self) -> float:
        """A of the detector here, as the drift service has it: these channels' share of the budget."""
        return share_of(self.events_between_alarms, max(self.watched, 1), self.sharing)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--history", type=_FILE, required=True, help="Past events: .csv, .csv.gz, .parquet, .arrow, .feather."
)
@click.option("--time-column", help="Column with the event time. Without it, rows count as in order.")
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    help="Events per second. [default: events_per_day of the bundle, else the history's]",
)
@click.option(
    "--budget",
    type=click.FloatRange(0, min_open=True),
    help="False alarms in 30 days. [default: the bundle's]",
)
@click.option(
    "--fit-first",
    type=click.FloatRange(0.05, 0.95),
    metavar="SHARE",
    help="Fit the features' baseline anew from this first share of the history and try the rest.",
)
@click.option(
    "--shift", "shifts", multiple=True, metavar="FEATURE=CHANGE", help="A change to try; may be repeated."
)
@click.option(
    "--places", type=click.IntRange(1, 1000), default=20, show_default=True, help="Where to begin each."
)
@click.option(
    "--patience", type=click.IntRange(1), default=50_000, show_default=True, help="Events to find it in."
)
@click.option("--seed", default=0, show_default=True, help="Of what is drawn at random.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def simulate(
    *,
    bundle: Path,
    history: Path,
    time_column: str | None,
    rate: float | None,
    budget: float | None,
    fit_first: float | None,
    shifts: tuple[str, ...],
    places: int,
    patience: int,
    seed: int,
    as_json: bool,
) -> None:
    """Run the drift detectors of BUNDLE over a history, and try changes on it.

    Says which alarms the history would have raised, and how long each change would take to be found:

    \b
      --shift delay=+0.5sd        mean up by half a standard deviation
      --shift distance=x1.6       miles become kilometres
      --shift "delay=spread x2"   twice the spread
      --shift wind=5%missing      5 % of the values are missing
      --shift origin=5%unseen     5 % in a category that training did not contain
      --shift origin:JFK=x2       twice the share of a category
    """
    wanted = [parse_shift(text) for text in shifts]
    past = read_history(load_bundle(bundle), history, time_column, rate, budget, fit_first)
    outcome = replay_history(past.baseline, past.columns, past.times, past.own)
    trials = {
        shift.text: try_shift(
            past.baseline,
            past.columns,
            past.times,
            shift,
            events_between_alarms=past.own,
            places=places,
            patience=patience,
            seed=seed,
        )
        for shift in wanted
    }
    if as_json:
        click.echo(json.dumps(_as_json(past, outcome, trials), indent=2, ensure_ascii=False))
        return
    _print_outcome(past, outcome, fresh=fit_first is not None)
    if trials:
        _print_trials(past, trials)


def read_history(
    bundle: Bundle,
    path: Path,
    time_column: str | None,
    rate: float | None,
    budget: float | None,
    fit_first: float | None,
) -> History:
    """Return a file's rows, sorted by time, with the baseline that they are to be compared with.

    Raises
    ------
    BundleError
        A column is missing, the time column is unusable, or the rate is neither given nor in the times.
    """
    rows = read_table(path)
    times = read_times(rows, time_column) if time_column else None
    order = np.argsort(times, kind="stable") if times is not None else np.arange(rows.num_rows)
    columns: dict[str, Any] = {}
    for feature in bundle.spec.features:
        values = feature_column(rows, feature)
        columns[feature.name] = (
            values[order] if isinstance(values, np.ndarray) else [values[i] for i in order]
        )
    times = times[order] if times is not None else None
    if rate is None and bundle.spec.events_per_day is not None:
        rate = bundle.spec.events_per_day / 86_400
    if rate is None:
        if times is None or len(times) < 2:
            raise BundleError("without --time-column, --rate must say how many events there are per second")
        rate = len(times) / float(times[-1] - times[0])
    allowed = budget if budget is not None else bundle.spec.false_alarms_per_30_days
    if fit_first is None:
        whole = need_baseline(bundle)
        return History(columns, times, rate, allowed, whole, *_sharing(bundle, whole))
    first = int(fit_first * rows.num_rows)
    kinds = {feature.name: feature.kind for feature in bundle.spec.features}
    early = times[:first] if times is not None else np.zeros(first)
    fitted = fit_baseline({name: values[:first] for name, values in columns.items()}, kinds, early)
    rest = {name: values[first:] for name, values in columns.items()}
    known = load_baseline(bundle)
    whole = (
        fitted
        if known is None
        else msgspec.structs.replace(
            fitted, predictions=known.predictions, labels=known.labels, residuals=known.residuals
        )
    )
    later = times[first:] if times is not None else None
    return History(rest, later, rate, allowed, fitted, *_sharing(bundle, whole))


def _sharing(bundle: Bundle, whole: Baseline) -> tuple[int, tuple[str, ...]]:
    """Return how many channels share the budget, and the names of those that a history does not have."""
    features = [(feature.name, str(feature.kind)) for feature in bundle.spec.features]
    classes = bundle.spec.task != "regression"
    names = [name for name, _ in group_kinds(features, "predictions", classes=classes)]
    if whole.truths is not None:
        names.append("label given score")
    return shared_channels(features, whole, classes=classes), tuple(names)


def _print_outcome(past: History, outcome: Outcome, *, fresh: bool) -> None:
    days = outcome.events / past.rate / 86_400
    expected = outcome.events / past.own
    raised = [t for t in outcome.transitions if t.status == "raised"]
    click.echo(
        f"history      {outcome.events:,} events, {days:,.1f} days at {past.rate:.3g} events per second"
    )
    click.echo(
        f"budget       {past.budget:g} false alarms in 30 days: one in {past.events_between_alarms:,.0f}"
    )
    share = f", the share of {past.watched} of {past.sharing} channels" if past.sharing > past.watched else ""
    click.echo(f"allowed      {expected:.2g} false alarms in this history{share}")
    click.echo(f"watched      {past.watched} of {len(past.baseline.watched)} channels of the features")
    click.echo(f"left out     {', '.join(past.left_out)}: a history has no answers of the model")
    click.echo(
        f"alarms       {len(raised)}"
        + (": what exceeds the allowed is drift, or dependence that training did not show" if raised else "")
    )
    if not fresh:
        click.echo(
            "             (rows that the baseline was fitted from raise fewer: --fit-first tries others)"
        )
    if raised:
        click.echo()
        table(
            ("at", "channel", "change", "what", "evidence", "until"), [_row(past, outcome, t) for t in raised]
        )


def _row(past: History, outcome: Outcome, raised: Any) -> tuple[str, ...]:
    latched = raised.latched
    cleared = [
        t.event
        for t in outcome.transitions
        if t.status == "cleared" and t.latched.channel == latched.channel and t.event > raised.event
    ]
    until = _when(past, cleared[0]) if cleared else "the end"
    joint = past.baseline.joint
    made = f" ({joint.explain(latched.channel)})" if joint and latched.channel in joint.names else ""
    what = f"{latched.detail}{made}"
    return (
        _when(past, raised.event),
        latched.channel,
        latched.change,
        what,
        f"{on_common_scale(latched.evidence, past.watched, past.sharing):.1f}",
        until,
    )


def _when(past: History, event: int) -> str:
    if past.times is None:
        return f"event {event:,}"
    return moment(int(past.times[min(event, len(past.times)) - 1] * 1000))


def _print_trials(past: History, trials: dict[str, Trial]) -> None:
    click.echo()
    rows = []
    for text, trial in trials.items():
        found, tried = len(trial.delays), len(trial.delays) + trial.missed
        rows.append(
            (text, f"{found} of {tried}", _delay(past, trial, 0.5), _delay(past, trial, 0.9), trial.named)
        )
    table(
        ("change", "found", "half of them within", "nine in ten within", "first alarm, most often"),
        rows,
        whole=4,
    )


def _delay(past: History, trial: Trial, share: float) -> str:
    """Return the delay within which a share of all places found the change."""
    ordered = [*trial.delays, *[np.inf] * trial.missed]
    events = ordered[max(0, int(np.ceil(share * len(ordered))) - 1)]
    if not np.isfinite(events):
        return "not found"
    return f"{events:,} events, {duration(events / past.rate)}"


def _as_json(past: History, outcome: Outcome, trials: dict[str, Trial]) -> dict[str, Any]:
    return {
        "events": outcome.events,
        "events_per_second": past.rate,
        "false_alarms_per_30_days": past.budget,
        "events_between_alarms": past.events_between_alarms,
        "channels": past.watched,
        "channels_sharing": past.sharing,
        "left_out": list(past.left_out),
        "days": outcome.events / past.rate * 30 / SECONDS_PER_MONTH,
        "transitions": msgspec.to_builtins(outcome.transitions),
        "shifts": msgspec.to_builtins(trials),
    }
