"""What a person or a script sees of the registry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from shared.registry import HistoryEntry, Pointers, VersionInfo
from shared.registry.records import printable

_PIPED_WIDTH = 160
_NUMBERS = ("Versions", "Rev", "Size")


def print_line(text: str) -> None:
    """Print one line of plain text."""
    click.echo(printable(text))


def print_json(value: Any) -> None:
    """Print structs as indented JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def moment(epoch_ms: int) -> str:
    """Return a moment in UTC, to the minute.

    Examples
    --------
    >>> moment(1_356_998_400_000)
    '2013-01-01 00:00'
    """
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def sentence(entry: HistoryEntry) -> str:
    """Return what a change did.

    Examples
    --------
    >>> entry = HistoryEntry(model="flights", revision=7, at=0, who="ann", why="", action="promote",
    ...                      from_version="2", to_version="3", request_id="r")
    >>> sentence(entry)
    'flights: champion 2 -> 3 (revision 7)'
    """
    match entry.action:
        case "promote" | "rollback":
            what = f"champion {entry.from_version or 'none'} -> {entry.to_version}"
        case "set-candidate":
            what = f"{entry.to_version} is a candidate"
        case "remove-candidate":
            what = f"{entry.from_version} is no candidate any more"
        case "set-canary":
            what = f"{entry.to_version} answers {entry.percent:g} % of the traffic"
        case "remove-canary":
            what = f"{entry.from_version} answers no traffic any more"
        case "register":
            what = f"{entry.to_version} is registered"
    return f"{entry.model}: {what} (revision {entry.revision})"


def summary(pointers: Pointers, versions: Sequence[VersionInfo]) -> dict[str, Any]:
    """Return a model as JSON has it: the pointers, and the versions under ``versions``."""
    found: dict[str, Any] = msgspec.to_builtins(pointers)
    return found | {"versions": msgspec.to_builtins(versions)}


def print_models(found: Sequence[tuple[Pointers, Sequence[VersionInfo]]]) -> None:
    """Print one row per model."""
    rows = [
        (
            pointers.model,
            pointers.champion or "-",
            str(len(versions)),
            moment(pointers.last.at) if pointers.last else "-",
            ", ".join(pointers.candidates) or "-",
        )
        for pointers, versions in found
    ]
    _print(("Model", "Champion", "Versions", "Changed (UTC)", "Candidates"), rows)


def print_versions(pointers: Pointers, versions: Sequence[VersionInfo]) -> None:
    """Print the pointers of one model, and one row per version, newest first."""
    print_line(
        f"{pointers.model}: champion {pointers.champion or 'none'}, "
        f"candidates {', '.join(pointers.candidates) or 'none'}, revision {pointers.revision}"
    )
    rows = [
        (
            info.version,
            _role(pointers, info.version),
            _size(info.size),
            info.digest[:8],
            moment(info.registered_at),
            _signature(info),
        )
        for info in reversed(versions)
    ]
    _print(("Version", "Role", "Size", "Digest", "Registered (UTC)", "By"), rows)


def print_history(entries: Iterable[HistoryEntry]) -> None:
    """Print one row per change."""
    rows = [
        (str(entry.revision), moment(entry.at), entry.action, _arrow(entry), _signature(entry))
        for entry in entries
    ]
    _print(("Rev", "When (UTC)", "Action", "Version", "By"), rows)


def _arrow(entry: HistoryEntry) -> str:
    both = [version for version in (entry.from_version, entry.to_version) if version]
    share = "" if entry.percent is None else f" {entry.percent:g} %"
    return " -> ".join(dict.fromkeys(both)) + share


def _signature(signed: VersionInfo | HistoryEntry) -> str:
    return f"{signed.who}: {signed.why}" if signed.why else signed.who


def _role(pointers: Pointers, version: str) -> str:
    if version == pointers.champion:
        return "champion"
    if pointers.canary is not None and pointers.canary.version == version:
        return f"canary {pointers.canary.percent:g} %"
    return "candidate" if version in pointers.candidates else "-"


def _size(size: int) -> str:
    if size < 1000:
        return f"{size} B"
    return f"{size / 1e3:.1f} kB" if size < 1_000_000 else f"{size / 1e6:.1f} MB"


def _print(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; only the last column wraps, and a pipe gets wide lines."""
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False)
    for title in titles:
        if title == titles[-1]:
            table.add_column(title, overflow="fold", min_width=16)
        else:
            table.add_column(title, justify="right" if title in _NUMBERS else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    console.print(table)
