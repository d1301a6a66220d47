"""How the cost of an event grows with features, partitions, processes and the model; and a plan on paper."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from loadtest.backlog import Backlog
from loadtest.contenders.contender import Contender
from loadtest.contenders.driftline import driftline
from loadtest.contenders.echo import echoes
from loadtest.errors import FAILURES
from loadtest.events import EventSource
from loadtest.measure import Load, Measurement, measure
from loadtest.models import TITLES, Model, ModelName, make_model
from loadtest.paper import Measured, plan
from loadtest.plots import Plot
from loadtest.report import Report
from loadtest.summary import Spread, markdown, ratios

WARM_UP_SHARE = 0.2
WIDE = {50: 0.5, 200: 0.2}
"""Events with many features are large and slow to score: fewer of them say as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingOptions:
    """What to measure: every value of one axis, with the other three at their middle.

    Attributes
    ----------
    events
        Of a backlog; half and a fifth of it with 50 and 200 features.
    price
        Of one core for one hour, for the plan on paper.
    """

    events: int = 100_000
    rounds: int = 3
    features: tuple[int, ...] = (1, 10, 50, 200)
    partitions: tuple[int, ...] = (1, 2, 6, 12)
    processes: tuple[int, ...] = (1, 2, 3, 4)
    models: tuple[ModelName, ...] = ("logistic", "trees", "forest")
    price: float = 0.05
    seed: int = 1


QUICK = ScalingOptions(
    events=20_000, rounds=1, features=(1, 10, 200), partitions=(1, 6, 12), processes=(1, 4)
)


@dataclass(frozen=True, slots=True)
class Point:
    """One thing to measure; ``model`` None is the echo floor."""

    features: int = 10
    partitions: int = 6
    processes: int = 1
    model: ModelName | None = "logistic"

    def __str__(self) -> str:
        what = self.model or "echo floor"
        return f"{what}, {self.features} features, {self.partitions} partitions, {self.processes} processes"

    @property
    def contender(self) -> Contender:
        """Driftline exactly once, or the plain echo."""
        return driftline(self.model, "exactly-once") if self.model else echoes()[0]


BASE = Point()
SPREAD_OUT = replace(BASE, partitions=12)
"""Several processes need partitions to share: twelve, so that one to four get equally many."""
Results = dict[Point, list[Measurement | None]]
Axis = Mapping[float | str, Point]


def axes(options: ScalingOptions) -> dict[str, Axis]:
    """Return the points of every axis by value; axes meet in points that are measured once."""
    return {
        "features": {n: replace(BASE, features=n) for n in options.features},
        "partitions": {n: replace(BASE, partitions=n) for n in options.partitions},
        "processes": {n: replace(SPREAD_OUT, processes=n) for n in options.processes},
        "model": {TITLES[name]: replace(BASE, model=name) for name in options.models},
    }


async def run(bootstrap_servers: str, options: ScalingOptions) -> Report:
    """Return the cost along every axis; all points take turns in every round."""
    report = Report("scaling", asdict(options))
    points = list(dict.fromkeys(point for axis in axes(options).values() for point in axis.values()))
    floors = [Point(features=n, model=None) for n in options.features]
    results: Results = {point: [] for point in [*floors, *points]}
    with tempfile.TemporaryDirectory(prefix="driftline-loadtest-models-") as folder:
        models = _models(points, Path(folder))
        for number in range(1, options.rounds + 1):
            for point, found in results.items():
                model = models[point.model, point.features] if point.model else None
                found.append(await _one(number, point, bootstrap_servers, options, model, report))
    for name, axis in axes(options).items():
        _lay_out(report, name, axis, results)
    _on_paper(report, results, options)
    return report


def _models(points: Sequence[Point], folder: Path) -> dict[tuple[ModelName, int], Model]:
    wanted = dict.fromkeys((p.model, p.features) for p in points if p.model is not None)
    models: dict[tuple[ModelName, int], Model] = {}
    for name, features in wanted:
        (folder / str(features)).mkdir(exist_ok=True)
        models[name, features] = make_model(name, folder / str(features), features=features)
    return models


def _load(point: Point, options: ScalingOptions) -> Load:
    events = int(options.events * WIDE.get(point.features, 1.0))
    source, warm_up = EventSource(options.seed, point.features, pool=2_000), int(events * WARM_UP_SHARE)
    return Load(
        Backlog.encode(source, 0, warm_up, point.partitions),
        Backlog.encode(source, warm_up, events, point.partitions),
    )


async def _one(
    number: int,
    point: Point,
    bootstrap_servers: str,
    options: ScalingOptions,
    model: Model | None,
    report: Report,
) -> Measurement | None:
    load = _load(point, options)
    try:
        found = await measure(point.contender, bootstrap_servers, load, model, processes=point.processes)
    except FAILURES as error:
        report.failures.append(f"round {number}: {point}: {error or repr(error)}")
        print(f"FAILED {report.failures[-1]}", flush=True)
        return None
    print(f"round {number}: {point!s:<58} {found.cpu_us:8.2f} us CPU/event", flush=True)
    return found


def _lay_out(report: Report, name: str, axis: Axis, results: Results) -> None:
    """Put one axis into the report: a row per value, and a plot."""
    base = axis[10] if name == "features" and 10 in axis else next(iter(axis.values()))
    rows: list[list[object]] = []
    ours: list[tuple[float | str, Spread]] = []
    theirs: list[tuple[float | str, Spread]] = []
    figures: dict[str, object] = {}
    for value, point in axis.items():
        found = [m for m in results[point] if m is not None]
        if not found:
            continue
        cpu = Spread.of([m.cpu_us for m in found])
        work = Spread.of([m.events_per_cpu_second for m in found])
        floor = results.get(replace(point, model=None), []) if name == "features" else []
        broker = [m.broker_cpu_us for m in found if m.broker_cpu_us is not None]
        ours.append((value, cpu))
        theirs += [(value, Spread.of([m.cpu_us for m in floor if m is not None]))] if any(floor) else []
        rows.append(
            [
                value,
                f"{found[0].events:,}",
                cpu,
                work,
                ratios(_cpu(results[point]), _cpu(results[base])),
                ratios(_cpu(results[point]), _cpu(floor)) if floor else None,
                Spread.of([m.events_per_second for m in found]),
                Spread.of([m.peak_mib for m in found]),
                Spread.of(broker) if broker else None,
            ]
        )
        figures[str(value)] = {
            "point": asdict(point),
            "rounds": [m.as_json() if m else None for m in results[point]],
            "floor": [m.as_json() if m else None for m in floor],
            "cpu_us": cpu.as_json(),
            "events_per_cpu_second": work.as_json(),
        }
    if not rows:
        return
    report.figures[name] = figures
    first = next(str(value) for value, point in axis.items() if point == base)
    header = [
        name, "events", "CPU us/event", "events/CPU s", f"x {first}", "x floor", "events/s", "peak MiB",
        "broker us/event",
    ]  # fmt: skip
    report.text.append(markdown(header, rows))
    series = {"Driftline exactly-once": ours} | ({"echo, plain aiokafka": theirs} if theirs else {})
    report.plots.append(Plot(name, f"CPU per event by {name}", "CPU us/event", series, name))


def _cpu(found: Sequence[Measurement | None]) -> list[float | None]:
    return [m.cpu_us if m is not None else None for m in found]


def _on_paper(report: Report, results: Results, options: ScalingOptions) -> None:
    """Add what a million events a second would need, where the points it takes were measured."""
    whole = [m for m in results.get(BASE, []) if m is not None]
    alone = [m for m in results.get(replace(BASE, partitions=1), []) if m is not None]
    if not whole or not alone:
        return
    found = plan(
        Measured(
            cpu_us=Spread.of([m.cpu_us for m in whole]).median,
            broker_cpu_us=_median([m.broker_cpu_us for m in whole]),
            event_bytes=_median([m.event_bytes for m in whole]) or 0.0,
            prediction_bytes=_median([m.prediction_bytes for m in whole]) or 0.0,
            partition_events_per_second=Spread.of([m.events_per_second for m in alone]).median,
            records_per_transaction=_median([m.records_per_transaction for m in whole]),
            process_mib=Spread.of([m.peak_mib for m in whole]).median,
        ),
        price=options.price,
    )
    report.figures["a million events a second"] = asdict(found)
    report.text.append(markdown(["a million events a second, on paper", "", "from"], found.rows))


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return Spread.of(known).median if known else None
