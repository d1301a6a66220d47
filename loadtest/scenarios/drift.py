"""CPU per event of the drift service beside the echo floor, taken in turn."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from loadtest.contenders.drift import drifts
from loadtest.contenders.echo import COLUMN_ECHO, PLAIN_ECHO, echoes
from loadtest.errors import FAILURES
from loadtest.measure import Measurement, measure
from loadtest.report import Report
from loadtest.scenarios.inference import InferenceOptions, make_loads, make_models
from loadtest.summary import Spread, markdown, ratios

GOAL_US = 6.0
"""CPU per event of ten features, consuming included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftOptions:
    """What to measure."""

    events: int = 300_000
    rounds: int = 3
    partitions: int = 6
    features: int = 10
    seed: int = 1


Results = dict[str, list[Measurement | None]]


async def run(bootstrap_servers: str, options: DriftOptions) -> Report:
    """Return the figures of the service and of both floors, taken in turn in every round.

    Measured from the first event of the backlog to the last one the detectors have seen: both stages,
    Kafka between them included.
    """
    report = Report("drift", asdict(options))
    contenders = [*echoes(), *drifts()]
    shape = InferenceOptions(**asdict(options))
    results: Results = {contender.name: [] for contender in contenders}
    with tempfile.TemporaryDirectory(prefix="driftline-loadtest-models-") as folder:
        models = make_models(contenders, Path(folder), options.features)
        (load,) = make_loads(contenders, shape).values()
        for number in range(1, options.rounds + 1):
            for contender in contenders:
                model = models[contender.model] if contender.model is not None else None
                try:
                    found = await measure(contender, bootstrap_servers, load, model)
                except FAILURES as error:
                    report.failures.append(f"round {number}: {contender.name}: {error or repr(error)}")
                    print(f"FAILED {report.failures[-1]}", flush=True)
                    results[contender.name].append(None)
                    continue
                results[contender.name].append(found)
                print(
                    f"round {number}: {contender.name:<30} {found.cpu_us:8.2f} us CPU/event"
                    f" {found.events_per_second:>9,} events/s {found.peak_mib:6.0f} MiB",
                    flush=True,
                )
    lay_out(report, results)
    return report


def lay_out(report: Report, results: Results) -> None:
    """Put figures and table into the report; events per second end with the last slot's ten seconds."""
    rows: list[list[object]] = []
    for name, measured in results.items():
        found = [one for one in measured if one is not None]
        if not found:
            continue
        cpu = Spread.of([one.cpu_us for one in found])
        peak = Spread.of([one.peak_mib for one in found])
        floors = [ratios(_cpu(measured), _cpu(results[base])) for base in (PLAIN_ECHO, COLUMN_ECHO)]
        rows.append([name, f"{found[0].events:,}", cpu, peak, *floors])
        report.figures[name] = {
            "rounds": [one.as_json() if one is not None else None for one in measured],
            "cpu_us": cpu.as_json(),
            "peak_mib": peak.as_json(),
            "goal_us": GOAL_US,
        }
    header = ["contender", "events", "CPU us/event", "peak MiB", "x plain echo", "x column echo"]
    report.text.append(markdown(header, rows))


def _cpu(measured: Sequence[Measurement | None]) -> list[float | None]:
    return [one.cpu_us if one is not None else None for one in measured]
