"""``python -m tests.faults --seeds 1..20 --faults all --topology one``: break everything, then look.

Every run draws all its choices from its seed, its fault and the topology; a run that fails prints the command
that makes them again. Its event log and the logs of its processes stay in the folder that is printed. Exit
code: 0 if no rule was broken, 1 if one was, 2 if a negative control passed (then nothing here proves a
thing).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from devstack.apache_kafka import ApacheKafka
from devstack.redis_server import RedisServer
from tests.faults import campaign
from tests.faults import run as run_alone
from tests.faults.campaign import Campaign
from tests.faults.catalogue import CATALOGUE, SAMPLE, possible
from tests.faults.controls import CONTROLS
from tests.faults.fleet import SERVICES
from tests.faults.nursling import nursery
from tests.faults.result import Result
from tests.faults.run import Servers, run

NODES = {"one": 1, "three": 3}
PAIRS = tuple(("inference", other) for other in SERVICES[1:])
SAMPLE_JOBS = ((1, "kill-before-commit", ""), (1, "kill-before-commit", "state-outside"))
"""What ``--sample`` runs: the same crash with and without a mistake that it must show."""


def seeds(text: str) -> list[int]:
    """Return the seeds of ``7`` or ``1..20``.

    Examples
    --------
    >>> seeds("3"), seeds("1..4")
    ([3], [1, 2, 3, 4])
    """
    first, _, last = text.partition("..")
    return list(range(int(first), int(last or first) + 1))


def faults(text: str) -> list[str]:
    """Return the named faults; ``all`` is every one, ``sample`` a few."""
    if text == "all":
        return list(CATALOGUE)
    names = list(SAMPLE) if text == "sample" else text.split(",")
    if unknown := [name for name in names if name not in CATALOGUE]:
        raise argparse.ArgumentTypeError(
            f"no such fault: {', '.join(unknown)}; there are {', '.join(CATALOGUE)}"
        )
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=seeds, default=[1], help="7, or 1..20 (default: 1)")
    parser.add_argument(
        "--faults",
        type=faults,
        default="sample",
        help=f"all, sample, or names with commas: {', '.join(CATALOGUE)}",
    )
    parser.add_argument("--topology", choices=(*NODES, "both"), default="one", help="brokers (default: one)")
    parser.add_argument(
        "--services",
        default="inference",
        help=f"all, each (inference with the others in turn), or with commas: {', '.join(SERVICES)}",
    )
    parser.add_argument(
        "--lanes",
        type=int,
        default=0,
        help="so many seeds side by side, each on one fleet through all faults (default: a fleet per run)",
    )
    parser.add_argument(
        "--controls", action="store_true", help="the deliberate mistakes instead: every one must be noticed"
    )
    parser.add_argument("--only", choices=tuple(CONTROLS), help="one of the deliberate mistakes")
    parser.add_argument("--rate", type=float, default=0.0, help="events a second (default: 120, in lanes 45)")
    parser.add_argument("--sample", action="store_true", help="what CI runs: one fault and one control")
    parser.add_argument("--json", action="store_true", help="one JSON object per run, and a last one for all")
    parser.add_argument("--folder", type=Path, default=Path(".devstack/faults"), help="where event logs go")
    parser.add_argument("--keep", action="store_true", help="keep the logs of runs that passed as well")
    return parser


def jobs(options: argparse.Namespace) -> Iterator[tuple[int, str, str]]:
    """Seed, fault and control of every run of one topology."""
    if options.sample:
        yield from SAMPLE_JOBS
        return
    for seed in options.seeds:
        if options.controls:
            chosen = {options.only: CONTROLS[options.only]} if options.only else CONTROLS
            yield from ((seed, fault, name) for name, control in chosen.items() for fault in control.faults)
        else:
            yield from ((seed, fault, "") for fault in options.faults)


def services_of(text: str, number: int) -> tuple[str, ...]:
    """Return the services at work; ``each`` is inference with the others in turn.

    Examples
    --------
    >>> services_of("inference,drift", 7)
    ('inference', 'drift')
    >>> services_of("each", 1), services_of("each", 2)
    (('inference', 'shadow'), ('inference', 'drift'))
    """
    if text == "all":
        return SERVICES
    return PAIRS[(number - 1) % len(PAIRS)] if text == "each" else tuple(text.split(","))


Took = Callable[[Result], None]


def _carry_out(options: argparse.Namespace, topology: str, took: Took) -> None:
    with ApacheKafka(nodes=NODES[topology]) as kafka, RedisServer() as redis:
        servers = Servers(kafka, redis, topology)
        (_side_by_side if options.lanes else _one_by_one)(options, servers, took)


def _one_by_one(options: argparse.Namespace, servers: Servers, took: Took) -> None:
    """Carry out every job with a fleet of its own."""
    for seed, fault, control in jobs(options):
        services = CONTROLS[control].services if control else services_of(options.services, seed)
        if not possible(fault, services):
            continue
        stamp = f"{servers.topology}-{fault}-{seed}{'-' + control if control else ''}"
        folder = options.folder.resolve() / f"{time.strftime('%Y%m%d-%H%M%S')}-{stamp}"
        rate = options.rate or run_alone.RATE
        result = asyncio.run(
            run(servers, folder, seed=seed, fault=fault, services=services, control=control, rate=rate)
        )
        servers.heal()
        as_hoped = result.noticed if control else result.passed
        if as_hoped and not options.keep:
            shutil.rmtree(folder)
            result.folder = ""
        took(result)


def _side_by_side(options: argparse.Namespace, servers: Servers, took: Took) -> None:
    """Take the seeds in groups, each of which goes through all faults side by side."""
    for first in range(0, len(options.seeds), options.lanes):
        seeds_ = options.seeds[first : first + options.lanes]
        lanes = [(seed, services_of(options.services, seed)) for seed in seeds_]
        folder = options.folder.resolve() / f"{time.strftime('%Y%m%d-%H%M%S')}-{servers.topology}"
        with nursery() as path:
            rate = options.rate or campaign.RATE
            lanes_ = Campaign(servers, folder, lanes, options.faults, path, rate)
            asyncio.run(_all_results(lanes_, took))
        servers.heal()


async def _all_results(campaign: Campaign, took: Took) -> None:
    async for result in campaign.results():
        took(result)


def _line(result: Result) -> str:
    who = f"{result.topology:5} {result.fault:20} seed {result.seed}"
    took = f"{result.events:6} events, {result.seconds:5.1f} s"
    if result.control:
        seen = "noticed" if result.noticed else "NOT NOTICED: the suite is blind to it"
        return f"{who}  control {result.control}: {seen}" + "".join(
            f"\n      {v}" for v in result.violations[:2]
        )
    if result.passed:
        again = "" if result.resumed_after is None else f", moving again after {result.resumed_after:.1f} s"
        return f"{who}  ok{again}  ({took})"
    return f"{who}  BROKEN  ({took}; {result.folder})" + "".join(
        f"\n      {v}" for v in (*result.violations, f"again: {result.repeat}")
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite and return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.lanes and (options.controls or options.sample):
        parser.error("--lanes are for faults: a deliberate mistake has a fleet of its own")
    if options.only and not options.controls:
        parser.error("--only names one of the --controls")
    if isinstance(options.faults, str):
        options.faults = faults(options.faults)
    results: list[Result] = []

    def took(result: Result) -> None:
        results.append(result)
        print(json.dumps(result.as_json()) if options.json else _line(result), flush=True)

    for topology in NODES if options.topology == "both" else (options.topology,):
        _carry_out(options, topology, took)
    wrong = [r for r in results if not r.control and not r.passed]
    blind = [r for r in results if r.control and not r.noticed]
    verdict = {"runs": len(results), "broken": len(wrong), "controls_not_noticed": len(blind)}
    print(json.dumps(verdict) if options.json else _summary(verdict, options.controls), flush=True)
    return 2 if blind else 1 if wrong else 0


def _summary(verdict: dict[str, int], controls: bool) -> str:
    if controls:
        return f"{verdict['runs']} controls, {verdict['controls_not_noticed']} not noticed"
    return f"{verdict['runs']} runs, {verdict['broken']} broken"


if __name__ == "__main__":
    sys.exit(main())
