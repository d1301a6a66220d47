"""CPU per event of the inference service beside the echo floor and the peers, taken in turn."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from loadtest.backlog import Backlog
from loadtest.contenders.catalogue import select
from loadtest.contenders.contender import Contender
from loadtest.contenders.echo import PLAIN_ECHO
from loadtest.errors import FAILURES
from loadtest.events import EventSource
from loadtest.measure import Load, Measurement, measure
from loadtest.models import Model, ModelName, make_model
from loadtest.plots import Plot
from loadtest.report import Report
from loadtest.rest import measure_over_rest
from loadtest.summary import Spread, markdown, ratios

WARM_UP = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceOptions:
    """What to measure.

    Attributes
    ----------
    events
        Of the backlog; slow peers get a tenth or a third of it.
    only
        Parts of contenders' names; empty for all.
    """

    events: int = 300_000
    rounds: int = 3
    partitions: int = 6
    features: int = 10
    seed: int = 1
    only: tuple[str, ...] = ()


Results = dict[str, list[Measurement | None]]


async def run(bootstrap_servers: str, options: InferenceOptions) -> Report:
    """Return the figures of all contenders, taken in turn in every round."""
    report = Report("inference", asdict(options))
    contenders = []
    for contender in select(options.only):
        reason = contender.unavailable()
        if reason is None:
            contenders.append(contender)
        else:
            report.skipped.append(f"{contender.name}: {reason}")
            print(f"skipped {report.skipped[-1]}", flush=True)
    with tempfile.TemporaryDirectory(prefix="driftline-loadtest-models-") as folder:
        models = make_models(contenders, Path(folder), options.features)
        loads = make_loads(contenders, options)
        results = await _rounds(contenders, bootstrap_servers, loads, models, options.rounds, report)
    lay_out(report, contenders, results)
    return report


def make_models(contenders: Sequence[Contender], folder: Path, features: int) -> dict[ModelName, Model]:
    """Return the models that any of the contenders scores with."""
    names = dict.fromkeys(contender.model for contender in contenders if contender.model is not None)
    return {name: make_model(name, folder, features=features) for name in names}


def make_loads(contenders: Sequence[Contender], options: InferenceOptions) -> dict[float, Load]:
    """Return the load for every share that occurs; encoding happens once, before anything is measured."""
    source = EventSource(options.seed, options.features)
    warm_up = Backlog.encode(source, 0, WARM_UP, options.partitions)
    return {
        share: Load(warm_up, Backlog.encode(source, WARM_UP, int(options.events * share), options.partitions))
        for share in dict.fromkeys(contender.share for contender in contenders)
    }


async def _rounds(
    contenders: Sequence[Contender],
    bootstrap_servers: str,
    loads: dict[float, Load],
    models: dict[ModelName, Model],
    rounds: int,
    report: Report,
) -> Results:
    results: Results = {contender.name: [] for contender in contenders}
    for number in range(1, rounds + 1):
        for contender in in_turn(contenders, number):
            model = models[contender.model] if contender.model is not None else None
            try:
                found = await _measured(contender, bootstrap_servers, loads[contender.share], model)
            except FAILURES as error:
                report.failures.append(f"round {number}: {contender.name}: {error or repr(error)}")
                print(f"FAILED {report.failures[-1]}", flush=True)
                results[contender.name].append(None)
                continue
            results[contender.name].append(found)
            print(
                f"round {number}: {contender.name:<36} {found.cpu_us:8.2f} us CPU/event"
                f" {found.events_per_second:>9,} events/s {found.peak_mib:6.0f} MiB",
                flush=True,
            )
    return results


def in_turn(contenders: Sequence[Contender], number: int) -> list[Contender]:
    """Return the order of a round, from 1: each begins with another one, so that none is always the first.

    Examples
    --------
    >>> in_turn("abcdef", 1), in_turn("abcdef", 2)  # a third of them further on in each of three rounds
    (['a', 'b', 'c', 'd', 'e', 'f'], ['c', 'd', 'e', 'f', 'a', 'b'])
    """
    begin = (number - 1) * max(1, len(contenders) // 3) % len(contenders)
    return [*contenders[begin:], *contenders[:begin]]


async def _measured(
    contender: Contender, bootstrap_servers: str, load: Load, model: Model | None
) -> Measurement:
    if contender.rows_per_request and model is not None:
        return await measure_over_rest(contender, bootstrap_servers, load, model)
    return await measure(contender, bootstrap_servers, load, model)


def lay_out(report: Report, contenders: Sequence[Contender], results: Results) -> None:
    """Put the results into the report: figures by contender, and the table."""
    rows: list[list[object]] = []
    bars: list[tuple[str, Spread]] = []
    for contender in contenders:
        found = [measurement for measurement in results[contender.name] if measurement is not None]
        if not found:
            continue
        cpu = Spread.of([measurement.cpu_us for measurement in found])
        work = Spread.of([measurement.events_per_cpu_second for measurement in found])
        rate = Spread.of([measurement.events_per_second for measurement in found])
        peak = Spread.of([measurement.peak_mib for measurement in found])
        floor = _ratio(results, contender.name, PLAIN_ECHO)
        ours = _ratio(results, contender.name, f"Driftline exactly-once, {contender.model}")
        rows.append([contender.name, f"{found[0].events:,}", cpu, work, rate, peak, floor, ours])
        bars.append((contender.name, work))
        report.figures[contender.name] = {
            "rounds": [m.as_json() if m is not None else None for m in results[contender.name]],
            "cpu_us": cpu.as_json(),
            "events_per_cpu_second": work.as_json(),
            "events_per_second": rate.as_json(),
            "peak_mib": peak.as_json(),
            "times_floor": floor.as_json() if floor else None,
            "times_driftline_exactly_once": ours.as_json() if ours else None,
        }
    header = [
        "contender",
        "events",
        "CPU us/event",
        "events/CPU s",
        "events/s",
        "peak MiB",
        "x floor",
        "x Driftline exactly-once",
    ]
    report.text.append(markdown(header, rows))
    if bars:
        title = f"{report.options['features']} features: events that one second of CPU time does"
        report.plots.append(Plot("events-per-cpu-second", title, "events per CPU second", {"": bars}))


def _ratio(results: Results, name: str, base: str) -> Spread | None:
    if base not in results:
        return None

    def cpu(of: str) -> list[float | None]:
        return [measurement.cpu_us if measurement is not None else None for measurement in results[of]]

    return ratios(cpu(name), cpu(base))
