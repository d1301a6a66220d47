"""The report of a soak: one page with plots that needs nothing else."""

from __future__ import annotations

import statistics

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from services.cli.page import Page
from tests.faults.result import Result
from tests.faults.seen import Seen


def page(seen: Seen, result: Result) -> Page:
    """Return the page."""
    brokers = "one broker" if result.topology == "one" else "three brokers"
    size = f"{result.events:,} events, {result.seconds / 3600:.2f} hours, {len(seen.faults)} faults"
    made = Page("Soak", lead=f"{size}, {brokers}, seed {result.seed}")
    if result.passed:
        made.text("No rule was broken.", mood="good")
    for violation in result.violations:
        made.text(violation, mood="bad")
    made.heading("Lag, memory and open files")
    made.plot(_figure(seen), "Lag, memory and open files over time, with a line at every fault")
    made.heading("Did anything grow?")
    made.text(
        "Medians of the last quarter of a process's life against the second; the first is the warming up. "
        f"Compared are the {len(seen.growth())} of {len(seen.processes)} processes that lived three minutes."
    )
    made.table(
        ["process", "memory", "grown by", "more open files"],
        [
            [
                name,
                f"{statistics.median(seen.processes[name].mib):.0f} MiB",
                f"{mib:+.1f} MiB",
                f"{files:+.0f}",
            ]
            for name, (mib, files) in sorted(seen.growth().items())
        ],
    )
    made.heading("Faults")
    made.table(
        ["began at", "fault", "every partition moved again after"],
        [
            [f"{at:.0f} s", name, "not in time" if after is None else f"{after:.1f} s"]
            for at, name, after in seen.faults
        ],
    )
    return made


def _figure(seen: Seen) -> Figure:
    figure = Figure(figsize=(9, 7), layout="constrained")
    lag, memory, files = figure.subplots(3, 1, sharex=True)
    for at, _, _ in seen.faults:
        for axes in (lag, memory, files):
            axes.axvline(at, color="#d9a441", linewidth=0.8, alpha=0.6)
    lag.plot([at for at, _ in seen.lag], [count for _, count in seen.lag], color="#2563eb", linewidth=1)
    named: dict[str, Line2D] = {}
    for name, series in sorted(seen.processes.items()):
        service = name.rpartition("-")[0]
        colour = named[service].get_color() if service in named else None
        (line,) = memory.plot(series.at, series.mib, linewidth=1, color=colour)
        files.plot(series.at, series.handles, linewidth=1, color=line.get_color())
        named.setdefault(service, line)
    for axes, what in ((lag, "lag, events"), (memory, "memory, MiB"), (files, "open files")):
        axes.set_ylabel(what)
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(named.values(), named, loc="outside lower center", fontsize=8, ncols=5, frameon=False)
    files.set_xlabel("seconds; an upright line is the beginning of a fault")
    return figure
