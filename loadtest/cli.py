"""The command line: one command per scenario, and ``all``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
import uvloop

from devstack.apache_kafka import ApacheKafka
from loadtest.errors import FAILURES, LoadTestError
from loadtest.peers.environments import PEERS, environment, install
from loadtest.scenarios import (
    backlog,
    client_floor,
    drift,
    drift_quality,
    inference,
    latency,
    performance,
    scaling,
    shadow,
)
from loadtest.scenarios.everything import Scenario, scenarios

Command = TypeVar("Command", bound=Callable[..., Any])

seed = click.option("--seed", default=1, show_default=True, help="Of the events.")
partitions = click.option("--partitions", default=6, show_default=True)


def common(command: Command) -> Command:
    """Add the options of every scenario."""
    servers = click.option(
        "--bootstrap-servers", metavar="HOST:PORT", help="A broker that runs already; else one is started."
    )
    target = click.option(
        "--json",
        "json_file",
        type=click.Path(path_type=Path),
        help="Where to write the figures; by default under build/loadtest/.",
    )
    return servers(target(command))


@click.group()
def main() -> None:
    """Measure what Driftline costs, beside a floor and its peers."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@contextmanager
def a_broker(bootstrap_servers: str | None) -> Iterator[str]:
    """Give the broker that was named, or start an Apache Kafka for as long as it is needed."""
    if bootstrap_servers is not None:
        yield bootstrap_servers
        return
    with ApacheKafka() as kafka:
        yield kafka.bootstrap_servers


def carry_out(name: str, scenario: Scenario, bootstrap_servers: str | None, json_file: Path | None) -> bool:
    """Run a scenario on a broker of its own, print and write its report; return whether all went well."""
    try:
        with a_broker(bootstrap_servers) as broker:
            report = uvloop.run(scenario(broker))
    except FAILURES as error:
        print(f"FAILED: {name}: {error or repr(error)}", flush=True)
        return False
    report.print()
    print(f"written to {report.write(json_file)}", flush=True)
    return not report.failures


@main.command("all")
@click.option("--quick", is_flag=True, help="So short that it shows no more than that everything works.")
@click.option("--bootstrap-servers", metavar="HOST:PORT", help="A broker that runs already.")
def everything(quick: bool, bootstrap_servers: str | None) -> None:
    """Every scenario, one after the other; one that fails does not keep the next from running."""
    outcomes = [
        carry_out(name, scenario, bootstrap_servers, None)
        for name, scenario in scenarios(quick=quick).items()
    ]
    sys.exit(0 if all(outcomes) else 1)


@main.command("inference")
@common
@click.option("--events", default=300_000, show_default=True, help="Length of the backlog.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--only", multiple=True, help="Part of a contender's name; may be repeated.")
@partitions
@seed
def inference_command(bootstrap_servers: str | None, json_file: Path | None, **options: Any) -> None:
    """CPU per event: Driftline, the echo floor and the peers, in turn."""
    chosen = inference.InferenceOptions(**options)
    well = carry_out("inference", lambda b: inference.run(b, chosen), bootstrap_servers, json_file)
    sys.exit(0 if well else 1)


@main.command("drift")
@common
@click.option("--events", default=300_000, show_default=True, help="Length of the backlog.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--features", default=10, show_default=True)
@click.option("--quick", is_flag=True, help="So short that it shows no more than that everything works.")
@partitions
@seed
def drift_command(
    bootstrap_servers: str | None, json_file: Path | None, *, quick: bool, **options: Any
) -> None:
    """CPU per event of the drift service, beside the echo floor."""
    chosen = drift.DriftOptions(**(options | ({"events": 20_000, "rounds": 1} if quick else {})))
    well = carry_out("drift", lambda b: drift.run(b, chosen), bootstrap_servers, json_file)
    sys.exit(0 if well else 1)


@main.command("latency")
@common
@click.option("--rate", default=2_000.0, show_default=True, help="Events per second.")
@click.option("--seconds", default=30.0, show_default=True, help="How long latencies are counted.")
@click.option("--ramp-seconds", default=5.0, show_default=True, help="The same rate before that.")
@click.option("--rounds", default=1, show_default=True)
@click.option("--only", multiple=True, help="Part of a contender's name; may be repeated.")
@partitions
@seed
def latency_command(bootstrap_servers: str | None, json_file: Path | None, **options: Any) -> None:
    """Due to visible at a fixed rate, without coordinated omission."""
    chosen = latency.LatencyOptions(**options)
    well = carry_out("latency", lambda b: latency.run(b, chosen), bootstrap_servers, json_file)
    sys.exit(0 if well else 1)


@main.command("scaling")
@common
@click.option("--events", default=100_000, show_default=True, help="Of a backlog with ten features.")
@click.option("--rounds", default=3, show_default=True)
@click.option(
    "--price", default=0.05, show_default=True, help="Of a core for an hour, for the plan on paper."
)
@click.option("--quick", is_flag=True, help="So short that it shows no more than that everything works.")
@seed
def scaling_command(
    bootstrap_servers: str | None,
    json_file: Path | None,
    *,
    quick: bool,
    price: float,
    seed: int,
    **options: Any,
) -> None:
    """CPU per event by features, partitions, processes and model; a million events a second on paper."""
    chosen = scaling.QUICK if quick else scaling.ScalingOptions(**options)
    chosen = replace(chosen, price=price, seed=seed)
    well = carry_out("scaling", lambda b: scaling.run(b, chosen), bootstrap_servers, json_file)
    sys.exit(0 if well else 1)


@main.command("performance")
@common
@click.option("--open-events", default=10_000_000, show_default=True, help="Open predictions in the store.")
@click.option("--pairs", default=500_000, show_default=True, help="Predictions and labels measured.")
@click.option("--recovery-events", default=1_000_000, show_default=True, help="Open predictions recovered.")
@click.option("--peer-events", default=50_000, show_default=True, help="Open predictions of the peers.")
@click.option("--peer-pairs", default=20_000, show_default=True, help="Pairs of the peers.")
@click.option("--only", multiple=True, help="Part of a contender's name; may be repeated.")
@click.option("--quick", is_flag=True, help="So short that it shows no more than that it works.")
@partitions
def performance_command(
    bootstrap_servers: str | None, json_file: Path | None, *, quick: bool, **options: Any
) -> None:
    """CPU per prediction and label with many open predictions, memory and recovery; Quix and Faust beside."""
    chosen = (
        replace(performance.QUICK, only=options["only"])
        if quick
        else performance.PerformanceOptions(**options)
    )
    well = carry_out("performance", lambda b: performance.run(b, chosen), bootstrap_servers, json_file)
    sys.exit(0 if well else 1)


@main.command("shadow")
@common
@click.option("--events", default=300_000, show_default=True, help="Length of the backlog.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--rate", default=2_000.0, show_default=True, help="Events per second, for the latency.")
@click.option("--seconds", default=30.0, show_default=True, help="How long latencies are counted.")
@click.option("--ramp-seconds", default=5.0, show_default=True, help="The same rate before that.")
@partitions
@seed
def shadow_command(bootstrap_servers: str | None, json_file: Path | None, **options: Any) -> None:
    """CPU per event of the shadow beside inference; the champion's latency without and with it."""
    chosen = shadow.ShadowOptions(**options)
    well = carry_out("shadow", lambda b: shadow.run(b, chosen), bootstrap_servers, json_file)
    sys.exit(0 if well else 1)


@main.command("client-floor")
@common
@click.option("--events", default=300_000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@partitions
@seed
def client_floor_command(bootstrap_servers: str | None, json_file: Path | None, **options: Any) -> None:
    """The client alone: getmany and BatchBuilder beside Driftline's columns."""
    chosen = client_floor.ClientFloorOptions(**options)
    well = carry_out("client-floor", lambda b: client_floor.run(b, chosen), bootstrap_servers, json_file)
    sys.exit(0 if well else 1)


@main.command("backlog")
@common
@click.option("--events", default=1_000_000, show_default=True)
@click.option("--slice-seconds", default=2.0, show_default=True, help="Throughput is given for each slice.")
@click.option("--quick", is_flag=True, help="So short that it shows no more than that everything works.")
@partitions
@seed
def backlog_command(
    bootstrap_servers: str | None, json_file: Path | None, *, quick: bool, **options: Any
) -> None:
    """A long backlog: whether throughput and memory stay flat."""
    chosen = backlog.BacklogOptions(
        **(options | ({"events": 100_000, "slice_seconds": 1.0} if quick else {}))
    )
    well = carry_out("backlog", lambda b: backlog.run(b, chosen), bootstrap_servers, json_file)
    sys.exit(0 if well else 1)


@main.command("drift-quality")
@click.option("--quick", is_flag=True, help="So short that it shows no more than that everything works.")
@click.option("--long", "long_run", is_flag=True, help="Twenty million events.")
@click.option("--jobs", default=1, show_default=True, help="Processes at a time.")
@click.option(
    "--resume",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep what was measured here, and go on from it. Empty it when the code has changed.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Where to write the figures.")
@seed
def drift_quality_command(
    quick: bool, long_run: bool, jobs: int, folder: Path | None, json_file: Path | None, seed: int
) -> None:
    """False alarms and delays of drift detection beside other tools; no broker is needed."""
    if quick and long_run:
        raise click.UsageError("--quick and --long exclude each other")
    options = drift_quality.QUICK if quick else drift_quality.DriftQualityOptions()
    options = replace(drift_quality.LONG if long_run else options, seed=seed)
    report = drift_quality.run(options, folder=folder, jobs=jobs)
    report.print()
    print(f"written to {report.write(json_file)}", flush=True)
    sys.exit(1 if report.failures else 0)


@main.group()
def peers() -> None:
    """The other stream processors, each in a virtual environment of its own."""


@peers.command("install")
def install_peers() -> None:
    """Install what is missing; a peer that cannot be had is named and left out of the runs."""
    for peer in PEERS:
        try:
            install(peer)
        except LoadTestError as error:
            click.echo(f"skipped: {error}")
        else:
            click.echo(f"{peer}: {environment(peer)}")
