"""The command line: one command per scenario, and ``all``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import uvloop

from devstack.apache_kafka import ApacheKafka
from devstack.errors import DevstackError
from loadtest.errors import LoadTestError
from loadtest.peers.environments import PEERS, environment, install
from loadtest.report import Report
from loadtest.scenarios.inference import InferenceOptions
from loadtest.scenarios.inference import run as run_inference

Scenario = Callable[[str], Coroutine[Any, Any, Report]]

servers = click.option(
    "--bootstrap-servers", metavar="HOST:PORT", help="A broker that runs already; one is started by default."
)
json_file = click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Where to write the figures."
)
quick = click.option("--quick", is_flag=True, help="A short run that shows that everything works.")


@click.group()
def main() -> None:
    """Measure what Driftline costs, beside a floor and its peers."""
    logging.getLogger("aiokafka").setLevel(logging.ERROR)


@contextmanager
def a_broker(bootstrap_servers: str | None) -> Iterator[str]:
    """Give the broker that was named, or start an Apache Kafka for as long as it is needed."""
    if bootstrap_servers is not None:
        yield bootstrap_servers
        return
    with ApacheKafka() as kafka:
        yield kafka.bootstrap_servers


def carry_out(scenario: Scenario, bootstrap_servers: str, json_file: Path | None) -> bool:
    """Run a scenario, print and write its report; return whether nothing failed."""
    report = uvloop.run(scenario(bootstrap_servers))
    report.print()
    print(f"written to {report.write(json_file)}", flush=True)
    return not report.failures


def alone(scenario: Scenario, bootstrap_servers: str | None, json_file: Path | None) -> None:
    """Run one scenario on a broker of its own, and leave with its exit code."""
    try:
        with a_broker(bootstrap_servers) as broker:
            well = carry_out(scenario, broker, json_file)
    except (LoadTestError, DevstackError) as error:
        raise click.ClickException(str(error)) from error
    sys.exit(0 if well else 1)


@main.command()
@servers
@json_file
@quick
@click.option("--events", default=300_000, show_default=True, help="Length of the backlog.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--partitions", default=6, show_default=True)
@click.option("--only", multiple=True, help="Part of a contender's name; may be repeated.")
def inference(
    bootstrap_servers: str | None,
    json_file: Path | None,
    quick: bool,
    events: int,
    rounds: int,
    partitions: int,
    only: tuple[str, ...],
) -> None:
    """CPU per event: Driftline, the echo floor and the peers."""
    options = InferenceOptions(events=events, rounds=rounds, partitions=partitions, only=only)
    if quick:
        options = InferenceOptions(events=30_000, rounds=1, partitions=partitions, only=only)
    alone(lambda broker: run_inference(broker, options), bootstrap_servers, json_file)


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
