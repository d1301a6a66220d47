"""What a person sees: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
from typing import Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from devstack.demo.state import Run

PLAIN_EVERY_SECONDS = 5.0
STYLES = {"ready": "green", "starting": "yellow", "not ready": "red", "ended": "bold red"}


class View(Protocol):
    """Shows a run."""

    def say(self, line: str) -> None:
        """Print a line that stays."""

    def show(self, run: Run) -> None:
        """Show the present state."""

    def close(self) -> None:
        """Show nothing any more."""


def open_view(out: TextIO | None = None) -> View:
    """Return the live view where ``out`` (standard output) is a terminal, else plain lines."""
    out = out or sys.stdout
    return LiveView(Console(file=out)) if out.isatty() else PlainView(out)


class PlainView:
    """A line of progress every few seconds: for logs and CI."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._next = 0.0

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, file=self._out, flush=True)

    def show(self, run: Run) -> None:
        """Print a line of progress, if one is due."""
        if run.elapsed >= self._next:
            self._next = run.elapsed + PLAIN_EVERY_SECONDS
            self.say(progress_line(run))

    def close(self) -> None:
        """Do nothing: what was printed stays."""


class LiveView:
    """A table that is drawn anew in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def say(self, line: str) -> None:
        """Print a line above the table."""
        self._console.print(line, highlight=False, soft_wrap=True)

    def show(self, run: Run) -> None:
        """Draw the table."""
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(screen(run), refresh=True)

    def close(self) -> None:
        """Leave the last table standing and give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def progress_line(run: Run) -> str:
    """Return the state in one line."""
    ledger = run.ledger
    p50, p99 = ledger.recent_percentiles()
    services = ", ".join(f"{name} {sight.state}" for name, sight in run.sights.items())
    return (
        f"{run.elapsed:5.0f} s  {flight_date(run)}  sent {run.events:,}  predicted {ledger.predictions:,}"
        f"  waiting {ledger.waiting:,}  p50 {_ms(p50)}  p99 {_ms(p99)} ms"
        f"  dead letters {ledger.dead_letters:,}  {services}  champion {run.champion}"
    )


def screen(run: Run) -> RenderableType:
    """Return everything that the live view draws."""
    return Group("", _headline(run), "", _services(run), "", _totals(run), _links(run))


def flight_date(run: Run) -> str:
    """Return the scheduled day of the last flight sent."""
    return run.ledger.last_event_id[:10] or "----------"


def _headline(run: Run) -> Text:
    left = f" of {run.options.seconds:g}" if run.options.seconds else ""
    return Text.assemble(
        ("Driftline", "bold"),
        f"  flights of {flight_date(run)}, {run.options.rate:g} events/s,",
        f" {run.options.delivery}, {run.elapsed:.0f}{left} s",
    )


def _services(run: Run) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold underline")
    table.add_column("service", no_wrap=True)
    table.add_column("state", min_width=9)
    for name in ("events/s", "lag", "p50 ms", "p99 ms", "dead letters"):
        table.add_column(name, justify="right")
    table.add_column("champion", no_wrap=True)
    for name, sight in run.sights.items():
        table.add_row(
            name,
            Text(sight.state, STYLES[sight.state]),
            f"{sight.per_second:,.0f}",
            f"{sight.lag:,}",
            _ms(sight.p50_ms),
            _ms(sight.p99_ms),
            f"{sight.dead_letters:,}",
            sight.champion or "-",
        )
    return table


def _totals(run: Run) -> Text:
    ledger = run.ledger
    p50, p99 = ledger.recent_percentiles()
    share = f"{ledger.late / ledger.predictions:.0%}" if ledger.predictions else "-"
    return Text.assemble(
        f"sent {run.events:,}   predicted {ledger.predictions:,} ({share} late)   ",
        f"waiting {ledger.waiting:,}\n",
        f"bad events {sum(ledger.bad.values()):,}   dead letters {ledger.dead_letters:,}\n",
        f"from produce to visible prediction: p50 {_ms(p50)} ms, p99 {_ms(p99)} ms",
        *(("\n" + problem, "red") for problem in ledger.problems[:3]),
    )


def _links(run: Run) -> Text:
    urls = "\n".join(f"  {service.name:12} {service.url}/metrics  /readyz" for service in run.services)
    tail = f"driftline predictions tail --bootstrap-servers {run.servers.bootstrap_servers}"
    return Text(
        f"\nopen\n{urls}\n  {'logs':12} {run.folder}\n  {'or type':12} {tail}\nCtrl-C stops.", style="dim"
    )


def _ms(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"
