"""What more events than this machine can do would need, on paper: measured figures and named assumptions."""

from __future__ import annotations

import math
from dataclasses import dataclass

HEADROOM = 0.6
"""A core is planned to be this busy: what is left works off a backlog after a fault."""
REPLICAS = 3
SESSION_SECONDS = 30
"""After this long the partitions of a killed process go to another."""


@dataclass(frozen=True, slots=True)
class Broker:
    """What one broker is assumed to have; cores, bytes a second by network (each way) and disk."""

    cores: int = 16
    network: float = 1.25e9
    disk: float = 0.5e9


@dataclass(frozen=True, slots=True)
class Measured:
    """The medians that the plan is made of.

    Attributes
    ----------
    cpu_us, broker_cpu_us
        Of inference and of the broker per event; the broker's, without replication and without the
        producing of the events.
    partition_events_per_second
        What one partition alone was worked off at.
    """

    cpu_us: float
    broker_cpu_us: float | None
    event_bytes: float
    prediction_bytes: float
    partition_events_per_second: float
    records_per_transaction: float | None
    process_mib: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rate needs; the rows are what, how much, and from which figures."""

    processes: int
    partitions: int
    brokers: dict[str, float]
    rows: list[list[str]]

    @property
    def first_to_break(self) -> str:
        """The part of a broker of which the rate needs most brokers."""
        return max(self.brokers, key=lambda name: self.brokers[name])


def plan(measured: Measured, rate: float = 1e6, price: float = 0.05, broker: Broker | None = None) -> Plan:
    """Return what a rate (events a second) needs, one process per core; ``price`` is of a core for an hour.

    Examples
    --------
    >>> found = plan(Measured(6.0, 3.0, 300.0, 200.0, 100_000.0, 1_000.0, 150.0))
    >>> found.processes, found.partitions, found.first_to_break
    (10, 20, 'disk')
    """
    node = broker or Broker()
    processes = math.ceil(rate * measured.cpu_us / 1e6 / HEADROOM)
    by_rate = math.ceil(rate / (measured.partition_events_per_second * HEADROOM))
    partitions = processes * math.ceil(max(by_rate, 2 * processes) / processes)
    both = measured.event_bytes + measured.prediction_bytes
    written = rate * both * REPLICAS
    inward = written  # what clients write, and what followers copy
    outward = rate * (both * (REPLICAS - 1) + both)  # to followers, to inference and to one reader
    needs = {
        "network": max(inward, outward) / node.network / HEADROOM,
        "disk": written / node.disk / HEADROOM,
    }
    if measured.broker_cpu_us is not None:
        needs["CPU"] = rate * measured.broker_cpu_us / 1e6 / node.cores / HEADROOM
    brokers = max(REPLICAS, math.ceil(max(needs.values())))
    cores = processes + brokers * node.cores
    stalled = rate / processes * SESSION_SECONDS
    first = max(needs, key=lambda name: needs[name])
    catch_up = SESSION_SECONDS * HEADROOM / (1 - HEADROOM)
    speed = f"{measured.partition_events_per_second:,.0f}/s"
    memory = processes * measured.process_mib / 1024
    rows = [
        [
            "inference processes, a core each",
            f"{processes:,}",
            f"{measured.cpu_us:.2f} us/event at {HEADROOM:.0%}",
        ],
        ["partitions", f"{partitions:,}", f"two a process at least; one was worked off at {speed}"],
        ["memory of inference", f"{memory:,.1f} GiB", f"{measured.process_mib:.0f} MiB each"],
        [
            "written by the brokers, copies included",
            f"{written / 1e6:,.0f} MB/s",
            f"{both:.0f} B x {REPLICAS}",
        ],
        ["kept for a day", f"{written * 86_400 / 1e12:,.1f} TB", "nothing compressed"],
        *([f"brokers for {name}", f"{need:.1f}", _of(name, node)] for name, need in needs.items()),
        ["brokers", f"{brokers}", f"the most of these, {REPLICAS} at least: {first} breaks first"],
        ["cost an hour", f"{cores * price:,.2f}", f"{cores:,} cores at {price:g} (assumed: see --price)"],
        [
            "late after a process is killed",
            f"{stalled:,.0f} events",
            f"its share for {SESSION_SECONDS} s; worked off in {catch_up:.0f} s more",
        ],
    ]
    if measured.records_per_transaction is not None:
        each = measured.records_per_transaction
        rows.append(["transactions", f"{rate / each:,.0f} /s", f"{each:,.0f} records each, as in a backlog"])
    return Plan(processes, partitions, needs, rows)


def _of(name: str, node: Broker) -> str:
    given = {
        "network": f"{node.network * 8 / 1e9:g} Gbit/s each way",
        "disk": f"{node.disk / 1e6:g} MB/s",
        "CPU": f"{node.cores} cores; leaders' own work only, as measured",
    }
    return f"assumed: {given[name]}, at {HEADROOM:.0%}"
